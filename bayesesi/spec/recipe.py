"""How a network is trained: from which simulators, how large, for how long."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bayesesi.spec.base import Spec, Table


class Ingredient(Table):
    """A simulator that cases come from."""

    simulator: str = Field(description="a spec under simulators")
    share: Annotated[float, Field(ge=1e-6, le=1e6)] = Field(
        1.0, description="relative number of cases"
    )


class Backbone(Table):
    """Sizes of the transformer over patches of the cortex."""

    level: Literal[2, 3, 4] = Field(4, description="of the template's sources")
    width: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="numbers a token")
    source_width: Annotated[int, Field(ge=4, le=256)] = Field(32, description="numbers a source")
    place_width: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="numbers that are learned for each source"
    )
    n_blocks: Annotated[int, Field(ge=1, le=24)] = Field(4, description="of attention")
    n_heads: Annotated[int, Field(ge=1, le=16)] = Field(4, description="of attention")

    @field_validator("n_heads")
    @classmethod
    def _divides(cls, n_heads: int, info: object) -> int:
        width = getattr(info, "data", {}).get("width", n_heads)
        if width % n_heads:
            raise ValueError(f"must divide the width, {width}")
        return n_heads


class Optimiser(Table):
    """AdamW with a warm-up and a cosine, and an average of the weights along the way."""

    steps: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        description="of 64 cases each, on one device"
    )
    rate: Annotated[float, Field(gt=0, le=1)] = Field(1e-3, description="largest learning rate")
    warm_up: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        300, description="steps in which the rate grows"
    )
    decay: Annotated[float, Field(ge=0, le=1)] = Field(1e-4, description="of weights")
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="largest norm of a gradient")
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="what is kept of the average of weights in a step"
    )


class AtomRecipe(Spec):
    """Of ``atoms``: which few patches of cortex there are."""

    kind: ClassVar[str] = "recipes"

    family: Literal["atoms"]
    prior: str = Field(description="a spec of the family patch under priors/sources")
    mixture: tuple[Ingredient, ...] = Field(min_length=1)
    extents: Annotated[int, Field(ge=1, le=12)] = Field(
        3, description="extents that are told apart"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    backbone: Backbone = Backbone()
    optimiser: Optimiser
