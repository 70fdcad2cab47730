"""Render a cohort as a page: patients, recordings, failures, and distances from the resection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesesi.report.report import page_environment
from bayesesi.report.words import chance, percent, plain, region_words

if TYPE_CHECKING:
    import pandas as pd


def cohort_page(recordings: pd.DataFrame, patients: pd.DataFrame) -> str:
    """Render HTML that needs nothing beside itself.

    Parameters
    ----------
    recordings, patients : the tables of ``Cohort``.
    """
    from bayesesi import __version__

    failed = recordings[recordings["status"] == "failed"]
    return (
        page_environment()
        .get_template("cohort.html")
        .render(
            n=len(recordings),
            n_patients=len(patients),
            n_failed=len(failed),
            n_localised=int((recordings["first_region"] != "").sum()),
            patients=[_patient(row) for row in patients.to_dict("records")],
            recordings=[_recording(row) for row in recordings.to_dict("records")],
            failed=[
                {"name": plain(row["recording"]), "reason": plain(row["reason"], 300)}
                for row in failed.to_dict("records")
            ],
            bootstrapped=bool(recordings["trials_times"].notna().any()),
            outcomes=outcome_rows(recordings),
            version=__version__,
        )
    )


def outcome_rows(recordings: pd.DataFrame) -> list[dict[str, str]]:
    """Sum up localised recordings with a target by outcome: hits, distances, sets, verdicts.

    Parameters
    ----------
    recordings : the table of ``Cohort``.
    """
    known = recordings[recordings["hit"].notna()]
    rows = []
    for outcome, part in known.groupby("outcome", sort=True):
        quartiles = np.quantile(part["target_mm"].astype(float), (0.25, 0.5, 0.75))
        rows.append(
            {
                "outcome": plain(outcome) or "not given",
                "n": str(len(part)),
                "hits": f"{int(part['hit'].sum())} ({percent(float(part['hit'].mean()))})",
                "distance": f"{quartiles[1]:.0f} ({quartiles[0]:.0f} to {quartiles[2]:.0f})",
                "share": percent(float(part["set_share"].astype(float).median())),
                "reliable": percent(float((part["verdict"] == "reliable").mean())),
            }
        )
    return rows


def _patient(row: dict[str, Any]) -> dict[str, Any]:
    known = {
        "name": plain(row["patient"]) or "not given",
        "recordings": f"{row['localised']} of {row['recordings']}",
        "first": region_words(row["first_region"]) if row["first_region"] else "–",
        "hits": f"{row['hits']} of {row['targets']}" if row["targets"] else "–",
        "outliers": plain(row["outliers"], 200) or "–",
        "common": ", ".join(map(region_words, row["common_regions"].split())) or "–",
    }
    if not row["first_region"]:
        return known | dict.fromkeys(("probability", "stays", "agreement"), "–") | {"share": 0.0}
    alone = row["localised"] < 2
    return known | {
        "share": float(row["probability"]),
        "probability": chance(row["probability"])
        if alone
        else f"{chance(row['probability'])} ({chance(row['low'])} to {chance(row['high'])})",
        "stays": "–" if alone else chance(row["stays_first"]),
        "agreement": "–" if alone else percent(row["agreement"]),
    }


def _recording(row: dict[str, Any]) -> dict[str, Any]:
    localised = bool(row["first_region"])
    distance, again = row["target_mm"], row["trials_first"]
    has = distance is not None and distance == distance
    return {
        "name": plain(row["recording"]),
        "patient": plain(row["patient"]),
        "verdict": plain(row["verdict"]) or "failed",
        "again": "–" if again is None or again != again else percent(float(again)),
        "first": region_words(row["first_region"]) if localised else "–",
        "probability": chance(float(row["probability"])) if localised else "–",
        "share": float(row["probability"]) if localised else 0.0,
        "set": f"{percent(float(row['set_share']))}, {row['set']}" if localised else "–",
        "target": f"{distance:.0f} ({row['target_low_mm']:.0f} to {row['target_high_mm']:.0f})"
        if has
        else "–",
    }
