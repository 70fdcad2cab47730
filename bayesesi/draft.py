"""Files and folders that are there whole or not at all.

Each is written under a name of its own beside its place and takes its name when it is finished, so
that a run which is killed leaves nothing that looks like a result.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesesi.errors import InputError


@contextmanager
def draft_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; it becomes ``path`` when the block ends well, else it is removed.

    Raises
    ------
    InputError : a place that cannot be written.
    """
    path = Path(path)
    draft = _beside(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; choose the name of a file")
        yield draft
        os.replace(draft, path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def draft_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder to write into; it becomes ``path`` when the block ends well.

    Parameters
    ----------
    overwrite : take the place of a folder that has files in it, once the new one is finished.

    Raises
    ------
    InputError : a place that is a file, a folder that is in use, or cannot be written.
    """
    path = Path(path).absolute()
    check_folder(path, overwrite)
    draft = _beside(path)
    try:
        draft.mkdir(parents=True)
        yield draft
        _take_place(draft, path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_folder(path: str | Path, overwrite: bool = False) -> None:
    """That a folder can be written, before anything long is begun.

    Raises
    ------
    InputError : see ``draft_folder``.
    """
    path = Path(path).absolute()
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; choose a folder with -o")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise InputError(
                f"{path} has files in it; choose an empty or new folder, or give --overwrite"
            )
        above = next(folder for folder in path.parents if folder.exists())
    except OSError as error:
        raise _not_written(path, error) from error
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written (no right to {above}); choose another folder")


def _take_place(draft: Path, path: Path) -> None:
    """Rename, with what was there before aside until the new folder has its name."""
    if not path.exists():
        draft.rename(path)
        return
    old = path.with_name(f"{draft.name}.old")
    path.rename(old)
    try:
        draft.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{os.getpid()}.part")


def _not_written(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written ({error.strerror or error}); choose another place")
