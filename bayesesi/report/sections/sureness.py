"""What the numbers promise, and what they do not."""

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
from bayesesi.trust import standard_verdict


def sureness(reading: Reading) -> dict[str, Any]:
    """What the numbers promise and what they do not."""
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
    """What the model's calibration card says, or why it says nothing."""
    found = reading.about["calibration"]
    if found.get("why_not"):
        return {
            "measured": None,
            "why_not": plain(found["why_not"], 300),
            "guarantee": False,
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
            f"This recording lies inside what was simulated: {unusual} of those were at least as "
            "unusual."
        )
    else:
        inside = (
            "This recording lies at the edge of what was simulated, or beyond: only "
            f"{unusual} of those were at least as unusual, so these numbers may not speak of it."
        )
    return Picture(
        "reliability",
        "Probabilities that the model said of regions against the share of those regions that was "
        "active on simulated recordings; on the diagonal they mean what they say.",
        f"What the model's probabilities of regions came to on {int(found['n']):,} simulated "
        f"recordings. Conformal sets at {level} held every active region in {share} of "
        f"{int(held['n']):,} of them. {inside}",
        lambda: draw.plot_calibration(found["said"], found["found"]),
        width="300px",
    )


def _beliefs(reading: Reading) -> list[dict[str, str]]:
    """What may describe the recording, the most probable first; none where it was not asked."""
    found = reading.about.get("evidence")
    if not found:
        return []
    share = sorted(found["probability"].items(), key=lambda item: -float(item[1]))
    return [{"words": BELIEFS.get(k, plain(k)), "probability": chance(p)} for k, p in share]
