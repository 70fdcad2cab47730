"""One or two free dipoles in the brain volume, by a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from bayesesi.errors import InputError, some
from bayesesi.estimator.dipole import DipoleEstimator
from bayesesi.features.dipole import SKULL_NODES
from bayesesi.forward import ForwardOperator
from bayesesi.model.learned import LearnedModel
from bayesesi.observation import Observation
from bayesesi.posterior.dipole import DipoleBelief, DipolePosterior, dipole_posterior
from bayesesi.registry import implements
from bayesesi.spec import DipolesSpec, Recipe, VolumeDipoleSpec, read_spec


@implements(DipolesSpec, "model")
@dataclass(frozen=True)
class DipoleModel(LearnedModel):
    """One or two equivalent current dipoles in the volume, with confidence volumes, by a flow."""

    family: ClassVar[str] = "dipole"

    spec: VolumeDipoleSpec
    network: DipoleEstimator = field(compare=False, repr=False)

    @staticmethod
    def read_prior(recipe: Recipe) -> VolumeDipoleSpec:
        spec = read_spec(recipe.prior, recipe.folder)
        if not isinstance(spec, VolumeDipoleSpec):
            raise InputError(
                f"{recipe.name}: prior = {some([recipe.prior])} is not of the family "
                "volume-dipole, as the prior of dipoles must be; give one that is, such as "
                "'volume-dipole'"
            )
        return spec

    @property
    def prior_null(self) -> float:
        return self.spec.count.null

    @cached_property
    def belief(self) -> DipoleBelief:
        """Of dipoles before the data."""
        return DipoleBelief(self.spec)

    def details(self, obs: Observation) -> dict[str, Any]:
        drawn = len(SKULL_NODES) * self.belief.n_heads
        return {**super().details(obs), "n_heads": drawn}

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        if forward.banked is None or forward.source_space.kind == "volume":
            return forward
        return forward.in_volume()

    def posterior(self, obs: Observation, seed: int = 0) -> DipolePosterior:
        return dipole_posterior(obs, self.network, self.belief, seed, self.support)
