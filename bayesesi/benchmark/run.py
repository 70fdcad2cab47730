"""Run a task, method by method, case by case: resumed where it stopped, one reason a failure."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from bayesesi.io.atomic import atomic_file
from bayesesi.observation import Observation
from bayesesi.parallel import run_jobs

if TYPE_CHECKING:
    import pandas as pd

#: Another one where answers are measured otherwise: what was kept is then done anew.
SCHEMA = 2
#: Cases of a condition that are one job; those on which settings are chosen, and their seed.
PIECE, _N_TUNED, _TUNED_SEED = 5, 16, 21
#: Characters of a reason.
_LONGEST = 200


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Hold the answers of all methods.

    Attributes
    ----------
    task : that was asked. settings : of the tuned methods, chosen on other cases, any unit.
    rows : a row a case of a method: ``method``, ``condition``, ``case``, the measures (NaN where
        it has none), the kind of case, and ``reason`` where it failed.
    scores, probability, active : (n, P) of the n rows; NaN where a method has none.
    maps : of a method and a condition, (S,) in shares of its largest value, where the task keeps
        them.
    """

    task: Task
    rows: pd.DataFrame
    scores: NDArray[np.float64] = field(repr=False)
    probability: NDArray[np.float64] = field(repr=False)
    active: NDArray[np.bool_] = field(repr=False)
    maps: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict, repr=False)
    settings: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        failed = int((self.rows["reason"] != "").sum())
        return f"<Benchmark {self.task.name} | {len(self.rows)} answers, {failed} failed>"


def run_benchmark(
    task: Task | str,
    names: list[str] | None = None,
    out: str | Path = "runs/benchmark",
    n: int | None = None,
    n_slow: int | None = None,
    *,
    data: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> Benchmark:
    """Run every method on the same cases; what is there already is not done again.

    Parameters
    ----------
    task : or its name. progress : show a bar.
    names : of methods; all that belong to the task if not given. out : folder of what is finished.
    n, n_slow : cases of fast methods, of slow ones; the task's own if not given.
    data : folder of recordings, of the task ``real``.
    workers, scheduler : see ``parallel.run_jobs``.

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
        raise InputError(f"a benchmark is of one case or more, not {min(sizes.values())}")
    if task.places_only:
        if n is not None or n_slow is not None:
            raise InputError("a recording is one case: leave -n and --n-slow off")
        sizes = dict.fromkeys(sizes, len(task.conditions))
        for condition in task.conditions:  # a damaged file is told before anything is begun
            condition.case(0, SEED)
    elif data is not None:
        raise InputError(f"{task.name} has simulated cases and reads no folder: leave --data off")
    sizes[True] = min(sizes.values())
    place = Path(out).absolute() / task.name
    jobs, kept = [], []
    settings = _settings(task, found, place, workers, scheduler, progress)
    for method in found:
        own = place / slug(method.name)
        about = _about(task, method, settings.get(method.name))
        _claim(own, about)
        for c, first, size in _pieces(task, sizes[method.slow]):
            path = own / f"{c}-{first:05d}.json"
            kept.append((method, path, size))
            if _read(path, size) is None:
                setting = settings.get(method.name)
                jobs.append((task, c, first, size, method.name, setting, str(path)))
    jobs.sort(key=lambda job: (job[2], job[1]))  # a case is made once for all methods
    for _ in run_jobs(_answer_piece, jobs, workers, scheduler, task.name, progress):
        pass
    return _gathered(task, kept, settings)


def _pieces(task: Task, n: int) -> Iterator[tuple[int, int, int]]:
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
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{place} cannot be written ({error.strerror}); see --work") from error
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        kept = {str(k): float(v) for k, v in known["settings"].items() if known["cases"] == about}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        kept = {}  # none yet, or a file that was torn
    missing = [name for name in wanted if name not in kept]
    jobs = [(task, name) for name in missing]
    for name, value in run_jobs(_tune, jobs, workers, scheduler, "settings", progress):
        kept[name] = value
        with atomic_file(path) as draft:
            draft.write_text(json.dumps({"cases": about, "settings": kept}, indent=1))
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


def _answer_piece(
    task: Task,
    c: int,
    first: int,
    size: int,
    method_name: str,
    setting: float | None,
    path: str,
) -> None:
    """The unit of work: it never fails, it says why."""
    method, condition, rows = methods()[method_name], task.conditions[c], []
    n_emd = -(-task.n_emd // len(task.conditions))
    for i in range(first, first + size):
        case = condition.case(i, SEED, method.level)
        rows.append(_answered(method, setting, case, condition.name, i, i < n_emd))
    with atomic_file(path) as draft:
        draft.write_text(json.dumps(rows, allow_nan=True))


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
        "schema": SCHEMA,
        "cases": [condition.fingerprint for condition in task.conditions],
        "seed": SEED,
        "method": method.fingerprint,
        "setting": setting,
        "piece": PIECE,
    }


def _claim(folder: Path, about: dict[str, Any]) -> None:
    """A folder of answers of another method or to other cases is begun anew."""
    path = folder / "method.json"
    try:
        same = json.loads(path.read_text(encoding="utf-8")) == about
    except (OSError, ValueError):
        same = False
    if not same:
        for old in folder.glob("*.json"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as draft:
            draft.write_text(json.dumps(about, indent=1))


def _read(path: Path, size: int) -> list[dict[str, Any]] | None:
    """Of a piece that is finished, with as many cases."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return rows[:size] if isinstance(rows, list) and len(rows) >= size else None


def _gathered(
    task: Task, kept: list[tuple[Method, Path, int]], settings: dict[str, float]
) -> Benchmark:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for _, path, size in kept:
        found = _read(path, size)
        if found is None:
            raise InputError(f"{path} lost its answers; run again")
        rows += found
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
