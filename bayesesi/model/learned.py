"""Models that were trained: weights, and the recipe that made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bayesesi.anatomy import template_parcellation
from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator
from bayesesi.model.base import Model
from bayesesi.model.exact import PatchModel
from bayesesi.model.weights import read_weights, write_weights
from bayesesi.network import Support
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.posterior.atoms import AtomEstimator, atom_posterior
from bayesesi.posterior.patches import Atoms, make_atoms
from bayesesi.prior import PatchPrior
from bayesesi.spec import AtomRecipe, PatchSpec, spec_hash
from bayesesi.training import Trained


@dataclass(frozen=True)
class AtomModel(Model):
    """Few patches of cortex, by a network: the answer of simulations, in a fraction of a second.

    Attributes
    ----------
    recipe : how it was trained. spec : its prior of the sources. history : on how much, and how
        well. recipe_hash : of the recipe and all it named, as they were then. estimator : the
        network.
    """

    recipe: AtomRecipe
    spec: PatchSpec
    history: Mapping[str, Any]
    recipe_hash: str
    estimator: AtomEstimator = field(compare=False, repr=False)

    @classmethod
    def of(cls, trained: Trained, spec: PatchSpec) -> AtomModel:
        recipe = trained.recipe
        known = (recipe, spec, trained.history, spec_hash(recipe))
        return cls(spec.name, *known, trained.estimator)

    @classmethod
    def read(cls, path: str | Path) -> AtomModel:
        """From a file of weights.

        Raises
        ------
        InputError : a file that is none of ours, or whose weights do not fit its recipe.
        """
        tensors, about = read_weights(path)
        name = Path(path).name
        try:
            recipe = AtomRecipe.model_validate(about["recipe"])
            spec = PatchSpec.model_validate(about["prior"])
            estimator = AtomEstimator(recipe.backbone, recipe.extents, spec.count)
            estimator.load_state_dict(tensors)
            history, recipe_hash = dict(about["history"]), str(about["recipe_hash"])
        except (KeyError, TypeError, ValidationError, RuntimeError) as error:
            raise InputError(
                f"the weights in {name} do not fit the recipe in its header "
                f"({type(error).__name__}); train again with this version"
            ) from error
        return cls(spec.name, recipe, spec, history, recipe_hash, estimator.eval())

    def write(self, path: str | Path) -> Path:
        """To a file of weights."""
        about = {
            "family": self.recipe.family,
            "recipe": self.recipe.resolved(),
            "recipe_hash": self.recipe_hash,
            "prior": self.spec.resolved(),
            "prior_hash": spec_hash(self.spec),
            "history": dict(self.history),
        }
        return write_weights(path, self.estimator.state_dict(), about)

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def prior_null(self) -> float:
        return self.spec.count.null

    @cached_property
    def atoms_prior(self) -> PatchPrior:
        """Of the sources, on the network's own."""
        return PatchPrior(self.spec, template_parcellation(self.recipe.backbone.level))

    @property
    def _support(self) -> Support | None:
        seen = self.history.get("support")
        return None if seen is None else Support(tuple(seen["low"]), tuple(seen["high"]))

    @cached_property
    def atoms(self) -> Atoms:
        """What the network tells apart."""
        return make_atoms(self.atoms_prior, self.recipe.extents)

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        level, space = self.recipe.backbone.level, obs.source_space
        if space.level != level:
            raise InputError(
                f"{self.name} was trained on the template's {self.atoms_prior.source_space!r} "
                f"and this forward has {space!r}; use template_forward(info), or the model "
                "'patches', which takes any cortex"
            )
        return atom_posterior(
            obs, self.atoms_prior, self.estimator, self.atoms, seed, self._support
        )

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        return PatchModel().oriented(forward)

    def details(self, obs: Observation) -> dict[str, Any]:
        return {
            **super().details(obs),
            "recipe_hash": self.recipe_hash,
            "prior_hash": spec_hash(self.spec),
            "n_heads": self.history.get("cases", 0),
            "trained_on_cases": self.history.get("cases"),
            "trained_on": self.history.get("device"),
        }
