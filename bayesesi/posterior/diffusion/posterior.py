"""The posterior that a denoiser gives: its mean in one pass, draws in few steps from noise.

A draw goes through falling noise. From x_t a clean field x_0 is drawn, the Gaussian that the
network believes in (``network.field_denoiser.Conditioned``), and from it the field under less
noise, which for x_s between them is, with a = alpha_t / alpha_s and v = sigma_t² - a² sigma_s²,

    x_s | x_0, x_t ~ N((v alpha_s x_0 + a sigma_s² x_t) / sigma_t², v sigma_s² / sigma_t²).

Were the belief p(x_0 | x_t, v) itself, any number of steps would do; it is Gaussian with the right
mean, which is why few do (as in Bao et al. 2022, arXiv:2201.06503, with a covariance that the data
shape). Whether there is an event at all is decided first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.network import FieldDenoiser, FieldForward, FieldScene, Support, Window
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior

#: alpha / sigma at the steps, rising; the first is that of pure noise.
RATIOS = (0.0, 0.1, 0.25, 0.5, 0.9, 1.6, 3.0, 6.0, 12.0)
#: Draws that go together, and those of a standard deviation.
_TOGETHER, _N_SPREAD = 16, 64


def path(ratios: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """alpha and sigma at each step, on the straight path alpha + sigma = 1."""
    ratio = torch.tensor(ratios)
    return ratio / (1 + ratio), 1 / (1 + ratio)


def draw_fields(
    denoiser: FieldDenoiser,
    scene: FieldScene,
    forward: FieldForward,
    generator: torch.Generator,
    ratios: tuple[float, ...] = RATIOS,
) -> Tensor:
    """(S, B, R): a field of an event for each of B scenes of one forward."""
    alphas, sigmas = path(ratios)
    shape = (forward.n_sources, *scene.values.shape[1:])
    x = torch.randn(shape, generator=generator)
    clean = x
    with torch.inference_mode():
        for k, (alpha, sigma) in enumerate(zip(alphas, sigmas, strict=True)):
            if k:
                x = _less_noisy(x, clean, (alphas[k - 1], sigmas[k - 1]), (alpha, sigma), generator)
            alike = torch.ones(len(scene))
            given = denoiser.condition(x, alpha * alike, sigma * alike, scene, forward)
            clean = given.draw(scene.values, generator)
        return given.corrected(given.base, scene.values)


def _less_noisy(
    x: Tensor,
    clean: Tensor,
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> Tensor:
    """x_s, see the module."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = before, after
    a = alpha_t / alpha_s
    v = sigma_t**2 - (a * sigma_s) ** 2
    mean = (v * alpha_s * clean + a * sigma_s**2 * x) / sigma_t**2
    return mean + v.sqrt() * sigma_s / sigma_t * torch.randn(x.shape, generator=generator)


def field_posterior(
    obs: Observation,
    denoiser: FieldDenoiser,
    level: int,
    seed: int = 0,
    support: Support | None = None,
) -> FieldPosterior:
    """What the network says of one observation.

    Parameters
    ----------
    level : of the template's sources that the network knows.
    support : which contexts it met.

    Raises
    ------
    InputError : another source space, sources that are not fixed to the normal.
    """
    if obs.leadfield.ndim != 2:
        raise InputError("this network knows sources along the cortex' normal; use forward.fixed()")
    if obs.source_space.level != level:
        raise InputError(
            f"this network knows level {level} of the template's sources, not {obs.source_space!r}"
        )
    forward = FieldForward.of(obs.leadfield, level)
    values = torch.from_numpy(obs.values).float()[None]
    with torch.inference_mode():
        scene = forward.scene(values, Window.of(obs.time_basis.projector))
    return FieldPosterior(obs, denoiser.eval(), forward, scene, seed, support)


@dataclass(frozen=True, eq=False)
class FieldPosterior(Posterior):
    """Fields of moments on the template's cortex, in heads that training marginalised.

    Attributes
    ----------
    scene : of the one observation. seed : of the draws behind ``sd``. support : which contexts
        the network met in training, if known.
    """

    denoiser: FieldDenoiser = field(repr=False)
    forward: FieldForward = field(repr=False)
    scene: FieldScene = field(repr=False)
    seed: int = 0
    support: Support | None = None

    @cached_property
    def outside(self) -> tuple[str, ...]:
        return () if self.support is None else self.support.outside(self.scene.context[0])

    @cached_property
    def _of_mean(self) -> tuple[NDArray[np.float64], float]:
        with torch.inference_mode():
            x, log_odds = self.denoiser.mean(self.scene, self.forward)
        return self._moments(x)[0], float(torch.sigmoid(log_odds.double())[0])

    @property
    def null_probability(self) -> float:
        return self._of_mean[1]

    def mean(self) -> NDArray[np.float64]:
        moments, null = self._of_mean
        return (1 - null) * moments

    def sd(self) -> NDArray[np.float64]:
        """Of 64 draws."""
        return np.asarray(self.sample(_N_SPREAD, self.seed).std(axis=0))

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        if n < 1:
            raise InputError(f"draw at least once, not {n} times")
        generator = torch.Generator().manual_seed(seed)
        loud = torch.rand(n, generator=generator).double() >= self.null_probability
        draws = np.zeros((n, *self.obs.leadfield.shape[1:], self.obs.n_functions))
        rows = loud.nonzero()[:, 0].numpy()
        for first in range(0, len(rows), _TOGETHER):
            some = rows[first : first + _TOGETHER]
            together = self.scene.pick(torch.zeros(len(some), dtype=torch.long))
            x = draw_fields(self.denoiser, together, self.forward, generator)
            draws[some] = self._moments(x)
        return draws

    def _moments(self, x: Tensor) -> NDArray[np.float64]:
        """(B, S, R) A m of (S, B, R)."""
        moments = self.forward.moments(x.double(), self.scene.size.double())
        return np.asarray(moments.movedim(0, 1).numpy())

    def details(self) -> dict[str, Any]:
        return {
            "family": "diffusion",
            "heads": "marginalised by training",
            "steps": len(RATIOS),
        }
