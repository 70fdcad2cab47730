"""What a row of the benchmark hands back: findings against bars, tables and curves behind them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


class Skipped(Exception):  # noqa: N818  (an outcome, no fault)
    """A row that cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    what : the quantity, in words.
    n : what it was measured over, in words with the number.
    value : the measurement; ``unit`` of it, if it has one.
    interval : (low, high) and ``interval_kind``: what they are; None where there is none.
    bar : (low, high) the value must lie in, infinite where it may; None for information.
    """

    what: str
    n: str
    value: float
    unit: str = ""
    interval: tuple[float, float] | None = None
    interval_kind: str = ""
    bar: tuple[float, float] | None = None

    @property
    def met(self) -> bool | None:
        return None if self.bar is None else self.bar[0] <= self.value <= self.bar[1]


@dataclass(frozen=True)
class Table:
    """Detail behind the findings."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[float | str]]


@dataclass(frozen=True)
class Outcome:
    """``curves`` are what the figure draws: name -> column -> numbers."""

    findings: list[Finding]
    tables: list[Table] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        for line, finding in zip(plain["findings"], self.findings, strict=True):
            line["bar"] = None if finding.bar is None else [_finite(x) for x in finding.bar]
            line["met"] = finding.met
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Outcome:
        findings = []
        for line in plain["findings"]:
            line = {k: v for k, v in line.items() if k != "met"}
            if line["interval"] is not None:
                line["interval"] = tuple(line["interval"])
            if line["bar"] is not None:
                low, high = line["bar"]
                line["bar"] = (
                    -math.inf if low is None else low,
                    math.inf if high is None else high,
                )
            findings.append(Finding(**line))
        tables = [Table(t["title"], tuple(t["columns"]), t["rows"]) for t in plain["tables"]]
        return cls(findings, tables, plain["curves"], plain["notes"])


def at_most(bar: float) -> tuple[float, float]:
    return (-math.inf, bar)


def at_least(bar: float) -> tuple[float, float]:
    return (bar, math.inf)


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
