"""Localisation: the first line of the page, the set in words, and the alternatives."""

from __future__ import annotations

from typing import Any

from bayesesi.report.checks import depends_on, few_trials, is_wide, much_left, other_belief
from bayesesi.report.hed_score import hed_score
from bayesesi.report.reading import Reading
from bayesesi.report.sections.dipoles import dipole_sentence
from bayesesi.report.words import (
    chance,
    counted,
    figures,
    listed,
    percent,
    plain,
    region_words,
    square_cm,
)
from bayesesi.spec import section

#: Probability from which a lobe, and a number of sources, is named.
_LEAST_LOBE, _LEAST_COUNT = 0.01, 0.005
#: Probability of the largest number of sources above which there may be more.
_FULL = 0.5
_NUMBERS = ("none", "one", "two", "three", "four", "five", "six")


def verdict(reading: Reading) -> dict[str, Any]:
    """Summarise a ``reading`` in a line: the location, or why there is none, and the doubts."""
    reasons = [plain(reason.sentence, 400) for reason in reading.result.trust.reasons]
    if not reading.localisable:
        reason = reasons[0].removeprefix("not localisable: ")
        return {"tone": "abstain", "sentence": f"Not localisable: {reason}.", "notes": []}
    notes = [f"{reason[:1].upper()}{reason[1:]}." for reason in reasons]
    notes += much_left(reading) + other_belief(reading) + depends_on(reading) + few_trials(reading)
    wide = reading.has_regions and is_wide(reading.best_set.share)
    return {
        "tone": "caution" if notes or wide else str(reading.result.trust.verdict),
        "sentence": _place(reading, wide),
        "notes": notes,
    }


def _place(reading: Reading, wide: bool) -> str:
    if reading.has_dipoles:
        return dipole_sentence(reading)
    if not reading.has_regions:
        return "The sources have no named regions: see the map for the location."
    found, top = reading.best_set, reading.regions.iloc[0]
    best = f"the {region_words(top.region)} ({reading.first_probability})"
    level = f"the {percent(found.level)} {reading.kind_of_set} set"
    size = f"{square_cm(found.area_cm2)}\u00a0cm², {percent(found.share)} of the cortex"
    if wide:
        return (
            f"This recording does not localise well: {level} covers {size}; the most probable "
            f"single region is {best}."
        )
    doubted = bool(depends_on(reading) + other_belief(reading))
    first = "Most probable region by this model" if doubted else "Most probable region"
    return f"{first}: {best}; {level} has {counted(len(found.regions), 'region')}: {size}."


@section()
def where(reading: Reading) -> dict[str, Any] | None:
    """Describe the set of regions of a ``reading`` in words, and the alternatives."""
    if not reading.has_regions:
        return None
    table, found, conformal = reading.regions, reading.best_set, reading.result.region_set
    top = table.iloc[0]
    other = (table.lobe != top.lobe) | (table.side != top.side)
    elsewhere = table[other & (table.probability > 0)]
    return {
        "top": region_words(top.region),
        "side": plain(top.side),
        "lobe": plain(top.lobe),
        "probability": reading.first_probability,
        "hed": hed_score(reading),
        "level": percent(found.level),
        "area": square_cm(found.area_cm2),
        "share": percent(found.share),
        "wide": is_wide(found.share),
        "guarantee": None if conformal is None else plain(conformal.guarantee, 400),
        "whole": conformal is not None and conformal.whole,
        "cell": None if conformal is None else plain(reading.about["calibration"]["cell"]),
        "own": _own(reading),
        "area_set": _area_set(reading),
        "why_not": plain(reading.result.no_region_set, 300),
        "believed": _believed(reading),
        "places": _places(reading),
        "n_regions": len(found.regions),
        "lobes": _lobes(reading),
        "one_lobe": chance(reading.result.one_lobe),
        "radius": _radius(reading),
        "counts": _counts(reading),
        "held": percent(sum(float(a["probability"]) for a in reading.about["alternatives"][:5])),
        "elsewhere": None
        if elsewhere.empty
        else {
            "region": region_words(elsewhere.iloc[0].region),
            "lobe": plain(elsewhere.iloc[0].lobe),
            "probability": chance(elsewhere.iloc[0].probability),
        },
        "alternatives": [
            {
                "regions": listed([region_words(name) for name in item["regions"]]) or "nothing",
                "share": float(item["probability"]),
                "probability": chance(item["probability"]),
            }
            for item in reading.about["alternatives"][:5]
        ],
    }


def _lobes(reading: Reading) -> list[dict[str, Any]]:
    """Lobes that may contain activity, the most probable first."""
    table = reading.result.lobe_table()
    return [
        {
            "place": plain(f"{row.side} {row.lobe}"),
            "probability": chance(row.probability),
            "share": float(row.probability),
        }
        for row in table[table.probability >= _LEAST_LOBE].itertuples()
    ]


def _own(reading: Reading) -> dict[str, str] | None:
    """What was measured on cases as this recording shows them."""
    found = reading.about["calibration"].get("own")
    return found and {"n": f"{int(found['n']):,}", "held": percent(float(found["held"]))}


def _area_set(reading: Reading) -> dict[str, str] | None:
    """The sources that hold a share of the active area."""
    found = reading.about.get("area_set")
    return found and {
        "area": square_cm(1e4 * float(found["area_m2"])),
        "share": percent(float(found["share_of_cortex"])),
        "guarantee": plain(found["guarantee"], 200),
    }


def _radius(reading: Reading) -> str | None:
    found = reading.about["calibration"].get("radius_mm")
    return None if found is None else figures(float(found))


def _counts(reading: Reading) -> dict[str, Any] | None:
    """Probabilities of numbers of sources, for models that count them."""
    found = reading.about["model"]["details"].get("count_probability")
    if not found or reading.has_dipoles:
        return None
    words = [
        f"{_NUMBERS[k] if k < len(_NUMBERS) else k} {chance(float(p))}"
        for k, p in enumerate(found)
        if float(p) >= _LEAST_COUNT
    ]
    return {"words": listed(words), "at_most": len(found) - 1, "full": float(found[-1]) > _FULL}


def _believed(reading: Reading) -> dict[str, Any]:
    """The credible set, for a page that shows the conformal one."""
    found = reading.result.credible_set
    return {
        "n": counted(len(found.regions), "region"),
        "area": square_cm(found.area_cm2),
        "share": percent(found.share),
    }


def _places(reading: Reading) -> list[dict[str, str]]:
    """The set of regions by side and lobe, the most probable place first."""
    inside = reading.regions[reading.regions.marked]
    rows = []
    for (side, lobe), part in inside.groupby(["side", "lobe"], sort=False):
        names = [region_words(name).removeprefix(f"{side} ") for name in part.region]
        rows.append({"place": plain(f"{side} {lobe}"), "regions": listed(names, 20)})
    return rows
