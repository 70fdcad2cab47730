"""Folders that an earlier version left half done go on as they are.

Those in `folders/` were written at commit d29ba88: `simulation` of 1 case in a cap of 19, `trials`
of sLORETA on 2 cases, `benchmark` of the minimum norm on 2 cases and 2 sources.
"""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesesi import __version__
from bayesesi.benchmark import resolution_maps
from bayesesi.benchmark import run as benchmark_run
from bayesesi.benchmark.methods import methods
from bayesesi.benchmark.region_scores import sloreta
from bayesesi.calibration import Mixture, run_trials, trial_runner
from bayesesi.calibration.trial_runner import solver_name
from bayesesi.cohort import run as cohort_run
from bayesesi.cohort.entries import Entry
from bayesesi.simulator import Simulator, read_simulation, write_simulation
from bayesesi.simulator import store as simulation_store

FOLDERS = Path(__file__).with_name("folders")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDERS, tmp_path / "old"))


def _never(*job: object) -> None:
    raise AssertionError("there already")


def _change(path: Path, **values: Any) -> None:
    """Code and version belong to what old answers are of: take them for today's."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values, indent=1))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_simulation_goes_on(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is simulated today, below the old manifest, is the old shard, byte for byte."""
    simulation = read_simulation(old / "simulation")
    before = _contents(old)
    simulator = Simulator(simulation.spec, group_size=1)
    with monkeypatch.context() as patch:
        patch.setattr(simulation_store, "_shard", _never)
        write_simulation(simulator, old / "simulation", 1, 4, "bench", shard=256)
    assert _contents(old) == before
    (old / "simulation" / "shard-00000.safetensors").unlink()
    write_simulation(simulator, old / "simulation", 1, 4, "bench", shard=256)
    again = read_simulation(old / "simulation")
    assert np.allclose(again.batches[0].volts, simulation.batches[0].volts, rtol=1e-6, atol=0)
    assert set(_contents(old)) == set(before)


def test_trials_go_on(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two cases that are there are read; one more is run, and what both share is equal."""
    mixture = Mixture.read(["frame-any-cap"])
    _change(old / "trials" / "trials.json", solver=solver_name(sloreta))
    with monkeypatch.context() as patch:
        patch.setattr(trial_runner, "_trials", _never)
        kept = run_trials(sloreta, mixture, 2, 3, "validate", old / "trials")
    more = run_trials(sloreta, mixture, 3, 3, "validate", old / "trials")
    assert np.array_equal(more.active[:2], kept.active)
    assert np.allclose(more.scores[:2], kept.scores, rtol=1e-5)
    assert sorted(path.name for path in (old / "trials").iterdir()) == [
        "00-000000.safetensors",
        "trials.json",
    ]


def test_a_benchmark_goes_on_and_is_begun_anew_for_another_method(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = next((old / "benchmark" / "cortex-focal").iterdir())
    _change(own / "method.json", method=methods()["MNE"].fingerprint)
    before = _contents(own)
    with monkeypatch.context() as patch:
        patch.setattr(benchmark_run, "_answers", _never)
        found = benchmark_run.run_benchmark("cortex-focal", ["MNE"], old / "benchmark", 2, 2)
    assert list(found.rows["peak_mm"].round(2)) == [28.86, 11.16]
    assert _contents(own) == before
    _change(own / "method.json", method="MNE of another version")

    def answers(task: object, c: int, first: int, *rest: object) -> list[dict[str, Any]]:
        row = {"method": "MNE", "condition": "x", "case": first, "reason": "no", "active": []}
        return [{**row, "kinds": [0.0] * 11}]

    monkeypatch.setattr(benchmark_run, "_answers", answers)
    found = benchmark_run.run_benchmark("cortex-focal", ["MNE"], old / "benchmark", 2, 2)
    assert list(found.rows["reason"]) == ["no", "no"]
    assert set(_contents(own)) == set(before)


def test_maps_of_resolution_go_on(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = next((old / "benchmark" / "resolution").glob("*/00000.json"))
    _change(piece, method=methods()["MNE"].fingerprint)
    monkeypatch.setattr(resolution_maps, "tried", lambda: np.array([3, 900]))
    monkeypatch.setattr(resolution_maps, "_piece", _never)
    found = resolution_maps.run_single_sources(["MNE"], old / "benchmark")
    assert found.psf["MNE"].peak_error.round(2).tolist() == [5.72, 0.0]


def test_a_cohort_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row as it was written, of a recording that failed; without a key it is made again."""
    entry = Entry("no-such-ave.fif", "no such", "p")
    options = {
        **{"model": "gaussian auto", "level": 0.9, "draws": 60, "seed": 0},
        **{"schema": 1, "version": __version__, "bootstrap": 0},
    }
    row = {
        **{"recording": "no such", "patient": "p", "status": "failed"},
        **{"reason": "as it was", "verdict": "", "first_region": "", "probability": None},
        **{"set": "", "set_regions": None, "set_share": None, "null": None, "snr_db": None},
        **{"target_mm": None, "target_low_mm": None, "target_high_mm": None},
        **{"target_inside": None, "hit": None, "outcome": ""},
        **{"trials_first": None, "trials_times": None},
        "folder": entry.folder,
        "job": zlib.crc32(json.dumps(options, sort_keys=True).encode()),
    }
    place = tmp_path / "recordings" / entry.folder
    place.mkdir(parents=True)
    (place / "row.json").write_text(json.dumps(row, indent=1))
    with monkeypatch.context() as patch:
        patch.setattr(cohort_run, "_localise", _never)
        found = cohort_run.run_cohort([entry], tmp_path, "gaussian", draws=60)
    assert found.recordings["reason"][0] == "as it was"
    assert list(found.recordings.columns) == [key for key in row if key != "job"]
    (place / "row.json").write_text(json.dumps({"job": row["job"]}))
    found = cohort_run.run_cohort([entry], tmp_path, "gaussian", draws=60)
    assert "no-such-ave.fif" in found.recordings["reason"][0]
