"""What every spec has: a schema number, a name, a sentence about it, its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from bayesesi.spec.quantity import Quantity

SCHEMA = 1


class Table(BaseModel):
    """A table of a spec: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spec(Table):
    """The head of every file under ``priors/`` and ``simulators/``."""

    kind: ClassVar[str]

    schema_: Literal[1] = Field(alias="schema", description="version of the format")
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60, description="unique among all specs"
    )
    description: str = Field(min_length=1, max_length=500, description="one sentence for a reader")
    references: tuple[str, ...] = Field((), description="papers the numbers come from")

    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Where the file is that it was read from: files and specs it names may lie beside it."""
        return self._folder

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, defaults included, as plain data."""
        return self.model_dump(mode="json", by_alias=True)


def between(low: float, high: float, what: str) -> AfterValidator:
    """Make a check for ``Annotated[Quantity, between(...)]``: values lie in [``low``, ``high``].

    ``low`` and ``high`` have the unit of the key, without unit where it has none; ``what`` names
    the value in the error.
    """

    def check(quantity: Quantity) -> Quantity:
        reach = quantity.bounds
        if reach[0] < low or reach[1] > high:
            raise ValueError(
                f"can reach {_range(reach)}, {what} lies in {_range((low, high))}; narrow it, "
                "with within = [low, high] if it has tails"
            )
        return quantity

    return AfterValidator(check)


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"
