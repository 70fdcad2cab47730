"""One or two free dipoles, and what the data show of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.estimator.dipole import DipoleStates
from bayesesi.features.dipole_scan import DipoleSummary
from bayesesi.posterior.dipole import DipoleBelief
from bayesesi.prior import VolumeDipolePrior, read_prior
from bayesesi.simulator import Batch
from bayesesi.spec import DipoleRecipe
from bayesesi.training.data import PIECE, Examples


@dataclass(frozen=True, eq=False)
class DipoleExample:
    """A piece of a session.

    Attributes
    ----------
    summary : of B cases. count : (B,) dipoles. truth : of each case, two of them; where there are
        fewer, those beyond count do not matter.
    """

    summary: DipoleSummary
    count: Tensor
    truth: DipoleStates

    def __len__(self) -> int:
        return len(self.count)

    def to(self, device: torch.device | str) -> DipoleExample:
        """Move the piece to ``device``."""
        truth = self.truth
        moved = DipoleStates(*(x.to(device) for x in (truth.place, truth.extent, truth.skull)))
        return DipoleExample(self.summary.to(device), self.count.to(device), moved)


@dataclass(frozen=True, eq=False)
class DipoleExamples(Examples[DipoleRecipe, DipoleExample]):
    """Of a recipe of dipoles."""

    @cached_property
    def prior(self) -> VolumeDipolePrior:
        prior = read_prior(self.recipe.beside(self.recipe.prior))
        if not isinstance(prior, VolumeDipolePrior):
            raise InputError(
                f"the prior of dipoles is of the family volume-dipole, {prior!r} is not"
            )
        return prior

    @property
    def replay(self) -> int:
        return self.recipe.replay

    @cached_property
    def belief(self) -> DipoleBelief:
        return DipoleBelief(self.prior.spec)

    def pieces(self, batch: Batch, rng: np.random.Generator) -> list[DipoleExample]:
        if "place" not in batch.draws:
            raise InputError(
                f"{batch.spec.name} simulates no dipoles of the volume; take a simulator whose "
                "source is of the family volume-dipole, such as 'event-dipole'"
            )
        belief = self.belief
        forward = belief.forward(batch.forward, batch.whitener, int(rng.integers(2**31)))
        scan = belief.scan(forward)
        scene = belief.scene(batch.values, forward, batch.noise_scale)
        summary = DipoleSummary.of(scene, scan, self.recipe.components)
        truth = self._truth(batch)
        count = torch.from_numpy(batch.draws["count"].astype(np.int64))
        rows = [slice(first, first + PIECE) for first in range(0, len(batch), PIECE)]
        return [DipoleExample(summary.pick(r), count[r], truth.pick(r)) for r in rows]

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
