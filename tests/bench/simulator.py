"""How fast cases come, how much memory they take, and that they do not depend on who makes them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from bayesesi import read_simulator
from tests.bench.outcome import Finding, Outcome, at_least, at_most

TITLE = "Simulators"
STANDS_ON = (
    "anatomy",
    "forward",
    "noise",
    "observation",
    "prior",
    "simulator",
    "assets/template-bank.safetensors",
    "../priors",
    "../simulators",
)
SEED, WORKERS = 17, 2
N_FRAMES, N_SERIES, N_MNE, N_NETWORKS = 12_288, 3072, 12, 64
#: 64 channels x 200 samples with background, coloured noise and all artifacts.
_SERIES = """
schema = 1
name = "series"
description = "64 channels, 200 samples, everything a ward's recording has"
source = "spike"
head = "template-nominal"
noise = "clinical"
sfreq_Hz = 250.0
window_ms = [-200.0, 596.0]
band_Hz = [0.5, 70.0]
time_course = { family = "spike" }
"""


def measure(step: Callable[[str], None]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        series = Path(folder) / "series.toml"
        series.write_text(_SERIES)
        step("one process")
        frames_alone = _rate("single-frame", 4096)
        series_alone = _rate(str(series), 1024)
        step("two processes")
        frames, same = _rate_of_processes("single-frame", N_FRAMES)
        fast, _ = _rate_of_processes(str(series), N_SERIES)
        step("mne.simulation")
        mne_seconds = _mne_seconds(str(series))
    step("memory")
    first, last, peak = _memory()
    step("neural masses")
    networks = _networks_per_second()
    per_s = "cases/s"
    return Outcome(
        [
            Finding(
                "single frames, 64 channels, a head and cap error anew for each case",
                f"{N_FRAMES:,} cases, {WORKERS} processes",
                frames,
                per_s,
                bar=at_least(3000),
            ),
            Finding("the same in one process", "4,096 cases", frames_alone, per_s),
            Finding(
                "64 channels x 200 samples, coloured background and all artifacts",
                f"{N_SERIES:,} cases, {WORKERS} processes",
                fast,
                per_s,
                bar=at_least(300),
            ),
            Finding("the same in one process", "1,024 cases", series_alone, per_s),
            Finding(
                "the same work through mne.simulation",
                f"{N_MNE} cases, one process",
                1 / float(np.median(mne_seconds)),
                per_s,
                interval=(1 / max(mne_seconds), 1 / min(mne_seconds)),
                interval_kind="min-max",
            ),
            Finding(
                "times as fast as mne.simulation, one process each",
                "medians of the above",
                series_alone * float(np.median(mne_seconds)),
                bar=at_least(50),
            ),
            Finding(
                "Jansen-Rit, 68 coupled regions x 10 s at 1 kHz",
                f"{N_NETWORKS} networks at once, {WORKERS} threads",
                networks,
                "networks/s",
                bar=at_least(20),
            ),
            Finding("memory after 4 blocks of spike-64", "1,024 cases", first, "MB"),
            Finding("memory after 40 blocks", "10,240 cases", last, "MB"),
            Finding("memory after 40 blocks over that after 4", "", last / first, bar=at_most(1.1)),
            Finding("most memory at any time", "10,240 cases", peak, "MB", bar=at_most(2000)),
            Finding(
                "blocks that differ between processes",
                f"{len(same)} blocks of 256 cases",
                float(len(same) - sum(same)),
                bar=at_most(0),
            ),
        ],
        notes=[
            "Rates count all of a case: event on 20,484 sources, its own head, noise, the assumed "
            "forward and the estimated covariance of its session; whitening is apart. One thread a "
            "process. mne.simulation is given its lead field, one head for all cases: "
            "`simulate_raw` of the same patches on 5,124 sources, `add_noise` with a covariance "
            "and an autoregressive filter, `add_eog`; it has no other artifact for EEG."
        ],
    )


def _rate(name: str, n: int) -> float:
    with threadpool_limits(1):
        simulator = read_simulator(name)
        simulator.simulate(256, SEED, "bench")
        start = perf_counter()
        for first in range(0, n, 256):
            simulator.simulate(256, SEED, "bench", first)
        return n / (perf_counter() - start)


def _block_hash(name: str, block: int) -> tuple[int, str]:
    """One block in a worker: its number and a digest of its volts."""
    simulator = _simulator(name)
    digest = hashlib.sha256()
    for batch in simulator.block(block, SEED, "bench"):
        digest.update(batch.volts.tobytes())
    return os.getpid(), digest.hexdigest()


_simulators: dict[str, object] = {}


def _simulator(name):
    if name not in _simulators:
        _simulators[name] = read_simulator(name)
    return _simulators[name]


def _rate_of_processes(name: str, n: int) -> tuple[float, list[bool]]:
    """Cases a second of two warm processes, and which of four blocks this one makes alike."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context) as pool:
        warm = [pool.submit(_block_hash, name, 10_000 + i) for i in range(4 * WORKERS)]
        _ = [job.result() for job in warm]
        start = perf_counter()
        jobs = [pool.submit(_block_hash, name, i) for i in range(n // 256)]
        digests = [job.result()[1] for job in jobs]
        seconds = perf_counter() - start
    return n / seconds, [_block_hash(name, i)[1] == digests[i] for i in range(4)]


def _mne_seconds(name: str) -> list[float]:
    """Seconds a case of the same work by MNE-Python, its lead field given."""
    import mne

    batch = read_simulator(name).simulate(64, SEED, "bench").batches[0]
    forward, times = batch.session.forward.to_mne(), batch.session.times
    info = mne.create_info(list(batch.session.ch_names), 250.0, "eeg")
    info.set_montage(mne.channels.make_standard_montage("biosemi64"))
    cov = mne.Covariance(batch.session.true_covariance, list(batch.session.ch_names), [], [], 1000)
    vertices = [s["vertno"] for s in forward["src"]]
    seconds = []
    for k in range(N_MNE):
        start = perf_counter()
        stc = mne.SourceEstimate(batch.field(k), vertices, times[0], 1 / 250.0)
        raw = mne.simulation.simulate_raw(info, stc, forward=forward, verbose="error")
        raw.set_eeg_reference("average", projection=True, verbose="error")
        mne.simulation.add_noise(raw, cov, iir_filter=[1.0, -0.9], rng=k, verbose="error")
        mne.simulation.add_eog(raw, rng=k, verbose="error")
        seconds.append(perf_counter() - start)
    return seconds


_STREAM = """
from bayesesi import read_simulator


def megabytes(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1e3 for line in file if line.startswith(key))


stream = read_simulator("spike-64").stream(seed=17, namespace="bench")
for i in range(1, 161):
    next(stream)
    if i in (16, 160):
        print(megabytes("VmRSS"))
print(megabytes("VmHWM"))
"""


def _memory() -> tuple[float, float, float]:
    """MB held after 4 and 40 blocks, and at most, of a process that streams."""
    run = subprocess.run(
        [sys.executable, "-c", _STREAM], capture_output=True, text=True, check=True
    )
    first, last, peak = map(float, run.stdout.split())
    return first, last, peak


def _networks_per_second() -> float:
    import torch

    from bayesesi.dynamics import JansenRit, integrate

    torch.set_num_threads(WORKERS)
    coupling = torch.rand(68, 68) / 68
    start = perf_counter()
    integrate(JansenRit(), N_NETWORKS, 68, 10.0, coupling=coupling)
    return N_NETWORKS / (perf_counter() - start)
