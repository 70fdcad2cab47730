"""Every region with its probability and its moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    chance,
    figures,
    percent,
    plain,
    region_words,
)
from bayesesi.spec import section

#: Rows of the region table that are shown before the rest is folded away.
_ROWS = 10


#: Draws in which a region must be active before an interval of its moment is given.
_FEW_DRAWS = 10


@section()
def regions(reading: Reading) -> dict[str, Any] | None:
    """List every region of a ``reading`` with its probability, and its moment if active."""
    if not reading.has_regions:
        return None
    table = reading.regions
    possible = int((table.probability > 0).sum())
    shown = min(max(_ROWS, int(table.marked.sum())), 2 * _ROWS, possible)
    n_draws = int(reading.about["n_draws"])
    shown_moment = table.probability * n_draws > _FEW_DRAWS - 0.5
    reach = float(np.nanmax([*table.high_nAm[shown_moment], 1e-12]))
    rows = [
        _row(row, reach, bool(known))
        for row, known in zip(table.itertuples(), shown_moment, strict=True)
    ]
    first = [row for k, row in enumerate(rows) if k < shown or row["inside"]]
    rest = [row for k, row in enumerate(rows[:possible]) if k >= shown and not row["inside"]]
    return {
        "rows": first,
        "rest": rest,
        "never": len(rows) - len(first) - len(rest),
        "level": percent(reading.level),
        "scale_known": reading.scale_known,
        "few_draws": _FEW_DRAWS,
        "calibrated": bool(np.isfinite(table.calibrated).all()),
        "repaired": _repaired_moment(reading),
    }


def _repaired_moment(reading: Reading) -> dict[str, str] | None:
    """The repaired interval of the most probable region's moment, nAm."""
    found = reading.about["calibration"].get("moment")
    if not found:
        return None
    low, high = (figures(1e9 * float(found[end])) for end in ("low", "high"))
    return {"region": region_words(found["region"]), "interval": f"{low} to {high}"}


def _row(row: Any, reach: float, shown_moment: bool) -> dict[str, Any]:
    known = shown_moment and bool(np.isfinite(row.peak_nAm))
    low, mid, high = (float(x) if known else 0.0 for x in (row.low_nAm, row.peak_nAm, row.high_nAm))
    return {
        "name": region_words(row.region),
        "lobe": plain(row.lobe),
        "inside": bool(row.marked),
        "share": float(row.probability),
        "probability": chance(row.probability),
        "calibrated": chance(row.calibrated) if np.isfinite(row.calibrated) else None,
        "peak": figures(mid) if known else None,
        "interval": f"{figures(low)} to {figures(high)}",
        "bar": [round(100 * x / reach, 1) for x in (low, mid, high)],
    }
