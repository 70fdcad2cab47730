"""Files and folders that are there whole or not at all.

What is being written has a hidden name of its own and takes its place when it is finished, so that
a run which is killed leaves nothing that looks like a result.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from bayesesi.errors import InputError

_ENDING = ".part"


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; it becomes ``path`` when the block ends well, else it is removed.

    Raises
    ------
    InputError : a place that cannot be written.
    """
    path = Path(path)
    if not path.name or "\0" in str(path):
        raise InputError(f"{str(path)[:80]!r} is no name of a file; choose one")
    draft = path.with_name(_draft_name(path))
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; choose the name of a file")
        yield draft
        os.replace(draft, path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        _remove(draft)


@contextmanager
def atomic_folder(
    path: str | Path, overwrite: bool = False, former: Sequence[str] = ()
) -> Iterator[Path]:
    """Give an empty folder to write into; its files are in ``path`` when the block ends well.

    Parameters
    ----------
    overwrite : take a folder that has files in it; those of other names stay.
    former : names of files that an earlier run may have left there and this one replaces; the first
        of them, which makes a result of the others, goes first and comes last.

    Raises
    ------
    InputError : a place that is a file, a folder that is in use, or cannot be written.
    """
    path = Path(path).absolute()
    check_folder(path, overwrite)
    draft = (path if path.is_dir() else path.parent) / _draft_name(path)
    try:
        draft.mkdir(parents=True)
        yield draft
        if path.is_dir():
            _fill(path, draft, former)
        else:
            draft.rename(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_folder(path: str | Path, overwrite: bool = False) -> None:
    """Check that the folder ``path`` can be written, before anything long is begun.

    Parameters
    ----------
    overwrite : take a folder that has files in it.

    Raises
    ------
    InputError : see ``atomic_folder``.
    """
    path = Path(path).absolute()
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; choose a folder with -o")
        if path.is_dir() and not overwrite and any(map(_is_finished, path.iterdir())):
            raise InputError(
                f"{path} has files in it; choose an empty or new folder, or give --overwrite"
            )
        above = next(place for place in (path, *path.parents) if place.exists())
        # rights alone do not tell: root has them all, and a disk may be read-only
        os.rmdir(mkdtemp(_ENDING, ".", above))
    except OSError as error:
        raise _not_written(path, error) from error


def _fill(path: Path, draft: Path, former: Sequence[str]) -> None:
    """Files of an earlier run go first: old maps beside a new result would be taken for its."""
    for name in former:
        (path / name).unlink(missing_ok=True)
    for file in sorted(draft.iterdir(), key=lambda file: file.name in former[:1]):
        os.replace(file, path / file.name)


def _is_finished(file: Path) -> bool:
    """Not what a killed run left behind."""
    return not (file.name.startswith(".") and file.suffix == _ENDING)


def _draft_name(path: Path) -> str:
    return f".{path.name[:50]}.{os.getpid()}{_ENDING}"


def _remove(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError:  # the folder above is gone or forbidden: said already
        return


def _not_written(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written ({error.strerror or error}); choose another place")
