"""Moments everywhere on the cortex, by a network that denoises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from bayesesi.estimator.field import FieldDenoiser
from bayesesi.model.learned import CorticalModel
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.posterior.diffusion import field_posterior
from bayesesi.registry import implements
from bayesesi.spec import DiffusionSpec


@implements(DiffusionSpec, "model")
@dataclass(frozen=True)
class FieldModel(CorticalModel):
    """Patches or a smooth field of cortex, by a network: moments everywhere, drawn from noise."""

    family: ClassVar[str] = "diffusion"

    network: FieldDenoiser = field(compare=False, repr=False)

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        self.check(obs)
        return field_posterior(obs, self.network, self.ico, seed, self.support)
