"""Free orientations from fixed dipoles: what a dipole looks like that points elsewhere.

The bank holds cortical dipoles along the normal alone. Near vertex v the topography of vertex i is
linear in its normal n_i and, to first order, in its offset d_i = x_i - x_v,

    L_i = (F_v + G_v d_i) n_i,   i in the ball |d_i| < 14 mm,   F_v (modes, 3), G_v (modes, 3, 3),

which ridge regression solves, each neighbour weighted by w_i = exp(-|d_i|² / 2 h²), h = 6 mm, d in
mm, with ridges sum(w) 1e-4 on F and sum(w) 3e-2 on G. Folds give a ball normals in all directions.
In the bank's source modes F_v serves every head and montage: a moment m (3,) at v is m'F_v'.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError

#: m: how far neighbours reach; h of the weights.
_BALL, _WIDTH = 0.014, 0.006
#: Ridges on F and on G, over the sum of the weights.
_RIDGES = (1e-4, 3e-2)
#: Vertices that are solved at once.
_CHUNK = 512


def free_modes(space: SourceSpace, modes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute (3 S, B): topographies of unit moments along x, y and z at every source.

    Parameters
    ----------
    space : S sources with normals. modes : (S, B) of dipoles along them.

    Raises
    ------
    InputError : sources without normals.
    """
    return np.asarray(_weights(space) @ np.asarray(modes, np.float32))


def _weights(space: SourceSpace) -> sp.csr_array:
    """(3 S, S): F of each source as a sum over its neighbours' topographies."""
    if space.normals is None:
        raise InputError("free orientations are made from dipoles along normals; give a cortex")
    places, normals = 1e3 * space.positions, space.normals
    tree = KDTree(places)
    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    for first in range(0, len(places), _CHUNK):
        own = np.arange(first, min(first + _CHUNK, len(places)))
        around = tree.query_ball_point(places[own], 1e3 * _BALL)
        most = max(map(len, around))
        index = np.zeros((len(own), most), np.int64)
        there = np.zeros((len(own), most), bool)
        for row, near in enumerate(around):
            index[row, : len(near)], there[row, : len(near)] = near, True
        offset = places[index] - places[own][:, None]
        weight = np.exp(-((offset / (1e3 * _WIDTH)) ** 2).sum(axis=2) / 2) * there
        normal = normals[index]
        # n_i, and d_i times n_i in turn: 12 numbers a neighbour
        each = offset[..., :, None] * normal[..., None, :]
        design = np.concatenate([normal, each.reshape(len(own), most, 9)], axis=2)
        heavy = weight[..., None] * design
        gram = np.swapaxes(heavy, 1, 2) @ design
        ridge = np.repeat(_RIDGES, (3, 9)) * weight.sum(axis=1)[:, None]
        gram[:, np.arange(12), np.arange(12)] += ridge
        solved = np.linalg.solve(gram, np.swapaxes(heavy, 1, 2))[:, :3]  # (n, 3, most)
        kept = np.broadcast_to(there[:, None], solved.shape)
        rows = np.broadcast_to(3 * own[:, None, None] + np.arange(3)[:, None], solved.shape)
        columns = np.broadcast_to(index[:, None], solved.shape)
        parts.append((solved[kept].astype(np.float32), rows[kept], columns[kept]))
    values, rows, columns = (np.concatenate(each) for each in zip(*parts, strict=True))
    return sp.csr_array((values, (rows, columns)), (3 * len(places), len(places)))
