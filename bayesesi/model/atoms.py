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
        return atom_posterior(obs, self.atoms_prior, self.network, self.atoms, seed, self.support)
