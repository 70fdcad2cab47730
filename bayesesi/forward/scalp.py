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
        return np.asarray(np.linalg.inv(np.moveaxis(corners, 1, 2)), float)

    @cached_property
    def _middles(self) -> KDTree:
        middle = self.vertices[self.triangles].mean(axis=1) - self.centre
        return KDTree(middle / np.linalg.norm(middle, axis=1, keepdims=True))

    def points(self, points: NDArray[np.float64]) -> ScalpPoints:
        """Find where the rays from the centre through ``points`` (..., 3) m leave.

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
        return ScalpPoints(self, found.reshape(points.shape), weights.reshape(points.shape))


@dataclass(frozen=True, eq=False)
class ScalpPoints:
    """Points of the scalp by the three vertices around them.

    Attributes
    ----------
    scalp : the map. vertices, weights : (..., 3) into the map's vertices, and their barycentric
        weights.
    """

    scalp: ScalpMap
    vertices: NDArray[np.int64]
    weights: NDArray[np.float64]

    @property
    def positions(self) -> NDArray[np.float64]:
        """(..., 3) m."""
        corners = self.scalp.vertices[self.vertices]
        return np.asarray((corners * self.weights[..., None]).sum(axis=-2))

    def potentials(
        self, of_vertices: NDArray[np.float32], case: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Read potentials (m, C) at the (n, C) points of each field's case, average reference.

        ``of_vertices`` (m, V) V are scalp potentials, ``case`` (m,) says which case each is of.
        """
        values = of_vertices[np.arange(len(case))[:, None, None], self.vertices[case]]
        at_points = (values * self.weights[case].astype(np.float32)).sum(axis=-1)
        return np.asarray(at_points - at_points.mean(axis=1, keepdims=True))
