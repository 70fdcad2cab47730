"""An uncertain number as a user writes it in TOML."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

#: Family -> what its two numbers mean.
FAMILIES = {
    "uniform": "[low, high]",
    "loguniform": "[low, high], both positive",
    "normal": "[mean, sd]",
    "lognormal": "[median, factor]: two thirds lie within median / factor and median * factor",
}


class Quantity(BaseModel):
    """A constant, or one of ``FAMILIES`` with two numbers, optionally ``within`` a range.

    Written ``3.0``, ``{ uniform = [1, 2] }``, or ``{ normal = [0, 4], within = [-8, 8] }``. The
    unit stands at the end of the key that holds it.

    Attributes
    ----------
    family : ``"constant"`` or one of ``FAMILIES``.
    numbers : one number of a constant, else two as ``FAMILIES`` has them, in the key's unit.
    within : (low, high) in the key's unit, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    numbers: tuple[float, ...]
    within: tuple[float, float] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any) -> Any:
        if isinstance(raw, Quantity):
            return {"family": raw.family, "numbers": raw.numbers, "within": raw.within}
        if isinstance(raw, bool) or not isinstance(raw, int | float | dict):
            raise ValueError("must be a number or a table such as { uniform = [1, 2] }")
        if isinstance(raw, int | float):
            return {"family": "constant", "numbers": (_finite(raw),)}
        if {"family", "numbers"} <= set(raw):
            if raw["family"] in FAMILIES:
                _check(raw["family"], raw["numbers"], raw.get("within"))
            elif raw["family"] != "constant":
                raise ValueError(f"family {raw['family']!r} is none of {', '.join(FAMILIES)}")
            return raw
        named = [key for key in raw if key != "within"]
        if len(named) != 1 or named[0] not in FAMILIES:
            raise ValueError(
                f"must name one of {', '.join(FAMILIES)} (and perhaps within), not "
                f"{', '.join(map(repr, raw)) or 'nothing'}"
            )
        family = named[0]
        numbers = _pair(raw[family], f"{family} = {FAMILIES[family]}")
        within = _pair(raw["within"], "within = [low, high]") if "within" in raw else None
        _check(family, numbers, within)
        return {"family": family, "numbers": numbers, "within": within}

    @model_serializer
    def _write(self) -> Any:
        if self.family == "constant":
            return self.numbers[0]
        written: dict[str, Any] = {self.family: list(self.numbers)}
        if self.within is not None:
            written["within"] = list(self.within)
        return written

    @property
    def bounds(self) -> tuple[float, float]:
        """The range its values can take."""
        if self.family == "constant":
            low, high = self.numbers[0], self.numbers[0]
        elif self.family in ("uniform", "loguniform"):
            low, high = self.numbers
        elif self.family == "lognormal":
            low, high = 0.0, math.inf
        else:
            low, high = -math.inf, math.inf
        if self.within is not None:
            low, high = max(low, self.within[0]), min(high, self.within[1])
        return low, high


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must be a finite number, not {value!r}")
    return float(value)


def _pair(raw: Any, form: str) -> tuple[float, float]:
    if not isinstance(raw, list | tuple) or len(raw) != 2:
        raise ValueError(f"must be written {form}, not {raw!r}")
    return _finite(raw[0]), _finite(raw[1])


def _check(family: str, numbers: tuple[float, float], within: tuple[float, float] | None) -> None:
    first, second = numbers
    if family in ("uniform", "loguniform") and not first < second:
        raise ValueError(f"{family} goes from low to high, not from {first:g} to {second:g}")
    if family in ("uniform", "loguniform") and second - first <= 1e-6 * abs(second):
        raise ValueError(
            f"{family} from {first!r} to {second!r} is next to a point; write {first:g} alone"
        )
    if family == "loguniform" and first <= 0:
        raise ValueError(f"loguniform needs positive ends, not {first:g}")
    if family == "normal" and second <= 0:
        raise ValueError(f"normal needs a positive sd, not {second:g}")
    if family == "lognormal" and (first <= 0 or second <= 1):
        raise ValueError(
            f"lognormal needs a positive median and a factor above 1, not {first:g} and {second:g}"
        )
    if within is None:
        return
    if not within[0] < within[1]:
        raise ValueError(f"within goes from low to high, not from {within[0]:g} to {within[1]:g}")
    apart = family in ("uniform", "loguniform") and (within[0] >= second or within[1] <= first)
    if apart or (family == "lognormal" and within[1] <= 0):
        raise ValueError(f"{family} has no value within {within[0]:g} to {within[1]:g}")
