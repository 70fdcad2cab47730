"""Uncertainty and calibration: what the numbers guarantee and what they do not."""

from __future__ import annotations

from typing import Any

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import BELIEFS, evidence_words
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    chance,
    figures,
    percent,
    plain,
)
from bayesesi.spec import section
from bayesesi.trust import standard_verdict


@section("reliability")
def uncertainty(reading: Reading) -> dict[str, Any]:
    """List the three terms of a ``reading`` as measured, and the probability of no source."""
    null = float(reading.about["checks"]["null_probability"])
    return {
        "beliefs": _beliefs(reading),
        "evidence": evidence_words(reading),
        "reruns": bool(reading.about.get("sensitivity")),
        "level": percent(reading.level),
        "missed": percent(1 - reading.level),
        "null": percent(null),
        "null_is": null > 0,
        "even": percent(reading.null_at_even_odds),
        "n_draws": f"{int(reading.about['n_draws']):,}".replace(",", "\u202f"),
        "localisable": reading.localisable,
        **_measured(reading),
    }


def _measured(reading: Reading) -> dict[str, Any]:
    """The numbers of the model's calibration card, or why none applies."""
    found = reading.about["calibration"]
    if found.get("why_not"):
        return {
            "measured": None,
            "why_not": plain(found["why_not"], 300),
            "guarantee": reading.result.region_set is not None,
            "pictures": [],
        }
    return {
        "measured": {
            "n": f"{int(found['n']):,}",
            "ece": figures(100 * float(found["ece"])),
            "unusual": percent(float(found["unusual"])),
            "radius": None if found["radius_mm"] is None else figures(float(found["radius_mm"])),
        },
        "why_not": None,
        "pictures": [_reliability(found)],
        "guarantee": reading.result.region_set is not None,
    }


def _reliability(found: dict[str, Any]) -> Picture:
    held, unusual = found["held"], percent(float(found["unusual"]))
    level, share = percent(float(held["level"])), percent(float(held["held"]))
    if float(found["unusual"]) >= standard_verdict().unusual_caution:
        inside = (
            f"This recording lies within the simulated range: {unusual} of the simulated "
            "recordings were at least as unusual."
        )
    else:
        inside = (
            "This recording lies at the edge of the simulated range or outside it: only "
            f"{unusual} of the simulated recordings were at least as unusual, so these numbers may "
            "not apply to it."
        )
    return Picture(
        "reliability",
        "Region probabilities of the model (horizontal) and the share of those regions that was "
        "active in simulated recordings (vertical); calibrated values lie on the diagonal.",
        f"Region probabilities of the model and observed frequencies in {int(found['n']):,} "
        f"simulated recordings. Conformal sets at {level} contained every active region in "
        f"{share} of {int(held['n']):,} of them. {inside}",
        lambda: draw.plot_calibration(found["said"], found["found"]),
        width="300px",
    )


def _beliefs(reading: Reading) -> list[dict[str, str]]:
    """The compared source priors, the most probable first; empty if none were compared."""
    found = reading.about.get("evidence")
    if not found:
        return []
    share = sorted(found["probability"].items(), key=lambda item: -float(item[1]))
    return [{"words": BELIEFS.get(k, plain(k)), "probability": chance(p)} for k, p in share]
