"""Fifty recordings, two of them broken; killed in the middle, and resumed to the same tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bayesesi import read_simulator
from bayesesi.simulator import write_fif

pytestmark = pytest.mark.slow
N = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As BIDS would have them: 12 patients with four spikes each."""
    made = tmp_path_factory.mktemp("made") / "fif"
    write_fif(read_simulator("spike-64", group_size=4).simulate(N, 7, "bench"), made, "evoked")
    root = tmp_path_factory.mktemp("bids")
    files = sorted(made.glob("*/eeg/*_ave.fif"))
    assert len(files) == N
    for k, path in enumerate(files):
        own = root / f"sub-{k // 4:02d}" / "eeg"
        own.mkdir(parents=True, exist_ok=True)
        stem = f"sub-{k // 4:02d}_run-{k % 4}"
        path.rename(own / f"{stem}_ave.fif")
        path.with_name(path.name.replace("_ave", "_cov")).rename(own / f"{stem}_cov.fif")
    (root / "sub-00" / "eeg" / "sub-00_run-8_ave.fif").write_bytes(b"no recording")
    whole = (root / "sub-01" / "eeg" / "sub-01_run-0_ave.fif").read_bytes()
    (root / "sub-01" / "eeg" / "sub-01_run-9_ave.fif").write_bytes(whole[: len(whole) // 3])
    return root


def command(folder: Path, out: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("bayesesi"))
    return [program, "cohort", str(folder), "-o", str(out), "--draws", "100"]


def test_killed_and_resumed_fifty_recordings_end_alike(folder: Path, tmp_path: Path) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    subprocess.run(command(folder, whole), check=True, capture_output=True)
    table = pd.read_csv(whole / "recordings.csv")
    assert (table["status"] == "done").sum() == N
    failed = table[table["status"] == "failed"]
    assert len(failed) == 2
    assert failed["reason"].str.len().gt(10).all()
    running = subprocess.Popen(command(folder, again), start_new_session=True)
    while len(list(again.glob("recordings/*/row.json"))) < N // 3:
        assert running.poll() is None
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (again / "recordings.csv").exists()
    subprocess.run(command(folder, again), check=True, capture_output=True)
    for name in ("recordings.csv", "patients.csv", "cohort.html"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()
