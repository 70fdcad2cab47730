"""The sections of a page: each takes what it says from a reading, and is left out if that is none.

A section returns the values its template of the same name fills in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.report import result_figure as draw
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

#: A set of this share of the cortex, or a larger one, says that nothing was localised well.
WIDE_SHARE = 0.3
#: An area of the peak above this share falls into so many islands that its outline hides the map.
_OUTLINED_SHARE = 0.1
#: An average of this many trials or fewer is called one of few.
FEW_TRIALS = 10
#: Rows of the region table that are shown before the rest is folded away.
_ROWS = 10
#: Draws in which a region must be active before an interval of its moment is given.
_FEW_DRAWS = 10
#: Characters of a detail of the model.
_DETAIL_LENGTH = 160

Section = Callable[[Reading], dict[str, Any] | None]


def verdict(reading: Reading) -> dict[str, Any]:
    """The first line: where, or why not."""
    if not reading.localisable:
        reason = plain(reading.result.trust.reasons[0].sentence, 400)
        reason = reason.removeprefix("not localisable: ")
        return {"tone": "abstain", "sentence": f"Not localisable, because {reason}.", "notes": []}
    notes = [plain(reason.sentence, 400) for reason in reading.result.trust.reasons]
    notes = [f"{note[:1].upper()}{note[1:]}." for note in notes]
    notes += _much_left(reading) + _few_trials(reading)
    tone = "caution" if notes else str(reading.result.trust.verdict)
    if not _has_regions(reading):
        return {
            "tone": tone,
            "sentence": "Localised on a source space without named regions: see the map.",
            "notes": notes,
        }
    found, top = reading.result.credible_set, reading.regions.iloc[0]
    top_words = f"the {region_words(top.region)} ({chance(top.probability)})"
    size = f"{square_cm(found.area_cm2)}\u00a0cm² or {percent(found.share)} of the cortex"
    if found.share > WIDE_SHARE:
        sentence = (
            f"This recording does not localise well: the {percent(found.level)} credible set "
            f"covers {size}; the most probable single region is {top_words}."
        )
        return {"tone": "caution", "sentence": sentence, "notes": notes}
    sentence = (
        f"Most probably {top_words}; the {percent(found.level)} credible set is "
        f"{counted(len(found.regions), 'region')}, {size}."
    )
    return {"tone": tone, "sentence": sentence, "notes": notes}


def _much_left(reading: Reading) -> list[str]:
    if float(reading.about["checks"]["chi2"]) <= _chi2_band(reading)[1]:
        return []
    return [
        "The answer does not explain all of the recording: more is left over than noise would "
        "leave, so there may be another source, or another place than this one."
    ]


def _few_trials(reading: Reading) -> list[str]:
    n = reading.nave
    if n > FEW_TRIALS:
        return []
    what = "a single trial" if n <= 1 else f"an average of only {counted(n, 'trial')}"
    return [f"This is {what}: another average of as few may look different."]


def _has_regions(reading: Reading) -> bool:
    regions = reading.group("regions")
    return regions is not None and regions.sizes["region"] > 0


def where(reading: Reading) -> dict[str, Any] | None:
    """The credible set in words, and what might be instead."""
    if not (reading.localisable and _has_regions(reading)):
        return None
    table, found = reading.regions, reading.result.credible_set
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
        "wide": found.share > WIDE_SHARE,
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


def _places(reading: Reading) -> list[dict[str, str]]:
    """The credible set by side and lobe, the most probable place first."""
    inside = reading.regions[reading.regions.in_set]
    rows = []
    for (side, lobe), part in inside.groupby(["side", "lobe"], sort=False):
        names = [region_words(name).removeprefix(f"{side} ") for name in part.region]
        rows.append({"place": plain(f"{side} {lobe}"), "regions": listed(names, 20)})
    return rows


def truth(reading: Reading) -> dict[str, Any] | None:
    """Of a simulated patient: what was there beside what was answered."""
    known = reading.truth
    if known is None or not (reading.localisable and _has_regions(reading)):
        return None
    table = reading.regions.set_index("region")
    rows = [
        {
            "name": region_words(name),
            "probability": chance(table.probability.get(name, np.nan)),
            "rank": int(table.index.get_loc(name)) + 1 if name in table.index else None,
            "inside": bool(table.in_set.get(name, False)),
        }
        for name in known["regions"]
    ]
    return {
        "rows": rows,
        "answer": region_words(table.index[0]),
        "level": percent(reading.level),
        "distance": _distance(reading),
        "marked": bool(_spots(reading)),
        "missed": not all(row["inside"] for row in rows),
    }


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
    if not (reading.localisable and _has_regions(reading)):
        return None
    table = reading.regions
    possible = int((table.probability > 0).sum())
    shown = min(max(_ROWS, int(table.in_set.sum())), 2 * _ROWS, possible)
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
    }


def _row(row: Any, reach: float, told: bool) -> dict[str, Any]:
    known = told and bool(np.isfinite(row.peak_nAm))
    low, mid, high = (float(x) if known else 0.0 for x in (row.low_nAm, row.peak_nAm, row.high_nAm))
    return {
        "name": region_words(row.region),
        "lobe": plain(row.lobe),
        "inside": bool(row.in_set),
        "share": float(row.probability),
        "probability": chance(row.probability),
        "peak": figures(mid) if known else None,
        "interval": f"{figures(low)} to {figures(high)}",
        "bar": [round(100 * x / reach, 1) for x in (low, mid, high)],
    }


def cortex(reading: Reading) -> dict[str, Any] | None:
    """Where the activity may lie, and how uncertain its size is there."""
    maps = reading.group("maps")
    if maps is None or not reading.localisable:
        return None
    probability = np.asarray(maps["probability"], float)
    spread = np.asarray(maps["sd"], float).reshape(len(probability), -1)
    spread = np.sqrt((spread**2).mean(axis=1)) * (1e9 if reading.scale_known else 1.0)
    limit = _round_up(float(probability.max()))
    values = {
        "limit": percent(limit),
        "level": percent(reading.level),
        "marked": bool(_spots(reading)),
        "template": reading.template_vertices is not None,
        "peak_area": _peak_area(reading),
        "outlined": (reading.about.get("credible") or {}).get("peak_share", 1.0) <= _OUTLINED_SHARE,
    }
    vertices = reading.template_vertices
    if vertices is None:
        dots = draw.plot_places(maps["position"].values, probability, limit)
        return {**values, "probability": draw.data_uri(dots), "spread": None}
    from bayesesi.report.cortex_picture import edge_on_template, on_template

    peak_set = maps["peak_set"].values > 0
    edge = edge_on_template(peak_set, vertices) if values["outlined"] else None
    spots = _spots(reading)
    chance = draw.plot_maps(
        on_template(probability, vertices), limit, "probability", edge, spots, percent=True
    )
    unit = "sd of the moment (nAm a source)" if reading.scale_known else "sd (unknown unit)"
    doubt = draw.plot_maps(on_template(spread, vertices), float(spread.max()) or 1.0, unit)
    return {**values, "probability": draw.data_uri(chance), "spread": draw.data_uri(doubt)}


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
        "peak": f"{volts.peak_ms:.0f}",
        "window": f"{1e3 * window[0]:.0f} to {1e3 * window[1]:.0f}",
        "trials": counted(reading.nave, "trial"),
        "few": _few_trials(reading),
        "scale_known": reading.scale_known,
        "reference": volts.kind == "EEG",
    }


def forward(reading: Reading) -> dict[str, Any] | None:
    """Whether the answer explains the recording, and through which head."""
    volts, checks = read_volts(reading), reading.about["checks"]
    if volts is None or volts.explained is None:
        return None
    shapes = {"wide": False, "narrow": True} if reading.localisable else {}
    pictures = {k: draw.data_uri(draw.plot_explained(volts, v)) for k, v in shapes.items()}
    return {
        "pictures": pictures,
        "peak": f"{volts.peak_ms:.0f}",
        "chi2": figures(checks["chi2"], 3),
        "chi2_meaning": _chi2_meaning(reading),
        "explained": percent(checks["explained_share"]),
        "little": checks["explained_share"] < 0.1,
        "head": _head_sentences(reading),
    }


def _chi2_band(reading: Reading) -> tuple[float, float]:
    """What pure noise gives in all but three of a thousand recordings, and at least 0.7 to 1.3."""
    values = reading.group("observed_data")
    n = 100 if values is None else int(np.prod(values["values"].shape))
    reach = max(0.3, 3 * float(np.sqrt(2 / max(n, 1))))
    return max(0.0, 1 - reach), 1 + reach


def _chi2_meaning(reading: Reading) -> str:
    low, high = _chi2_band(reading)
    chi2 = float(reading.about["checks"]["chi2"])
    if chi2 > high:
        return (
            "more is left over than noise explains: something in the recording (a further source, "
            "an artifact, another head) is not in the answer"
        )
    if chi2 < low:
        return (
            "less is left over than noise should leave: the noise was taken for larger than it is, "
            "or noise was explained as if it were signal"
        )
    return "what is left over looks like noise"


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
        f"{n} possible heads (conductivities, shape, where the cap sits) were drawn, so this doubt "
        "is inside the numbers above."
        if n > 1
        else "One head was taken for the true one: doubt about the head is not in the numbers "
        "above, and the true error can be larger."
    )
    return [shape, electrodes, drawn]


def sureness(reading: Reading) -> dict[str, Any]:
    """What the numbers promise and what they do not."""
    null = float(reading.about["checks"]["null_probability"])
    return {
        "level": percent(reading.level),
        "missed": percent(1 - reading.level),
        "null": percent(null),
        "null_is": null > 0,
        "n_draws": f"{int(reading.about['n_draws']):,}".replace(",", "\u202f"),
        "localisable": reading.localisable,
    }


def checks(reading: Reading) -> list[dict[str, Any]]:
    """Every check, its number, and whether it raised a doubt."""
    found, head = reading.about["checks"], reading.about["head"]
    low, high = _chi2_band(reading)
    rows = [
        _check(
            "Something is there",
            found["null_probability"] < 0.05,
            f"probability that nothing is active: {percent(found['null_probability'])}",
        ),
        _check(
            "What is left over looks like noise",
            low <= found["chi2"] <= high,
            f"residual power a number: {figures(found['chi2'], 3)}, "
            f"expected {figures(low)} to {figures(high)}",
        ),
        _check(
            f"More than {FEW_TRIALS} trials were averaged",
            reading.nave > FEW_TRIALS,
            counted(reading.nave, "trial"),
        ),
        _check(
            "Sensor positions were measured",
            head["electrodes"] == "measured",
            str(head["electrodes"]),
        ),
        _check(
            "Doubt about the head is in the numbers",
            (head["heads_drawn"] or 0) > 1,
            counted(max(int(head["heads_drawn"] or 0), 1), "head"),
        ),
        _check("The unit of the recording is known", reading.scale_known, ""),
    ]
    if reading.localisable and _has_regions(reading):
        share = reading.result.credible_set.share
        wide = f"{percent(share)} of the cortex"
        rows.append(_check("The credible set is small", share <= WIDE_SHARE, wide))
    return rows


def _check(name: str, passed: bool, value: str) -> dict[str, Any]:
    return {"name": name, "passed": bool(passed), "value": plain(value, 200)}


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
