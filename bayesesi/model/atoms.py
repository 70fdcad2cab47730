"""Few patches of cortex, by a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from bayesesi.anatomy import template_parcellation
from bayesesi.errors import InputError, some
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.model.learned import CorticalModel
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.posterior.atoms import atom_posterior
from bayesesi.posterior.atoms.forward import AtomForward
from bayesesi.posterior.patches import Atoms, make_atoms
from bayesesi.prior import PatchPrior
from bayesesi.registry import implements
from bayesesi.spec import AtomsSpec, PatchSpec, Recipe, read_spec


@implements(AtomsSpec, "model")
@dataclass(frozen=True)
class AtomModel(CorticalModel):
    """Few patches of cortex, by a network: the answer of simulations, in a fraction of a second."""

    family: ClassVar[str] = "atoms"

    spec: PatchSpec
    network: AtomEstimator = field(compare=False, repr=False)

    @staticmethod
    def read_prior(recipe: Recipe) -> PatchSpec:
        spec = read_spec(recipe.prior, recipe.folder)
        if not isinstance(spec, PatchSpec):
            raise InputError(
                f"{recipe.name}: prior = {some([recipe.prior])} is not of the family patch, as the "
                "prior of atoms must be; give one that is, such as 'focal'"
            )
        return spec

    @property
    def prior_null(self) -> float:
        return self.spec.count.null

    @cached_property
    def atoms_prior(self) -> PatchPrior:
        """Of the sources, on the network's own."""
        return PatchPrior(self.spec, template_parcellation(self.ico))

    @cached_property
    def atoms(self) -> Atoms:
        """What the network tells apart."""
        return make_atoms(self.atoms_prior, self.network.n_extents)

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        self.check(obs)
        forward = self._forward(obs)
        known = (self.atoms_prior, self.network, self.atoms)
        return atom_posterior(obs, *known, seed, self.support, forward)

    def _forward(self, obs: Observation) -> AtomForward:
        """That of the last lead field is kept: one alone, so that memory stays bounded."""
        kept: AtomForward | None = vars(self).get("_kept")
        if kept is None or kept.leadfield is not obs.leadfield:
            kept = AtomForward.of(obs, self.atoms)
            vars(self)["_kept"] = kept  # where a cached property of a frozen class keeps its value
        return kept
