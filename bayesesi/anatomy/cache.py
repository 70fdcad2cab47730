"""What is slow to derive from a mesh, kept between runs in the user's cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file
from bayesesi.io.folders import cache_folder


def cached_arrays(
    name: str, key: Iterable[NDArray[Any]], compute: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Read the arrays that ``compute()`` gives from the cache, or compute them.

    ``name`` begins the name of the file; ``compute`` takes no arguments; ``key`` are arrays
    (n, ...) that decide the result: if one changes, it is computed anew. An unreadable entry is
    computed anew; a folder that cannot be written is no error.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    digest = hashlib.sha256(name.encode())
    for part in key:
        digest.update(np.ascontiguousarray(part).tobytes())
    path = cache_folder() / f"{name}-{digest.hexdigest()[:16]}.safetensors"
    if path.is_file():
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            pass
    arrays = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as draft:
            save_file(arrays, draft)
    except (InputError, OSError):
        pass
    return arrays
