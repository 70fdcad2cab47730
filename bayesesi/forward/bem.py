"""Volume conduction in nested shells by the symmetric boundary element method of OpenMEEG.

The method (Kybic et al. 2005, doi:10.1109/TMI.2004.837363) solves A x = b for the potential V at
the vertices of every surface and the normal current p on the triangles of all but the outermost:

    [ (s_i + s_j) N_ij    D_ij'            ] [V]   [b_V]
    [ D_ij                (1/s_i + 1/s_j) S_ij ] [p] = [b_p]

N, D and S depend on the geometry alone: where two surfaces share tissues, the block of N is
multiplied by the sum of their conductivities and that of S by the sum of the inverses. So the
integrals are done once a geometry and every other conductivity costs one dense factorisation.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces
from bayesesi.errors import InputError
from bayesesi.forward.conductivity import Conductivities


@dataclass(frozen=True, eq=False)
class BoundaryElements:
    """The geometry-only integrals of nested surfaces.

    Attributes
    ----------
    surfaces : the shells. matrix : (n, n), assembled with every conductivity 1.
    potential_rows, current_rows : for each surface (V,) and (F,) rows of its potentials and of its
        currents, (0,) for currents of the outermost.
    """

    surfaces: HeadSurfaces
    matrix: NDArray[np.float64]
    potential_rows: tuple[NDArray[np.int64], ...]
    current_rows: tuple[NDArray[np.int64], ...]

    @classmethod
    def assemble(cls, surfaces: HeadSurfaces) -> BoundaryElements:
        """Integrate over ``surfaces``, with OpenMEEG.

        Raises
        ------
        InputError : surfaces that cross each other; OpenMEEG is missing.
        """
        om = _openmeeg()
        geometry = _geometry(surfaces)
        with _quiet():
            matrix = om.Matrix(om.HeadMat(geometry)).array().copy(order="F")
        potentials, currents = [], []
        for name in surfaces.names:
            mesh = geometry.mesh(name)
            potentials.append(np.array([v.index() for v in mesh.vertices()]))
            currents.append(np.array([t.index() for t in mesh.triangles()]))
        currents[-1] = currents[-1][:0]
        return cls(surfaces, matrix, tuple(potentials), tuple(currents))

    def system(self, conductivities: Conductivities) -> NDArray[np.float64]:
        """Make the head matrix at ``conductivities``, (n, n)."""
        inside = np.array([getattr(conductivities, t) for t in self.surfaces.tissues])
        outside = np.r_[inside[1:], 0.0]
        matrix = self.matrix.copy(order="F")
        for i in range(len(inside)):
            for j in (i - 1, i, i + 1):
                if not 0 <= j < len(inside):
                    continue
                inner = max(i, j)  # surfaces i and i + 1 share the tissue inside the outer one
                shared = inside[[inner]] if i != j else np.array([inside[i], outside[i]])
                shared = shared[shared > 0]
                scale = shared.sum() / len(shared)
                matrix[np.ix_(self.potential_rows[i], self.potential_rows[j])] *= scale
                scale = (1 / shared).sum() / len(shared)
                matrix[np.ix_(self.current_rows[i], self.current_rows[j])] *= scale
        return matrix

    def source_terms(self, dipoles: BemDipoles) -> NDArray[np.float64]:
        """Compute (n_inner, D): right-hand sides of ``dipoles`` on the innermost surface's rows.

        At a brain conductivity of 1; divide the current rows by it (``transfer`` does).
        """
        om = _openmeeg()
        geometry = _geometry(self.surfaces)
        rows = np.r_[self.potential_rows[0], self.current_rows[0]]
        terms = np.empty((len(rows), len(dipoles.positions)))
        for part in np.array_split(np.arange(terms.shape[1]), -(-terms.shape[1] // 2048)):
            points = np.asfortranarray(np.c_[dipoles.positions, dipoles.moments][part])
            with _quiet():
                block = om.DipSourceMat(geometry, om.Matrix(points), "brain").array()
            terms[:, part] = block[rows]
        return terms

    def transfer(self, conductivities: Conductivities) -> NDArray[np.float64]:
        """Compute (V, n_inner): potential at all scalp vertices from the innermost's terms.

        By reciprocity, the rows of the inverse at ``conductivities`` that belong to the scalp's
        potentials.
        """
        system = self.system(conductivities)
        scalp = self.potential_rows[-1]
        units = np.zeros((len(system), len(scalp)), order="F")
        units[scalp, np.arange(len(scalp))] = 1.0
        factor = sl.lu_factor(system, overwrite_a=True, check_finite=False)
        columns = sl.lu_solve(factor, units, overwrite_b=True, check_finite=False)
        potentials, currents = self.potential_rows[0], self.current_rows[0]
        return np.hstack([columns[potentials].T, columns[currents].T / conductivities.brain])


@dataclass(frozen=True, eq=False)
class BemDipoles:
    """D dipoles in the head frame.

    Attributes
    ----------
    positions : (D, 3) m. moments : (D, 3) A m, or unit vectors for a leadfield.
    """

    positions: NDArray[np.float64]
    moments: NDArray[np.float64]

    @classmethod
    def free(cls, positions: NDArray[np.float64]) -> BemDipoles:
        """Make three dipoles a position of ``positions`` (n, 3) m, along x, y and z."""
        return cls(np.repeat(positions, 3, axis=0), np.tile(np.eye(3), (len(positions), 1)))


def scalp_weights(surfaces: HeadSurfaces, electrodes: NDArray[np.float64]) -> sp.csr_array:
    """Compute (C, V), sparse: potential at electrodes from that at the scalp's vertices.

    Each of ``electrodes`` (C, 3) m is brought to the nearest point of the scalp of ``surfaces`` and
    takes the barycentric mean of the three vertices around it. Every row sums to 1.
    """
    import trimesh

    scalp = surfaces.scalp
    points, _, face = trimesh.proximity.closest_point(scalp, np.atleast_2d(electrodes))
    weights = trimesh.triangles.points_to_barycentric(scalp.triangles[face], points)
    weights = np.clip(weights, 0.0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), 3)
    columns = np.asarray(scalp.faces)[face].ravel()
    return sp.csr_array((weights.ravel(), (rows, columns)), (len(points), len(scalp.vertices)))


def solve_bem(
    surfaces: HeadSurfaces,
    conductivities: Conductivities,
    positions: NDArray[np.float64],
    electrodes: NDArray[np.float64],
    normals: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Solve the EEG leadfield of a head with 1, 3 or 4 nested shells.

    Parameters
    ----------
    surfaces : inner to outer, head frame, m.
    conductivities : S/m; tissues that the head does not have are ignored.
    positions : (S, 3) m, inside the innermost surface.
    electrodes : (C, 3) m, brought to the nearest point of the scalp.
    normals : (S, 3) for fixed orientations, or None for free ones.

    Returns
    -------
    (C, S) with ``normals``, else (C, S, 3): V/(A m), the reference at infinity's stand-in that
    makes A invertible; take the average reference before comparing.

    Raises
    ------
    InputError : surfaces that are not nested, or sources outside the brain.
    """
    positions = np.atleast_2d(np.asarray(positions, float))
    surfaces.check(positions)
    dipoles = BemDipoles.free(positions) if normals is None else BemDipoles(positions, normals)
    elements = BoundaryElements.assemble(surfaces)
    to_electrodes = scalp_weights(surfaces, electrodes) @ elements.transfer(conductivities)
    leadfield = to_electrodes @ elements.source_terms(dipoles)
    return leadfield if normals is not None else leadfield.reshape(len(leadfield), -1, 3)


def _openmeeg() -> Any:
    try:
        import openmeeg
    except ImportError as error:
        raise InputError(
            "boundary elements need OpenMEEG; install it with pip install 'bayesesi[bem]'"
        ) from error
    return openmeeg


def _geometry(surfaces: HeadSurfaces):  # type: ignore[no-untyped-def]  # SWIG has no types
    """OpenMEEG's description, every conductivity 1; it wants triangles wound the other way."""
    om = _openmeeg()
    from openmeeg._openmeeg_wrapper import OrientedMesh, SimpleDomain

    inside, outside = SimpleDomain.Inside, SimpleDomain.Outside
    names = surfaces.names
    meshes = {
        name: (np.ascontiguousarray(v, float), np.ascontiguousarray(f[:, [1, 0, 2]]))
        for name, v, f in zip(names, surfaces.vertices, surfaces.triangles, strict=True)
    }
    domains = {}
    for i, tissue in enumerate(surfaces.tissues):
        border = [(names[i], inside)] if i == 0 else [(names[i - 1], outside), (names[i], inside)]
        domains[tissue] = (border, 1.0)
    domains["air"] = ([(names[-1], outside)], 0.0)
    interfaces = {name: [(name, OrientedMesh.Normal)] for name in names}
    geometry = om.make_geometry(meshes, interfaces, domains)
    with _quiet():
        sound = geometry.selfCheck()
    if not sound:
        raise InputError("OpenMEEG finds the surfaces crossing each other; they must be nested")
    return geometry


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenMEEG writes to the C library's standard output; keep it off the user's screen."""
    sys.stdout.flush()
    saved = os.dup(1)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)
