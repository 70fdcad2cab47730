"""Formats of recordings, one a file: each reads a file into MNE's objects.

A module here decorates a function of a path with ``reader`` and the endings of its files; nothing
else knows the format. A reader of another package does the same before a file of it is read.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from bayesesi.errors import InputError

#: ``mne.io.BaseRaw``, ``mne.BaseEpochs`` or a list of ``mne.Evoked``; MNE has no types.
Loaded: TypeAlias = Any
F = TypeVar("F", bound=Callable[..., object])

_READERS: dict[str, Callable[..., Loaded]] = {}
#: The ending whose reader is tried for a file of any other.
_FALLBACK = ".fif"


def reader(*endings: str) -> Callable[[F], F]:
    """Register a function that reads files of these endings.

    Parameters
    ----------
    endings : of names of files, in lower case, with their point or hyphen (``"-ave.fif"``); the
        longest that fits is taken.
    """

    def enter(read: F) -> F:
        for ending in endings:
            _READERS[ending] = read
        return read

    return enter


def known_endings() -> tuple[str, ...]:
    """List the endings of files that can be read."""
    _load()
    return tuple(sorted(_READERS))


def read_file(path: Path) -> Loaded:
    """Read a recording into MNE's objects: averages as a list, else epochs or a raw recording.

    Parameters
    ----------
    path : of a file that is there.

    Raises
    ------
    InputError : a file that its reader cannot read.
    """
    _load()
    name = path.name.lower()
    fitting = [ending for ending in _READERS if name.endswith(ending)]
    read = _READERS[max(fitting, key=len, default=_FALLBACK)]
    try:
        return read(path)
    except InputError:
        raise
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{path.name} is not a readable FIF recording; give an -ave.fif, -epo.fif or raw.fif "
            "file (other formats: mne.io.read_raw and save)"
        ) from error


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
