"""Simulations on disk: whole or not at all, resumed after a kill, the same from any worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bayesesi.cli import app
from bayesesi.errors import InputError
from bayesesi.simulator import read_simulation, read_simulator, write_simulation

N, SEED = 1100, 4


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "whole"
    return write_simulation(read_simulator("single-frame"), folder, N, SEED, "bench", shard=256)


def test_what_is_read_is_what_was_simulated(store: Path) -> None:
    read = read_simulation(store)
    made = read_simulator("single-frame").simulate(N, SEED, "bench")
    assert len(read) == N
    assert read.namespace == "bench"
    assert np.array_equal(read.active, made.active)
    assert np.array_equal(read.snr_db, made.snr_db)
    for k in (0, 300, 1099):
        a, b = read.observation(k), made.observation(k)
        assert np.array_equal(a.values, b.values)
        assert np.allclose(
            a.leadfield, b.leadfield, rtol=1e-4, atol=1e-6 * np.abs(b.leadfield).max()
        )
        assert np.array_equal(read.field(k), made.field(k))
        for name, value in made.truth(k).latents.items():
            assert np.array_equal(read.truth(k).latents[name], value), name


def test_a_killed_run_goes_on_to_the_same_store(store: Path, tmp_path: Path) -> None:
    """kill -9 once two shards are there; then the rest, bit for bit, and no drafts."""
    folder = tmp_path / "killed"
    code = (
        "from bayesesi.simulator import *\n"
        f"write_simulation(read_simulator('single-frame'), {str(folder)!r}, {N}, {SEED}, 'bench', "
        "shard=256)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    deadline = time.monotonic() + 120
    while not (folder / "shard-00001.safetensors").is_file() and time.monotonic() < deadline:
        assert run.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (folder / "shard-00004.safetensors").is_file(), "too late to interrupt anything"
    with pytest.raises(InputError, match="run the same `bayesesi simulate` again"):
        read_simulation(folder)
    other = folder / "shard-00004.safetensors.0123abcd.1.part"  # an old one of another machine
    other.write_bytes(b"half a shard")
    os.utime(other, (0, 0))
    kept = (folder / "shard-00000.safetensors").stat().st_mtime_ns
    write_simulation(read_simulator("single-frame"), folder, N, SEED, "bench", shard=256)
    assert (folder / "shard-00000.safetensors").stat().st_mtime_ns == kept
    assert contents(folder) == contents(store)


def test_two_workers_give_what_one_process_gives(store: Path, tmp_path: Path) -> None:
    code = (
        "from bayesesi.simulator import *\n"
        "if __name__ == '__main__':\n"
        f"    write_simulation(read_simulator('single-frame'), {str(tmp_path / 'two')!r}, {N}, "
        f"{SEED}, 'bench', shard=256, workers=2)\n"
    )
    script = tmp_path / "two.py"
    script.write_text(code)
    subprocess.run([sys.executable, script], check=True, timeout=300)
    assert contents(tmp_path / "two") == contents(store)


def test_another_shard_size_holds_the_same_cases(store: Path, tmp_path: Path) -> None:
    made = read_simulator("single-frame")
    read = read_simulation(write_simulation(made, tmp_path / "x", N, SEED, "bench", shard=512))
    whole = read_simulation(store)
    for k in (0, 511, 512, 1099):
        assert np.array_equal(read.observation(k).values, whole.observation(k).values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 5}, r"cases of another seed \(4 and not 5\)"),
        ({"n": 1200}, r"another n \(1100 and not 1200\)"),
        ({"namespace": "train"}, r"another namespace \('bench' and not 'train'\)"),
        ({"shard": 100}, "multiple of 256"),
        ({"workers": 0}, "1 or more"),
        ({"namespace": "tests"}, "namespace is one of"),
    ],
)
def test_another_simulation_is_not_mixed_in(
    store: Path, change: dict[str, object], sentence: str
) -> None:
    before = contents(store)
    keys = {"n": N, "seed": SEED, "namespace": "bench", "shard": 256} | change
    with pytest.raises(InputError, match=sentence):
        write_simulation(read_simulator("single-frame"), store, **keys)  # type: ignore[arg-type]
    assert contents(store) == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="choose an empty folder"):
        write_simulation(read_simulator("single-frame"), tmp_path, 1)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_a_damaged_store_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no simulation"):
        read_simulation(tmp_path)
    folder = write_simulation(read_simulator("single-frame"), tmp_path / "x", 1)
    shard = folder / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable shard"):
        read_simulation(folder)
    (folder / "simulation.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        read_simulation(folder)
    (folder / "simulation.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match="schema 99"):
        read_simulation(folder)


def test_the_command_line_simulates_and_draws(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = CliRunner().invoke(app, ["simulate", "spike-64", "-n", "70", "-o", str(out)])
    assert run.exit_code == 0, run.output
    assert (out / "page.png").stat().st_size > 50_000
    assert len(read_simulation(out)) == 70
    again = CliRunner().invoke(app, ["simulate", "spike-64", "-n", "70", "-o", str(out)])
    assert again.exit_code == 0, again.output
    wrong = CliRunner().invoke(app, ["simulate", "spike-65", "-n", "70", "-o", str(out)])
    assert wrong.exit_code == 2
    assert "did you mean 'spike-64'" in wrong.output
