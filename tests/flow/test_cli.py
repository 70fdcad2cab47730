"""The command line: every verb teaches, a mistake is one sentence, files go in and pictures out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bayesesi.cli import app

PNG = b"\x89PNG"
VERBS = (
    [],
    ["demo"],
    ["observe"],
    ["head"],
    ["head", "show"],
    ["head", "build"],
    ["head", "atlas"],
    ["specs"],
    ["specs", "show"],
    ["specs", "schema"],
)


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    code, said, _ = run("demo", "-o", folder / "out")
    assert code == 0
    return folder / "out", said


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_teaches(verb: list[str]) -> None:
    code, said, _ = run(*verb, "--help")
    assert code == 0
    assert "Usage" in said
    assert len(said.split()) > 20


def test_the_demo_writes_a_recording_and_two_pictures(demo: tuple[Path, str]) -> None:
    folder, said = demo
    assert (folder / "simulated-ave.fif").stat().st_size > 10_000
    assert all((folder / name).read_bytes()[:4] == PNG for name in ("head.png", "observation.png"))
    assert "middletemporal-rh" in said


def test_the_demo_finds_its_source_and_agrees_with_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated evoked written to FIF and observed equals the array path to 1e-6."""
    from bayesesi.demo import run_demo

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *a, **k: None)
    result = run_demo(tmp_path)
    assert result.array_difference < 1e-6
    assert result.scan_error_mm < 40


def test_observe_says_what_is_in_a_window(demo: tuple[Path, str], tmp_path: Path) -> None:
    file = demo[0] / "simulated-ave.fif"
    picture = tmp_path / "window.png"
    code, said, _ = run("observe", file, "--tmin", 0.0, "--tmax", 0.05, "-o", picture)
    assert code == 0
    assert "simulated spike" in said
    assert "nominal" in said
    assert picture.read_bytes()[:4] == PNG


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["observe", "nowhere-ave.fif"], "is no file"),
        (["observe", "{file}", "--noise-cov", "nowhere-cov.fif"], "is no file"),
        (["observe", "{file}", "--condition", "<script>alert(1)</script>"], "<script>"),
        (["observe", "{file}", "--condition", "x" * 10_000], "allowed are"),
        (["observe", "{file}", "--tmin", "9"], "holds no sample"),
        (["observe", "{file}", "--tmin", "0", "-o", "{folder}/none/x.png"], "cannot be written"),
        (["head", "show", "--montage", "biosmi64"], "allowed are"),
        (["head", "build", "-o", "{folder}/none/bank.safetensors"], "does not exist"),
        (["specs", "show", "focl"], "did you mean 'focal'"),
        (["specs", "schema", "hats"], "kind is one of"),
    ],
)
def test_a_mistake_is_one_sentence(
    demo: tuple[Path, str], tmp_path: Path, words: list[str], sentence: str
) -> None:
    file = str(demo[0] / "simulated-ave.fif")
    filled = [w.replace("{file}", file).replace("{folder}", str(tmp_path)) for w in words]
    code, _, said = run(*filled)
    assert code == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert len(said) < 1000
    assert "Traceback" not in said


def test_specs_are_listed_shown_and_described() -> None:
    assert "focal" in run("specs")[1]
    shown = run("specs", "show", "focal")[1]
    assert '"moment_nAm"' in shown
    assert "hash" in shown
    assert '"properties"' in run("specs", "schema", "sources")[1]


def test_the_package_imports_nothing_heavy() -> None:
    """`import bayesesi` stays quick by loading names on first use."""
    code = (
        "import sys, bayesesi; assert 'observe' in dir(bayesesi); "
        "heavy = {'torch', 'mne', 'scipy', 'matplotlib', 'pyro', 'nilearn'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_loads() -> None:
    import bayesesi

    assert all(getattr(bayesesi, name) is not None for name in bayesesi.__all__)
    with pytest.raises(AttributeError, match="no attribute 'localise'"):
        _ = bayesesi.localise
