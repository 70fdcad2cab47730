"""The activity of parcels of cortex and its density, by a normalizing flow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from bayesesi.estimator.parcels import ParcelEstimator
from bayesesi.model.learned import CorticalModel
from bayesesi.observation import Observation
from bayesesi.posterior.flow import ParcelPosterior, parcel_posterior
from bayesesi.registry import implements
from bayesesi.spec import FlowSpec


@implements(FlowSpec, "model")
@dataclass(frozen=True)
class FlowModel(CorticalModel):
    """Activity of pieces of regions, with a density: evoked responses and rhythms, by a flow."""

    family: ClassVar[str] = "flow"

    network: ParcelEstimator = field(compare=False, repr=False)

    def posterior(self, obs: Observation, seed: int = 0) -> ParcelPosterior:
        self.check(obs)
        return parcel_posterior(obs, self.network, self.ico, seed, self.support)
