"""The posterior that a denoiser gives: its mean in one pass, draws in few steps from noise.

A draw begins as white noise and goes along the flow of ``estimator``, from one share of noise to
the next as if E[x | x_t, v] were some D on the way (Song, Meng & Ermon 2021, arXiv:2010.02502),

    x_s = alpha_s D + sigma_s (x_t - alpha_t D) / sigma_t,

and ends as E[x | x_t, v]. D is that at x_t, moved half a step along the line through it and the one
before, in sigma (as the multistep of Lu et al. 2022, arXiv:2211.01095). With D as it is at x_t
alone, ten steps leave .87 of the standard deviation of a source of prior variance 1 and .30 of one
of 1,000; as here, 1.02 and .77. Whether there is an event at all is decided first.
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
RATIOS = (0.0, 0.05, 0.12, 0.25, 0.45, 0.8, 1.4, 2.8, 6.0, 16.0)
#: Draws that go together, and those of a standard deviation.
_TOGETHER, _N_SPREAD = 16, 64


def draw_fields(
    denoiser: FieldDenoiser,
    scene: FieldScene,
    forward: FieldForward,
    generator: torch.Generator,
    ratios: tuple[float, ...] = RATIOS,
) -> Tensor:
    """(S, B, R): a field of an event for each of B scenes of one forward.

    ``ratios``: alpha / sigma at each step, with alpha + sigma = 1.
    """
    shape = (forward.n_sources, *scene.values.shape[1:])
    x = torch.randn(shape, generator=generator)
    sigmas = [1 / (1 + ratio) for ratio in ratios]
    alike = torch.ones(len(scene))
    found: list[Tensor] = []
    with torch.inference_mode():
        for k, sigma in enumerate(sigmas):
            if k:
                before = sigmas[k - 1]
                ahead = found[-1]
                if k > 1:
                    share = 0.5 * (sigma - before) / (before - sigmas[k - 2])
                    ahead = ahead + share * (found[-1] - found[-2])
                x = (1 - sigma) * ahead + sigma * (x - (1 - before) * ahead) / before
            found.append(denoiser(x, (1 - sigma) * alike, sigma * alike, scene, forward))
    return found[-1]


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

    @property
    def caveat(self) -> str:
        n = self.obs.n_functions
        if n == 1:
            return ""
        return (
            f"this network takes the {n} functions of time of a window for unrelated, and is then "
            "too sure of regions: of 70 simulated events its 90% sets held every active region in "
            "54% (reports/coverage/cortex.md); look at a single moment, or use the model 'atoms'"
        )

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
