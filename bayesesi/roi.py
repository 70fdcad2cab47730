"""How far the answer lies from something that matters: a lesion, a resection, eloquent cortex.

The peak of the activity has a probability at each source, so that its distance from a target has a
law too: median, central interval, and the probability that the peak lies inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import REGIONS, template_mesh, template_parcellation, template_surfaces
from bayesesi.anatomy.template import SUBJECT, of_mni152, to_mni152, to_mri_frame
from bayesesi.errors import InputError, some
from bayesesi.result import Result

#: Points that distances are taken from, voxels of an image; characters of a name.
_MOST, _MOST_VOXELS, _LONGEST = 200_000, 100_000_000, 80
#: Vertices a side of the finest fsaverage; mm that a label's places may lie off its vertices.
_FINEST, _OFF_MM = 163_842, 10.0
#: Edges of a voxel of a mask, mm.
_VOXELS = (0.2, 10.0)
#: m from a vertex within which a place is at it.
_AT_VERTEX = 0.0005
#: m from the brain up to which a target is believed to be in this head.
_NEAR = 0.03
_ALLOWED = (
    "NAME=REGION,REGION (such as precentral-lh), NAME=mni:X,Y,Z in mm of MNI152, NAME=FILE.nii, "
    "a mask in MNI152, or NAME=FILE-lh.label, vertices of fsaverage"
)


@dataclass(frozen=True, eq=False)
class Target:
    """Places in the template's head.

    Attributes
    ----------
    name : as a page calls it (text from outside). points : (n, 3) m, head frame.
    reach : m within which a place counts as inside. said : what was given, in words.
    mask : (X, Y, Z) of an image, in which a place is looked up, with its affine to mm of MNI152.
    """

    name: str
    points: NDArray[np.float64]
    reach: float
    said: str
    mask: tuple[NDArray[np.bool_], NDArray[np.float64]] | None = field(default=None, repr=False)

    def holds(self, places: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Find (S,) which of ``places`` (S, 3) m of the head frame lie inside."""
        near = KDTree(self.points).query(places)[0] <= self.reach
        if self.mask is None:
            return np.asarray(near)
        voxels, affine = self.mask
        back = np.linalg.inv(affine)
        at = np.round(to_mni152(places) @ back[:3, :3].T + back[:3, 3]).astype(int)
        there = ((at >= 0) & (at < voxels.shape)).all(axis=1)
        inside = np.zeros(len(places), bool)
        inside[there] = voxels[tuple(at[there].T)]
        return inside

    def __repr__(self) -> str:
        return f"<Target {self.name[:40]!r} | {len(self.points)} points, {self.said[:60]}>"


def read_target(text: str) -> Target:
    """Read a target from ``text``.

    It is ``NAME=REGION,REGION``, ``NAME=mni:X,Y,Z``, ``NAME=FILE.nii`` or ``NAME=FILE.label``.

    Raises
    ------
    InputError : another form, no such region, a mask that is empty or in another space.
    """
    name, equals, value = text.partition("=")
    # a command line may hold bytes that are no text
    name, value = name.encode("utf-8", "replace").decode().strip()[:_LONGEST], value.strip()
    if not (equals and name and value):
        raise InputError(f"a target is {_ALLOWED}, not {some([text])}")
    if value.startswith("mni:"):
        return target_at(name, value.removeprefix("mni:"))
    if value.endswith((".nii", ".nii.gz")):
        return target_mask(name, value)
    if value.endswith(".label"):
        return target_label(name, value)
    return target_regions(name, [part.strip() for part in value.split(",")])


def target_regions(name: str, regions: Sequence[str]) -> Target:
    """Make the target ``name`` of ``regions`` of the atlas, by their names.

    Raises
    ------
    InputError : a region that is none.
    """
    unknown = [region for region in regions if region not in REGIONS]
    if unknown:
        raise InputError(f"no region {some(unknown)} for {some([name])}; a target is {_ALLOWED}")
    atlas = template_parcellation(5)
    wanted = [atlas.names.index(region) for region in regions]
    points = atlas.source_space.positions[np.isin(atlas.labels, wanted)]
    return Target(name, points, _AT_VERTEX, ", ".join(regions))


def target_at(name: str, numbers: str) -> Target:
    """Make the target ``name`` of one place, ``numbers`` such as ``"10,-20,30"`` in mm of MNI152.

    Raises
    ------
    InputError : other than three numbers, a place outside the template's brain.
    """
    try:
        place = np.array([float(part) for part in numbers.split(",")])
    except ValueError as error:
        raise InputError(
            f"{some([name])}: mni: takes three numbers in mm, not {some([numbers])}"
        ) from error
    if place.shape != (3,) or not np.isfinite(place).all():
        raise InputError(f"{some([name])}: mni: takes three numbers in mm, not {some([numbers])}")
    said = f"MNI152 {place[0]:g}, {place[1]:g}, {place[2]:g} mm"
    return _checked(Target(name, of_mni152(place[None]), 0.005, said))


def target_label(name: str, path: str | Path) -> Target:
    """Make the target ``name`` of a .label file at ``path``: vertices of fsaverage.

    FreeSurfer and MNE write them; of finer meshes those count that the template has.

    Raises
    ------
    InputError : no readable label, one of another subject, or none of its vertices here.
    """
    import mne

    path = existing(path, "a .label of fsaverage", name)
    try:
        label = mne.read_label(str(path), subject=SUBJECT)
        vertices, side = np.asarray(label.vertices, int), str(label.hemi)
        places = np.asarray(label.pos, float)
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{some([name])}: {path.name[:80]} is not a readable label ({type(error).__name__}); "
            "its name ends in -lh.label or -rh.label"
        ) from error
    of = first.partition("from subject")[2].split()
    if of and not of[0].startswith(SUBJECT) and not of[0].startswith("vox2ras"):
        raise InputError(
            f"{some([name])}: {path.name[:80]} belongs to another subject than {SUBJECT}; "
            "transfer it with mne.morph_labels first"
        )
    mesh = template_mesh()
    n_side = mesh.n_left if side == "lh" else len(mesh.positions) - mesh.n_left
    if not ((vertices >= 0) & (vertices < _FINEST)).all() or not np.isfinite(places).all():
        raise InputError(f"{some([name])}: {path.name[:80]} has vertices that no fsaverage has")
    here = vertices < n_side
    if not here.any():
        raise InputError(f"{some([name])}: {path.name[:80]} has no vertex of fsaverage5 in it")
    own = vertices[here] + (0 if side == "lh" else mesh.n_left)
    apart = np.linalg.norm(places[here] - to_mri_frame(mesh.positions[own]), axis=1)
    if places[here].any() and np.median(apart) > 1e-3 * _OFF_MM:
        raise InputError(
            f"{some([name])}: places of {path.name[:80]} are {1e3 * np.median(apart):.0f} mm from "
            "those of its vertices on fsaverage, so it belongs to another subject; transfer it "
            "first"
        )
    return Target(name, mesh.positions[own], _AT_VERTEX, f"a label of {len(own):,} vertices")


def existing(path: str | Path, what: str, name: str = "") -> Path:
    """Return ``path`` if a file is there.

    Raises
    ------
    InputError : it is not; ``what`` should have been given, for the target ``name``.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise InputError(f"{_of(path, name)} is not a file; give {what}")
    return path


def _of(path: Path, name: str) -> str:
    return f"{some([name])}: {path.name[:80]}" if name else path.name[:80]


def target_mask(name: str, path: str | Path) -> Target:
    """Make the target ``name`` of the voxels above 0 of the image at ``path``, in MNI152.

    Raises
    ------
    InputError : no readable image, an empty one, or one in another space.
    """
    from scipy.ndimage import binary_erosion

    path = Path(path)
    voxels, affine = read_image(path, "a mask", name)
    mask = np.nan_to_num(voxels) > 0
    if not mask.any():
        raise InputError(f"{some([name])}: {path.name[:80]} is empty, no voxel of it is above 0")
    # distances are from its surface, and there are fewer of those
    edge = np.argwhere(mask & ~binary_erosion(mask))
    edge = edge[:: -(-len(edge) // _MOST)]
    points = edge @ affine[:3, :3].T + affine[:3, 3]
    said = f"a mask of {int(mask.sum()):,} voxels"
    return _checked(Target(name, of_mni152(points), 0.0, said, (mask, affine)))


def read_image(
    path: str | Path, what: str = "an MRI", name: str = ""
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Read voxels (X, Y, Z) and affine (4, 4) of the NIfTI image at ``path``, in MNI152.

    Nothing else of the file is read. ``what`` and ``name`` (of a target) stand in errors.

    Raises
    ------
    InputError : no such image, one that is no volume, too large or oddly placed.
    """
    import logging

    import nibabel as nib

    path = existing(path, f"{what} in MNI152 (.nii, .nii.gz)", name)
    of = _of(path, name)
    quiet = logging.getLogger("nibabel.global")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        image: Any = nib.load(str(path))
        shape, affine = tuple(image.shape), np.asarray(image.affine, float)
        if len(shape) != 3 or not 1 <= np.prod([float(s) for s in shape]) <= _MOST_VOXELS:
            raise InputError(
                f"{of}: an image has three dimensions and up to {_MOST_VOXELS:,} voxels, not "
                f"{' × '.join(map(str, shape))[:60]}"
            )
        voxels = np.asarray(image.dataobj)
        voxels = voxels.astype(np.float32) if voxels.dtype.kind not in "biu" else voxels
    except InputError:
        raise
    except Exception as error:  # nibabel and zlib raise many kinds for foreign files
        raise InputError(
            f"{of} is not a readable NIfTI image ({type(error).__name__}); give one in MNI152"
        ) from error
    finally:
        quiet.setLevel(level)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    sound = np.isfinite(affine).all() and (np.abs(affine) < 1e5).all()
    if not sound or not ((edges >= _VOXELS[0]) & (edges <= _VOXELS[1])).all():
        raise InputError(
            f"{of}: its voxels are {' × '.join(f'{e:.3g}' for e in edges)} mm, they should be "
            f"{_VOXELS[0]:g} to {_VOXELS[1]:g}"
        )
    if abs(np.linalg.det(affine[:3, :3])) < 0.5 * np.prod(edges):
        raise InputError(f"{of}: the axes of its voxels lie on each other")
    return voxels, affine


def _checked(target: Target) -> Target:
    brain = template_surfaces(4).innermost.vertices
    middle, radius = brain.mean(axis=0), np.linalg.norm(brain - brain.mean(axis=0), axis=1).max()
    apart = np.linalg.norm(target.points - middle, axis=1)
    if (apart > radius + _NEAR).mean() > 0.5:
        raise InputError(
            f"{some([target.name])}: {target.said} lies outside the template's brain, so it is in "
            "another space; bring it to MNI152 first"
        )
    return target


def with_targets(result: Result, targets: Sequence[Target]) -> Result:
    """Add the distance of the peak of ``result`` to each of ``targets``.

    Raises
    ------
    InputError : nothing is localised, or not on the template's cortex.
    """
    if not result.on_cortex:
        raise InputError("distances need a peak on the cortex; this result has none")
    maps = result.inference_data["maps"]
    if maps.attrs.get("subject") != SUBJECT:
        raise InputError(
            "targets are places in the template's head, and this result is on another cortex"
        )
    places = np.asarray(maps["position"].values, float)
    weight = np.asarray(maps["peak_probability"].values, float)
    if not (np.isfinite(weight).all() and weight.sum() > 0):
        raise InputError("the result does not contain the location of the peak; infer again")
    found = [_distance(target, places, weight, result.level) for target in targets]
    return result.with_about("targets", found)


def _distance(
    target: Target, places: NDArray[np.float64], weight: NDArray[np.float64], level: float
) -> dict[str, Any]:
    apart = KDTree(target.points).query(places)[0]
    apart = np.where(target.holds(places), 0.0, apart)
    low, middle, high = _quantiles(apart, weight, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return {
        "name": target.name,
        "said": target.said,
        "median_mm": 1e3 * middle,
        "low_mm": 1e3 * low,
        "high_mm": 1e3 * high,
        "inside": float(weight[apart == 0].sum()),
        "mode_mm": float(1e3 * apart[weight.argmax()]),
    }


def _quantiles(
    values: NDArray[np.float64], weight: NDArray[np.float64], at: Sequence[float]
) -> list[float]:
    """Smallest values that are not exceeded with weight of at least each level.

    A level is taken 1e-9 lower, so that sums of weights that equal it up to rounding reach it.
    """
    levels = np.asarray(at) - 1e-9
    return np.quantile(values, levels, weights=weight, method="inverted_cdf").tolist()
