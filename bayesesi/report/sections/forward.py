"""Whether the answer explains what was measured, and through which head."""

from __future__ import annotations

from typing import Any

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import chi2_meaning
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading, read_volts
from bayesesi.report.words import (
    counted,
    figures,
    percent,
    plain,
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
        "the less the noisier they are, so they can differ from what the eye sees here.",
        lambda: draw.plot_explained(volts),
        draw_narrow=lambda: draw.plot_explained(volts, narrow=True),
    )
    return {
        "pictures": [explained] if reading.localisable else [],
        "chi2": figures(found["chi2"], 3),
        "chi2_meaning": chi2_meaning(reading),
        "explained": percent(found["explained_share"]),
        "possible": _possible(found.get("snr_db")),
        "little": found["explained_share"] < 0.1,
        "foreseen": _foreseen(reading),
        "head": _head_sentences(reading),
    }


def _foreseen(reading: Reading) -> list[dict[str, str]]:
    """What draws foresee of channels, and of trials, that they were not shown."""
    found = reading.about.get("foreseen") or {}
    rows = []
    for key, what in (("channels", "channels left out"), ("trials", "trials left out")):
        if key not in found:
            continue
        each = found[key]
        low, high = (percent(float(each["coverage"][level])) for level in ("0.5", "0.9"))
        said = (
            f"{low} of numbers lie in the 50\u00a0% interval that the rest foresees, {high} in the "
            "90\u00a0% interval"
        )
        said += (
            f"; {counted(float(each['each']), 'trial')} by as many others"
            if key == "trials"
            else f"; least foreseen: {plain(each['least'])}"
        )
        rows.append({"what": what, "said": said})
    return rows


def _possible(snr_db: float | None) -> str | None:
    """Share of the whitened power that is more than noise: of the mean square m, 1 - 1 / m."""
    if snr_db is None:
        return None
    share = 1 - 10 ** (-float(snr_db) / 10)
    return percent(share) if share > 0 else None


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
        f"{n:,} possible heads (conductivities, shape, where the cap sits) were drawn, so "
        "probabilities allow for a head that is not known; intervals of strengths do so too little."
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
