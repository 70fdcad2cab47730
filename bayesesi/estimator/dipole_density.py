"""The flows of dipoles as sbi has density estimators."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from sbi.inference.posteriors import DirectPosterior
from sbi.neural_nets.estimators import ConditionalDensityEstimator
from torch import Tensor

from bayesesi.estimator.dipole import DipoleEstimator, DipoleStates
from bayesesi.features.dipole_scan import DipoleSummary, PlaceMixture

#: mm in a m.
_MM = 1e3


class _DipoleDensity(ConditionalDensityEstimator):
    """Of theta (4 k + 1,), given flat summaries."""

    def __init__(self, net: DipoleEstimator, like: DipoleSummary, k: int) -> None:
        super().__init__(net, torch.Size([4 * k + 1]), torch.Size([flat(like).shape[1]]))
        self.like, self.k = like, k

    def _summary(self, condition: Tensor) -> DipoleSummary:
        return of_flat(condition.reshape(-1, *self.condition_shape), self.like)

    def log_prob(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        if input.ndim == 2:
            input = input[None]
        k, n = self.k, len(input)
        summary = self._summary(condition)
        rows = torch.arange(len(summary)).repeat(n)
        x = input.flatten(0, 1)
        place = (x[:, : 3 * k] / _MM).unflatten(1, (k, 3))
        dipoles = DipoleStates(place, x[:, 3 * k : 4 * k], x[:, 4 * k])
        found = self.net.log_prob(dipoles, summary.pick(rows.expand(len(x))))
        shift = 3 * k * float(torch.tensor(_MM).log())
        return (found - shift).unflatten(0, (n, -1))

    def loss(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        return -self.log_prob(input, condition)[0]

    def sample(self, sample_shape: torch.Size, condition: Tensor, **_: Any) -> Tensor:
        n, summary = torch.Size(sample_shape).numel(), self._summary(condition)
        each = [
            self.net.sample(n, self.k, summary.pick(slice(b, b + 1))) for b in range(len(summary))
        ]
        theta = [
            torch.cat([_MM * d.place.flatten(1), d.extent, d.skull[:, None]], dim=1) for d in each
        ]
        return torch.stack(theta, dim=1).unflatten(0, tuple(sample_shape))


def direct_posterior(net: DipoleEstimator, summary: DipoleSummary, k: int) -> DirectPosterior:
    """Make sbi's posterior of ``k`` dipoles given ``summary``, by ``net``."""
    density = _DipoleDensity(net, summary, k)
    # of it sbi uses no more than the support, and a spread
    spread = torch.tensor([100.0] * (3 * k) + [1.0] * (k + 1))
    anything = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros_like(spread), spread), 1
    )
    with torch.random.fork_rng(devices=[]):  # it tries the prior
        return DirectPosterior(density, anything).set_default_x(flat(summary))


def _tensors(summary: DipoleSummary) -> list[Tensor]:
    parts = [getattr(m, f.name) for m in (summary.one, summary.two) for f in fields(PlaceMixture)]
    return [summary.context, *parts]


def flat(summary: DipoleSummary) -> Tensor:
    """Put all of ``summary`` side by side, (B, d), as sbi wants a condition."""
    return torch.cat([part.reshape(len(summary), -1) for part in _tensors(summary)], dim=1)


def of_flat(values: Tensor, like: DipoleSummary) -> DipoleSummary:
    """Undo ``flat`` of ``values`` (B, d), in the shapes of the summary ``like``."""
    shapes = [part.shape[1:] for part in _tensors(like)]
    parts = values.split([shape.numel() for shape in shapes], dim=1)
    whole = [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
    n = len(fields(PlaceMixture))
    return DipoleSummary(whole[0], PlaceMixture(*whole[1 : 1 + n]), PlaceMixture(*whole[1 + n :]))
