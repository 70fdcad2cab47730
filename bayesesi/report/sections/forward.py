"""Model fit: whether the estimate explains the recording, and which head it assumes."""

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
from bayesesi.spec import section


@section("explained")
def forward(reading: Reading) -> dict[str, Any] | None:
    """Describe explained power, residual, predictions, head and electrodes of a ``reading``."""
    volts, found = read_volts(reading), reading.about["checks"]
    if volts is None or volts.explained is None:
        return None
    explained = Picture(
        "explained",
        f"Maps at {volts.peak_ms} ms and all channels over the window: measured, explained by the "
        "model, and residual, on the same scale.",
        "Measured, explained (by the posterior mean) and residual; maps at "
        f"{volts.peak_ms}\u00a0ms on one scale. The numbers above give less weight to noisy "
        "channels and slow drifts, so they can differ from the impression of this figure.",
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
        "predicted": _predicted(reading),
        "head": _head_sentences(reading),
    }


def _predicted(reading: Reading) -> list[dict[str, str]]:
    """How well draws predict channels, and trials, that were left out."""
    found = reading.about.get("foreseen") or {}
    rows = []
    for key, what in (("channels", "left-out channels"), ("trials", "left-out trials")):
        if key not in found:
            continue
        each = found[key]
        low, high = (percent(float(each["coverage"][level])) for level in ("0.5", "0.9"))
        coverage = (
            f"{low} of values lie in the 50\u00a0% interval predicted from the rest, {high} in the "
            "90\u00a0% interval"
        )
        coverage += (
            f"; {counted(float(each['each']), 'trial')} predicted from as many others"
            if key == "trials"
            else f"; channel predicted worst: {plain(each['least'])}"
        )
        rows.append({"what": what, "coverage": coverage})
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
        "The forward model was supplied by the user."
        if own
        else "The head model is a template (fsaverage), not this person's head."
    )
    electrodes = {
        "measured": "Sensor positions were measured.",
        "nominal": "Electrode positions are nominal (from the cap layout), not measured.",
    }.get(str(head["electrodes"]), "The origin of the sensor positions is unknown.")
    n = int(head["heads_drawn"] or 0)
    drawn = (
        f"{n:,} possible heads (conductivities, shape, cap position) were drawn, so the "
        "probabilities include the uncertainty of the head. Intervals of moments include too "
        "little of it."
        if n > 1
        else "One head model was assumed exact: the numbers above do not include the uncertainty "
        "of the head, and the true error can be larger."
    )
    power = float(reading.about["model"]["details"].get("likelihood_power", 1.0))
    careful = [
        f"No head model is exact, so the likelihood was given {percent(power)} of its weight; this "
        "makes the posterior wider."
    ]
    return [shape, electrodes, drawn, *(careful if power < 1 else [])]
