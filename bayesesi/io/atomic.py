"""Files and folders that are there whole or not at all.

What is being written has a hidden name of its own and takes its place when it is finished, so that
a run which is killed leaves nothing that looks like a result.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from bayesesi.errors import InputError

_ENDING = ".part"
#: Characters of a name that its draft keeps.
_LONGEST = 50
#: Name, machine, process and, since a number of one process can be another's on the next machine,
#: a random part.
_DRAFT = re.compile(r"\.?(.+)\.([0-9a-f]{8})\.(\d+)(?:\.[0-9a-f]{8})?\.part")
#: s after which the draft of another machine is abandoned.
_STALE = 3600.0
#: How writers in other languages (HDF5, torch, safetensors) report what the disk refused.
_DISK = re.compile(r"errno = \d|os error \d|I/O error|iostream error|HDF error|No space left")


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; it becomes ``path`` when the block ends well, else it is removed.

    Drafts of the same file that killed runs left are removed too.

    Raises
    ------
    InputError : a place that cannot be written, whichever library reports it; other errors of the
        block are raised as they are.
    """
    path = Path(path)
    if not path.name or "\0" in str(path):
        raise InputError(f"{str(path)[:80]!r} is not a file name; choose one")
    draft = path.with_name(_draft_name(path))
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; choose the name of a file")
        remove_abandoned(path.parent, path.name)
        yield draft
        _flush(draft)
        os.replace(draft, path)
    except Exception as error:
        if _is_failed_write(error):
            raise _not_written(path, error) from error
        raise
    finally:
        _remove(draft)


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` to the file ``path`` in UTF-8, whole or not at all.

    Raises
    ------
    InputError : a place that cannot be written.
    """
    with atomic_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return Path(path)


def remove_abandoned(folder: Path, name: str = "") -> None:
    """Remove drafts that killed runs left in ``folder``; of one file only, if ``name`` is given."""
    cut = name[:_LONGEST]
    try:
        for draft in folder.glob("*" + _ENDING):
            known = _DRAFT.fullmatch(draft.name)
            if (
                known
                and (not name or known[1] == cut)
                and _is_abandoned(draft, *known.groups()[1:])
            ):
                _remove(draft)
    except OSError:  # the folder is missing or forbidden: writing to it says so
        return


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
        remove_abandoned(draft.parent, path.name)
        draft.mkdir(parents=True)
        yield draft
        if path.is_dir():
            _fill(path, draft, former)
        else:
            draft.rename(path)
    except Exception as error:
        if _is_failed_write(error):
            raise _not_written(path, error) from error
        raise
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
        if path.is_dir() and not overwrite and not all(map(is_draft, path.iterdir())):
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


def is_draft(path: Path) -> bool:
    """Tell whether ``path`` is being written, or is what a killed run left."""
    return path.name.startswith(".") and path.suffix == _ENDING


def _draft_name(path: Path) -> str:
    process = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    return f".{path.name[:_LONGEST]}.{process}{_ENDING}"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_abandoned(draft: Path, machine: str, process: str) -> bool:
    """Tell whether nobody writes it any more: its process on this machine ended, or it is old."""
    if machine == _machine() and os.name == "posix":
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):  # another user's process: it lives
            return False
        return False
    return time.time() - draft.stat().st_mtime > _STALE


def _flush(draft: Path) -> None:
    """Have the disk take it now: some file systems find only then that they are full."""
    with draft.open("r+b") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # cannot be asked
                raise


def _remove(draft: Path) -> None:
    try:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
    except OSError:  # the folder above is gone or forbidden: the user has read so
        return


def _is_failed_write(error: Exception) -> bool:
    """Tell a disk that refuses from a mistake in the program."""
    if isinstance(error, OSError):
        return True
    foreign = type(error) is RuntimeError or type(error).__name__ == "SafetensorError"
    return foreign and _DISK.search(f"{error} {error.__context__}") is not None


def _not_written(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
    return InputError(f"{path} cannot be written ({reason}); choose another place")
