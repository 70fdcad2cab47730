"""Normals of triangle meshes, and the points of them that are nearest to others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: m² and m⁴: what squared lengths and areas are divided by at least.
_NONE = 1e-30
#: m²: triangles whose squared distances differ by less are alike, and the one that faces the point
#: counts. This is trimesh's rule, by which electrodes were placed for all that ships;
#: a point found is up to .1 mm from the nearest one, and no farther from the other by 1 um.
_ALIKE = 1e-8
#: m: how much farther than the nearest vertex a triangle may be that is looked at.
_SLACK = 5e-5


def vertex_normals(
    vertices: NDArray[np.float64], triangles: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute (V, 3) unit normals: of the triangles around, weighted by their angle there.

    (Thürrner & Wüthrich 1998, doi:10.1080/10867651.1998.10487487.)

    Parameters
    ----------
    vertices : (V, 3) in any unit. triangles : (F, 3) indices of them, right-handed outward.
    """
    corners = vertices[triangles]
    sides = np.roll(corners, -1, axis=1) - corners  # from each corner to the next
    sides = sides / np.linalg.norm(sides, axis=2, keepdims=True)
    angles = np.arccos(np.clip(-(sides * np.roll(sides, 1, axis=1)).sum(axis=2), -1.0, 1.0))
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across = across / np.linalg.norm(across, axis=1, keepdims=True)
    total = [
        np.bincount(triangles.ravel(), (angles * across[:, [axis]]).ravel(), len(vertices))
        for axis in range(3)
    ]
    normals = np.stack(total, axis=1)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


def nearest_points(
    points: NDArray[np.float64], vertices: NDArray[np.float64], triangles: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the (n, 3) points of a mesh that are nearest to others, and the (n,) distances.

    Parameters
    ----------
    points : (n, 3) m. vertices : (V, 3) m. triangles : (F, 3) indices of them.
    """
    corners = vertices[triangles]
    middles = corners.mean(axis=1)
    radii = np.linalg.norm(corners - middles[:, None], axis=2).max(axis=1)
    # no triangle that is farther than the nearest vertex can hold the nearest point
    least = _distances(points, vertices).min(axis=1)
    point, face = np.nonzero(_distances(points, middles) - radii <= least[:, None] + _SLACK)
    found = _nearest_on_triangles(points[point], corners[face])
    square = ((points[point] - found) ** 2).sum(axis=1)
    order = np.lexsort((square, point))
    start = np.unique(point[order], return_index=True)[1]
    first, second = order[start], order[start + 1]  # each vertex is a corner of several triangles
    alike = (square[second] - square[first] < _ALIKE) & (square[first] > _ALIKE)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    away = (points[point] - found) / np.sqrt(np.maximum(square, _NONE))[:, None]
    facing = _dot(across[face], away)
    chosen = np.where(alike & (facing[second] > facing[first]), second, first)
    return found[chosen], np.sqrt(square[chosen])


def _nearest_on_triangles(
    points: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Find the (n, 3) point of each triangle (n, 3, 3) that is nearest to each of (n, 3)."""
    a, b, c = np.moveaxis(corners, 1, 0)
    ab, ac, ap = b - a, c - a, points - a
    aa, bb, cross = _dot(ab, ab), _dot(ac, ac), _dot(ab, ac)
    p, q = _dot(ap, ab), _dot(ap, ac)
    area = np.maximum(aa * bb - cross**2, _NONE)
    v, w = (bb * p - cross * q) / area, (aa * q - cross * p) / area
    within = (v >= 0) & (w >= 0) & (v + w <= 1)
    inside = a + v[:, None] * ab + w[:, None] * ac
    edges = np.stack([_nearest_on_segments(points, *ends) for ends in ((a, b), (b, c), (c, a))])
    nearest = np.linalg.norm(edges - points, axis=2).argmin(axis=0)
    return np.where(within[:, None], inside, edges[nearest, np.arange(len(points))])


def _nearest_on_segments(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    along = end - start
    share = _dot(points - start, along) / np.maximum(_dot(along, along), _NONE)
    return np.asarray(start + np.clip(share, 0, 1)[:, None] * along)


def _distances(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the (n, m) distances of (n, 3) from (m, 3), to about 1e-8 m."""
    square = _dot(points, points)[:, None] + _dot(others, others) - 2 * points @ others.T
    return np.sqrt(np.maximum(square, 0.0))


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((a * b).sum(axis=1))
