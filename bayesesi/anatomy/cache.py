"""What is slow to derive from a mesh, kept between runs in the user's cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file
from bayesesi.io.folders import cache_folder


def cache_entry(name: str, key: Iterable[NDArray[Any]]) -> Path:
    """Name the file for what ``key`` decides.

    Parameters
    ----------
    name : begins the name of the file. key : arrays (n, ...), another file if one changes.
    """
    digest = hashlib.sha256(name.encode())
    for part in key:
        digest.update(np.ascontiguousarray(part).tobytes())
    return cache_folder() / f"{name}-{digest.hexdigest()[:16]}.safetensors"


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Read an entry; None where there is none, or one that cannot be read.

    Parameters
    ----------
    path : of ``cache_entry``.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path) if path.is_file() else None
    except (SafetensorError, OSError):
        return None


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> bool:
    """Write an entry, and say whether that went: a folder that cannot be written is no error.

    Parameters
    ----------
    path : of ``cache_entry``. arrays : by name, (n, ...).
    """
    from safetensors.numpy import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as draft:
            save_file(arrays, draft)
    except (InputError, OSError):
        return False
    return True


def cached_arrays(
    name: str, key: Iterable[NDArray[Any]], compute: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Read the arrays that ``compute()`` gives from the cache, or compute them.

    ``name`` begins the name of the file; ``compute`` takes no arguments; ``key`` are arrays
    (n, ...) that decide the result: if one changes, it is computed anew. An unreadable entry is
    computed anew; a folder that cannot be written is no error.
    """
    path = cache_entry(name, key)
    held = read_arrays(path)
    if held is None:
        held = compute()
        write_arrays(path, held)
    return held
