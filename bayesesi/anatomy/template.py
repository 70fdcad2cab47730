"""The template head: everything derived from files inside installed wheels, nothing downloaded.

Cortex, pial surface and registration sphere are fsaverage5 (Fischl et al. 1999) from nilearn's
wheel; scalp, inner skull, fiducials and head frame are fsaverage's from MNE's. The outer skull and
the surface between brain and cerebrospinal fluid are not in any wheel; they are derived here.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy.mesh import CorticalMesh
from bayesesi.anatomy.parcellation import REGIONS, Parcellation, Region
from bayesesi.anatomy.source_space import SOURCES_AT_LEVEL, SourceSpace
from bayesesi.anatomy.surfaces import HeadSurfaces, contains, icosphere
from bayesesi.anatomy.triangles import vertex_normals
from bayesesi.errors import InputError

SUBJECT = "fsaverage"

# Distances of the derived surfaces, m. The fluid over the cortex is a few mm thick and shifts
# with posture (Rice, Rorden, Little & Parra 2013, "Subject position affects EEG magnitudes"). No
# wheel has the outer skull: it is set half way to the scalp, at most 7 mm out, which gives a
# median thickness of 5.8 mm. The last two keep the boundary elements away from each other and
# from the dipoles.
CSF_THICKNESS = 0.002
MAX_SKULL_THICKNESS = 0.007
SKULL_SHARE = 0.5
MIN_SCALP_GAP = 0.008  # inner skull to scalp
MIN_SOURCE_DEPTH = 0.003  # cortex to brain surface
THICKNESS_RANGE = (0.7, 1.4)  # of the skull, as a factor

#: mm of MNI305, which is fsaverage's own space, to mm of MNI152 (FreeSurfer's CoordinateSystems).
_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"the template needs the package {name!r}; install bayesesi with pip")
    return Path(spec.origin).parent


def fsaverage5_file(name: str) -> Path:
    """Find a fsaverage5 file that nilearn ships by ``name``, such as ``infl_left``."""
    return _package_folder("nilearn") / "datasets" / "data" / "fsaverage5" / f"{name}.gii.gz"


def _fsaverage_surface(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A surface that MNE ships, in the head frame."""
    import mne

    path = _package_folder("mne") / "data" / "fsaverage" / f"fsaverage-{name}.fif"
    surface = mne.read_bem_surfaces(path, verbose="error")[0]
    return to_head_frame(surface["rr"]), surface["tris"].astype(np.int64)


@cache
def head_to_mri() -> NDArray[np.float64]:
    """Read (4, 4) from the template's head frame to fsaverage's MRI (surface RAS) frame, m."""
    import mne

    path = _package_folder("mne") / "data" / "fsaverage" / "fsaverage-trans.fif"
    return np.asarray(mne.read_trans(path)["trans"], float)


@cache
def template_fiducials() -> NDArray[np.float64]:
    """Read LPA, nasion and RPA of the template, (3, 3) m, head frame."""
    import mne

    path = _package_folder("mne") / "data" / "fsaverage" / "fsaverage-fiducials.fif"
    points = {int(p["ident"]): p["r"] for p in mne.io.read_fiducials(path, verbose="error")[0]}
    return to_head_frame(np.array([points[i] for i in (1, 2, 3)]))


def to_head_frame(mri: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move positions ``mri`` (n, 3), m in MRI (surface RAS), to the template's head frame."""
    trans = head_to_mri()
    return (np.asarray(mri, float) - trans[:3, 3]) @ trans[:3, :3]


def to_mri_frame(head: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move positions ``head`` (n, 3), m in the head frame, to fsaverage's MRI (surface RAS)."""
    trans = head_to_mri()
    return np.asarray(head, float) @ trans[:3, :3].T + trans[:3, 3]


def to_mni152(head: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move places ``head`` (n, 3), m in the template's head frame, to mm of MNI152.

    fsaverage's own space is MNI305; the map between the two is FreeSurfer's (CoordinateSystems).
    """
    mm = 1e3 * to_mri_frame(head)
    return np.asarray(mm @ _TO_MNI152[:3, :3].T + _TO_MNI152[:3, 3])


def of_mni152(mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move places of MNI152, ``mm`` (n, 3) in mm, to the template's head frame in m."""
    back = np.linalg.inv(_TO_MNI152)
    return to_head_frame(1e-3 * (np.asarray(mm, float) @ back[:3, :3].T + back[:3, 3]))


def _surface(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    import nibabel as nib

    image = nib.GiftiImage.from_filename(str(fsaverage5_file(name)))
    points, faces = image.agg_data(("pointset", "triangle"))
    return np.asarray(points, float), np.asarray(faces, np.int64)


@cache
def template_mesh() -> CorticalMesh:
    """Make the 20,484-vertex cortex: midthickness of fsaverage5, normals of its white surface."""
    points: list[NDArray[np.float64]] = []
    normals, faces, spheres = [], [], []
    for side in ("left", "right"):
        white, tris = _surface(f"white_{side}")
        pial, _ = _surface(f"pial_{side}")
        sphere, _ = _surface(f"sphere_{side}")
        points.append(to_head_frame((white + pial) / 2000))
        normals.append(vertex_normals(white, tris) @ head_to_mri()[:3, :3])
        faces.append(tris + len(white) * (len(points) - 1))
        spheres.append(sphere / np.linalg.norm(sphere, axis=1, keepdims=True))
    return CorticalMesh(
        positions=np.vstack(points),
        normals=np.vstack(normals),
        triangles=np.vstack(faces),
        n_left=len(points[0]),
        sphere=np.vstack(spheres),
        subject=SUBJECT,
    )


@cache
def template_source_space(ico: int = 4) -> SourceSpace:
    """Make the template's sources at ``ico`` 1 to 5: 5,124 at 4, all 20,484 vertices at 5."""
    mesh = template_mesh()
    finest = SourceSpace.on_mesh(mesh, np.arange(mesh.n_vertices), max(SOURCES_AT_LEVEL))
    return finest if ico == finest.ico else finest.at_level(ico)


@cache
def template_parcellation(ico: int = 4) -> Parcellation:
    """Label the template's sources at ``ico`` 1 to 5 with the regions of Desikan and Killiany.

    (Desikan et al. 2006, doi:10.1016/j.neuroimage.2006.01.021.) The labels come from an asset of a
    few kB; its NOTICE names their source and licence.
    """
    from safetensors.numpy import load_file

    asset = files("bayesesi") / "assets" / "desikan-killiany.safetensors"
    labels = load_file(str(asset))["labels"].astype(np.int16)
    finest = Parcellation(template_source_space(5), tuple(map(Region.named, REGIONS)), labels)
    return finest if ico == 5 else finest.on(template_source_space(ico))


def radii_along(
    mesh_vertices: NDArray[np.float64],
    triangles: NDArray[np.int64],
    centre: NDArray[np.float64],
    directions: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute (n,) how far in m a star-shaped surface lies from ``centre`` along each direction.

    Parameters
    ----------
    mesh_vertices : (V, 3) m. triangles : (F, 3). centre : (3,) m, inside.
    directions : (n, 3) unit vectors.
    """
    corners = mesh_vertices[triangles] - centre
    solve = np.linalg.inv(np.moveaxis(corners, 1, 2))
    radii = np.empty(len(directions))
    for i, direction in enumerate(directions):
        weights = solve @ direction
        hit = (weights >= -1e-9).all(axis=1)
        radii[i] = (1 / weights[hit].sum(axis=1)).max()
    return radii


@cache
def head_centre() -> NDArray[np.float64]:
    """Find the middle of the inner skull, (3,) m in the head frame: the head is star-shaped."""
    points, _ = _fsaverage_surface("inner_skull-bem")
    return (points.max(axis=0) + points.min(axis=0)) / 2


@cache
def _shell_radii(n_vertices: int) -> dict[str, NDArray[np.float64]]:
    """Radii of the surfaces along the directions of an icosphere, skull at its own thickness."""
    centre, (directions, triangles) = head_centre(), icosphere(n_vertices)
    inner = radii_along(*_fsaverage_surface("inner_skull-bem"), centre, directions)
    scalp = radii_along(*_fsaverage_surface("head"), centre, directions)
    brain = _enclose(inner - CSF_THICKNESS, directions, triangles, MIN_SOURCE_DEPTH)
    inner = np.maximum(inner, brain + CSF_THICKNESS)
    scalp = np.maximum(scalp, inner + MIN_SCALP_GAP)
    skull = np.minimum(SKULL_SHARE * (scalp - inner), MAX_SKULL_THICKNESS)
    return {"brain": brain, "inner_skull": inner, "skull": skull, "scalp": scalp}


def _enclose(
    radii: NDArray[np.float64],
    directions: NDArray[np.float64],
    triangles: NDArray[np.int64],
    depth: float,
) -> NDArray[np.float64]:
    """Radii raised just where the cortex would come nearer to the surface than ``depth``."""
    cortex = template_mesh().positions - head_centre()
    reach = np.linalg.norm(cortex, axis=1)
    solve = np.linalg.inv(np.moveaxis(directions[triangles], 1, 2))
    weights = np.einsum("fij,nj->nfi", solve, cortex / reach[:, None])
    face = weights.min(axis=2).argmax(axis=1)
    weights = weights[np.arange(len(face)), face]
    radii = radii.copy()
    for _ in range(8):  # each pass raises the corners of the triangles above shallow sources
        surface = 1 / (weights / radii[triangles[face]]).sum(axis=1)
        lack = reach + depth - surface
        short = lack > 1e-6
        if not short.any():
            break
        raised = np.zeros_like(radii)
        np.maximum.at(raised, triangles[face[short]].ravel(), np.repeat(lack[short], 3))
        radii += raised
    return radii


def template_surfaces(
    n_shells: int = 4, skull_thickness: float = 1.0, n_vertices: int = 642
) -> HeadSurfaces:
    """Make scalp, skull, cerebrospinal fluid and brain of the template, as nested icospheres.

    Parameters
    ----------
    n_shells : 1 (scalp), 3 (without fluid) or 4. n_vertices : of each surface, see ``icosphere``.
    skull_thickness : a factor, .7 to 1.4; it moves the outer skull and, by as much, the scalp: the
        space inside the skull and the thickness of the scalp stay.

    Raises
    ------
    InputError : another number of shells or vertices, or a thickness out of range.
    """
    low, high = THICKNESS_RANGE
    if not low <= skull_thickness <= high:
        raise InputError(
            f"skull_thickness is a factor from {low} to {high}, not {skull_thickness:g}"
        )
    directions, triangles = icosphere(n_vertices)
    radii = _shell_radii(n_vertices)
    outer = radii["inner_skull"] + skull_thickness * radii["skull"]
    scalp = radii["scalp"] + (skull_thickness - 1) * radii["skull"]
    shells = (radii["brain"], radii["inner_skull"], outer, scalp)
    if n_shells not in (1, 3, 4):
        raise InputError(f"the template has 1, 3 or 4 shells, not {n_shells}")
    vertices = [head_centre() + directions * r[:, None] for r in shells[-n_shells:]]
    return HeadSurfaces(tuple(vertices), (triangles,) * n_shells)


@cache
def template_volume(spacing: float = 0.0082) -> SourceSpace:
    """Make a grid of points inside the brain, at least 5 mm below its surface, for free dipoles.

    ``spacing`` is the distance between neighbours, m.
    """
    import trimesh

    brain = template_surfaces(4).innermost
    low, high = brain.bounds
    axes = [np.arange(a, b, spacing) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[contains(brain, grid)]
    depth = trimesh.proximity.closest_point(brain, grid)[1]
    return SourceSpace(grid[depth >= 0.005], subject=SUBJECT, spacing=spacing)
