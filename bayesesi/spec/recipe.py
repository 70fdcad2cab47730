"""How a network is trained: four tables that are chosen apart, from which simulators, how long.

``[network]`` turns inputs into tokens, ``[estimator]`` tokens into a distribution, ``[[losses]]``
say what is made small, ``[strategy]`` how cases are met. Each names its family, see ``registry``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, SerializeAsAny, create_model, field_validator, model_validator

from bayesesi.errors import InputError, some
from bayesesi.registry import families, spec_of
from bayesesi.spec.base import Spec, Table
from bayesesi.spec.estimator import EstimatorSpec
from bayesesi.spec.loss import LossSpec
from bayesesi.spec.network import NetworkSpec
from bayesesi.spec.strategy import StrategySpec, SupervisedSpec

#: Version of the format of recipes.
SCHEMA = 2


class MixtureShare(Table):
    """A simulator that cases come from."""

    simulator: str = Field(description="a spec under simulators")
    share: Annotated[float, Field(ge=1e-6, le=1e6)] = Field(
        1.0, description="relative number of cases"
    )
    start: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the training before its first case: easy simulators go first"
    )


class Optimiser(Table):
    """AdamW with a warm-up and a cosine, and an average of the weights along the way."""

    steps: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        description="steps of 64 cases each, on one device"
    )
    rate: Annotated[float, Field(gt=0, le=1)] = Field(1e-3, description="largest learning rate")
    warm_up: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        300, description="steps in which the rate grows"
    )
    decay: Annotated[float, Field(ge=0, le=1)] = Field(1e-4, description="decay of weights")
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="largest norm of a gradient")
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="what is kept of the average of weights in a step"
    )


class Recipe(Spec):
    """How a network is trained.

    Attributes
    ----------
    mixture : simulators that cases come from. seed : of weights and cases, a whole number from 0.
    losses : terms that are summed, at least one. strategy : how cases are met.
    optimiser : how weights are fitted.
    """

    kind: ClassVar[str] = "recipes"

    schema_: Literal[2] = Field(  # type: ignore[assignment]
        alias="schema", description="version of the format"
    )
    prior: str = Field(description="a spec under priors/sources")
    mixture: tuple[MixtureShare, ...] = Field(min_length=1)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    network: SerializeAsAny[NetworkSpec] | None = Field(None, description="the backbone")
    estimator: SerializeAsAny[EstimatorSpec] = Field(description="from tokens to a distribution")
    losses: tuple[SerializeAsAny[LossSpec], ...] = Field(min_length=1)
    strategy: SerializeAsAny[StrategySpec] = SupervisedSpec()
    optimiser: Optimiser

    @field_validator("mixture")
    @classmethod
    def _starts(cls, mixture: tuple[MixtureShare, ...]) -> tuple[MixtureShare, ...]:
        if all(each.start > 0 for each in mixture):
            raise ValueError("no simulator starts at 0; training must start with one")
        return mixture

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        estimator, name = self.estimator, f"estimator {self.family!r}"
        if estimator.on_cortex and self.network is None:
            raise ValueError(f'{name} needs a [network], such as family = "transformer"')
        if not estimator.on_cortex and self.network is not None:
            raise ValueError(f"{name} reads no tokens; leave [network] out")
        for loss in self.losses:
            if self.family not in loss.fits:
                raise ValueError(
                    f"loss {loss.name!r} does not train {name}; it trains {', '.join(loss.fits)}"
                )
        names = [loss.name for loss in self.losses]
        if estimator.loss not in names:
            raise ValueError(f"{name} needs the loss {estimator.loss!r}; add it to [[losses]]")
        if len(set(names)) < len(names):
            raise ValueError("a loss is named twice in [[losses]]; name it once, with one weight")
        return self

    @property
    def family(self) -> str:
        """The family of the estimator, which is that of the model."""
        return self.estimator.name

    @property
    def ico(self) -> int:
        """Icosahedral level of the template's sources that the network looks at; 5 without one."""
        return int(getattr(self.network, "ico", 5))

    def loss_weight(self, family: str) -> float:
        """Return the weight of the loss of ``family``; 0 for one that the recipe has not."""
        return {loss.name: loss.weight for loss in self.losses}.get(family, 0.0)

    def beside(self, name: str) -> str | Path:
        """Find the file beside the recipe that ``name`` stands for, else return the name."""
        file = name if self.folder is None else self.folder / name
        return file if name.endswith(".toml") and Path(file).is_file() else name

    def mixture_at(self, along: float) -> tuple[MixtureShare, ...]:
        """List what cases come from when a share ``along`` (0 to 1) of the training is over."""
        return tuple(each for each in self.mixture if each.start <= along)

    @classmethod
    def of_tables(cls, raw: Mapping[str, Any]) -> type[Recipe]:
        """Make the recipe class whose tables are those of the families that ``raw``, a file, names.

        Raises
        ------
        InputError : a family that is not known.
        """
        losses = raw.get("losses")
        named = losses if isinstance(losses, list | tuple) else ()
        return _recipe_class(
            _named("network", raw.get("network")),
            _named("estimator", raw.get("estimator")),
            tuple(dict.fromkeys(f for each in named for f in _named("loss", each))),
            _named("strategy", raw.get("strategy", {"family": "supervised"})),
        )

    @classmethod
    def of_every_family(cls) -> type[Recipe]:
        """Make the recipe class that takes tables of any family, for a schema."""
        return _recipe_class(*map(families, ("network", "estimator", "loss", "strategy")))


def _named(kind: str, table: Any) -> tuple[str, ...]:
    """The family that a table names, if it is one."""
    if not isinstance(table, Mapping):
        return ()
    if "family" not in table:
        raise InputError(f"{kind}.family is missing; allowed are {some(families(kind), 20)}")
    return (spec_of(kind, table["family"]).model_fields["family"].default,)


@cache
def _recipe_class(
    network: tuple[str, ...],
    estimator: tuple[str, ...],
    losses: tuple[str, ...],
    strategy: tuple[str, ...],
) -> type[Recipe]:
    fields: dict[str, Any] = {}
    for kind, names in (("network", network), ("estimator", estimator), ("strategy", strategy)):
        if names:
            fields[kind] = (_union(kind, names), Recipe.model_fields[kind])
    if losses:
        every: Any = tuple[_union("loss", losses), ...]  # type: ignore[misc]
        fields["losses"] = (every, Recipe.model_fields["losses"])
    made: type[Recipe] = create_model("Recipe", __base__=Recipe, __module__=__name__, **fields)
    return made


def _union(kind: str, names: tuple[str, ...]) -> Any:
    specs = tuple(spec_of(kind, name) for name in names)
    every: Any = Union[specs]  # noqa: UP007
    return Annotated[every, Field(discriminator="family")] if len(specs) > 1 else every
