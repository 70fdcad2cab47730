"""Run a cohort, recording by recording: resumed where it stopped, one row each in any case."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesesi.cohort.entries import Entry
from bayesesi.cohort.patients import patient_table
from bayesesi.errors import InputError, some
from bayesesi.io.atomic import atomic_file, write_text
from bayesesi.io.store import JsonTables, Piece, Store, make_folder
from bayesesi.report.export import RESULT
from bayesesi.result import Result, read_result

if TYPE_CHECKING:
    import pandas as pd

    from bayesesi.observation import Observation

SCHEMA = 1
_ROW, _RECORDINGS = "row.json", "recordings"
WRITTEN = ("cohort.html", "recordings.csv", "patients.csv")
#: Characters of a reason.
_LONGEST = 300
#: Times that trials may be drawn again.
_MOST_TIMES = 10_000


@dataclass(frozen=True, eq=False)
class Cohort:
    """Hold rows of recordings, in their order, and of patients.

    Attributes
    ----------
    recordings : a row each; ``reason`` is why one failed, or is not localised. patients : see
        ``patients.patient_table``. folder : results are in.
    """

    recordings: pd.DataFrame
    patients: pd.DataFrame
    folder: Path

    def __repr__(self) -> str:
        failed = int((self.recordings["status"] == "failed").sum())
        return f"<Cohort | {len(self.recordings)} recordings, {failed} failed>"

    def result(self, recording: str) -> Result:
        """Read the result of one recording.

        Parameters
        ----------
        recording : as the table calls it.

        Raises
        ------
        InputError : a recording that failed, or is not in the cohort.
        """
        rows = self.recordings.query("recording == @recording and status == 'done'")
        if rows.empty:
            raise InputError(f"no recording {some([recording])} has a result")
        return read_result(self.folder / _RECORDINGS / rows.iloc[0]["folder"] / RESULT)


def run_cohort(
    entries: Sequence[Entry],
    out: str | Path,
    model: str = "atoms",
    level: float = 0.9,
    draws: int = 500,
    seed: int = 0,
    bootstrap: int = 0,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> Cohort:
    """Localise every recording; what is there already is not done again.

    Parameters
    ----------
    entries : recordings. progress : show a bar.
    out : folder; it takes a folder a recording, and the tables. A run that was stopped, or gets
        further recordings, goes on.
    model, draws, seed : see ``infer``. level : of sets, 0.5 to 0.99. bootstrap : times that the
        trials of a recording are drawn again, where its file has single trials; the row then has
        the share of them in which its first region stays first.
    workers, scheduler : see ``parallel.run_jobs``.

    Raises
    ------
    InputError : no recordings, a folder that cannot be written, an unknown model.
    """
    import pandas as pd

    from bayesesi import __version__
    from bayesesi.calibration.trial_runner import solver_name

    if not entries:
        raise InputError("a cohort has one recording or more")
    if isinstance(bootstrap, bool) or not 0 <= bootstrap <= _MOST_TIMES:
        raise InputError(f"bootstrap must be 0 to {_MOST_TIMES:,} samples, got {bootstrap!r}")
    out = Path(out).absolute()
    options = {"model": solver_name(model), "level": level, "draws": draws, "seed": seed}
    options |= {"schema": SCHEMA, "version": __version__, "bootstrap": bootstrap}
    wanted = zlib.crc32(json.dumps(options, sort_keys=True).encode())
    place = out / _RECORDINGS
    make_folder(place)
    how = (model, level, draws, seed, bootstrap)
    pieces = [
        Piece(f"{own.folder}/{_ROW}", 1, (json.dumps(asdict(own)), str(place / own.folder), *how))
        for own in dict.fromkeys(entries)
    ]
    # a row that was made under other options is made again
    store = Store(place, JsonTables({"job": wanted}, tuple(_empty(entries[0], ""))))
    store.run(_localise, pieces, workers, scheduler, "recordings", progress)
    rows = list(store.gather(pieces))
    recordings = pd.DataFrame(rows, columns=list(rows[0])).drop(columns="job")
    done = [
        (row, read_result(place / row["folder"] / RESULT))
        for row in rows
        if row["status"] == "done"
    ]
    cohort = Cohort(recordings, patient_table(done, level, seed), out)
    _write(cohort)
    return cohort


def _write(cohort: Cohort) -> None:
    from bayesesi.cohort.page import cohort_page

    page = cohort_page(cohort.recordings, cohort.patients)
    write_text(cohort.folder / "cohort.html", page)
    for name, table in (("recordings", cohort.recordings), ("patients", cohort.patients)):
        with atomic_file(cohort.folder / f"{name}.csv") as draft:
            table.to_csv(draft, index=False)


def _localise(
    entry_json: str,
    folder: str,
    model: str,
    level: float,
    draws: int,
    seed: int,
    bootstrap: int,
) -> dict[str, Any]:
    """Localise one recording, in whatever process: a failure is a row with its reason."""
    entry, place = Entry(**json.loads(entry_json)), Path(folder)
    row = _empty(entry, place.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            obs, result = _infer(entry, model, level, draws, seed)
            result.save(place / RESULT)
            row |= {"status": "done", **_told(result)}
            row |= _again(obs, result, model, seed, bootstrap)
    except InputError as error:
        row["reason"] = str(error)[:_LONGEST]
    except Exception as error:  # one recording is one row, whatever it holds
        first = str(error).splitlines()[0] if str(error) else ""
        row["reason"] = f"{type(error).__name__}: {first}"[:_LONGEST]
    return row


def _infer(
    entry: Entry, model: str, level: float, draws: int, seed: int
) -> tuple[Observation, Result]:
    from bayesesi.forward import template_forward
    from bayesesi.inference import infer
    from bayesesi.model import load_model
    from bayesesi.noise import read_noise_cov
    from bayesesi.observation import observe, read_recording
    from bayesesi.roi import read_target, with_targets

    recording = read_recording(entry.file, entry.condition or None)
    chosen = load_model(model)
    operator = chosen.oriented(template_forward(recording.info))
    named = entry.noise_cov in ("baseline", "adhoc")
    obs = observe(
        recording,
        operator,
        entry.noise_cov if named else read_noise_cov(entry.noise_cov),
        tmin=entry.tmin,
        tmax=entry.tmax,
        baseline=(None, 0) if entry.subtract_baseline else None,
        scale="unknown" if entry.unknown_scale else "known",
    )
    result = infer(obs, chosen, level=level, draws=draws, seed=seed)
    if entry.target and result.localisable:
        result = with_targets(result, [read_target(f"target={entry.target}")])
    return obs, result


def _again(obs: Observation, result: Result, model: str, seed: int, times: int) -> dict[str, Any]:
    """How often the first region is first when the trials are drawn again."""
    from bayesesi.calibration import scored
    from bayesesi.model import load_model

    if not (times and result.has_regions):
        return {}
    names = result.inference_data["regions"]["region"].values.astype(str)
    first, chosen = result.region_table().region[0], load_model(model)
    found = []
    for k, again in enumerate(obs.resampled(times, seed)):
        summary = scored(chosen.posterior(again, seed + k), seed + k)[1]
        found.append(names[int(summary.active.mean(axis=0).argmax())] == first)
    return {"trials_first": float(np.mean(found)), "trials_times": len(found)} if found else {}


def _empty(entry: Entry, folder: str) -> dict[str, Any]:
    return {
        **{"recording": entry.recording, "patient": entry.patient, "status": "failed"},
        **{"reason": "", "verdict": "", "first_region": "", "probability": None},
        **{"set": "", "set_regions": None, "set_share": None, "null": None, "snr_db": None},
        **{"target_mm": None, "target_low_mm": None, "target_high_mm": None},
        **{"target_inside": None, "hit": None, "outcome": entry.outcome},
        **{"trials_first": None, "trials_times": None},
        "folder": folder,
    }


def _told(result: Result) -> dict[str, Any]:
    """What a row says of a result."""
    checks = result.about["checks"]
    row: dict[str, Any] = {
        "verdict": str(result.trust.verdict),
        "null": checks["null_at_even_odds"],
        "snr_db": checks["snr_db"],
    }
    if not result.localisable:
        return {**row, "reason": result.trust.reasons[0].sentence[:_LONGEST]}
    if result.has_regions:
        top, best = result.region_table().iloc[0], result.region_set or result.credible_set
        row |= {
            "first_region": str(top.region),
            "probability": float(top.probability),
            "set": "credible" if result.region_set is None else "conformal",
            "set_regions": len(best.regions),
            "set_share": float(best.share),
        }
    for found in result.about.get("targets") or ():
        row |= {
            "target_mm": found["median_mm"],
            "target_low_mm": found["low_mm"],
            "target_high_mm": found["high_mm"],
            "target_inside": found["inside"],
            "hit": bool(found["mode_mm"] == 0),
        }
    return row
