"""Maps on three orthogonal slices through an MRI."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import template_mesh
from bayesesi.anatomy.template import to_mni152
from bayesesi.errors import InputError
from bayesesi.report import result_figure as draw
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading
from bayesesi.report.sections.cortex import scale_end, spread_of
from bayesesi.report.words import percent
from bayesesi.roi import read_image
from bayesesi.spec import section

#: mm of a voxel, and how far from the middle of the cortex its values are painted.
_VOXEL, _REACH = 2.0, 3.0
#: Share of the template's cortex that an image in MNI152 holds at least.
_LEAST_INSIDE = 0.9


@section("probability-slices", "spread-slices")
def slices(reading: Reading) -> dict[str, Any] | None:
    """Plot probability and uncertainty of a ``reading`` through the most probable peak."""
    maps = reading.group("maps")
    if maps is None or not reading.localisable or reading.template_vertices is None:
        return None
    places = to_mni152(maps["position"].values)
    cut = [float(x) for x in places[int(maps["peak_probability"].values.argmax())]]
    probability = np.asarray(maps["probability"], float)
    limit, spread = scale_end(float(probability.max())), spread_of(reading)
    unit = "nAm per source" if reading.scale_known else "unknown unit"
    unit = f"sd of the moment ({unit})"
    vertices, behind = reading.template_vertices, reading.image
    where = ", ".join(f"{axis} {x:.0f}" for axis, x in zip("xyz", cut, strict=True))
    return {
        "cut": where,
        "side": "left" if cut[0] < 0 else "right",
        "own": behind is not None,
        "pictures": [
            Picture(
                "probability-slices",
                f"Sagittal, coronal and axial slice at {where} mm with the probability that a "
                f"place is among the strongest, up to {percent(limit)}.",
                f"Probability, as on the cortical map; the scale ends at {percent(limit)}.",
                lambda: _cut(probability, vertices, cut, limit, behind, "probability"),
                "Location.",
            ),
            Picture(
                "spread-slices",
                f"Sagittal, coronal and axial slice at {where} mm with the standard deviation of "
                "each source's moment.",
                "Standard deviation of each source's moment, root mean square over the window.",
                lambda: _cut(spread, vertices, cut, float(spread.max()) or 1.0, behind, unit),
                "Uncertainty of the strength (not of the location).",
            ),
        ],
    }


def _cut(
    values: NDArray[np.float64],
    vertices: NDArray[np.int64],
    cut: list[float],
    limit: float,
    behind: Any,
    label: str,
) -> Any:
    import nibabel as nib

    from bayesesi.report.cortex_picture import on_template

    nearest, inside, affine = _grid()
    volume = np.zeros(inside.shape, np.float32)
    volume[inside] = on_template(values, vertices)[nearest]
    image = nib.Nifti1Image(volume, affine)
    return draw.plot_slices(
        image, behind or template_image(), cut, limit, label, label == "probability"
    )


@cache
def _grid() -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Nearest vertex of the template for each voxel in the cortex, (X, Y, Z) which those are, and
    the affine to mm of MNI152."""
    cortex = to_mni152(template_mesh().positions)
    low = np.floor(cortex.min(axis=0) / _VOXEL) * _VOXEL - 2 * _VOXEL
    shape = np.ceil((cortex.max(axis=0) - low) / _VOXEL).astype(int) + 3
    places = low + _VOXEL * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance, nearest = KDTree(cortex).query(places.reshape(-1, 3), distance_upper_bound=_REACH)
    inside = np.isfinite(distance)
    affine = np.diag([_VOXEL, _VOXEL, _VOXEL, 1.0])
    affine[:3, 3] = low
    return nearest[inside].astype(np.int64), inside.reshape(shape), affine


@cache
def template_image() -> Any:
    """Load MNI152, as nilearn ships it."""
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=1)


def read_mri(path: str | Path) -> Any:
    """Read an image to draw slices on: its voxels and where they are, nothing else of the file.

    Parameters
    ----------
    path : of a NIfTI file in MNI152.

    Raises
    ------
    InputError : no such file, no image in three dimensions, or one that misses the brain.
    """
    import nibabel as nib

    path = Path(path)
    voxels, affine = read_image(path)
    voxels = voxels.astype(np.float32)
    if not np.isfinite(voxels).all() or np.ptp(voxels) == 0:
        raise InputError(
            f"{path.name[:80]} cannot be used as an MRI: its voxels are constant or not finite; "
            "give an MRI in MNI152 space"
        )
    back = np.linalg.inv(affine)
    cortex = to_mni152(template_mesh().positions) @ back[:3, :3].T + back[:3, 3]
    inside = ((cortex > 0) & (cortex < np.array(voxels.shape) - 1)).all(axis=1).mean()
    if inside < _LEAST_INSIDE:
        raise InputError(
            f"{path.name[:80]} contains only {inside:.0%} of the template's cortex, so it is in "
            "another space; transform it to MNI152 first"
        )
    return nib.Nifti1Image(voxels, affine)
