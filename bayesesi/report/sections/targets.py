"""Distances to targets that a reader named."""

from __future__ import annotations

from typing import Any

from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    chance,
    percent,
    plain,
)
from bayesesi.spec import section


@section()
def targets(reading: Reading) -> dict[str, Any] | None:
    """List the distance of the peak of a ``reading`` from each target of the user."""
    found = reading.about.get("targets")
    if not found or not reading.localisable:
        return None
    rows = [
        {
            "name": plain(each["name"]),
            "description": plain(each["said"], 120),
            "median": f"{float(each['median_mm']):.0f}",
            "interval": f"{float(each['low_mm']):.0f} to {float(each['high_mm']):.0f}",
            "inside": chance(float(each["inside"])),
            "share": float(each["inside"]),
        }
        for each in found
    ]
    return {"rows": rows, "level": percent(reading.level)}
