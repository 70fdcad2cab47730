"""Models that were trained: weights, and the recipe that made them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError
from torch import Tensor, nn

from bayesesi.anatomy import template_parcellation, template_parcels, template_source_space
from bayesesi.errors import InputError, some
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.estimator.dipole import DipoleEstimator
from bayesesi.estimator.field import FieldDenoiser
from bayesesi.estimator.parcels import ParcelEstimator
from bayesesi.features import CONTEXT, TrainingRange
from bayesesi.features.dipole import SKULL_NODES
from bayesesi.forward import ForwardOperator
from bayesesi.model.artifact import read_weights, tensor_hash, write_weights
from bayesesi.model.base import Model
from bayesesi.model.exact import PatchModel
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.posterior.atoms import atom_posterior
from bayesesi.posterior.diffusion import field_posterior
from bayesesi.posterior.dipole import DipoleBelief, DipolePosterior, dipole_posterior
from bayesesi.posterior.flow import ParcelPosterior, parcel_posterior
from bayesesi.posterior.patches import Atoms, make_atoms
from bayesesi.prior import PatchPrior
from bayesesi.spec import (
    AtomRecipe,
    CorticalRecipe,
    DiffusionRecipe,
    DipoleRecipe,
    FlowRecipe,
    PatchSpec,
    Recipe,
    Spec,
    VolumeDipoleSpec,
    make_spec,
    read_spec,
    spec_hash,
)
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

    family: ClassVar[str]
    #: Of its recipe.
    table: ClassVar[type[Recipe]]

    recipe: Recipe
    spec: Spec
    history: Mapping[str, Any]
    recipe_hash: str
    network: nn.Module = field(compare=False, repr=False)
    path: Path | None = field(default=None, compare=False, repr=False)
    digest: str | None = field(default=None, compare=False, repr=False)

    @staticmethod
    @abstractmethod
    def _network(recipe: Any, spec: Any) -> nn.Module:
        """As it is before training."""

    @staticmethod
    def read_prior(recipe: Any) -> Spec:
        """Read the prior of the sources that ``recipe`` names.

        Raises
        ------
        InputError : one of a family the network cannot learn.
        """
        spec = read_spec(recipe.prior, recipe.folder)
        if spec.kind != "sources":
            raise InputError(
                f"{recipe.name}: prior = {some([recipe.prior])} is no prior of sources but one of "
                f"{spec.kind}; give one, such as 'focal-or-distributed'"
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
        InputError : weights that do not fit their recipe.
        """
        try:
            recipe = cls.table.model_validate(about["recipe"])
            spec = make_spec("sources", about["prior"])
            network = cls._network(recipe, spec)
            network.load_state_dict(tensors)
            history, recipe_hash = dict(about["history"]), str(about["recipe_hash"])
            digest = str(about["tensors"])
        except (KeyError, TypeError, AttributeError, ValidationError, RuntimeError) as error:
            raise InputError(
                f"the weights in {name} do not fit the recipe in its header "
                f"({type(error).__name__}); train again with this version"
            ) from error
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

    recipe: CorticalRecipe

    @property
    def level(self) -> int:
        """Of the template's sources."""
        return self.recipe.backbone.level

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        return PatchModel().oriented(forward)

    def check(self, obs: Observation) -> None:
        """Check that the network knows the sources of ``obs``.

        Raises
        ------
        InputError : others.
        """
        if obs.source_space.level != self.level:
            raise InputError(
                f"{self.name} was trained on the template's {template_source_space(self.level)!r} "
                f"and this forward has {obs.source_space!r}; use template_forward(info), or the "
                "model 'patches', which takes any cortex"
            )


@dataclass(frozen=True)
class AtomModel(CorticalModel):
    """Few patches of cortex, by a network: the answer of simulations, in a fraction of a second."""

    family = "atoms"
    table = AtomRecipe

    recipe: AtomRecipe
    spec: PatchSpec
    network: AtomEstimator = field(compare=False, repr=False)

    @staticmethod
    def _network(recipe: AtomRecipe, spec: PatchSpec) -> AtomEstimator:
        return AtomEstimator(recipe.backbone, recipe.extents, spec.count)

    @staticmethod
    def read_prior(recipe: AtomRecipe) -> PatchSpec:
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
        return PatchPrior(self.spec, template_parcellation(self.level))

    @cached_property
    def atoms(self) -> Atoms:
        """What the network tells apart."""
        return make_atoms(self.atoms_prior, self.recipe.extents)

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        self.check(obs)
        return atom_posterior(obs, self.atoms_prior, self.network, self.atoms, seed, self.support)


@dataclass(frozen=True)
class FieldModel(CorticalModel):
    """Patches or a smooth field of cortex, by a network: moments everywhere, drawn from noise."""

    family = "diffusion"
    table = DiffusionRecipe

    recipe: DiffusionRecipe
    network: FieldDenoiser = field(compare=False, repr=False)

    @staticmethod
    def _network(recipe: DiffusionRecipe, spec: Spec) -> FieldDenoiser:
        return FieldDenoiser(recipe.backbone)

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        self.check(obs)
        return field_posterior(obs, self.network, self.level, seed, self.support)


@dataclass(frozen=True)
class FlowModel(CorticalModel):
    """Activity of pieces of regions, with a density: evoked responses and rhythms, by a flow."""

    family = "flow"
    table = FlowRecipe

    recipe: FlowRecipe
    network: ParcelEstimator = field(compare=False, repr=False)

    @staticmethod
    def _network(recipe: FlowRecipe, spec: Spec) -> ParcelEstimator:
        return ParcelEstimator(recipe, template_parcels(recipe.parcels, recipe.backbone.level))

    def posterior(self, obs: Observation, seed: int = 0) -> ParcelPosterior:
        self.check(obs)
        return parcel_posterior(obs, self.network, self.level, seed, self.support)


@dataclass(frozen=True)
class DipoleModel(LearnedModel):
    """One or two equivalent current dipoles in the volume, with confidence volumes, by a flow."""

    family = "dipole"
    table = DipoleRecipe

    recipe: DipoleRecipe
    spec: VolumeDipoleSpec
    network: DipoleEstimator = field(compare=False, repr=False)

    @staticmethod
    def _network(recipe: DipoleRecipe, spec: VolumeDipoleSpec) -> DipoleEstimator:
        return DipoleEstimator(recipe)

    @staticmethod
    def read_prior(recipe: DipoleRecipe) -> VolumeDipoleSpec:
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


_OF_FAMILY: dict[str, type[LearnedModel]] = {
    each.family: each for each in (AtomModel, FieldModel, FlowModel, DipoleModel)
}


def read_model(path: str | Path) -> LearnedModel:
    """Read a model from the file of weights at ``path``.

    Raises
    ------
    InputError : a file that is none of ours, of another family, or whose weights do not fit its
        recipe.
    """
    tensors, about = read_weights(path)
    family, name = str(about.get("family"))[:40], Path(path).name
    if family not in _OF_FAMILY:
        raise InputError(
            f"{name} holds a network of the family {family!r}, this version knows "
            f"{', '.join(_OF_FAMILY)}; train again with this version"
        )
    return replace(_OF_FAMILY[family].of_file(tensors, about, name), path=Path(path))


def family_of(recipe: Recipe) -> type[LearnedModel]:
    """Find the class of the models that ``recipe`` makes."""
    return next(each for each in _OF_FAMILY.values() if isinstance(recipe, each.table))
