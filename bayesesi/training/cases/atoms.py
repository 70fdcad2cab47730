"""What should come next in a scene, where sources are named one after the other.

An event of K sources, strongest at the scalp first, is K + 1 questions (which source is next? or
none?), the last of which is not asked where the prior allows no more. A case asks one of them: the
first, of nothing given, in half of the cases, else one of the others, all alike; its weight is one
over the probability that it was asked, so that the loss is that of all questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError
from bayesesi.estimator.atoms import NextSourceInputs
from bayesesi.features import PlacedSources, PreparedForward, SizePrior, TemporalGroups
from bayesesi.loss.case import AtomCase, Case, NextSource
from bayesesi.posterior.patches import Atoms, known_sizes, make_atoms
from bayesesi.prior import PatchPrior, read_prior
from bayesesi.registry import implements
from bayesesi.simulator import Batch
from bayesesi.spec import AtomsSpec
from bayesesi.training.data import MICROBATCH, Cases


@implements(AtomsSpec, "case")
@dataclass(frozen=True, eq=False)
class AtomCases(Cases[AtomCase]):
    """Questions about few patches of cortex."""

    @property
    def _spec(self) -> AtomsSpec:
        assert isinstance(self.recipe.estimator, AtomsSpec)
        return self.recipe.estimator

    @cached_property
    def prior(self) -> PatchPrior:
        prior = read_prior(self.recipe.beside(self.recipe.prior), ico=self.recipe.ico)
        if not isinstance(prior, PatchPrior):
            raise InputError(f"the prior of atoms is of the family patch, {prior!r} is not")
        return prior

    @cached_property
    def atoms(self) -> Atoms:
        return make_atoms(self.prior, self._spec.extents)

    @cached_property
    def _size(self) -> SizePrior:
        return SizePrior.of_grid(*known_sizes(self.prior))

    @cached_property
    def _atom_of(self) -> NDArray[np.int64]:
        """(20484,) number of the centre nearest to each vertex of the finest template."""
        coarse, fine = self.prior.source_space, template_source_space(5)
        places = coarse.positions[self.atoms.centres]
        return np.asarray(KDTree(places).query(fine.positions)[1])

    @cached_property
    def _of_level_4(self) -> NDArray[np.int64]:
        """(S,) which of the simulator's sources are the network's."""
        return self.prior.source_space.index_in(template_source_space(4))

    def microbatches(self, batch: Batch, rng: np.random.Generator) -> list[AtomCase]:
        leadfield = batch.leadfield[:, self._of_level_4]
        forward = PreparedForward.of(
            self.atoms.weights.astype(np.float32) @ leadfield.T.astype(np.float32),
            leadfield[:, self.atoms.centres],
            self.atoms.log_place,
            self.prior.source_space.positions[self.atoms.centres],
        )
        window = TemporalGroups.of(batch.time_basis.projector)
        events = self._events(batch, leadfield)
        given, target, weight = _questions(events, self.prior.n_slots, rng)
        scale = torch.from_numpy(np.log(batch.noise_scale)).float()
        order = np.argsort(given, kind="stable")
        cases = []
        centres = torch.from_numpy(self.atoms.centres)
        place = torch.from_numpy(self.atoms.log_place).float()
        for rows in np.split(order, range(MICROBATCH, len(order), MICROBATCH)):
            deepest = int(given[rows].max(initial=0))
            prefix = PlacedSources(
                torch.from_numpy(events[rows, :deepest]).clamp(min=0),
                torch.from_numpy(np.arange(deepest) < given[rows, None]),
            )
            seen = torch.from_numpy(batch.values[rows].astype(np.float32))
            scene = forward.scene(seen, window, self._size, prefix, scale[rows])
            asked, answer = (torch.from_numpy(a[rows]) for a in (given, target))
            truth = NextSource(answer, torch.from_numpy(weight[rows]).float())
            cases.append(Case(NextSourceInputs(scene, asked, centres, place), truth))
        return cases

    def _events(self, batch: Batch, leadfield: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n, K) atoms of each case, strongest first, -1 where there are no more."""
        draws, slots = batch.draws, self.prior.n_slots
        count, n = draws["count"], len(batch)
        if draws["centre"].shape[1] > slots:
            raise InputError(
                f"{batch.spec.name} has up to {draws['centre'].shape[1]} sources, the prior of the "
                f"recipe up to {slots}; give it a prior that allows as many"
            )
        extent = np.abs(
            np.log(draws["extent_mm"][..., None]) - np.log(self.atoms.extents_mm)
        ).argmin(axis=2)
        atom = extent * self.atoms.n_centres + self._atom_of[draws["centre"]]
        seen = batch.patterns_at(self.recipe.ico) @ leadfield.T
        course = (batch.courses @ batch.time_basis.projector) ** 2
        strength = (seen**2).sum(axis=1).reshape(n, -1) * course.sum(axis=2)
        there = np.arange(atom.shape[1]) < count[:, None]
        order = np.argsort(-np.where(there, strength, -1.0), axis=1)
        ordered = np.take_along_axis(np.where(there, atom, -1), order, axis=1)
        padded = np.full((n, slots), -1)
        padded[:, : ordered.shape[1]] = ordered
        return padded


def _questions(
    events: NDArray[np.int64], slots: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(n,) each: how many sources are given, what is next, and how much that counts."""
    n = len(events)
    count = (events >= 0).sum(axis=1)
    later = np.minimum(count, slots - 1)
    first = (rng.random(n) < 0.5) | (later == 0)
    given = np.where(first, 0, 1 + (rng.random(n) * later).astype(int))
    weight = np.where(later == 0, 1.0, np.where(first, 2.0, 2.0 * later))
    ends = np.concatenate([events, np.full((n, 1), -1)], axis=1)
    return given, ends[np.arange(n), given] + 1, weight
