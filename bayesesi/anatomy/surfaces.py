"""Nested closed surfaces between tissues of different conductivity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError

if TYPE_CHECKING:
    import mne
    import trimesh

#: Names of the surfaces, inner to outer, by their number; each encloses the tissue below.
SHELLS = {
    1: ("scalp",),
    3: ("inner_skull", "outer_skull", "scalp"),
    4: ("brain", "inner_skull", "outer_skull", "scalp"),
}
#: The tissue between a surface and the next one inward.
TISSUES = {1: ("brain",), 3: ("brain", "skull", "scalp"), 4: ("brain", "csf", "skull", "scalp")}


@dataclass(frozen=True, eq=False)
class HeadSurfaces:
    """1, 3 or 4 nested closed surfaces, inner to outer, in the MNE head frame.

    Attributes
    ----------
    vertices : one (V, 3) a surface, m.
    triangles : one (F, 3) a surface, with outward normals (right-hand rule).
    """

    vertices: tuple[NDArray[np.float64], ...]
    triangles: tuple[NDArray[np.int64], ...]

    def __post_init__(self) -> None:
        if len(self.vertices) not in SHELLS or len(self.vertices) != len(self.triangles):
            raise InputError(
                f"a head has 1, 3 or 4 nested surfaces, these are {len(self.vertices)}; give "
                + " or ".join(" < ".join(names) for names in SHELLS.values())
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n} {len(v)}" for n, v in zip(self.names, self.vertices, strict=True))
        return f"<HeadSurfaces | vertices: {sizes}>"

    @property
    def names(self) -> tuple[str, ...]:
        return SHELLS[len(self.vertices)]

    @property
    def tissues(self) -> tuple[str, ...]:
        return TISSUES[len(self.vertices)]

    @cached_property
    def meshes(self) -> tuple[trimesh.Trimesh, ...]:
        import trimesh

        return tuple(
            trimesh.Trimesh(v, f, process=False)
            for v, f in zip(self.vertices, self.triangles, strict=True)
        )

    @property
    def scalp(self) -> trimesh.Trimesh:
        return self.meshes[-1]

    @property
    def innermost(self) -> trimesh.Trimesh:
        return self.meshes[0]

    def __getitem__(self, name: str) -> trimesh.Trimesh:
        return self.meshes[self.names.index(name)]

    def check(self, sources: NDArray[np.float64] | None = None) -> HeadSurfaces:
        """Return itself if closed, outward, nested and around ``sources`` (n, 3) m.

        Raises
        ------
        InputError : naming the surface at fault and what to do.
        """
        for name, mesh in zip(self.names, self.meshes, strict=True):
            if not (mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0):
                raise InputError(
                    f"the {name} surface is not closed with outward triangles; repair it "
                    "(mne.bem or trimesh.repair.fix_normals) before solving"
                )
        for i in range(1, len(self.meshes)):
            outside = ~contains(self.meshes[i], self.vertices[i - 1])
            if outside.any():
                raise InputError(
                    f"the {self.names[i - 1]} surface leaves the {self.names[i]} surface at "
                    f"{outside.sum()} of {len(outside)} vertices; the surfaces must be nested"
                )
        if sources is not None:
            outside = ~contains(self.innermost, np.asarray(sources, float))
            if outside.any():
                raise InputError(
                    f"{outside.sum()} of {len(outside)} sources lie outside the {self.names[0]} "
                    "surface; check their coordinate frame and unit (m, head frame) or drop them"
                )
        return self


def contains(mesh: trimesh.Trimesh, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find (n,) whether ``points`` (n, 3) lie inside a closed ``mesh`` in their frame and unit (m).

    The signed angles of all triangles sum to 4 pi inside and 0 outside (van Oosterom & Strackee
    1983, doi:10.1109/TBME.1983.325207); exact for any shape, no ray can graze an edge.
    """
    inside = np.empty(len(points), bool)
    corners = np.asarray(mesh.triangles)
    for block in np.array_split(np.arange(len(points)), max(1, len(points) // 256)):
        a, b, c = np.moveaxis(corners[None] - points[block, None, None], 2, 0)
        na, nb, nc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
        volume = np.einsum("...i,...i", a, np.cross(b, c))
        edge = (
            na * nb * nc
            + np.einsum("...i,...i", a, b) * nc
            + np.einsum("...i,...i", b, c) * na
            + np.einsum("...i,...i", c, a) * nb
        )
        inside[block] = np.arctan2(volume, edge).sum(axis=1) > np.pi
    return inside


def head_to_mri_matrix(trans: NDArray[np.float64] | mne.Transform) -> NDArray[np.float64]:
    """Convert ``trans``, an MNE transform in either direction, to (4, 4) from head to MRI frame, m.

    ``trans`` may also be that matrix (4, 4).

    Raises
    ------
    InputError : another pair of frames, or another shape.
    """
    matrix = trans
    if isinstance(trans, dict):
        from mne._fiff.constants import FIFF

        ends = (int(trans["from"]), int(trans["to"]))
        head, mri = int(FIFF.FIFFV_COORD_HEAD), int(FIFF.FIFFV_COORD_MRI)
        if ends not in ((head, mri), (mri, head)):
            raise InputError(
                f"the transform goes from MNE's frame {ends[0]} to {ends[1]}; give the one between "
                f"head ({head}) and MRI ({mri}), a -trans.fif file"
            )
        matrix = trans["trans"] if ends == (head, mri) else np.linalg.inv(trans["trans"])
    matrix = np.asarray(matrix, float)
    if matrix.shape != (4, 4):
        raise InputError(
            f"the transform has shape {matrix.shape}; give mne.read_trans(file) or its matrix"
        )
    return matrix


def read_head_surfaces(
    paths: Sequence[str | Path],
    head_to_mri: NDArray[np.float64] | mne.Transform,
    n_vertices: int | None = 642,
) -> HeadSurfaces:
    """Read FreeSurfer ``.surf`` files, inner to outer, and bring them to the head frame.

    Parameters
    ----------
    paths : inner skull, outer skull, scalp (or only the scalp; or brain first), mm in MRI surface
        RAS as ``mne watershed_bem`` writes them.
    head_to_mri : the ``trans`` of an ``mne`` coregistration: MNE's, or (4, 4) in m.
    n_vertices : icospheres with more vertices are thinned to their first ``n_vertices``; None keeps
        every surface as it is.

    Raises
    ------
    InputError : a file that is no surface or has too many vertices, or surfaces that are not closed
        and nested.
    """
    from nibabel.freesurfer import read_geometry

    to_head = np.linalg.inv(head_to_mri_matrix(head_to_mri))
    vertices, triangles = [], []
    for path in paths:
        try:
            points, faces = read_geometry(path)
        except Exception as error:
            raise InputError(
                f"{Path(path).name} is not a FreeSurfer surface ({type(error).__name__}); give "
                "the .surf files that mne.bem.make_watershed_bem writes"
            ) from error
        if n_vertices is not None and len(points) > n_vertices:
            if not _is_icosphere(faces):
                raise InputError(
                    f"{Path(path).name} has {len(points)} vertices and is not an icosphere, so "
                    f"it cannot be thinned; decimate it to about {n_vertices} vertices with "
                    "mne.decimate_surface, or give n_vertices=None"
                )
            faces = icosphere_triangles(n_vertices)
            points = points[:n_vertices]
        vertices.append(points / 1000 @ to_head[:3, :3].T + to_head[:3, 3])
        triangles.append(np.asarray(faces, np.int64))
    head = HeadSurfaces(tuple(vertices), tuple(triangles))
    flipped = tuple(
        f if mesh.volume > 0 else f[:, [0, 2, 1]]
        for f, mesh in zip(triangles, head.meshes, strict=True)
    )
    return replace(head, triangles=flipped).check()


_GRADES = {12: 0, 42: 1, 162: 2, 642: 3, 2562: 4, 10242: 5}


def icosphere(n_vertices: int = 642) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make unit directions (V, 3) and triangles (F, 3) of FreeSurfer's subdivided icosahedron.

    ``n_vertices`` V is one of 12, 42, 162, 642, 2562, 10242.

    Raises
    ------
    InputError : another number of vertices.
    """
    from mne.surface import _get_ico_surface

    if n_vertices not in _GRADES:
        raise InputError(f"an icosphere has one of {sorted(_GRADES)} vertices, not {n_vertices}")
    surface = _get_ico_surface(_GRADES[n_vertices])
    return surface["rr"].astype(float), surface["tris"].astype(np.int64)


def _is_icosphere(triangles: NDArray[np.int64]) -> bool:
    """Whether triangles join the vertices as one of FreeSurfer's icospheres does."""
    n_vertices = len(triangles) // 2 + 2
    if n_vertices not in _GRADES:
        return False
    ours = icosphere_triangles(n_vertices)
    mine, theirs = (np.unique(np.sort(t, axis=1), axis=0) for t in (ours, triangles))
    return np.array_equal(mine, theirs)


def icosphere_triangles(n_vertices: int) -> NDArray[np.int64]:
    """Make the triangles (F, 3) of an ``icosphere`` of ``n_vertices``."""
    return icosphere(n_vertices)[1]
