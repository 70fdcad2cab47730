"""Where sources may be: vertices of a cortical mesh that carry a dipole, or a volume grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.geodesic_rows import GeodesicRows
from bayesesi.anatomy.mesh import CorticalMesh
from bayesesi.deprecated import warn
from bayesesi.errors import InputError

#: Sources on both hemispheres together at each icosahedral level of a fsaverage surface.
SOURCES_AT_LEVEL = {1: 84, 2: 324, 3: 1284, 4: 5124, 5: 20484}


@dataclass(frozen=True, eq=False)
class SourceSpace:
    """Candidate dipole positions, fixed once and shared by everything that follows.

    Attributes
    ----------
    positions : (S, 3) m, MNE head frame.
    normals : (S, 3) outward unit normals of the cortex; None in a volume.
    mesh, vertices : the cortical mesh and the (S,) vertices of it that carry sources; None in a
        volume.
    ico : icosahedral level on a fsaverage mesh (4 for 5,124 sources), else None.
    subject : name of the anatomy. spacing : m between points of a grid; None on a cortex.
    """

    positions: NDArray[np.float64]
    normals: NDArray[np.float64] | None = None
    mesh: CorticalMesh | None = None
    vertices: NDArray[np.int64] | None = None
    ico: int | None = None
    subject: str = ""
    spacing: float | None = field(default=None)

    @classmethod
    def on_mesh(
        cls, mesh: CorticalMesh, vertices: NDArray[np.int64], ico: int | None = None
    ) -> SourceSpace:
        """Put sources on the ``vertices`` (S,) of ``mesh``; ``ico`` may be None."""
        return cls(
            positions=mesh.positions[vertices],
            normals=mesh.normals[vertices],
            mesh=mesh,
            vertices=vertices,
            ico=ico,
            subject=mesh.subject,
        )

    def __repr__(self) -> str:
        level = f", level {self.ico}" if self.ico is not None else ""
        return f"<SourceSpace | {self.n_sources} sources, {self.kind}{level}, {self.subject}>"

    @property
    def level(self) -> int | None:
        """Return ``ico``: its old name, which warns."""
        warn("SourceSpace.level", "SourceSpace.ico", above=2)
        return self.ico

    @property
    def n_sources(self) -> int:
        return len(self.positions)

    @property
    def kind(self) -> str:
        """``"cortex"`` or ``"volume"``."""
        return "volume" if self.mesh is None else "cortex"

    @property
    def hemisphere(self) -> NDArray[np.int8]:
        """(S,) 0 left, 1 right (by the sign of x in a volume)."""
        if self.mesh is None:
            return (self.positions[:, 0] > 0).astype(np.int8)
        return self.mesh.hemisphere[self._vertices]

    @property
    def _vertices(self) -> NDArray[np.int64]:
        if self.vertices is None:
            raise InputError(
                "this source space is a volume and has no cortical surface; "
                "areas, triangles and geodesic distances need sources on a cortex"
            )
        return self.vertices

    @property
    def cortex(self) -> CorticalMesh:
        """The mesh on which the sources are; a volume has none and raises an ``InputError``."""
        self._vertices  # noqa: B018  (raises in a volume)
        assert self.mesh is not None
        return self.mesh

    @cached_property
    def nearest_source(self) -> NDArray[np.int64]:
        """(V,) for every vertex of the mesh, the source whose cell it belongs to."""
        return self.cortex.nearest_seed(self._vertices)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(S,) m² of cortex each source stands for; they sum to the area of the mesh."""
        cell, area = self.nearest_source, self.cortex.areas
        total = np.bincount(cell[cell >= 0], area[cell >= 0], self.n_sources)
        return np.asarray(total, float)

    @cached_property
    def triangles(self) -> NDArray[np.int64]:
        """(F, 3) triangles between sources (hull of the registration sphere)."""
        from scipy.spatial import ConvexHull

        mesh = self.cortex
        if self.n_sources == mesh.n_vertices:
            return mesh.triangles
        if mesh.sphere is None:
            raise InputError(
                f"the mesh of {mesh.subject or 'this subject'} has no spherical registration, "
                "so sources on part of its vertices have no triangles; use every vertex"
            )
        faces = []
        for side in (0, 1):
            chosen = np.flatnonzero(self.hemisphere == side)
            points = mesh.sphere[self._vertices[chosen]]
            hull = ConvexHull(points).simplices
            a, b, c = (points[hull[:, i]] for i in range(3))
            inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a + b + c) < 0
            hull[inward] = hull[inward][:, [0, 2, 1]]
            faces.append(chosen[hull])
        return np.vstack(faces)

    def at_level(self, ico: int) -> SourceSpace:
        """Make the coarser source space of level ``ico`` on this cortex: a subset of these sources.

        On a fsaverage mesh the first 2,562 / 642 / 162 / 42 vertices of a hemisphere are the
        coarser icospheres (levels 4, 3, 2, 1).

        Raises
        ------
        InputError : a finer level, or sources that are no level of a fsaverage mesh.
        """
        if self.ico is None:
            raise InputError(
                f"level {ico} was requested for sources that are not a level of an fsaverage mesh; "
                "keep them as they are or use template_source_space(ico)"
            )
        if ico not in SOURCES_AT_LEVEL or ico > self.ico:
            raise InputError(
                f"level {ico} of a source space of level {self.ico} does not exist; allowed "
                f"are levels {min(SOURCES_AT_LEVEL)} to {self.ico} of a fsaverage source space"
            )
        mesh = self.cortex
        keep = SOURCES_AT_LEVEL[ico] // 2
        coarse = SourceSpace.on_mesh(
            mesh, np.r_[np.arange(keep), mesh.n_left + np.arange(keep)], ico
        )
        if self.normals is None:
            return coarse
        return replace(coarse, normals=self.normals[coarse.index_in(self)])

    def index_in(self, finer: SourceSpace) -> NDArray[np.int64]:
        """Find (S,) where each of these sources stands in ``finer``, which is on the same mesh.

        Raises
        ------
        InputError : sources that ``finer`` does not have.
        """
        where = np.full(finer.cortex.n_vertices, -1)
        where[finer._vertices] = np.arange(finer.n_sources)
        index = where[self._vertices]
        if (index < 0).any():
            raise InputError("these sources are not a subset of the other source space")
        return index

    def spread(self, n: int) -> NDArray[np.int64]:
        """Choose ``n`` sources spread evenly, (n,): the one in the middle, then each the farthest
        (along a straight line) from those before."""
        far = np.linalg.norm(self.positions - self.positions.mean(axis=0), axis=1)
        chosen, nearest = [int(far.argmin())], np.full(self.n_sources, np.inf)
        while len(chosen) < n:
            apart = np.linalg.norm(self.positions - self.positions[chosen[-1]], axis=1)
            nearest = np.minimum(nearest, apart)
            chosen.append(int(nearest.argmax()))
        return np.array(chosen)

    def geodesic(self, sources: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute (n, S) distances in m along the cortex from ``sources`` (n,) to every source."""
        mesh, vertices = self.cortex, self._vertices
        rows = [mesh.geodesic_from(vertices[s])[vertices] for s in np.atleast_1d(sources)]
        return np.asarray(rows, dtype=np.float32)

    def neighbourhood(self, radius: float, progress: bool = False) -> sp.csr_array:
        """Find geodesic distances up to ``radius`` m: (S, S) sparse, the zero diagonal stored.

        Read where they ship or are in the user's cache, else computed (about 4 ms a source);
        ``progress`` shows a bar meanwhile.
        """
        return self.near(np.arange(len(self._vertices)), radius, progress)

    def near(
        self, sources: NDArray[np.integer], radius: float, progress: bool = False
    ) -> sp.csr_array:
        """Find the rows of ``neighbourhood`` from ``sources`` (n,): (n, S) sparse, to ``radius`` m.

        Only rows that are neither shipped nor in the user's cache are computed; ``progress`` shows
        a bar where that takes some seconds.
        """
        if radius not in self._rows:
            self._rows[radius] = GeodesicRows(self.cortex, self._vertices, radius)
        return self._rows[radius](sources, progress)

    @cached_property
    def _rows(self) -> dict[float, GeodesicRows]:
        return {}
