"""Strategies: what a recipe says in its table ``[strategy]``, how cases become a training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bayesesi.spec.family import FamilySpec


class StrategySpec(FamilySpec):
    """How cases are met in training."""

    kind: ClassVar[str] = "strategy"


class SupervisedSpec(StrategySpec):
    """Simulated cases, each with its truth."""

    family: Literal["supervised"] = "supervised"
    replay: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="times that a case is met on average, for cases that are slow to simulate"
    )
