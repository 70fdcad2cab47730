"""Maps on the cortex: probability and uncertainty, from all sides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.report import result_figure as draw
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading
from bayesesi.report.rotating_view import turning
from bayesesi.report.sections.truth import true_spots
from bayesesi.report.words import percent, square_cm
from bayesesi.spec import section

#: An area of the peak above this share falls into so many islands that its outline hides the map.
_OUTLINED_SHARE = 0.1


@section("turning", "probability", "spread", "folded")
def cortex(reading: Reading) -> dict[str, Any] | None:
    """Plot maps of the probability of activity in a ``reading`` and of its uncertainty."""
    maps = reading.group("maps")
    if maps is None or not reading.localisable or reading.has_dipoles:
        return None
    probability = np.asarray(maps["probability"], float)
    limit = scale_end(float(probability.max()))
    if reading.template_vertices is None:
        places = maps["position"].values
        dots = Picture(
            "probability",
            "Sources as points, seen from above, behind and the right, coloured by the probability "
            f"that a place is among the strongest, up to {percent(limit)}.",
            "Probability that a place is among the strongest, the most probable places in front. "
            "Darker places are more probable.",
            lambda: draw.plot_places(places, probability, limit),
        )
        return {"template": False, "turning": None, "pictures": [dots]}
    return {
        "template": True,
        "limit": percent(limit),
        "turning": turning(reading, probability, limit),
        "pictures": [
            _probability(reading, probability, limit),
            _spread(reading),
            _folded(reading, probability, limit),
        ],
    }


def _probability(reading: Reading, probability: NDArray[np.float64], limit: float) -> Picture:
    from bayesesi.report.cortex_picture import edge_on_template, on_template

    maps, vertices = reading.group("maps"), reading.template_vertices
    assert maps is not None
    assert vertices is not None
    outlined, spots = _outlined(reading), true_spots(reading)
    edge = edge_on_template(maps["peak_set"].values > 0, vertices) if outlined else None
    values = on_template(probability, vertices)
    caption = (
        "Probability that a place is among the strongest: at least half of the largest moment "
        f"density. Darker places are more probable; the scale ends at {percent(limit)}. "
        f"{_peak_area(reading)}{' The ring marks the true centre.' if spots else ''}"
    )
    return Picture(
        "probability",
        "Inflated cortex, both sides from outside and inside: probability that a place is among "
        f"the strongest, up to {percent(limit)}. The regions are named in the tables.",
        caption,
        lambda: draw.plot_maps(values, limit, "probability", edge, spots, percent=True),
        "Location.",
    )


def _spread(reading: Reading) -> Picture:
    from bayesesi.report.cortex_picture import on_template

    vertices = reading.template_vertices
    assert vertices is not None
    spread = spread_of(reading)
    limit = float(spread.max()) or 1.0
    return Picture(
        "spread",
        "Inflated cortex, both sides from outside and inside: standard deviation of each source's "
        "moment over the window.",
        "Standard deviation of each source's moment, root mean square over the window. Dark places "
        "have an uncertain strength; it is most uncertain where activity is possible.",
        lambda: draw.plot_maps(on_template(spread, vertices), limit, _unit(reading)),
        "Uncertainty of the strength (not of the location).",
    )


def _folded(reading: Reading, probability: NDArray[np.float64], limit: float) -> Picture:
    from bayesesi.report.cortex_picture import on_template

    vertices = reading.template_vertices
    assert vertices is not None
    spread = spread_of(reading)
    maps = (
        (on_template(probability, vertices), limit, "probability"),
        (on_template(spread, vertices), float(spread.max()) or 1.0, _unit(reading)),
    )
    return Picture(
        "folded",
        "The folded cortex from six sides: in the first row the probability that a place is among "
        f"the strongest, up to {percent(limit)}; in the second the standard deviation of each "
        "source's moment.",
        "Both maps on the folded (pial) surface, which hides the inside of sulci.",
        lambda: draw.plot_folded_maps(maps),
    )


def spread_of(reading: Reading) -> NDArray[np.float64]:
    """Compute the (S,) standard deviation of each source's moment, in nAm where volts are known.

    The root mean square over the window.

    Parameters
    ----------
    reading : with maps.
    """
    maps = reading.group("maps")
    assert maps is not None
    sd = np.asarray(maps["sd"], float)
    spread = np.sqrt((sd.reshape(len(sd), -1) ** 2).mean(axis=1))
    return np.asarray(spread * (1e9 if reading.scale_known else 1.0))


def _unit(reading: Reading) -> str:
    return "sd of the moment (nAm per source)" if reading.scale_known else "sd (unknown unit)"


def scale_end(share: float) -> float:
    """Choose the end of the scale, at least a fifth: a map without a clear maximum looks pale.

    Parameters
    ----------
    share : largest probability, 0 to 1.
    """
    return next((step for step in (0.2, 0.5) if share <= step), 1.0)


def _outlined(reading: Reading) -> bool:
    found = reading.about.get("credible") or {}
    return float(found.get("peak_share", 1.0)) <= _OUTLINED_SHARE


def _peak_area(reading: Reading) -> str:
    found = reading.about.get("credible") or {}
    if found.get("peak_area_m2") is None:
        return ""
    line = " (black line)" if _outlined(reading) else ""
    return (
        f"By the model's belief, the peak lies with probability {percent(reading.level)} in "
        f"{square_cm(found['peak_area_m2'] * 1e4)}\u00a0cm², {percent(found['peak_share'])} of the "
        f"cortex{line}. This area is credible and carries no guarantee."
    )
