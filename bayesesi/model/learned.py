"""What models that were trained have in common: weights, and the recipe that made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError
from torch import Tensor, nn

from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError, some
from bayesesi.features import CONTEXT, TrainingRange
from bayesesi.features.constants import changed_constant, feature_constants
from bayesesi.forward import ForwardOperator
from bayesesi.model.artifact import tensor_hash, write_weights
from bayesesi.model.base import Model
from bayesesi.model.patches import along_normals
from bayesesi.observation import Observation
from bayesesi.registry import implementation
from bayesesi.spec import Recipe, Spec, make_spec, read_spec, spec_hash

if TYPE_CHECKING:
    from bayesesi.training import Trained


@dataclass(frozen=True)
class LearnedModel(Model):
    """A network that learned from simulations.

    Attributes
    ----------
    recipe : how it was trained. spec : its prior of the sources. history : on how much, and how
        well. recipe_hash : of the recipe and all it named, as they were then. network : trained.
    path : of the file it was read from. digest : of its weights as that file names them.
    """

    recipe: Recipe
    spec: Spec
    history: Mapping[str, Any]
    recipe_hash: str
    network: nn.Module = field(compare=False, repr=False)
    path: Path | None = field(default=None, compare=False, repr=False)
    digest: str | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def read_prior(recipe: Recipe) -> Spec:
        """Read the prior of the sources that ``recipe`` names.

        Raises
        ------
        InputError : one of a family the network cannot learn.
        """
        spec = read_spec(recipe.prior, recipe.folder)
        if spec.kind != "sources":
            raise InputError(
                f"{recipe.name}: prior = {some([recipe.prior])} is not a source prior but a prior "
                f"of {spec.kind}; give one, such as 'focal-or-distributed'"
            )
        return spec

    @classmethod
    def of(cls, trained: Trained, spec: Spec) -> Self:
        """Make the model that ``trained`` leaves, its prior being ``spec``."""
        recipe = trained.recipe
        known = (recipe, spec, trained.history, spec_hash(recipe))
        return cls(spec.name, *known, trained.network)

    @classmethod
    def of_file(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any], name: str) -> Self:
        """Make the model of what a file of weights, ``name``, holds.

        ``tensors`` map the names of layers to values (...); ``about`` is the file's header.

        Raises
        ------
        InputError : weights that do not fit their recipe, or inputs that are computed otherwise
        now.
        """
        try:
            recipe = make_spec("recipes", about["recipe"])
            spec = make_spec("sources", about["prior"])
            assert isinstance(recipe, Recipe)
            assert recipe.family == cls.family
            network = implementation(recipe.estimator).of(recipe, spec)
            network.load_state_dict(tensors)
            history, recipe_hash = dict(about["history"]), str(about["recipe_hash"])
            digest = str(about["tensors"])
        except (
            *(KeyError, TypeError, AttributeError, AssertionError),
            *(ValidationError, RuntimeError, InputError),
        ) as error:
            raise InputError(
                f"the weights in {name} do not fit the recipe in its header "
                f"({type(error).__name__}); train again with this version"
            ) from error
        held = about.get("constants", {})  # of files before these were recorded: none
        changed = changed_constant(held, feature_constants(recipe.estimator.features))
        if changed is not None:
            raise InputError(
                f"{name} was trained on other inputs than this version computes ({changed}); train "
                "again with this version"
            )
        known = (recipe, spec, history, recipe_hash, network.eval())
        return cls(spec.name, *known, digest=digest)

    def write(self, path: str | Path) -> Path:
        """Write recipe, prior and weights to ``path``.

        Raises
        ------
        InputError : a place that cannot be written.
        """
        about = {
            "family": self.family,
            "recipe": self.recipe.resolved(),
            "recipe_hash": self.recipe_hash,
            "prior": self.spec.resolved(),
            "prior_hash": spec_hash(self.spec),
            "history": dict(self.history),
            "constants": feature_constants(self.recipe.estimator.features),
        }
        return write_weights(path, self.network.state_dict(), about)

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def card_path(self) -> Path | None:
        """Beside the weights."""
        return None if self.path is None else self.path.with_suffix(".card.json")

    @cached_property
    def fingerprint(self) -> str:
        """Of its weights: as the file says that they were read from, which may name layers by an
        earlier schema, so that cards go on to speak of it."""
        return self.digest or tensor_hash(self.network.state_dict())

    @property
    def prior_null(self) -> float:
        return float(self.history.get("null", 0.1))

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

    @property
    def support(self) -> TrainingRange | None:
        """Which contexts the network met."""
        seen = self.history.get("support")
        if seen is None:
            return None
        names = tuple(seen.get("names", CONTEXT))
        return TrainingRange(tuple(seen["low"]), tuple(seen["high"]), names)

    def details(self, obs: Observation) -> dict[str, Any]:
        return {
            **super().details(obs),
            "recipe_hash": self.recipe_hash,
            "prior_hash": spec_hash(self.spec),
            "n_heads": self.history.get("cases", 0),
            "trained_on_cases": self.history.get("cases"),
            "trained_on": self.history.get("device"),
        }


@dataclass(frozen=True)
class CorticalModel(LearnedModel):
    """A network that looks at every source of the template's cortex."""

    @property
    def ico(self) -> int:
        """Icosahedral level of the template's sources that the network looks at."""
        return self.recipe.ico

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        return along_normals(forward)

    def check(self, obs: Observation) -> None:
        """Check that the network knows the sources of ``obs``.

        Raises
        ------
        InputError : others.
        """
        if obs.source_space.ico != self.ico:
            raise InputError(
                f"{self.name} was trained on the template's {template_source_space(self.ico)!r} "
                f"and this forward has {obs.source_space!r}; use template_forward(info), or the "
                "model 'patches', which takes any cortex"
            )
