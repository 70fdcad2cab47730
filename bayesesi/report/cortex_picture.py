"""Draw the cortex: colours on the inflated surface of a hemisphere."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_mesh
from bayesesi.anatomy.template import fsaverage5_file

#: Cosine from which a face that looks away is left out: near the outline perspective shows some.
_BEHIND = 0.2


def plot_cortex(axis: Any, colours: NDArray[np.float64], side: str, view: str) -> None:
    """Draw colours on one side of the inflated cortex.

    Parameters
    ----------
    axis : three-dimensional. colours : (20484, 4) RGBA, 0 to 1. side : ``"left"`` or ``"right"``.
    view : ``"lateral"`` or ``"medial"``.
    """
    points, faces, _sulci = surface_of("infl", side)
    n_left = template_mesh().n_left
    part = slice(0, n_left) if side == "left" else slice(n_left, None)
    corners = colours[part][faces]
    # an edge between two colours is sharp: a face takes the colour that two corners share
    alike = (corners[:, 0] == corners[:, 1]).all(axis=1)
    colour = np.where(alike[:, None], corners[:, 0], corners[:, 2])
    normal = np.cross(
        points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    outward = 180 if side == "left" else 0
    azimuth = outward if view == "lateral" else 180 - outward
    across = np.cos(np.radians(azimuth))
    light = normal @ np.array([across, 0, 0.5])
    colour[:, :3] *= (0.6 + 0.4 * np.clip(light, 0, 1))[:, None]
    seen = normal[:, 0] * across > -_BEHIND  # the others lie behind
    axis.add_collection3d(triangles_3d(points[faces[seen]], colour[seen]))
    frame_3d(axis, points, 0, azimuth)


def plot_folded(axis: Any, colours: NDArray[np.float64], elevation: float, azimuth: float) -> None:
    """Draw colours on both sides of the folded cortex.

    Parameters
    ----------
    axis : three-dimensional. colours : (20484, 4) RGBA, 0 to 1.
    elevation, azimuth : direction from which it is seen, degrees.
    """
    left, right = surface_of("pial", "left"), surface_of("pial", "right")
    points = np.r_[left[0], right[0]]
    faces = np.r_[left[1], right[1] + len(left[0])]
    toward = np.array(
        [
            np.cos(np.radians(elevation)) * np.cos(np.radians(azimuth)),
            np.cos(np.radians(elevation)) * np.sin(np.radians(azimuth)),
            np.sin(np.radians(elevation)),
        ]
    )
    corner = points[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    facing = normal @ toward / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    seen = facing > 0  # the others lie behind
    colour = colours[faces[seen]].mean(axis=1)
    colour[:, :3] *= (0.45 + 0.55 * facing[seen])[:, None]
    axis.add_collection3d(triangles_3d(corner[seen], colour))
    frame_3d(axis, points, elevation, azimuth)


def signed_colours(values: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    """Colour values (20484, 4): red out of the cortex and blue into it, over grey folds.

    Parameters
    ----------
    values : (20484,), any unit. limit : of the scale, in the same unit, above 0.
    """
    import matplotlib as mpl

    folds = np.r_[surface_of("infl", "left")[2], surface_of("infl", "right")[2]]
    grey = np.where(folds > 0, 0.62, 0.78)[:, None] * np.ones(3)
    share = np.clip(values / limit, -1, 1)
    colour = mpl.colormaps["RdBu_r"](0.5 + 0.5 * share)[:, :3]
    seen = np.clip(np.abs(share) / 0.3, 0, 1)[:, None]
    return np.column_stack([seen * colour + (1 - seen) * grey, np.ones(len(values))])


def sequential_colours(
    values: NDArray[np.floating], limit: float, edge: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Colour values (20484, 4): the more, the darker, over pale folds; black along an edge.

    Lightness falls all the way, so that the picture survives greyscale print.

    Parameters
    ----------
    values : (20484,), 0 or more, any unit. limit : of the scale, in the same unit, above 0.
    edge : (20484,) mask of the vertices drawn black.
    """
    import matplotlib as mpl

    folds = np.r_[surface_of("infl", "left")[2], surface_of("infl", "right")[2]]
    pale = np.where(folds > 0, 0.84, 0.92)[:, None] * np.ones(3)
    share = np.clip(values / limit, 0, 1)
    colour = mpl.colormaps["viridis_r"](share)[:, :3]
    seen = np.clip(share / 0.15, 0, 1)[:, None]
    colour = seen * colour + (1 - seen) * pale
    if edge is not None:
        colour[edge] = 0.0
    return np.column_stack([colour, np.ones(len(values))])


def on_template(values: NDArray[np.floating], vertices: NDArray[np.integer]) -> NDArray[np.float64]:
    """Carry values of sources to all (20484,) vertices of the template.

    A vertex without a source takes the mean of the three nearest on the registration sphere,
    weighted by the inverse square of their distance; at a source its own value stays.

    Parameters
    ----------
    values : (S,), any unit. vertices : (S,) indices of the template's vertices.
    """
    weights, nearest = _neighbours(tuple(int(v) for v in vertices))
    return np.asarray((weights * np.asarray(values, float)[nearest]).sum(axis=1))


def edge_on_template(
    members: NDArray[np.bool_], vertices: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Mask the (20484,) vertices that lie just outside a set of sources and the cortex around them.

    Parameters
    ----------
    members : (S,) mask of the set. vertices : (S,) indices of the template's vertices.
    """
    _, nearest = _neighbours(tuple(int(v) for v in vertices))
    inside = np.asarray(members, bool)[nearest[:, 0]]
    touches = template_mesh().edges.astype(bool) @ inside.astype(float) > 0
    return np.asarray(~inside & touches)


def spot_on_cortex(vertex: int) -> tuple[str, NDArray[np.float64], dict[str, bool]]:
    """Find side and place (mm) on the inflated surface of a vertex, and from where it is seen.

    Parameters
    ----------
    vertex : its index, 0 to 20,483.
    """
    n_left = template_mesh().n_left
    side, own = ("left", vertex) if vertex < n_left else ("right", vertex - n_left)
    points, faces, _ = surface_of("infl", side)
    around = points[faces[(faces == own).any(axis=1)]]
    normal = np.cross(around[:, 1] - around[:, 0], around[:, 2] - around[:, 0]).sum(axis=0)
    outside = (normal[0] < 0) == (side == "left")
    return side, points[own], {"lateral": bool(outside), "medial": not outside}


@cache
def _neighbours(vertices: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(20484, 3) weights and indices of the nearest sources of the same hemisphere."""
    from scipy.spatial import KDTree

    mesh, own = template_mesh(), np.array(vertices)
    assert mesh.sphere is not None
    # far apart, so that no vertex finds its neighbour on the other side
    apart = mesh.sphere + 10.0 * mesh.hemisphere[:, None]
    distance, nearest = KDTree(apart[own]).query(apart, k=3)
    weights = 1 / np.maximum(distance, 1e-9) ** 2
    return weights / weights.sum(axis=1, keepdims=True), nearest.astype(np.int64)


def triangles_3d(triangles: NDArray[np.float64], colours: NDArray[np.float64]) -> Any:
    """Make filled triangles.

    Parameters
    ----------
    triangles : (F, 3, 3) corners, mm. colours : (F, 4) RGBA, 0 to 1.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    return Poly3DCollection(triangles, facecolors=colours, edgecolors=colours, linewidths=0.2)


def frame_3d(axis: Any, points: NDArray[np.float64], elevation: float, azimuth: float) -> None:
    """Remove all that is around the points and look from a direction.

    Parameters
    ----------
    axis : three-dimensional. points : (V, 3) mm. elevation, azimuth : degrees.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axis.set_box_aspect(high - low, zoom=1.2)
    axis.view_init(elevation, azimuth)
    axis.set_axis_off()


@cache
def surface_of(kind: str, side: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Read one hemisphere: points (V, 3) mm, triangles (F, 3) and depth of folds (V,).

    Parameters
    ----------
    kind : ``"infl"`` or ``"pial"``. side : ``"left"`` or ``"right"``.
    """
    import nibabel as nib

    surface = nib.GiftiImage.from_filename(str(fsaverage5_file(f"{kind}_{side}")))
    points, faces = surface.agg_data(("pointset", "triangle"))
    folds = nib.GiftiImage.from_filename(str(fsaverage5_file(f"sulc_{side}"))).agg_data()
    return np.asarray(points), np.asarray(faces), np.asarray(folds)
