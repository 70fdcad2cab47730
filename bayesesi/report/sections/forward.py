"""Whether the answer explains what was measured, and through which head."""

from __future__ import annotations

from typing import Any

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import chi2_meaning
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading, read_volts
from bayesesi.report.words import (
    figures,
    percent,
)


def forward(reading: Reading) -> dict[str, Any] | None:
    """Whether the answer explains the recording, and through which head."""
    volts, found = read_volts(reading), reading.about["checks"]
    if volts is None or volts.explained is None:
        return None
    explained = Picture(
        "explained",
        f"Maps at {volts.peak_ms} ms and all channels over the window: measured, explained by the "
        "answer, and left over, on the same scale.",
        "Measured, explained by the answer (its mean), and what is left over; maps at "
        f"{volts.peak_ms}\u00a0ms on one scale. The numbers above weigh channels and slow drifts "
        "the less the noisier they are, so they need not match what the eye sees here.",
        lambda: draw.plot_explained(volts),
        draw_narrow=lambda: draw.plot_explained(volts, narrow=True),
    )
    return {
        "pictures": [explained] if reading.localisable else [],
        "chi2": figures(found["chi2"], 3),
        "chi2_meaning": chi2_meaning(reading),
        "explained": percent(found["explained_share"]),
        "little": found["explained_share"] < 0.1,
        "head": _head_sentences(reading),
    }


def _head_sentences(reading: Reading) -> list[str]:
    head = reading.about["head"]
    own = head["forward"] == "own"
    shape = (
        "The forward model is the user's own."
        if own
        else "The head is a template (fsaverage), not this person's."
    )
    electrodes = {
        "measured": "Sensor positions were measured.",
        "nominal": "Electrode positions are nominal, as the cap's plan says; nobody measured them.",
    }.get(str(head["electrodes"]), "Nobody said where the sensor positions come from.")
    n = int(head["heads_drawn"] or 0)
    drawn = (
        f"{n:,} possible heads (conductivities, shape, where the cap sits) were drawn, so this "
        "doubt is inside the numbers above."
        if n > 1
        else "One head was taken for the true one: doubt about the head is not in the numbers "
        "above, and the true error can be larger."
    )
    power = float(reading.about["model"]["details"].get("likelihood_power", 1.0))
    careful = [
        f"No model of heads is exact, so what the recording says was given {percent(power)} of its "
        "weight: the answer is wider than the model alone would have it."
    ]
    return [shape, electrodes, drawn, *(careful if power < 1 else [])]
