"""The docstring check of ``make lint``: it passes what names its parameters and fails the twin."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "lint" / "docstrings.py"

SAMPLE = '''
from dataclasses import dataclass
from typing import Annotated

import typer
from numpy.typing import NDArray
from pydantic import BaseModel, Field

Level = Annotated[float, typer.Option(help="Probability of the sets.")]


@dataclass
class Window:
    """A stretch of a recording.

    Attributes
    ----------
    volts : (C, T), V. start, stop : s after the event. name : of the file.
    """

    volts: NDArray
    start: float
    stop: float
    name: str

    def cut(self, times: NDArray, *rest: float) -> NDArray:
        """Cut values at ``times`` (n,), s."""

    def _hidden(self, x: float): ...


class Later(Window):
    def cut(self, times: NDArray) -> NDArray: ...


class Keys(BaseModel):
    share: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="of empty cases")
    extent_mm: float = Field(description="radius of a disc")


def localize(path: str, level: Level = 0.9) -> None:
    """Localise what is in the file at ``path``."""
'''


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docstrings", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docstrings"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def counted(check: ModuleType, folder: Path, source: str) -> tuple[list[str], int, list[str]]:
    """What is not named, how many parameters there are, and first lines without a verb."""
    package = folder / "package"
    package.mkdir(exist_ok=True)
    (package / "sample.py").write_text(source)
    (package / "_private.py").write_text("def f(x: float): ...")
    named, verbs, _ = check.count(package)
    return (
        [what for _, what in named.missing],
        named.held + len(named.missing),
        [what for _, what in verbs.missing],
    )


def test_a_sample_that_names_every_parameter_passes(check: ModuleType, tmp_path: Path) -> None:
    # four fields, two methods with one parameter, two keys, two options
    assert counted(check, tmp_path, SAMPLE) == ([], 10, [])


@pytest.mark.parametrize(
    ("said", "instead", "missing"),
    [
        ("volts : (C, T), V.", "volts : of the electrodes.", ["volts"]),
        ("volts : (C, T), V.", "", ["volts"]),
        ("start, stop : s after the event.", "start, stop : of the event.", ["start", "stop"]),
        ("``times`` (n,), s.", "times.", ["times", "times"]),  # the override inherits the gap
        ("``times`` (n,), s.", "``times``.", ["times", "times"]),
        (" name : of the file.", "", ["name"]),
        ("ge=0, le=1", "", ["share"]),
        ('help="Probability of the sets."', "", ["level"]),
        ("at ``path``", "", ["path"]),
    ],
)
def test_each_gap_is_found(
    check: ModuleType, tmp_path: Path, said: str, instead: str, missing: list[str]
) -> None:
    assert SAMPLE.count(said) == 1
    assert counted(check, tmp_path, SAMPLE.replace(said, instead))[:2] == (missing, 10)


@pytest.mark.parametrize("first", ["What is in", "Share of", "(n,) values in", "Of"])
def test_a_first_line_without_a_verb_is_found(
    check: ModuleType, tmp_path: Path, first: str
) -> None:
    source = SAMPLE.replace("Localise what is in", first)
    assert counted(check, tmp_path, source)[2] == [f"{first} the file at ``path``."]


def test_an_entry_for_a_parameter_that_is_gone_is_found(check: ModuleType, tmp_path: Path) -> None:
    entries = "Parameters\n    ----------\n    path : a file. level : probability."
    source = SAMPLE.replace(
        "Localise what is in the file at ``path``.", f"Localise.\n\n    {entries}"
    )
    assert counted(check, tmp_path, source) == ([], 10, [])
    assert check.count(tmp_path / "package")[2].missing == []
    counted(check, tmp_path, source.replace("path: str", "file: str"))
    assert [what for _, what in check.count(tmp_path / "package")[2].missing] == ["path"]


def test_a_package_below_the_shares_fails(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted(check, tmp_path, SAMPLE)
    assert check.main([str(tmp_path / "package")]) == 0
    counted(check, tmp_path, "def f(x: float, y: int): ...")
    assert check.main([str(tmp_path / "package"), "--list", "sample"]) == 1
    said = capsys.readouterr().out
    assert "0 of 2, 0.0 %" in said
    assert "sample.py:f: x, y" in said


def test_the_package_itself_holds(check: ModuleType) -> None:
    assert check.main([]) == 0
