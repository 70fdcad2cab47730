"""The numbers a network reads of a scan: of every source, and of the observation as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesesi.features.placed_sources import PlacedSources

#: m: how far from a source that is given its neighbourhood reaches.
_BESIDE = 0.03

FEATURES = (
    "log-likelihood of small sources",
    "of middling ones",
    "of large ones",
    "the same, not compressed",
    "of large against small ones",
    "fit of the topography, over the best",
    "minimum norm, weakly regularised",
    "minimum norm, strongly regularised",
    "gain",
    "gain of large against small sources",
    "share of the gain that is not yet explained",
    "nearness of the sources that are given",
)
CONTEXT = (
    "power of the data, dB",
    "numbers",
    "sensors",
    "functions of time",
    "best log-likelihood over that of nothing",
    "mean likelihood over that of nothing",
    "best fit",
    "residual power a number",
    "no source is given",
    "one is",
    "two are",
)
#: Numbers of the context that are measured on the data; how far beyond their range, as a share of
#: it and at the least, an observation may lie.
N_MEASURED, _MARGIN, _LEAST_MARGIN = 8, 0.1, 0.02


@dataclass(frozen=True)
class TrainingRange:
    """Hold which contexts a network met: the range of each number that is no count of sources.

    Attributes
    ----------
    low, high : (C,) ends of the range of each of the ``names``.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...] = CONTEXT[:N_MEASURED]

    @classmethod
    def of(cls, contexts: Tensor, names: tuple[str, ...] = CONTEXT[:N_MEASURED]) -> TrainingRange:
        """Take the range of contexts.

        Parameters
        ----------
        contexts : (n, C) of scenes of which nothing was given.
        names : of the first of their numbers, which are taken.
        """
        kept = contexts[:, : len(names)].double()
        rounded = kept.amin(0).tolist(), kept.amax(0).tolist()
        low, high = (tuple(round(value, 4) for value in end) for end in rounded)
        return cls(low, high, names)

    def outside(self, context: Tensor) -> tuple[str, ...]:
        """Name what in a context lies beyond the range by a tenth of it or more.

        Parameters
        ----------
        context : (C,) numbers.
        """
        beyond = []
        for name, value, low, high in zip(
            self.names, context.tolist(), self.low, self.high, strict=False
        ):
            margin = _MARGIN * (high - low) + _LEAST_MARGIN
            if not low - margin <= value <= high + margin:
                beyond.append(name)
        return tuple(beyond)


def source_features(
    likelihood: Tensor,
    best: Tensor,
    maps: Tensor,
    log_gain: Tensor,
    left: Tensor,
    nearness: Tensor,
) -> Tensor:
    """Stack (B, N, F) ``FEATURES``.

    Parameters
    ----------
    likelihood : (B, E, N) nats.
    best : (B, N) fit of sources of middling extent.
    maps : (B, 2, N) power of the two minimum norms.
    log_gain : (E, N).
    left : (B, E, N), any of them 1, share of the gain off the span of the sources given.
    nearness : (B, N) or (B, 1), to the sources given, 0 to 1.
    """
    n_extents = likelihood.shape[1]
    below = likelihood - likelihood.amax((1, 2), keepdim=True)
    small, middle, large = below[:, 0], below[:, n_extents // 2], below[:, -1]
    maps = (maps / maps.amax(2, keepdim=True).clamp(min=1e-20)).sqrt_()
    gain = log_gain - log_gain.median()
    out = below.new_empty(*best.shape, len(FEATURES))
    for k, part in enumerate((small, middle, large)):
        out[..., k] = -(-part).log1p_() / 2
    out[..., 3] = (below.amax(1) / 10).clamp_(min=-1)
    out[..., 4] = ((large - small) / 5).tanh_()
    out[..., 5] = (best / best.amax(1, keepdim=True).clamp(min=1e-20)).sqrt_()
    out[..., 6], out[..., 7] = maps[:, 0], maps[:, 1]
    out[..., 8] = gain[0] / 2
    out[..., 9] = (gain[-1] - gain[0]) / 2
    out[..., 10] = left[:, min(n_extents // 2, left.shape[1] - 1)]
    out[..., 11] = nearness
    return out


def nearness(positions: Tensor, prefix: PlacedSources) -> Tensor:
    """Compute (B, N), or (B, 1) without any: 1 at a source that is given, less with distance.

    Parameters
    ----------
    positions : (N, 3) m.
    prefix : of B cases.
    """
    if not prefix.atom.shape[1]:
        return positions.new_zeros(len(prefix), 1)
    given = positions[prefix.atom % len(positions)]  # (B, J, 3)
    apart = torch.cdist(positions.expand(len(given), -1, -1), given)
    near = (-apart / _BESIDE).exp() * prefix.used[:, None]
    return near.amax(2)


def observation_context(
    values: Tensor,
    fit: Tensor,
    likelihood: Tensor,
    nothing: Tensor,
    power: Tensor,
    log_place: Tensor,
    count: Tensor,
) -> Tensor:
    """Stack (B, C) ``CONTEXT``.

    Parameters
    ----------
    values : (B, n_eff, R) data.
    fit : (B,) the best.
    likelihood : (B, E, N) nats. nothing : (B,).
    power : (B,) that no source explains.
    log_place : (N,) log prior of a centre.
    count : (B,) of sources given.
    """
    n, r = values.shape[1:]
    energy = values.square().sum((1, 2)).clamp(min=1e-12)
    whole = nothing.new_ones(len(nothing))
    mean = likelihood + log_place - float(np.log(likelihood.shape[1]))
    step = count[:, None] == torch.arange(3, device=values.device)
    columns = [
        (energy / (n * r)).log10(),
        whole * float(np.log(n * r)) / 5,
        whole * float(np.log(n)) / 5,
        whole * float(np.log(r)) / 5,
        _squashed(likelihood.amax((1, 2)) - nothing),
        _squashed(log_sum(mean.flatten(1), 1) - nothing),
        fit / energy,
        ((power / (n * r)).clamp(min=1e-12)).log10(),
        *step.to(values).unbind(1),
    ]
    return torch.stack(columns, dim=1)


def log_sum(values: Tensor, dim: int) -> Tensor:
    """Compute ``logsumexp``, of values that differ by hundreds: what is less than e^-60 of the
    largest is taken for that, as processors are slow at numbers next to 0.

    Parameters
    ----------
    values : of any shape, without unit; changed in place.
    dim : the axis summed over.
    """
    largest = values.amax(dim, keepdim=True)
    left = values.sub_(largest).clamp_(min=-60.0).exp_()
    return left.sum(dim).log_().add_(largest.squeeze(dim))


def _squashed(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p() / 3
