"""Plot a result. No picture holds text from outside: names stand in the page beside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bayesesi.report.cortex_picture import (
    plot_cortex,
    plot_folded,
    sequential_colours,
    spot_on_cortex,
)
from bayesesi.report.observation_figure import draw_topography
from bayesesi.report.reading import Volts
from bayesesi.report.words import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _BLUE, _AMBER = "#1f2a36", "#1d5b8a", "#b3590a"
#: Blue below zero, yellow above; its lightness only rises, so greyscale keeps the order.
SIGNED = "cividis"
_VIEWS = (("left", "lateral"), ("right", "lateral"), ("left", "medial"), ("right", "medial"))


def new_figure(width: float, height: float, **layout: Any) -> Figure:
    """Make a figure of its own: pyplot's list of open figures is never touched.

    Parameters
    ----------
    width, height : in inches, above 0.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), **layout)
    FigureCanvasAgg(figure)
    return figure


def data_uri(figure: Figure, dpi: int = 150) -> str:
    """Encode the figure as a PNG inside an address.

    Parameters
    ----------
    figure : to encode. dpi : dots per inch.
    """
    return "data:image/png;base64," + base64.b64encode(png_of(figure, dpi)).decode()


def png_of(figure: Figure, dpi: int = 150) -> bytes:
    """Encode the figure as a small PNG; the same figure gives the same bytes.

    Parameters
    ----------
    figure : to encode. dpi : dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    # 256 colours are enough for a figure, and a third of the size
    few = (
        Image.fromarray(np.asarray(canvas.buffer_rgba()))
        .convert("RGB")
        .quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    small = BytesIO()
    few.save(small, "png", optimize=True)
    return small.getvalue()


def plot_maps(
    values: NDArray[np.float64],
    limit: float,
    label: str,
    edge: NDArray[np.bool_] | None = None,
    spots: Sequence[int] = (),
    percent: bool = False,
) -> Figure:
    """Plot values on both hemispheres from outside and inside, with a scale below.

    Parameters
    ----------
    values : (20484,), 0 or more. limit : end of the scale, above 0. label : of the scale.
    edge : (20484,) mask of the vertices drawn black. spots : vertices that get a ring.
    percent : show shares in percent.
    """
    figure = new_figure(5.6, 4.6)
    colours = sequential_colours(values, limit, edge)
    for i, (side, view) in enumerate(_VIEWS):
        middle = (0.25 + 0.5 * (i % 2), 0.775 - 0.44 * (i // 2))
        corner = (middle[0] - 0.31, middle[1] - 0.27)
        axis = figure.add_axes((*corner, 0.62, 0.54), projection="3d")
        axis.patch.set_alpha(0)
        plot_cortex(axis, colours.copy(), side, view)
        axis.collections[0].set_clip_on(False)
        for spot in spots:
            _ring(axis, spot, side, view)
        name = f"{side}, from {'outside' if view == 'lateral' else 'inside'}"
        figure.text(middle[0], middle[1] + 0.195, name, ha="center", fontsize=9, color=_INK)
    _scale(figure, limit, label, percent)
    return figure


def plot_folded_maps(maps: Sequence[tuple[NDArray[np.float64], float, str]]) -> Figure:
    """Plot two maps on the folded cortex from six sides, the first in percent.

    Parameters
    ----------
    maps : of each (20484,) values, the end of the scale, and what they are.
    """
    figure = new_figure(9.6, 5.0)
    views = (
        ("left", 0, 180, "  "),
        ("right", 0, 0, "  "),
        ("from above", 90, -90, "LR"),
        ("from below", -90, 90, "RL"),
        ("from the front", 0, 90, "RL"),
        ("from behind", 0, -90, "LR"),
    )
    wide = 1 / len(views)
    for row, (values, limit, label) in enumerate(maps):
        colours, foot = sequential_colours(values, limit), 0.5 * (1 - row)
        for i, (name, elevation, azimuth, sides) in enumerate(views):
            box = (wide * (i - 0.08), foot + 0.1, wide * 1.16, 0.37)
            axis = figure.add_axes(box, projection="3d")
            axis.patch.set_alpha(0)
            plot_folded(axis, colours, elevation, azimuth)
            axis.collections[0].set_clip_on(False)
            middle = wide * (i + 0.5)
            figure.text(middle, foot + 0.455, name, ha="center", fontsize=10, color=_INK)
            for letter, x in zip(sides, (-0.43, 0.43), strict=True):
                place = middle + wide * x, foot + 0.17
                figure.text(*place, letter, ha="center", fontsize=10, color=_INK)
        _scale(figure, limit, label, percent=row == 0, at=foot + 0.085)
    return figure


def plot_slices(
    image: Any, behind: Any, cut: Sequence[float], limit: float, label: str, percent: bool = False
) -> Figure:
    """Plot sagittal, coronal and axial slices; the left of a picture is the left of the head.

    Parameters
    ----------
    image, behind : NIfTI images of values and of anatomy. cut : (3,) mm, of both.
    limit : end of the scale, above 0. label : of the scale. percent : show shares in percent.
    """
    from nilearn import plotting

    figure = new_figure(7.6, 3.3)
    plotting.plot_stat_map(
        image,
        bg_img=behind,
        cut_coords=tuple(cut),
        display_mode="ortho",
        cmap="viridis_r",
        threshold=0.02 * limit,
        vmin=0,
        vmax=limit,
        symmetric_cbar=False,
        black_bg=False,
        dim=-0.6,
        figure=figure,
        axes=(0.01, 0.2, 0.98, 0.79),
        colorbar=False,
    )
    _scale(figure, limit, label, percent, at=0.13)
    return figure


def plot_courses(
    times: NDArray[np.float64],
    bands: Sequence[NDArray[np.float64]],
    unit: str,
    marks: Sequence[float],
    narrow: bool = False,
) -> Figure:
    """Plot bands of a few moments over time, side by side.

    Parameters
    ----------
    times : (T,) ms. bands : of each moment (3, T): low, median and high. unit : of the moments.
    marks : times that get a line, ms. narrow : one below the other.
    """
    n = len(bands)
    figure = new_figure(*((4.2, 0.6 + 1.7 * n) if narrow else (7.6, 2.7)), layout="constrained")
    shape = (n, 1) if narrow else (1, n)
    every = figure.subplots(*shape, sharey=True, sharex=True, squeeze=False).ravel()
    for k, (axes, (low, middle, high)) in enumerate(zip(every, bands, strict=True)):
        axes.axhline(0, color="0.7", lw=0.6, zorder=0)
        if len(times) == 1:
            axes.errorbar(times, middle, [middle - low, high - middle], fmt="o", color=_BLUE)
        else:
            axes.fill_between(times, low, high, color=_BLUE, alpha=0.25, lw=0)
            axes.plot(times, middle, color=_BLUE, lw=1.8)
            axes.set_xlim(times[0], times[-1])
        for mark in marks:
            axes.axvline(mark, color=_AMBER, lw=1, zorder=0)
        axes.set_title(str(k + 1), fontsize=9.5, color=_INK)
        if k == n - 1 or not narrow:
            axes.set_xlabel("time (ms)", fontsize=9, color=_INK)
        if k == 0 or narrow:
            axes.set_ylabel(unit, fontsize=9, color=_INK)
        axes.tick_params(labelsize=8.5, colors=_INK)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_calibration(said: Sequence[float], found: Sequence[float]) -> Figure:
    """Plot stated against observed probabilities of regions, small: calibrated on the line.

    Parameters
    ----------
    said, found : of each bin, probability and share that was active, 0 to 1.
    """
    figure = new_figure(3.0, 2.7, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#9aa5b1", lw=1)
    axes.plot(said, found, "o-", color=_BLUE, ms=4, lw=1.2)
    axes.set(xlabel="model probability", ylabel="observed frequency", xlim=(0, 1), ylim=(0, 1))
    axes.tick_params(labelsize=8)
    return figure


def _ring(axis: Any, spot: int, side: str, view: str) -> None:
    own, place, seen = spot_on_cortex(spot)
    if own != side or not seen[view]:
        return
    x = place + np.array([60.0 * np.sign(place[0] or 1) * (1 if view == "lateral" else -1), 0, 0])
    for size, colour in ((13, "white"), (11, "#c2185b")):
        axis.plot(*x[:, None], "o", mfc="none", mec=colour, ms=size, mew=2.2, zorder=50)


def _scale(figure: Figure, limit: float, label: str, percent: bool, at: float = 0.1) -> None:
    axis = figure.add_axes((0.25, at, 0.5, 0.1 / figure.get_figheight()))
    axis.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap="viridis_r", extent=(0, 1, 0, 1))
    axis.set_yticks([])
    ticks = (0, 0.5, 1)
    words = [f"{100 * t * limit:.3g} %" if percent else figures(t * limit) for t in ticks]
    axis.set_xticks(ticks, words, fontsize=8.5, color=_INK)
    axis.tick_params(length=2)
    axis.spines[:].set_visible(False)
    axis.set_xlabel(label, fontsize=9, color=_INK)


def plot_places(
    positions: NDArray[np.float64], values: NDArray[np.float64], limit: float
) -> Figure:
    """Plot sources of another head as dots from three sides, the largest values in front.

    Parameters
    ----------
    positions : (S, 3) m. values : (S,), 0 or more. limit : end of the scale, above 0.
    """
    figure = new_figure(7.6, 2.9, layout="constrained")
    axes = figure.subplots(1, 3)
    order = np.argsort(values)
    x = positions[order] * 1e3
    views = (("from above", (0, 1)), ("from behind", (0, 2)), ("from the right", (1, 2)))
    for axis, (title, (across, up)) in zip(axes, views, strict=True):
        dots = axis.scatter(
            x[:, across], x[:, up], c=values[order], s=5, cmap="viridis_r", vmin=0, vmax=limit
        )
        axis.set(aspect="equal")
        axis.set_title(title, fontsize=9, color=_INK)
        axis.set_axis_off()
    figure.colorbar(dots, ax=axes, shrink=0.7, format=lambda v, _: f"{100 * v:.3g} %")
    return figure


def plot_dipoles(each: Sequence[Mapping[str, Any]], true: NDArray[np.float64]) -> Figure:
    """Plot ellipsoids in the brain's outline, from three sides.

    Parameters
    ----------
    each : with ``place_mm``, ``axes_mm`` and ``directions``. true : (n, 3) m, marked.
    """
    from scipy.spatial import ConvexHull

    from bayesesi.anatomy import template_blobs

    figure = new_figure(7.6, 2.9, layout="constrained")
    brain = template_blobs().source_space.positions * 1e3
    views = (("from above", (0, 1)), ("from behind", (0, 2)), ("from the right", (1, 2)))
    turn = np.linspace(0, 2 * np.pi, 100)
    for axis, (title, plane) in zip(figure.subplots(1, 3), views, strict=True):
        seen = brain[:, list(plane)]
        hull = seen[ConvexHull(seen).vertices]
        axis.fill(*hull.T, fc="#f1f3f5", ec="#c5ccd3", lw=1)
        for found in each:
            centre = np.array(found["place_mm"], float)[list(plane)]
            axes = np.array(found["axes_mm"], float)[:, None] * np.array(found["directions"], float)
            # the outline of an ellipsoid is that of its covariance in the plane
            spread = (axes.T @ axes)[np.ix_(plane, plane)]
            root = np.linalg.cholesky(spread + 1e-6 * np.eye(2))
            outline = centre[:, None] + root @ np.stack([np.cos(turn), np.sin(turn)])
            axis.fill(*outline, fc=_BLUE, alpha=0.25, ec=_BLUE, lw=1.2)
            axis.plot(*centre, "o", color=_BLUE, ms=4)
        for place in true * 1e3:
            axis.plot(*place[list(plane)], "x", color=_AMBER, ms=8, mew=2)
        axis.set(aspect="equal")
        axis.set_title(title, fontsize=9, color=_INK)
        axis.set_axis_off()
    return figure


def plot_window(volts: Volts, narrow: bool = False) -> Figure:
    """Plot every channel over the window, and the topography at the instant of most power.

    Parameters
    ----------
    volts : of the window. narrow : for a phone, one below the other.
    """
    figure = new_figure(*((4.2, 5.4) if narrow else (7.6, 3.0)), layout="constrained")
    shape = {"height_ratios": (1, 1.1)} if narrow else {"width_ratios": (1.7, 1)}
    butterfly, topography = figure.subplots(*((2, 1) if narrow else (1, 2)), **shape)
    _butterfly(butterfly, volts.measured, volts)
    butterfly.axvline(volts.peak_ms, color=_AMBER, lw=1.2, zorder=0)
    values = volts.measured[:, volts.peak]
    image = draw_topography(topography, values, volts.positions, _limit(volts), SIGNED)
    topography.set_title(f"at {volts.peak_ms} ms", fontsize=10, color=_INK)
    _colour_bar(figure, image, topography, volts.unit)
    return figure


def plot_explained(volts: Volts, narrow: bool = False) -> Figure:
    """Plot measured, explained and what is left at the peak, on one scale, and over the window.

    Parameters
    ----------
    volts : with what is explained. narrow : for a phone, one below the other.
    """
    assert volts.explained is not None
    parts = {
        "measured": volts.measured,
        "explained": volts.explained,
        "left over": volts.measured - volts.explained,
    }
    figure = new_figure(*((4.2, 5.4) if narrow else (7.6, 4.3)), layout="constrained")
    axes = figure.subplots(3, 2, width_ratios=(1, 1.2)) if narrow else figure.subplots(2, 3).T
    reach = 1.05 * max(float(np.abs(values).max()) for values in parts.values()) or 1.0
    for (title, values), (above, below) in zip(parts.items(), axes, strict=True):
        map_now = values[:, volts.peak]
        image = draw_topography(above, map_now, volts.positions, _limit(volts), SIGNED)
        above.set_title(title, fontsize=10, color=_INK)
        _butterfly(below, values, volts)
        below.set_ylim(-reach, reach)
        if not narrow and title != "measured":
            below.set(ylabel="", yticklabels=[])
        if narrow and title != "left over":
            below.set(xlabel="", xticklabels=[])
    if not narrow:  # on a phone the axes beside the maps say the same
        _colour_bar(figure, image, list(axes[:, 0]), volts.unit)
    return figure


def _limit(volts: Volts) -> float:
    """The end of a colour scale: the largest value measured at the peak."""
    return float(np.abs(volts.measured[:, volts.peak]).max()) or 1.0


def _butterfly(axis: Any, values: NDArray[np.float64], volts: Volts) -> None:
    single = len(volts.times) == 1
    axis.plot(volts.times, values.T, "o" if single else "-", color=_INK, lw=0.6, ms=2, alpha=0.75)
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    axis.set_xlabel("time (ms)", fontsize=9, color=_INK)
    axis.set_ylabel(volts.unit, fontsize=9, color=_INK)
    axis.tick_params(labelsize=8.5, colors=_INK)
    axis.spines[["top", "right"]].set_visible(False)
    if not single:
        axis.set_xlim(volts.times[0], volts.times[-1])


def _colour_bar(figure: Figure, image: Any, axes: Any, unit: str) -> None:
    if image is None:
        return
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02)
    bar.set_label(unit, fontsize=9, color=_INK)
    bar.ax.tick_params(labelsize=8.5, colors=_INK)
    bar.outline.set_visible(False)
