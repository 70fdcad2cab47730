"""Run a task, method by method, case by case: resumed where it stopped, one reason a failure."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.answers import answer_of
from bayesesi.benchmark.baselines import BASELINES, best_setting
from bayesesi.benchmark.cases import KINDS, Case
from bayesesi.benchmark.methods import TUNED, Method, chosen, methods
from bayesesi.benchmark.score import MEASURES, measure
from bayesesi.benchmark.tasks import SEED, Task, task_of
from bayesesi.errors import InputError
from bayesesi.io.atomic import write_text
from bayesesi.io.folders import run_folder
from bayesesi.io.store import JsonRows, JsonTables, Manifest, Piece, Store, make_folder
from bayesesi.observation import Observation
from bayesesi.parallel import run_jobs

if TYPE_CHECKING:
    import pandas as pd

#: Another one where answers are measured otherwise: what was kept is then done anew.
SCHEMA = 2
#: Cases of a condition that are one job; those on which settings are chosen, and their seed.
PIECE, _N_TUNED, _TUNED_SEED = 5, 16, 21
_MANIFEST = Manifest("method.json", SCHEMA, "answers", "*.json")
#: Characters of a reason.
_LONGEST = 200


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Hold the answers of all methods.

    Attributes
    ----------
    task : of the cases. settings : of the tuned methods, chosen on other cases, any unit.
    rows : a row a case of a method: ``method``, ``condition``, ``case``, the measures (NaN where
        it has none), the kind of case, and ``reason`` where it failed.
    scores, probability, active : (n, P) of the n rows; NaN where a method has none.
    maps : of a method and a condition, (S,) in shares of its largest value, where the task keeps
        them.
    folder : of finished answers.
    """

    task: Task
    rows: pd.DataFrame
    scores: NDArray[np.float64] = field(repr=False)
    probability: NDArray[np.float64] = field(repr=False)
    active: NDArray[np.bool_] = field(repr=False)
    maps: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict, repr=False)
    settings: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None

    def __repr__(self) -> str:
        failed = int((self.rows["reason"] != "").sum())
        return f"<Benchmark {self.task.name} | {len(self.rows)} answers, {failed} failed>"


def run_benchmark(
    task: Task | str,
    names: list[str] | None = None,
    out: str | Path | None = None,
    n: int | None = None,
    n_slow: int | None = None,
    *,
    data: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> Benchmark:
    """Answer the same cases by every method; what is there already is not done again.

    Parameters
    ----------
    task : or its name. names : of methods; all that belong to the task if not given.
    out : folder of finished answers, one in the user's cache folder if not given.
    n, n_slow : cases of fast methods, of slow ones; the task's own if not given.
    data : folder of recordings, of the task ``real``.
    workers, scheduler : see ``parallel.run_jobs``. progress : show bars, and print ``out``.

    Raises
    ------
    InputError : no such task or method, fewer cases than one, no recordings.
    """
    task = task_of(task, data) if isinstance(task, str) else task
    found = chosen(names, task.places)
    if names is None:
        found = [method for method in found if method.name not in task.skip]
    sizes = {False: task.n if n is None else n, True: task.n_slow if n_slow is None else n_slow}
    if min(sizes.values()) < 1:
        raise InputError(f"a benchmark needs at least one case, got {min(sizes.values())}")
    if task.places_only:
        if n is not None or n_slow is not None:
            raise InputError("a recording is one case: omit -n and --n-slow")
        sizes = dict.fromkeys(sizes, len(task.conditions))
        for condition in task.conditions:  # a damaged file is told before anything is begun
            condition.case(0, SEED)
    elif data is not None:
        raise InputError(f"{task.name} has simulated cases and reads no folder: omit --data")
    sizes[True] = min(sizes.values())
    out = run_folder("benchmark", "answers", progress=progress) if out is None else out
    place = Path(out).absolute() / task.name
    pieces: list[Piece] = []
    settings = _settings(task, found, place, workers, scheduler, progress)
    for method in found:
        setting = settings.get(method.name)
        # answers of another method, or to other cases, are begun anew
        _MANIFEST.claim(place / slug(method.name), _about(task, method, setting), anew=True)
        for c, first, size in _parts(task, sizes[method.slow]):
            job = (task, c, first, size, method.name, setting)
            pieces.append(Piece(f"{slug(method.name)}/{c}-{first:05d}.json", size, job))
    store = Store(place, JsonRows())
    # in this order a case is made once for all methods
    by_case = sorted(pieces, key=lambda piece: (piece.job[2], piece.job[1]))
    store.run(_answers, by_case, workers, scheduler, f"{task.name} answers", progress)
    rows = [row for rows in store.gather(pieces) for row in rows]
    return replace(_gathered(task, rows, settings), folder=place)


def _parts(task: Task, n: int) -> Iterator[tuple[int, int, int]]:
    """Condition, first case and number of cases; conditions have cases in turn."""
    conditions = len(task.conditions)
    for c in range(conditions):
        own = (n - c + conditions - 1) // conditions
        for first in range(0, own, PIECE):
            yield c, first, min(PIECE, own - first)


def _settings(
    task: Task,
    found: list[Method],
    place: Path,
    workers: int,
    scheduler: str | None,
    progress: bool,
) -> dict[str, float]:
    """Chosen on other cases of the task, once."""
    wanted = [method.name for method in found if method.name.endswith(TUNED)]
    path = place / "settings.json"
    about = [condition.fingerprint for condition in task.tuning]
    make_folder(place)
    known = JsonTables({"cases": about}).read(path) or {}
    try:
        kept = {str(k): float(v) for k, v in known["settings"].items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        kept = {}  # none yet, or a damaged file
    jobs = [(task, name) for name in wanted if name not in kept]
    done = len(wanted) - len(jobs)
    for name, value in run_jobs(_tune, jobs, workers, scheduler, "settings", progress, done):
        kept[name] = value
        write_text(path, json.dumps({"cases": about, "settings": kept}, indent=1))
    return {name: kept[name] for name in wanted}


def _tune(task: Task, name: str) -> tuple[str, float]:
    base, share = name.removesuffix(TUNED), -(-_N_TUNED // len(task.tuning))
    least = BASELINES[base].least

    def cases() -> Iterator[tuple[Observation, NDArray[np.float64]]]:
        for condition in task.tuning:
            for i in range(share):
                case = condition.case(i, _TUNED_SEED)
                if case.obs.n_functions >= least:
                    yield case.obs, case.centres

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return name, best_setting(cases(), base)
        except InputError:  # no case of the task has the functions of time that it needs
            return name, float(BASELINES[base].grid[0])


def _answers(
    task: Task,
    c: int,
    first: int,
    size: int,
    method_name: str,
    setting: float | None,
) -> list[dict[str, Any]]:
    """Answer a piece of cases, in whatever process: what fails is a row with its reason."""
    method, condition, rows = methods()[method_name], task.conditions[c], []
    n_emd = -(-task.n_emd // len(task.conditions))
    for i in range(first, first + size):
        case = condition.case(i, SEED, method.level)
        rows.append(_answered(method, setting, case, condition.name, i, i < n_emd))
    return rows


def _answered(
    method: Method, setting: float | None, case: Case, condition: str, i: int, emd: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": method.name,
        "condition": condition,
        "case": i,
        "reason": "",
        "kinds": [float(value) for value in case.kinds],
        "active": [int(k) for k in np.flatnonzero(case.active)],
    }
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = method.solve(case.obs, i, setting)
            answer = answer_of(found, case.obs, i, method.sizes)
            row["seconds"] = time.perf_counter() - began
            row |= measure(case, answer, method.amplitude, emd)
        row["scores"] = [float(value) for value in answer.scores]
        if answer.probability is not None:
            row["probability"] = [float(value) for value in answer.probability]
        if case.places_only and answer.size is not None:
            largest = float(answer.size.max()) or 1.0
            row["map"] = [round(float(value) / largest, 4) for value in answer.size]
    except Exception as error:  # a method that fails is a row with its reason
        said = str(error).splitlines()[0] if str(error) else ""
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        row["reason"] = f"{kind}{said}"[:_LONGEST] or type(error).__name__
    return row


def _about(task: Task, method: Method, setting: float | None) -> dict[str, Any]:
    return {
        "cases": [condition.fingerprint for condition in task.conditions],
        "seed": SEED,
        "method": method.fingerprint,
        "setting": setting,
        "piece": PIECE,
    }


def _gathered(task: Task, rows: list[dict[str, Any]], settings: dict[str, float]) -> Benchmark:
    import pandas as pd

    regions = len(template_parcellation(4).names) if task.places == "cortex" else 0
    n = len(rows)
    scores, probability = np.full((n, regions), np.nan), np.full((n, regions), np.nan)
    active = np.zeros((n, regions), bool)
    table, maps = [], {}
    for k, row in enumerate(rows):
        active[k, row["active"]] = True
        if regions and row.get("scores"):
            scores[k] = row["scores"]
        if row.get("probability"):
            probability[k] = row["probability"]
        if row.get("map"):
            maps[row["method"], row["condition"]] = np.array(row["map"])
        table.append(
            {
                **{name: row[name] for name in ("method", "condition", "case", "reason")},
                **{name: row.get(name, np.nan) for name in MEASURES},
                **dict(zip(KINDS, row["kinds"], strict=True)),
            }
        )
    return Benchmark(task, pd.DataFrame(table), scores, probability, active, maps, settings)


def slug(name: str) -> str:
    """Make a folder's name of a method that is harmless.

    Parameters
    ----------
    name : of the method.
    """
    import re
    import zlib

    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name)[:40].strip('-')}-{zlib.crc32(name.encode()):08x}"
