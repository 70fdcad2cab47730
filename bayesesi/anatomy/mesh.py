"""The cortex as a triangle mesh, and distances along it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.graph import edges


@dataclass(frozen=True, eq=False)
class CorticalMesh:
    """Both hemispheres as one triangle mesh, left first.

    Attributes
    ----------
    positions : (V, 3) m, MNE head frame.
    normals : (V, 3), outward unit normals.
    triangles : (F, 3), never across hemispheres.
    n_left : number of vertices of the left hemisphere.
    sphere : (V, 3) unit vectors of the spherical registration, or None.
    subject : name of the anatomy.
    """

    positions: NDArray[np.float64]
    normals: NDArray[np.float64]
    triangles: NDArray[np.int64]
    n_left: int
    sphere: NDArray[np.float64] | None = None
    subject: str = ""

    def __repr__(self) -> str:
        return f"<CorticalMesh | {self.n_vertices} vertices, {self.subject}>"

    @property
    def n_vertices(self) -> int:
        return len(self.positions)

    @property
    def hemisphere(self) -> NDArray[np.int8]:
        """(V,) 0 on the left, 1 on the right."""
        return (np.arange(self.n_vertices) >= self.n_left).astype(np.int8)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(V,) m²: a third of the triangles around each vertex."""
        corners = self.positions[self.triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        share = np.linalg.norm(cross, axis=1) / 6
        total = np.bincount(self.triangles.ravel(), np.repeat(share, 3), self.n_vertices)
        return np.asarray(total, float)

    @cached_property
    def edges(self) -> sp.csr_array:
        """(V, V) sparse, edge lengths in m."""
        pairs = edges(self.triangles)
        length = np.linalg.norm(np.diff(self.positions[pairs], axis=1)[:, 0], axis=1)
        upper = sp.coo_array((length, tuple(pairs.T)), shape=(self.n_vertices,) * 2)
        return sp.csr_array(upper + upper.T)

    def nearest_seed(self, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find (V,) which of the vertices ``seeds`` (n,) is nearest along the surface's edges.

        Values are indices into ``seeds``, -1 where no path leads to one.
        """
        from scipy.sparse.csgraph import dijkstra

        _, _, source = dijkstra(
            self.edges, directed=False, indices=seeds, min_only=True, return_predecessors=True
        )
        rank = np.full(self.n_vertices, -1)
        rank[seeds] = np.arange(len(seeds))
        return np.where(source >= 0, rank[np.maximum(source, 0)], -1)

    @cached_property
    def _solvers(self) -> list[Any]:
        import potpourri3d as pp3d

        left = np.all(self.triangles < self.n_left, axis=1)
        parts = [
            (self.positions[: self.n_left], self.triangles[left]),
            (self.positions[self.n_left :], self.triangles[~left] - self.n_left),
        ]
        return [pp3d.MeshHeatMethodDistanceSolver(v, f) if len(v) else None for v, f in parts]

    def geodesic_from(self, vertex: int) -> NDArray[np.float64]:
        """Compute (V,) distances in m along the cortex from one ``vertex``.

        They are infinite on the other hemisphere. Heat method (Crane, Weischedel & Wardetzky 2013,
        doi:10.1145/2516971.2516977).
        """
        distance = np.full(self.n_vertices, np.inf)
        right = vertex >= self.n_left
        part = slice(self.n_left, None) if right else slice(0, self.n_left)
        offset = self.n_left if right else 0
        distance[part] = self._solvers[int(right)].compute_distance(int(vertex) - offset)
        distance[vertex] = 0.0
        return distance
