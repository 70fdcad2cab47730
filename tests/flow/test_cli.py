"""The command line: every verb teaches, a mistake is one sentence, files go in and pictures out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bayesesi.cli import app
from bayesesi.demo import simulate_patient

PNG = b"\x89PNG"
VERBS = (
    [],
    ["demo"],
    ["localize"],
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
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated patient's average."""
    path = tmp_path_factory.mktemp("patient") / "simulated-ave.fif"
    simulate_patient().evoked.save(path, verbose="error")
    return path


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_teaches(verb: list[str]) -> None:
    code, said, _ = run(*verb, "--help")
    assert code == 0
    assert "Usage" in said
    assert len(said.split()) > 20


@pytest.mark.slow
def test_the_demo_shows_its_truth(tmp_path: Path) -> None:
    """Some minutes more the first time, when distances on the cortex are computed."""
    folder = tmp_path / "out"
    code, said, _ = run("demo", "-o", folder)
    assert code == 0
    assert (folder / "simulated-ave.fif").stat().st_size > 10_000
    assert (folder / "observation.png").read_bytes()[:4] == PNG
    assert "middletemporal-rh" in said
    assert "truth" in (folder / "report.html").read_text(encoding="utf-8")


def test_observe_says_what_is_in_a_window(file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "window.png"
    code, said, _ = run("observe", file, "--tmin", 0.0, "--tmax", 0.05, "-o", picture)
    assert code == 0
    assert "simulated spike" in said
    assert "nominal" in said
    assert picture.read_bytes()[:4] == PNG


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["observe", "nowhere-ave.fif"], "is not a file"),
        (["observe", "{file}", "--noise-cov", "nowhere-cov.fif"], "is not a file"),
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
    file: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    filled = [w.replace("{file}", str(file)).replace("{folder}", str(tmp_path)) for w in words]
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
