"""The true source of a simulated patient, compared with the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    chance,
    percent,
    region_words,
)
from bayesesi.spec import section


@section()
def truth(reading: Reading) -> dict[str, Any] | None:
    """List the true regions of a simulated patient's ``reading`` with probabilities and ranks."""
    known = reading.truth
    if known is None or not reading.has_regions:
        return None
    table = reading.regions.set_index("region")
    rows = [
        {
            "name": region_words(name),
            "probability": chance(table.probability.get(name, np.nan)),
            "rank": int(table.index.get_loc(name)) + 1 if name in table.index else None,
            "inside": bool(table.marked.get(name, False)),
        }
        for name in known["regions"]
    ]
    return {
        "rows": rows,
        "answer": region_words(table.index[0]),
        "level": percent(reading.level),
        "distance": _distance(reading),
        "marked": bool(true_spots(reading)),
        "kind": reading.kind_of_set,
        "missed": not all(row["inside"] for row in rows),
    }


def _distance(reading: Reading) -> str | None:
    """From the most probable peak to the nearest true centre, mm along a straight line."""
    maps, true = reading.group("maps"), reading.true_positions
    if maps is None or not len(true):
        return None
    peak = maps["position"].values[int(maps["peak_probability"].values.argmax())]
    return f"{np.linalg.norm(true - peak, axis=1).min() * 1e3:.0f}"


def true_spots(reading: Reading) -> list[int]:
    """Find the vertices of the template nearest to the true centres of a ``reading``."""
    from bayesesi.anatomy import template_mesh

    if reading.template_vertices is None:
        return []
    mesh = template_mesh().positions
    return [
        int(np.linalg.norm(mesh - centre, axis=1).argmin()) for centre in reading.true_positions
    ]
