"""The sections of a page: each takes what it says from a reading, and is left out if that is none.

A section returns the values its template of the same name fills in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import checks, chi2_meaning, few_trials, much_left
from bayesesi.report.reading import Reading, read_volts
from bayesesi.report.words import (
    chance,
    counted,
    figures,
    listed,
    percent,
    plain,
    plain_tree,
    region_words,
    said,
    square_cm,
)
from bayesesi.sensitivity import MOVED
from bayesesi.trust import standard_verdict

#: An area of the peak above this share falls into so many islands that its outline hides the map.
_OUTLINED_SHARE = 0.1
#: Rows of the region table that are shown before the rest is folded away.
_ROWS = 10
#: Draws in which a region must be active before an interval of its moment is given.
_FEW_DRAWS = 10
#: Characters of a detail of the model.
_DETAIL_LENGTH = 160

#: mm from a labelled vertex up to which a dipole is said to lie in its region.
_IN_REGION = 5.0

#: What evidence is of, in words.
_BELIEFS = {
    "focal": "a few patches of cortex",
    "distributed": "a smooth field over the cortex",
    "nothing": "noise alone",
}

_COUNTS = {1: "one dipole", 2: "two dipoles"}

Section = Callable[[Reading], dict[str, Any] | None]


def verdict(reading: Reading) -> dict[str, Any]:
    """The first line: where, or why not, and the doubts that change how to read it."""
    reasons = [plain(reason.sentence, 400) for reason in reading.result.trust.reasons]
    if not reading.localisable:
        reason = reasons[0].removeprefix("not localisable: ")
        return {"tone": "abstain", "sentence": f"Not localisable, because {reason}.", "notes": []}
    notes = [f"{reason[:1].upper()}{reason[1:]}." for reason in reasons]
    notes += much_left(reading) + few_trials(reading)
    wide = reading.has_regions and _is_wide(reading.best_set.share)
    return {
        "tone": "caution" if notes or wide else str(reading.result.trust.verdict),
        "sentence": _place(reading, wide),
        "notes": notes,
    }


def _place(reading: Reading, wide: bool) -> str:
    if reading.has_dipoles:
        return _dipole_sentence(reading)
    if not reading.has_regions:
        return "Localised among sources without named regions: see the map."
    found, top = reading.best_set, reading.regions.iloc[0]
    best = f"the {region_words(top.region)} ({chance(top.probability)})"
    level = f"the {percent(found.level)} {_kind(reading)} set"
    size = f"{square_cm(found.area_cm2)}\u00a0cm² or {percent(found.share)} of the cortex"
    if wide:
        return (
            f"This recording does not localise well: {level} covers {size}; the most probable "
            f"single region is {best}."
        )
    return f"Most probably {best}; {level} is {counted(len(found.regions), 'region')}, {size}."


def _is_wide(share: float) -> bool:
    return share > standard_verdict().widest_set


def _kind(reading: Reading) -> str:
    return "credible" if reading.result.region_set is None else "conformal"


def where(reading: Reading) -> dict[str, Any] | None:
    """The set of regions in words, and what might be instead."""
    if not reading.has_regions:
        return None
    table, found, earned = reading.regions, reading.best_set, reading.result.region_set
    top = table.iloc[0]
    other = (table.lobe != top.lobe) | (table.side != top.side)
    elsewhere = table[other & (table.probability > 0)]
    return {
        "top": region_words(top.region),
        "side": plain(top.side),
        "lobe": plain(top.lobe),
        "probability": chance(top.probability),
        "level": percent(found.level),
        "area": square_cm(found.area_cm2),
        "share": percent(found.share),
        "wide": _is_wide(found.share),
        "earned": None if earned is None else plain(earned.guarantee, 400),
        "whole": earned is not None and earned.whole,
        "like": None if earned is None else plain(reading.about["calibration"]["cell"]),
        "why_not": plain(reading.result.no_region_set, 300),
        "believed": _believed(reading),
        "places": _places(reading),
        "n_regions": len(found.regions),
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


def _believed(reading: Reading) -> dict[str, Any]:
    """The model's own set, for a page that shows another."""
    found = reading.result.credible_set
    return {
        "n": counted(len(found.regions), "region"),
        "area": square_cm(found.area_cm2),
        "share": percent(found.share),
    }


def _dipole_sentence(reading: Reading) -> str:
    rows = dipole_rows(reading)
    count = reading.about["dipoles"]["count_probability"][len(rows)]
    near = listed([f"{row['volume']} cm³ around a place {row['near']}" for row in rows])
    largest = max(float(row["share_of_brain"]) for row in reading.about["dipoles"]["each"])
    if _is_wide(largest):
        return (
            f"This recording does not localise well: {_COUNTS[len(rows)]} ({chance(count)}) may "
            f"lie in {percent(largest)} of the brain, with probability {percent(reading.level)}."
        )
    return (
        f"Most probably {_COUNTS[len(rows)]} ({chance(count)}); with probability "
        f"{percent(reading.level)} within {near}."
    )


def dipole_rows(reading: Reading) -> list[dict[str, Any]]:
    """Each dipole in words."""
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


def dipoles(reading: Reading) -> dict[str, Any] | None:
    """One dipole or two: where, how large a volume, and how many there may be."""
    if not reading.has_dipoles:
        return None
    found = reading.about["dipoles"]
    picture = draw.plot_dipoles(found["each"], _true_positions(reading))
    return {
        "rows": dipole_rows(reading),
        "level": percent(reading.level),
        "counts": [chance(float(p)) for p in found["count_probability"]],
        "scale_known": reading.scale_known,
        "marked": len(_true_positions(reading)) > 0,
        "picture": draw.data_uri(picture),
    }


def _places(reading: Reading) -> list[dict[str, str]]:
    """The set of regions by side and lobe, the most probable place first."""
    inside = reading.regions[reading.regions.marked]
    rows = []
    for (side, lobe), part in inside.groupby(["side", "lobe"], sort=False):
        names = [region_words(name).removeprefix(f"{side} ") for name in part.region]
        rows.append({"place": plain(f"{side} {lobe}"), "regions": listed(names, 20)})
    return rows


def truth(reading: Reading) -> dict[str, Any] | None:
    """Of a simulated patient: what was there beside what was answered."""
    known = reading.truth
    if known is None or not reading.has_regions:
        return None
    table = reading.regions.set_index("region")
    rows = [
        {
            "name": region_words(name),
            "probability": chance(table.probability.get(name, np.nan)),
            "rank": int(table.index.get_loc(name)) + 1 if name in table.index else None,
            "inside": bool(table.marked.get(name, False)),
        }
        for name in known["regions"]
    ]
    return {
        "rows": rows,
        "answer": region_words(table.index[0]),
        "level": percent(reading.level),
        "distance": _distance(reading),
        "marked": bool(_spots(reading)),
        "kind": _kind(reading),
        "missed": not all(row["inside"] for row in rows),
    }


def targets(reading: Reading) -> dict[str, Any] | None:
    """How far the peak lies from what the user asked about."""
    found = reading.about.get("targets")
    if not found or not reading.localisable:
        return None
    rows = [
        {
            "name": plain(each["name"]),
            "said": plain(each["said"], 120),
            "median": f"{float(each['median_mm']):.0f}",
            "interval": f"{float(each['low_mm']):.0f} to {float(each['high_mm']):.0f}",
            "inside": chance(float(each["inside"])),
            "share": float(each["inside"]),
        }
        for each in found
    ]
    return {"rows": rows, "level": percent(reading.level)}


def _true_positions(reading: Reading) -> NDArray[np.float64]:
    known = reading.truth or {}
    return np.asarray(known.get("position", []), float).reshape(-1, 3)


def _distance(reading: Reading) -> str | None:
    """From the most probable peak to the nearest true centre, mm along a straight line."""
    maps, true = reading.group("maps"), _true_positions(reading)
    if maps is None or not len(true):
        return None
    peak = maps["position"].values[int(maps["peak_probability"].values.argmax())]
    return f"{np.linalg.norm(true - peak, axis=1).min() * 1e3:.0f}"


def _spots(reading: Reading) -> list[int]:
    """Vertices of the template nearest to the true centres."""
    from bayesesi.anatomy import template_mesh

    if reading.template_vertices is None:
        return []
    mesh = template_mesh().positions
    return [
        int(np.linalg.norm(mesh - centre, axis=1).argmin()) for centre in _true_positions(reading)
    ]


def regions(reading: Reading) -> dict[str, Any] | None:
    """Every region with its probability and the moment it would have."""
    if not reading.has_regions:
        return None
    table = reading.regions
    possible = int((table.probability > 0).sum())
    shown = min(max(_ROWS, int(table.marked.sum())), 2 * _ROWS, possible)
    n_draws = int(reading.about["n_draws"])
    told = table.probability * n_draws > _FEW_DRAWS - 0.5
    reach = float(np.nanmax([*table.high_nAm[told], 1e-12]))
    rows = [
        _row(row, reach, bool(known)) for row, known in zip(table.itertuples(), told, strict=True)
    ]
    return {
        "rows": rows[:shown],
        "rest": rows[shown:possible],
        "never": len(rows) - possible,
        "level": percent(reading.level),
        "scale_known": reading.scale_known,
        "few_draws": _FEW_DRAWS,
        "calibrated": bool(np.isfinite(table.calibrated).all()),
        "repaired": _repaired_moment(reading),
    }


def _repaired_moment(reading: Reading) -> dict[str, str] | None:
    """Of the likeliest region, what simulations made of its interval."""
    found = reading.about["calibration"].get("moment")
    if not found:
        return None
    low, high = (figures(1e9 * float(found[end])) for end in ("low", "high"))
    return {"region": region_words(found["region"]), "interval": f"{low} to {high}"}


def _row(row: Any, reach: float, told: bool) -> dict[str, Any]:
    known = told and bool(np.isfinite(row.peak_nAm))
    low, mid, high = (float(x) if known else 0.0 for x in (row.low_nAm, row.peak_nAm, row.high_nAm))
    return {
        "name": region_words(row.region),
        "lobe": plain(row.lobe),
        "inside": bool(row.marked),
        "share": float(row.probability),
        "probability": chance(row.probability),
        "calibrated": chance(row.calibrated) if np.isfinite(row.calibrated) else None,
        "peak": figures(mid) if known else None,
        "interval": f"{figures(low)} to {figures(high)}",
        "bar": [round(100 * x / reach, 1) for x in (low, mid, high)],
    }


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
        "marked": bool(_spots(reading)),
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
    spots = _spots(reading)
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


def recording(reading: Reading) -> dict[str, Any] | None:
    """The window that was looked at, as it was measured."""
    volts = read_volts(reading)
    if volts is None:
        return None
    told = reading.provenance
    window = told.get("window_s") or (volts.times[0] / 1e3, volts.times[-1] / 1e3)
    bads = told.get("bads") or []
    return {
        "wide": draw.data_uri(draw.plot_window(volts)),
        "narrow": draw.data_uri(draw.plot_window(volts, narrow=True)),
        "condition": told.get("condition") or None,
        "kind": volts.kind,
        "n_channels": volts.n_channels,
        "n_all": volts.n_all,
        "n_bad": len(bads),
        "bads": listed([str(name) for name in bads]),
        "peak": str(volts.peak_ms),
        "window": f"{round(1e3 * window[0])} to {round(1e3 * window[1])}",
        "trials": counted(reading.nave, "trial"),
        "few": few_trials(reading),
        "scale_known": reading.scale_known,
        "reference": volts.kind == "EEG",
    }


def forward(reading: Reading) -> dict[str, Any] | None:
    """Whether the answer explains the recording, and through which head."""
    volts, found = read_volts(reading), reading.about["checks"]
    if volts is None or volts.explained is None:
        return None
    shapes = {"wide": False, "narrow": True} if reading.localisable else {}
    pictures = {k: draw.data_uri(draw.plot_explained(volts, v)) for k, v in shapes.items()}
    return {
        "pictures": pictures,
        "peak": str(volts.peak_ms),
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


def sensitivity(reading: Reading) -> dict[str, Any] | None:
    """Re-runs with something else assumed or left out, beside the answer."""
    found = reading.about.get("sensitivity")
    if not found or not reading.has_regions:
        return None
    rows = [
        {
            "words": plain(each["words"]),
            "top": region_words(each["top"]),
            "probability": chance(float(each["probability"])),
            "of_first": chance(float(each["of_first"])),
            "share": float(each["of_first"]),
            "moved": "–" if each["moved_mm"] is None else f"{float(each['moved_mm']):.0f}",
            "changes": float(each["largest"]) >= MOVED,
        }
        for each in found
    ]
    return {
        "rows": rows,
        "first": region_words(reading.regions.iloc[0].region),
        "n_changed": sum(bool(row["changes"]) for row in rows),
        "moved": percent(MOVED),
    }


def sureness(reading: Reading) -> dict[str, Any]:
    """What the numbers promise and what they do not."""
    null = float(reading.about["checks"]["null_probability"])
    return {
        "beliefs": _beliefs(reading),
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
        return {"measured": None, "why_not": plain(found["why_not"], 300), "guarantee": False}
    return {
        "measured": {
            "n": f"{int(found['n']):,}",
            "ece": figures(100 * float(found["ece"])),
            "unusual": percent(float(found["unusual"])),
            "picture": draw.data_uri(draw.plot_calibration(found["said"], found["found"])),
            "held": _held_words(found["held"]),
            "inside": float(found["unusual"]) >= standard_verdict().unusual_caution,
            "radius": None if found["radius_mm"] is None else figures(float(found["radius_mm"])),
        },
        "why_not": None,
        "guarantee": reading.result.region_set is not None,
    }


def _held_words(held: dict[str, Any]) -> dict[str, str]:
    return {
        "level": percent(float(held["level"])),
        "share": percent(float(held["held"])),
        "n": f"{int(held['n']):,}",
    }


def _beliefs(reading: Reading) -> list[dict[str, str]]:
    """What may describe the recording, the most probable first; none where it was not asked."""
    found = reading.about.get("evidence")
    if not found:
        return []
    share = sorted(found["probability"].items(), key=lambda item: -float(item[1]))
    return [{"words": _BELIEFS.get(k, plain(k)), "probability": chance(p)} for k, p in share]


def methods(reading: Reading) -> dict[str, Any]:
    """How it was computed, what failed, and by which versions."""
    about = reading.about
    model = plain_tree(about["model"], _DETAIL_LENGTH)
    details = {k: v for k, v in model.items() if k not in ("name", "details")}
    details |= model.get("details") or {}
    rows = checks(reading)
    return {
        "failed": [row for row in rows if not row["passed"]],
        "passed": [row for row in rows if row["passed"]],
        "model": _told({"model": model["name"], **details}),
        "recording": _told(reading.provenance),
        "run": _told(
            {
                "level": reading.level,
                "draws": int(about["n_draws"]),
                "seed": int(about["seed"]),
                "verdict": str(reading.result.trust.verdict),
                "SNR (dB)": about["checks"].get("snr_db"),
                "computed": about.get("created"),
                "bayesesi": about["version"],
                "schema of the result": about["schema"],
            }
        ),
    }


def _told(table: dict[str, Any]) -> list[tuple[str, str]]:
    return [(plain(key.replace("_", " ")), plain(said(value), 300)) for key, value in table.items()]
