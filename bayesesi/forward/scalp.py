"""Where on the template's scalp electrodes sit, thousands at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

#: Triangles tried around each direction; the scalp's are nearly equilateral seen from the centre.
_CANDIDATES = 6


@dataclass(frozen=True, eq=False)
class ScalpMap:
    """The part of the scalp a bank holds, seen from the head's centre.

    The head is star-shaped, so a direction meets the scalp once: at the point u a + v b + w c of
    the triangle (a, b, c) with weights proportional to inv[a b c] direction.

    Attributes
    ----------
    vertices : (V, 3) m. triangles : (F, 3) into ``vertices``. centre : (3,) m.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    centre: NDArray[np.float64]

    @cached_property
    def _solve(self) -> NDArray[np.float64]:
        """(F, 3, 3): from a direction to the weights of a triangle's corners."""
        corners = self.vertices[self.triangles] - self.centre
        return np.linalg.inv(np.moveaxis(corners, 1, 2))

    @cached_property
    def _middles(self) -> KDTree:
        middle = self.vertices[self.triangles].mean(axis=1) - self.centre
        return KDTree(middle / np.linalg.norm(middle, axis=1, keepdims=True))

    def corners(
        self, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(..., 3) vertices and their weights where the ray through each (..., 3) point leaves.

        Beyond the edge of the part that is held, a point slides to the nearest triangle's border.
        """
        direction = points.reshape(-1, 3) - self.centre
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        _, near = self._middles.query(direction, k=_CANDIDATES)
        weights = np.einsum("nkij,nj->nki", self._solve[near], direction)
        best = weights.min(axis=2).argmax(axis=1)
        rows = np.arange(len(direction))
        weights = np.clip(weights[rows, best], 0.0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        found = self.triangles[near[rows, best]]
        return found.reshape(points.shape), weights.reshape(points.shape)
