"""One or two free dipoles, and what the data show of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from bayesesi.errors import InputError
from bayesesi.estimator.dipole import DipoleStates
from bayesesi.features.dipole_scan import DipoleSummary
from bayesesi.loss.case import Case, DipoleCase, DipoleTruth
from bayesesi.posterior.dipole import DipoleBelief
from bayesesi.prior import VolumeDipolePrior, read_prior
from bayesesi.registry import implements
from bayesesi.simulator import Batch
from bayesesi.spec import DipolesSpec
from bayesesi.training.data import MICROBATCH, Cases


@implements(DipolesSpec, "case")
@dataclass(frozen=True, eq=False)
class DipoleCases(Cases[DipoleCase]):
    """How many free dipoles there are, where and what."""

    @cached_property
    def prior(self) -> VolumeDipolePrior:
        prior = read_prior(self.recipe.beside(self.recipe.prior))
        if not isinstance(prior, VolumeDipolePrior):
            raise InputError(
                f"the prior of dipoles is of the family volume-dipole, {prior!r} is not"
            )
        return prior

    @property
    def _components(self) -> int:
        assert isinstance(self.recipe.estimator, DipolesSpec)
        return self.recipe.estimator.components

    @cached_property
    def belief(self) -> DipoleBelief:
        return DipoleBelief(self.prior.spec)

    def microbatches(self, batch: Batch, rng: np.random.Generator) -> list[DipoleCase]:
        if "place" not in batch.draws:
            raise InputError(
                f"{batch.spec.name} simulates no dipoles of the volume; take a simulator whose "
                "source is of the family volume-dipole, such as 'event-dipole'"
            )
        belief = self.belief
        forward = belief.forward(batch.forward, batch.whitener, int(rng.integers(2**31)))
        scan = belief.scan(forward)
        scene = belief.scene(batch.values, forward, batch.noise_scale)
        summary = DipoleSummary.of(scene, scan, self._components)
        truth = self._truth(batch)
        count = torch.from_numpy(batch.draws["count"].astype(np.int64))
        rows = [slice(first, first + MICROBATCH) for first in range(0, len(batch), MICROBATCH)]
        return [Case(summary.pick(r), DipoleTruth(count[r], truth.pick(r))) for r in rows]

    def _truth(self, batch: Batch) -> DipoleStates:
        draws, belief = batch.draws, self.belief
        place = torch.from_numpy(draws["place"]).float()
        extent = torch.from_numpy(belief.extent.score(draws["extent_mm"])).float()
        skull = torch.from_numpy(belief.skull.score(draws["skull_S_per_m"])).float()
        pair = draws["count"] > 1
        both = DipoleStates(place, extent, skull)
        turned, two = both.sorted(), torch.from_numpy(pair)
        return DipoleStates(
            torch.where(two[:, None, None], turned.place, place),
            torch.where(two[:, None], turned.extent, extent),
            skull,
        )
