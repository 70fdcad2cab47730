"""Plot the expected error of montages, as maps beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesesi.montage_design import SEEN_MM, Plan
from bayesesi.report.cortex_picture import on_template, plot_cortex, sequential_colours
from bayesesi.report.result_figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VIEWS = (("left", "lateral"), ("left", "medial"), ("right", "lateral"), ("right", "medial"))
_WIDEST = 60.0


def plot_plans(plans: Sequence[Plan]) -> Figure:
    """Plot a row a montage: expected error on four views; then errors and sets over the cortex.

    Parameters
    ----------
    plans : one a montage.
    """
    n = len(plans)
    figure = new_figure(13, 2.3 * n + 0.6, layout="constrained")
    grid = figure.add_gridspec(
        n + 1, 6, height_ratios=[1] * n + [0.06], width_ratios=[1.5] * 4 + [1] * 2
    )
    for row, each in enumerate(plans):
        assert each.space.vertices is not None
        errors = on_template(each.error_mm, each.space.vertices)
        colours = sequential_colours(errors, _WIDEST)
        for column, (side, view) in enumerate(_VIEWS):
            axis = figure.add_subplot(grid[row, column], projection="3d")
            plot_cortex(axis, colours.copy(), side, view)
            axis.collections[0].set_clip_on(False)
            words = "outside" if view == "lateral" else "inside"
            name = f"{each.montage}\n" if column == 0 else ""
            axis.set_title(f"{name}{side}, from {words}", fontsize=8)
        for column, (values, unit, most) in enumerate(
            (
                (each.error_mm, "error, mm", _WIDEST),
                (each.set_cm2, f"{each.level:.0%} set, cm²", 300),
            )
        ):
            axes = figure.add_subplot(grid[row, 4 + column])
            axes.hist(
                np.minimum(values, most),
                np.linspace(0, most, 31).tolist(),
                color="0.6",
                weights=each.space.areas / each.space.areas.sum(),
            )
            axes.axvline(min(float(np.median(values)), most), color="#b3590a")
            axes.set(xlabel=unit, yticks=[])
            axes.spines[["top", "right", "left"]].set_visible(False)
            if column == 0:
                axes.set_title(f"{each.seen:.0%} within {SEEN_MM:.0f} mm", fontsize=8)
    scale = figure.add_subplot(grid[n, 1:3])
    scale.imshow(
        np.linspace(0, 1, 256)[None], aspect="auto", cmap="viridis_r", extent=(0, _WIDEST, 0, 1)
    )
    scale.set(
        yticks=[], xlabel="expected distance between the most probable and the true place, mm"
    )
    first = plans[0]
    figure.suptitle(
        f"One source of {first.moment_nAm:g} nAm, {first.extent_mm:g} mm wide, noise of "
        f"{first.noise_uV:g} µV per electrode, unknown head; the line is the median",
        fontsize=10,
    )
    return figure
