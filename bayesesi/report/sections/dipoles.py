"""One or two dipoles: place, volume and number."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import is_wide
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    chance,
    figures,
    listed,
    percent,
    region_words,
)
from bayesesi.spec import section

#: mm from a labelled vertex within which a dipole counts as inside the region.
_IN_REGION = 5.0


_COUNTS = {1: "one dipole", 2: "two dipoles"}


@section("ellipsoids")
def dipoles(reading: Reading) -> dict[str, Any] | None:
    """Describe place, volume, moment and number of the dipoles of a ``reading``."""
    if not reading.has_dipoles:
        return None
    found = reading.about["dipoles"]
    true = reading.true_positions
    cross = " The cross marks the true place." if len(true) else ""
    picture = Picture(
        "ellipsoids",
        "The brain's outline from above, from behind and from the right, with the ellipsoid of "
        "each dipole.",
        f"Each ellipsoid contains its dipole with probability {percent(reading.level)} if the "
        f"place is Gaussian; the volume does not assume this.{cross}",
        lambda: draw.plot_dipoles(found["each"], true),
        "Location.",
    )
    return {
        "rows": dipole_rows(reading),
        "level": percent(reading.level),
        "counts": [chance(float(p)) for p in found["count_probability"]],
        "scale_known": reading.scale_known,
        "pictures": [picture],
    }


def dipole_sentence(reading: Reading) -> str:
    """Describe where the dipoles of a ``reading`` are, in a sentence."""
    rows = dipole_rows(reading)
    count = reading.about["dipoles"]["count_probability"][len(rows)]
    near = listed([f"{row['volume']} cm³ around a point {row['near']}" for row in rows])
    largest = max(float(row["share_of_brain"]) for row in reading.about["dipoles"]["each"])
    if is_wide(largest):
        return (
            f"This recording does not localise well: {_COUNTS[len(rows)]} ({chance(count)}) may "
            f"lie anywhere in {percent(largest)} of the brain, with probability "
            f"{percent(reading.level)}."
        )
    return (
        f"Most probably {_COUNTS[len(rows)]} ({chance(count)}); with probability "
        f"{percent(reading.level)} within {near}."
    )


def dipole_rows(reading: Reading) -> list[dict[str, Any]]:
    """Describe each dipole of a ``reading`` in words."""
    rows = []
    for found in reading.about["dipoles"]["each"]:
        region, distance = region_words(found["nearest_region"]), float(found["distance_mm"])
        within = distance <= _IN_REGION
        low, middle, high = found["moment_nAm"] or (np.nan,) * 3
        rows.append(
            {
                "near": f"in the {region}" if within else f"{distance:.0f} mm from the {region}",
                "place": [f"{x:.0f}" for x in found["place_mm"]],
                "volume": figures(float(found["volume_cm3"])),
                "axes": " × ".join(f"{a:.0f}" for a in found["axes_mm"]),
                "moment": figures(middle),
                "interval": f"{figures(low)} to {figures(high)}",
            }
        )
    return rows
