"""Files are whole or not there: full disks, writers side by side, mistakes in the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayesesi.cli.app import save_figure
from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file, atomic_folder, remove_abandoned, write_text

#: Writes 400 kB where files may have 64 kB, and prints how that ended.
_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
import torch
from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file
from safetensors.numpy import save_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
values = np.zeros((100, 500))
write = {
    "text": lambda path: path.write_text("a" * 400_000),
    "safetensors": lambda path: save_file({"a": values}, path),
    "torch": lambda path: torch.save(torch.tensor(values), path),
    "numpy": lambda path: np.save(path.open("wb"), values),
}[sys.argv[1]]
try:
    with atomic_file(sys.argv[2]) as draft:
        write(draft)
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
@pytest.mark.parametrize("library", ["text", "safetensors", "torch", "numpy"])
def test_a_full_disk_is_one_sentence_whichever_library_writes(library: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    run = subprocess.run(
        [sys.executable, "-c", _FULL, library, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written (" in run.stdout
    assert run.stdout.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), TypeError("no"), KeyError("a")])
def test_a_mistake_in_the_program_is_raised_as_it_is(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught, atomic_file(tmp_path / "x"):
        raise error
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_writers_of_one_file_have_drafts_of_their_own(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x") as one, atomic_file(tmp_path / "x") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "x").read_text() == "one"  # the last that ended
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def _dead() -> int:
    run = subprocess.Popen([sys.executable, "-c", ""])
    run.wait()
    return run.pid


def test_drafts_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x") as living:
        living.write_text("half")
        machine = living.name.split(".")[2]
        dead = tmp_path / f".x.{machine}.{_dead()}.01234567.part"
        old = tmp_path / ".x.01234567.1.01234567.part"
        new = tmp_path / ".x.76543210.1.01234567.part"
        other, named = tmp_path / f".y.{machine}.{_dead()}.01234567.part", tmp_path / "thesis.part"
        for file in (dead, old, new, other, named):
            file.write_text("half")
        os.utime(old, (0, 0))
        write_text(tmp_path / "x", "whole")
        left = {file.name for file in tmp_path.iterdir()}
        assert left == {"x", living.name, new.name, other.name, named.name}
        remove_abandoned(tmp_path)
        assert not other.exists()
        assert named.exists()


def test_a_draft_of_a_folder_that_was_killed_goes(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as draft:
        machine = draft.name.split(".")[2]
        (draft / "a").write_text("new")
    left = tmp_path / f".out.{machine}.{_dead()}.01234567.part"
    left.mkdir()
    (left / "a").write_text("half")
    with atomic_folder(tmp_path / "out", overwrite=True) as draft:
        (draft / "b").write_text("new")
    inside = tmp_path / "out" / left.name
    left.rename(inside)
    with atomic_folder(tmp_path / "out", overwrite=True) as draft:
        (draft / "b").write_text("newer")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"a", "b"}


def test_a_figure_is_whole_or_not_there(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    class Cut(Figure):
        def savefig(self, path: Path, **options: object) -> None:  # type: ignore[override]
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")

    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(InputError, match="No space left"):
        save_figure(Cut(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    with pytest.raises(InputError, match="ending must be one of"):
        save_figure(Figure(), tmp_path / "a.docx")
    save_figure(Figure(), tmp_path / "b.svg")
    assert b"<svg" in (tmp_path / "b.svg").read_bytes()
    assert np.all([file.suffix in (".png", ".svg") for file in tmp_path.iterdir()])
