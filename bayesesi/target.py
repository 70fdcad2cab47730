"""How far the answer lies from something that matters: a lesion, a resection, eloquent cortex.

The peak of the activity has a probability at each source, so that its distance from a target has a
law too: median, central interval, and the probability that the peak lies inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import REGIONS, template_mesh, template_parcellation, template_surfaces
from bayesesi.anatomy.template import SUBJECT, of_mni152
from bayesesi.errors import InputError, some
from bayesesi.result import Result

#: Points that a target may have, thinned out evenly; characters of its name.
_MOST, _LONGEST = 20_000, 80
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
    """

    name: str
    points: NDArray[np.float64]
    reach: float
    said: str

    def __repr__(self) -> str:
        return f"<Target {self.name[:40]!r} | {len(self.points)} points, {self.said[:60]}>"


def read_target(text: str) -> Target:
    """From ``NAME=REGION,REGION``, ``NAME=mni:X,Y,Z``, ``NAME=FILE.nii`` or ``NAME=FILE.label``.

    Raises
    ------
    InputError : another form, no such region, a mask that is empty or in another space.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip()[:_LONGEST], value.strip()
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
    """Regions of the atlas, by their names."""
    unknown = [region for region in regions if region not in REGIONS]
    if unknown:
        raise InputError(f"no region {some(unknown)} for {some([name])}; a target is {_ALLOWED}")
    atlas = template_parcellation(5)
    wanted = [atlas.names.index(region) for region in regions]
    points = atlas.source_space.positions[np.isin(atlas.labels, wanted)]
    return Target(name, points, 0.002, ", ".join(regions))


def target_at(name: str, numbers: str) -> Target:
    """One place, mm of MNI152."""
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
    """Vertices of fsaverage, as FreeSurfer and MNE write them; of finer meshes those that the
    template has."""
    import mne

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{some([name])}: {path.name} is no file; give a .label of fsaverage")
    try:
        label = mne.read_label(str(path), subject=SUBJECT)
        vertices, side = np.asarray(label.vertices, int), str(label.hemi)
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{some([name])}: {path.name} is no readable label ({type(error).__name__}); its name "
            "ends in -lh.label or -rh.label"
        ) from error
    mesh = template_mesh()
    n_side = mesh.n_left if side == "lh" else len(mesh.positions) - mesh.n_left
    own = vertices[(vertices >= 0) & (vertices < n_side)] + (0 if side == "lh" else mesh.n_left)
    if not len(own):
        raise InputError(f"{some([name])}: {path.name} has no vertex of fsaverage5 in it")
    return Target(name, mesh.positions[own], 0.004, f"a label of {len(own):,} vertices")


def target_mask(name: str, path: str | Path) -> Target:
    """Voxels above 0 of an image in MNI152."""
    import nibabel as nib

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{some([name])}: {path.name} is no file; give a mask in MNI152 (.nii)")
    try:
        image = nib.Nifti1Image.from_filename(str(path))
        mask = np.asarray(image.dataobj)
        affine = np.asarray(image.affine, float)
    except Exception as error:  # nibabel and zlib raise many kinds for foreign files
        raise InputError(
            f"{some([name])}: {path.name} is no readable NIfTI image ({type(error).__name__}); "
            "give a mask in MNI152"
        ) from error
    if mask.ndim != 3:
        raise InputError(f"{some([name])}: a mask has three dimensions, not {mask.ndim}")
    inside = np.argwhere(np.nan_to_num(mask) > 0)
    if not len(inside):
        raise InputError(f"{some([name])}: {path.name} is empty, no voxel of it is above 0")
    inside = inside[:: -(-len(inside) // _MOST)]
    points = inside @ affine[:3, :3].T + affine[:3, 3]
    reach = 0.5e-3 * float(np.linalg.norm(affine[:3, :3], axis=0).max()) * np.sqrt(3)
    said = f"a mask of {len(np.argwhere(np.nan_to_num(mask) > 0)):,} voxels"
    return _checked(Target(name, of_mni152(points), reach, said))


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
    """The result with the distance of its peak to each target.

    Raises
    ------
    InputError : nothing is localised, or not on the template's cortex.
    """
    if not result.on_cortex:
        raise InputError("distances are of a peak on the cortex; this result has none")
    maps = result.inference_data["maps"]
    if maps.attrs.get("subject") != SUBJECT:
        raise InputError(
            "targets are places in the template's head, and this result is on another cortex"
        )
    places = np.asarray(maps["position"].values, float)
    weight = np.asarray(maps["peak_probability"].values, float)
    found = [_distance(target, places, weight, result.level) for target in targets]
    return result.with_about("targets", found)


def _distance(
    target: Target, places: NDArray[np.float64], weight: NDArray[np.float64], level: float
) -> dict[str, Any]:
    apart = KDTree(target.points).query(places)[0]
    apart = np.where(apart <= target.reach, 0.0, apart)
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
    order = np.argsort(values, kind="stable")
    along = np.cumsum(weight[order]) / weight.sum()
    last = len(values) - 1
    return [float(values[order][min(int(np.searchsorted(along, q - 1e-12)), last)]) for q in at]
