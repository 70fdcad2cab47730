"""The answer on the cortex."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.report import result_figure as draw
from bayesesi.report.reading import Reading
from bayesesi.report.sections.truth import true_spots
from bayesesi.report.words import (
    percent,
    square_cm,
)

#: An area of the peak above this share falls into so many islands that its outline hides the map.
_OUTLINED_SHARE = 0.1


def cortex(reading: Reading) -> dict[str, Any] | None:
    """Where the activity may lie, and how uncertain its size is there."""
    maps = reading.group("maps")
    if maps is None or not reading.localisable or reading.has_dipoles:
        return None
    probability = np.asarray(maps["probability"], float)
    limit = _round_up(float(probability.max()))
    values = {
        "limit": percent(limit),
        "level": percent(reading.level),
        "marked": bool(true_spots(reading)),
        "template": reading.template_vertices is not None,
        "peak_area": _peak_area(reading),
        "outlined": _outlined(reading),
    }
    if reading.template_vertices is None:
        dots = draw.plot_places(maps["position"].values, probability, limit)
        return {**values, "probability": draw.data_uri(dots), "spread": None}
    return {
        **values,
        "probability": _probability_map(reading, probability, limit),
        "spread": _spread_map(reading),
    }


def _outlined(reading: Reading) -> bool:
    found = reading.about.get("credible") or {}
    return float(found.get("peak_share", 1.0)) <= _OUTLINED_SHARE


def _probability_map(reading: Reading, probability: NDArray[np.float64], limit: float) -> str:
    from bayesesi.report.cortex_picture import edge_on_template, on_template

    maps, vertices = reading.group("maps"), reading.template_vertices
    assert maps is not None
    assert vertices is not None
    edge = edge_on_template(maps["peak_set"].values > 0, vertices) if _outlined(reading) else None
    values = on_template(probability, vertices)
    spots = true_spots(reading)
    return draw.data_uri(draw.plot_maps(values, limit, "probability", edge, spots, percent=True))


def _spread_map(reading: Reading) -> str:
    from bayesesi.report.cortex_picture import on_template

    maps, vertices = reading.group("maps"), reading.template_vertices
    assert maps is not None
    assert vertices is not None
    sd = np.asarray(maps["sd"], float)
    spread = np.sqrt((sd.reshape(len(sd), -1) ** 2).mean(axis=1))
    spread *= 1e9 if reading.scale_known else 1.0
    unit = "sd of the moment (nAm a source)" if reading.scale_known else "sd (unknown unit)"
    values = on_template(spread, vertices)
    return draw.data_uri(draw.plot_maps(values, float(spread.max()) or 1.0, unit))


def _peak_area(reading: Reading) -> dict[str, str] | None:
    found = reading.about.get("credible") or {}
    if found.get("peak_area_m2") is None:
        return None
    return {
        "area": square_cm(found["peak_area_m2"] * 1e4),
        "share": percent(found["peak_share"]),
    }


def _round_up(share: float) -> float:
    """The end of the scale, never below a fifth: a belief that is spread thin looks pale."""
    return next((step for step in (0.2, 0.5) if share <= step), 1.0)
