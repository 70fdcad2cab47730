"""Plot the head model: shells in three cuts, electrodes on the scalp, regions of cortex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces, template_mesh, template_parcellation, template_surfaces
from bayesesi.forward import Sensors
from bayesesi.report.cortex_picture import frame_3d, plot_cortex, triangles_3d

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    "brain": "#b2182b",
    "inner_skull": "#2166ac",
    "outer_skull": "#7f7f7f",
    "scalp": "#c98f5f",
}
_LABELS = {
    "brain": "brain | fluid",
    "inner_skull": "fluid | skull",
    "outer_skull": "skull | scalp",
    "scalp": "scalp | air",
}
_CUTS = (("sagittal", 0, (1, 2)), ("coronal", 1, (0, 2)), ("axial", 2, (0, 1)))
_SLAB = 0.012  # m: electrodes this near to a cut are drawn on it


def plot_head(sensors: Sensors | None = None, surfaces: HeadSurfaces | None = None) -> Figure:
    """Plot the template head, with the electrodes of a forward model on it.

    Parameters
    ----------
    sensors : to draw; none if None. surfaces : of the head; the template's if None.
    """
    import matplotlib.pyplot as plt

    surfaces = surfaces or template_surfaces(4)
    figure = plt.figure(figsize=(11, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 12, height_ratios=(1.15, 1))
    for i, cut in enumerate(_CUTS):
        _plot_cut(figure.add_subplot(grid[0, 4 * i : 4 * i + 4]), surfaces, sensors, cut)
    _plot_scalp(figure.add_subplot(grid[1, :4], projection="3d"), surfaces, sensors)
    views = (("left", "lateral"), ("right", "medial"))
    for i, (side, view) in enumerate(views):
        axis = figure.add_subplot(grid[1, 4 + 4 * i : 8 + 4 * i], projection="3d")
        _plot_regions(axis, side, view)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _plot_cut(
    axis: Any,
    surfaces: HeadSurfaces,
    sensors: Sensors | None,
    cut: tuple[str, int, tuple[int, int]],
) -> None:
    import trimesh

    name, normal, (across, up) = cut
    origin = surfaces.innermost.bounds.mean(axis=0)
    if name == "sagittal":
        origin = origin + np.array([0.012, 0, 0])  # beside the midline, through cortex
    direction = np.eye(3)[normal]
    mesh = template_mesh()
    cortex = trimesh.Trimesh(mesh.positions, mesh.triangles, process=False)
    for segment in trimesh.intersections.mesh_plane(cortex, direction, origin):
        axis.plot(segment[:, across] * 1e3, segment[:, up] * 1e3, color="0.25", lw=0.8)
    for shell, surface in zip(surfaces.names, surfaces.meshes, strict=True):
        segments = trimesh.intersections.mesh_plane(surface, direction, origin)
        label: str | None = _LABELS[shell]
        for segment in segments:
            axis.plot(
                segment[:, across] * 1e3,
                segment[:, up] * 1e3,
                color=_COLOURS[shell],
                lw=1.8,
                label=label,
            )
            label = None
    if sensors is not None:
        middle = 0.0 if name == "sagittal" else origin[normal]
        near = np.abs(sensors.positions[:, normal] - middle) < _SLAB
        x = sensors.positions[near] * 1e3
        axis.plot(x[:, across], x[:, up], "o", color="black", ms=5, label="electrode")
        for position, i in zip(x, np.flatnonzero(near), strict=True):
            axis.annotate(
                sensors.names[i][:8],
                position[[across, up]],
                xytext=(3, 3),
                fontsize=7,
                textcoords="offset points",
            )
    axis.set(title=name, aspect="equal", xlabel="xyz"[across] + " (mm)", ylabel="xyz"[up] + " (mm)")
    axis.spines[["top", "right"]].set_visible(False)


def _plot_scalp(axis: Any, surfaces: HeadSurfaces, sensors: Sensors | None) -> None:
    scalp = surfaces.scalp
    shade = 0.55 + 0.45 * np.clip(scalp.face_normals @ np.array([0.35, 0.6, 0.7]), 0, 1)
    skin = np.column_stack([shade[:, None] * np.array([[0.93, 0.8, 0.7]]), np.ones(len(shade))])
    axis.add_collection3d(triangles_3d(np.asarray(scalp.triangles) * 1e3, skin))
    if sensors is not None:
        centre = scalp.bounds.mean(axis=0)
        x = (centre + 1.03 * (sensors.positions - centre)) * 1e3
        facing = _facing(x - centre * 1e3, elevation=25, azimuth=60)
        axis.plot(*x[facing].T, "o", color="black", ms=3, zorder=10)
    frame_3d(axis, np.asarray(scalp.vertices) * 1e3, 25, 60)
    axis.set_title("scalp" + ("" if sensors is None else f", {len(sensors)} electrodes"))


def _plot_regions(axis: Any, side: str, view: str) -> None:
    labels = template_parcellation(5).labels
    palette = np.vstack([_region_colours(), [(0.75, 0.75, 0.75, 1.0)]])
    plot_cortex(axis, palette[labels], side, view)  # label -1, no region: the last
    axis.set_title(f"34 regions by lobe: {side}, {view}")


def _region_colours() -> NDArray[np.float64]:
    """(P, 4): a hue a lobe, its regions in alternating shades."""
    import matplotlib as mpl

    hues = {
        "frontal": "Blues",
        "central": "Purples",
        "parietal": "Greens",
        "temporal": "Oranges",
        "occipital": "Reds",
        "insula": "YlOrBr",
    }
    regions = template_parcellation(5).regions
    place: dict[str, int] = {}
    colours = []
    for region in regions:
        rank = place[region.lobe] = place.get(region.lobe, -1) + 1
        colours.append(mpl.colormaps[hues[region.lobe]](0.35 + 0.55 * (rank * 3 % 7) / 6))
    return np.array(colours)


def _facing(offset: NDArray[np.float64], elevation: float, azimuth: float) -> NDArray[np.bool_]:
    e, a = np.radians([elevation, azimuth])
    eye = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    return np.asarray(offset @ eye > 0)
