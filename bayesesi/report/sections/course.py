"""The moment over time, and whether onset and peak lie in different places."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesesi.report import result_figure as draw
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading
from bayesesi.report.words import chance, listed, percent, region_words
from bayesesi.spec import section


@section("moments")
def course(reading: Reading) -> dict[str, Any] | None:
    """Plot bands of the moments of the most probable regions of a ``reading``.

    Each given that the region is active.
    """
    group = reading.group("courses")
    if group is None or not reading.has_regions or not len(group["region"]):
        return None
    scale, unit = (1e9, "nAm") if reading.scale_known else (1.0, "unknown unit")
    times = np.asarray(group["time"], float) * 1e3
    bands = [
        scale * np.stack([np.asarray(group[k], float)[i] for k in ("low", "median", "high")])
        for i in range(len(group["region"]))
    ]
    names = [region_words(str(name)) for name in group["region"].values]
    rise = _rise(reading)
    marks = [] if rise is None else [rise["at"], rise["peak"]]
    regions = listed([f"({k + 1}) the {name}" for k, name in enumerate(names)])

    def drawn(narrow: bool = False) -> Any:
        return draw.plot_courses(times, bands, unit, marks, narrow)

    lines = (
        " The lines mark the half-way point of the rise and the peak, after the contribution of "
        "noise was subtracted."
        if marks
        else ""
    )
    over = "at the one sample" if len(times) == 1 else "over the window"
    picture = Picture(
        "moments",
        f"Summed moment {over} of {regions}. Medians with central {percent(reading.level)} bands.",
        f"Summed moment {over} of {regions}: median and central {percent(reading.level)} credible "
        "band, given that the region is active. Positive values: the current points to the pial "
        f"surface.{lines}",
        drawn,
        "Strength over time.",
        lambda: drawn(narrow=True),
    )
    return {"rise": rise, "pictures": [picture]}


def _rise(reading: Reading) -> dict[str, Any] | None:
    found = reading.about.get("rise")
    if not found:
        return None
    first, last = found["rise"], found["peak"]
    apart = found["apart_mm"]
    return {
        "at": round(1e3 * float(first["time_s"])),
        "peak": round(1e3 * float(last["time_s"])),
        "first": region_words(first["region"]),
        "first_probability": chance(float(first["probability"])),
        "last": region_words(last["region"]),
        "last_probability": chance(float(last["probability"])),
        "other": chance(1 - float(found["same_region"])),
        "moves": float(apart["high"]) > 0,
        "differs": first["region"] != last["region"],
        "median": f"{float(apart['median']):.0f}",
        "interval": f"{float(apart['low']):.0f} to {float(apart['high']):.0f}",
        "level": percent(reading.level),
    }
