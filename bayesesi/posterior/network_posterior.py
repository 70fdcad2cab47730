"""Inputs of a network of fields, and what its posteriors have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.features import FieldForward, FieldInputs, TemporalGroups, TrainingRange
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior


def field_inputs(obs: Observation, level: int) -> tuple[FieldForward, FieldInputs]:
    """Make the forward as a network of a level of the template has it, and the inputs.

    Parameters
    ----------
    obs : of sources fixed to the normal. level : of the template's cortex.

    Raises
    ------
    InputError : another source space, sources that are not fixed to the normal.
    """
    if obs.leadfield.ndim != 2:
        raise InputError(
            "this network needs sources along the cortical normal; use forward.fixed()"
        )
    if obs.source_space.ico != level:
        raise InputError(
            f"this network needs level {level} of the template's sources, not {obs.source_space!r}"
        )
    forward = FieldForward.of(obs.leadfield, level)
    values = torch.from_numpy(obs.values).float()[None]
    with torch.inference_mode():
        return forward, forward.scene(values, TemporalGroups.of(obs.time_basis.projector))


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkPosterior(Posterior):
    """Hold a posterior of fields on the template's cortex; training marginalised the head.

    Attributes
    ----------
    forward, scene : see ``field_inputs``. seed : of the draws behind ``sd``. support : which
        contexts the network met in training, if known.
    """

    #: Draws behind a standard deviation.
    n_spread: ClassVar[int]

    forward: FieldForward = field(repr=False)
    scene: FieldInputs = field(repr=False)
    seed: int = 0
    support: TrainingRange | None = None

    @cached_property
    def outside(self) -> tuple[str, ...]:
        return () if self.support is None else self.support.outside(self.scene.context[0])

    def sd(self) -> NDArray[np.float64]:
        """Compute the standard deviation of ``n_spread`` draws, (S, R) A m."""
        return np.asarray(self.sample(self.n_spread, self.seed).std(axis=0))

    def _scenes(self, n: int) -> FieldInputs:
        """The one scene n times."""
        return self.scene.pick(torch.zeros(n, dtype=torch.long))

    def _moments(self, x: Tensor) -> NDArray[np.float64]:
        """(n, S, R) A m of fields x (S, n, Q)."""
        moments = self.forward.moments(x, self._scenes(x.shape[1]))
        return np.asarray(moments.movedim(0, 1).double().numpy())

    def _no_moments(self, n: int) -> NDArray[np.float64]:
        """(n, S, R) A m, 0: of draws without an event."""
        return np.zeros((n, *self.obs.leadfield.shape[1:], self.obs.n_functions))

    def _loud(self, n: int, generator: torch.Generator) -> NDArray[np.bool_]:
        """(n,) which draws have an event.

        Raises
        ------
        InputError : fewer than one draw.
        """
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        share = torch.rand(n, generator=generator).double()
        return np.asarray((share >= self.null_probability).numpy())
