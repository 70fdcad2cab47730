"""The graph of a mesh: which vertices its triangles join."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def edges(triangles: NDArray[np.integer]) -> NDArray[np.int64]:
    """List (E, 2) pairs of vertices that triangles join, each once, the smaller index first.

    Parameters
    ----------
    triangles : (F, 3) indices of vertices.
    """
    a, b, c = np.asarray(triangles, np.int64).T
    pairs = np.sort(np.vstack([np.c_[a, b], np.c_[b, c], np.c_[c, a]]), axis=1)
    n = int(pairs.max(initial=0)) + 1
    number = np.unique(pairs[:, 0] * n + pairs[:, 1])  # one number a pair sorts faster than two
    return np.stack(np.divmod(number, n), axis=1)
