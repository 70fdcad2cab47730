"""Normals of triangle meshes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def vertex_normals(
    vertices: NDArray[np.float64], triangles: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute (V, 3) unit normals: of the triangles around, weighted by their angle there.

    (Thürrner & Wüthrich 1998, doi:10.1080/10867651.1998.10487487.) Bit by bit those of trimesh,
    whose import takes longer than all else that the template's cortex needs.

    Parameters
    ----------
    vertices : (V, 3) in any unit. triangles : (F, 3) indices of them, right-handed outward.
    """
    corners = vertices[triangles]
    first, second = _unit(corners[:, 1] - corners[:, 0]), _unit(corners[:, 2] - corners[:, 0])
    third = _unit(corners[:, 2] - corners[:, 1])
    angles = np.zeros((len(corners), 3))
    angles[:, 0] = np.arccos(np.clip(_dot(first, second), -1, 1))
    angles[:, 1] = np.arccos(np.clip(_dot(-first, third), -1, 1))
    angles[:, 2] = np.pi - angles[:, 0] - angles[:, 1]
    sides = np.diff(corners, axis=1)
    across = _unit(np.cross(sides[:, 0], sides[:, 1]))
    place = triangles.ravel(), np.repeat(np.arange(len(triangles)), 3)
    around = sp.coo_matrix((angles.ravel(), place), (len(vertices), len(triangles)))
    return _unit(around.dot(across))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.sqrt(_dot(rows, rows))
    return np.asarray(rows * (size**-1)[:, None])


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.dot(a * b, [1.0, 1.0, 1.0]))
