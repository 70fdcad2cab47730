"""How long an answer takes, over the same at an earlier commit, in turns and in fresh processes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.bench.outcome import Finding, Outcome, Table, at_most
from tests.bench.store import ROOT

TITLE = "Inference, over an earlier commit"
STANDS_ON = ("inference", "posterior", "features", "model", "calibration", "observation", "trust")
#: The commit that ratios are over; pairs of processes, one of each in turn.
BEFORE, PAIRS, PAIRS_LOCALIZE = "d29ba88", 5, 1
#: The code of a commit and the specs that it ships.
_PARTS = (
    *("bayesesi", "priors", "simulators", "reports/templates", "reports/verdicts"),
    *("reports/notebooks", "reports/clinical.toml", "reports/research.toml", "reports/short.toml"),
)
DATA = ROOT.parent / "shared" / "data" / "visual_evoked"

_ANSWER = """
import json, time, warnings
warnings.simplefilter("ignore")
import numpy as np, mne, torch, bayesesi
torch.set_num_threads(1)
from bayesesi.noise import NoiseCovariance
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, 500.0, "eeg", verbose="error").set_montage(montage)
rng = np.random.default_rng(5)
forward = bayesesi.template_forward(info).fixed()
source = forward.leadfield[:, 1500] * 40e-9
noise = NoiseCovariance(
    np.cov(7e-6 * rng.standard_normal((64, 4000))), tuple(info.ch_names),
    autocorrelation=np.array([1.0]),
)
def recording():
    values = source[:, None] + 1e-6 * rng.standard_normal((64, 1))
    return mne.EvokedArray(values, info, tmin=0.1, nave=50, verbose="error")
def cpu(call):
    start = time.process_time()
    call()
    return time.process_time() - start
model = bayesesi.load_model("atoms")
def seen(data):
    return bayesesi.observe(data, forward, noise, scale="known")
out = {}
first = seen(recording())
bayesesi.infer(first, model)
out["first"] = time.process_time()
out["infer"] = min(cpu(lambda o=seen(recording()): bayesesi.infer(o, model)) for _ in range(4))
out["again"] = min(cpu(lambda: bayesesi.infer(first, model)) for _ in range(3))
if hasattr(model, "prepare"):
    prepared = model.prepare(forward, noise, first.recording)
    each = [recording().data for _ in range(4)]
    prepared.posterior(each[0])
    out["prepared"] = min(cpu(lambda v=v: prepared.posterior(v)) for v in each[1:])
print(json.dumps(out))
"""
_IMPORT = """
import time
start = time.process_time()
import bayesesi
print(time.process_time() - start)
"""
#: The ``bayesesi`` command, of the code in the folder it runs in.
_COMMAND = "from bayesesi.cli import app; app()"


def measure(step: Callable[[str], None]) -> Outcome:
    """Measure both commits in turns; ``step`` is told what comes."""
    findings, notes = [], []
    with _earlier() as before:
        rows: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
        for pair in range(PAIRS):
            for name, root in (("before", before), ("now", ROOT)):
                step(f"infer, pair {pair + 1} of {PAIRS}, {name}")
                rows[name].append(json.loads(_run(root, "-c", _ANSWER)[0]))
        bars = {
            "infer": (
                "infer, atoms, a new recording of 64 channels, one moment, 1,000 draws",
                0.35,
            ),
            "again": ("infer, the same recording again", None),
            "first": ("first use of infer in a fresh process, imports and all", 0.55),
        }
        for key, (what, bar) in bars.items():
            ratios = [b[key] / a[key] for a, b in zip(rows["before"], rows["now"], strict=True)]
            findings.append(_ratio(what, ratios, bar))
        pairs = zip(rows["before"], rows["now"], strict=True)
        ratios = [now["prepared"] / old["infer"] for old, now in pairs]
        what = "posterior of a prepared model, second and later calls, over infer before"
        findings.append(_ratio(what, ratios, 0.15))
        step("import and --help")
        imports = [float(_run(ROOT, "-c", _IMPORT)[0]) for _ in range(PAIRS)]
        helps = [_run(ROOT, "-c", _COMMAND, "--help")[1] for _ in range(PAIRS)]
        findings += [_seconds("import bayesesi", imports, 0.1)]
        findings += [_seconds("bayesesi --help, the whole process", helps, 0.5)]
        if DATA.is_dir():
            findings.append(_localize(before, step))
        else:
            notes.append("localize was not measured: ../shared/data/visual_evoked is absent.")
    table = [
        [name, *(float(np.median([row.get(k, np.nan) for row in each])) for k in _COLUMNS)]
        for name, each in rows.items()
    ]
    titles = ("commit", "first use", "infer", "again", "prepared")
    notes.append(f"Ratios are of CPU seconds on one thread, over commit {BEFORE}.")
    return Outcome(findings, [Table("medians, CPU seconds", titles, table)], notes=notes)


_COLUMNS = ("first", "infer", "again", "prepared")


def _localize(before: Path, step: Callable[[str], None]) -> Finding:
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(PAIRS_LOCALIZE):
            spent = []
            for name, root in (("before", before), ("now", ROOT)):
                step(f"localize, pair {pair + 1} of {PAIRS_LOCALIZE}, {name}")
                files = [str(DATA / "visual-ave.fif"), "--noise-cov", str(DATA / "sample-cov.fif")]
                files += ["--condition", "Left visual", "--subtract-baseline"]
                out = str(Path(folder) / f"{name}{pair}")
                if name == "now":  # what the earlier commit did, and no more
                    files += ["--no-calibrate"]
                spent.append(_run(root, "-c", _COMMAND, "localize", *files, "-o", out)[1])
            ratios.append(spent[1] / spent[0])
    what = "localize on the left visual evoked response, a fresh process"
    return _ratio(what, ratios, 0.5)


def _ratio(what: str, ratios: list[float], bar: float | None) -> Finding:
    spread = (min(ratios), max(ratios))
    limit = None if bar is None else at_most(bar)
    return Finding(
        what, f"{len(ratios)} pairs", float(np.median(ratios)), "×", spread, "min-max", limit
    )


def _seconds(what: str, seconds: list[float], bar: float) -> Finding:
    spread = (min(seconds), max(seconds))
    value = float(np.median(seconds))
    return Finding(what, f"{len(seconds)} runs", value, "s", spread, "min-max", at_most(bar))


def _run(root: Path, *arguments: str) -> tuple[str, float]:
    """Run Python on the code of a folder; what it printed, and its CPU seconds."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(root), "MPLBACKEND": "agg"}
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout, end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


@contextmanager
def _earlier() -> Iterator[Path]:
    """A folder with the code of the earlier commit."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", BEFORE, *_PARTS],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)
