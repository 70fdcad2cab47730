"""Sensitivity analysis."""

from __future__ import annotations

from typing import Any

from bayesesi.explain.perturbation import MOVED
from bayesesi.posterior.draws import SCORE_DRAWS
from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    chance,
    percent,
    plain,
    region_words,
)
from bayesesi.spec import section


@section()
def sensitivity(reading: Reading) -> dict[str, Any] | None:
    """Compare re-runs with other assumptions or less data with the result of a ``reading``."""
    found = reading.about.get("sensitivity")
    if not found or not reading.has_regions:
        return None
    rows = [
        {
            "words": plain(each["words"]),
            "top": region_words(each["top"]),
            "probability": chance(float(each["probability"])),
            "of_first": chance(float(each["of_first"])),
            "share": float(each["of_first"]),
            "region": region_words(each["region"]) if each.get("region") else "–",
            "from_to": f"{chance(float(each['before']))} → {chance(float(each['after']))}"
            if each.get("region")
            else percent(float(each["largest"])),
            "moved": "–" if each["moved_mm"] is None else f"{float(each['moved_mm']):.0f}",
            "changes": float(each["largest"]) >= MOVED,
        }
        for each in found
    ]
    return {
        "rows": rows,
        "first": region_words(reading.regions.iloc[0].region),
        "n_changed": sum(bool(row["changes"]) for row in rows),
        "moved": f"{100 * MOVED:.0f}",
        "new_first": sum(each["top"] != reading.regions.iloc[0].region for each in found),
        "draws": SCORE_DRAWS,
    }
