"""Backbones: what a recipe says in its table ``[network]``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bayesesi.spec.family import FamilySpec


class NetworkSpec(FamilySpec):
    """Sizes of a backbone."""

    kind: ClassVar[str] = "network"


class TransformerSpec(NetworkSpec):
    """Sizes of the transformer over patches of the cortex."""

    family: Literal["transformer"] = "transformer"
    ico: Literal[2, 3, 4] = Field(4, description="icosahedral level of the template's sources")
    width: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="numbers a token")
    source_width: Annotated[int, Field(ge=4, le=256)] = Field(32, description="numbers a source")
    place_width: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="numbers that are learned for each source"
    )
    n_blocks: Annotated[int, Field(ge=1, le=24)] = Field(4, description="blocks of attention")
    n_attention_heads: Annotated[int, Field(ge=1, le=16)] = Field(
        4, description="heads of attention; their number divides the width"
    )

    @field_validator("n_attention_heads")
    @classmethod
    def _divides(cls, n: int, info: object) -> int:
        width = getattr(info, "data", {}).get("width", n)
        if width % n:
            raise ValueError(f"must divide the width, {width}")
        return n
