"""Plot simulated free dipoles in the volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesesi.report.observation_figure import plot_topography
from bayesesi.simulator import VolumeCases

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VIEWS = (("sagittal", 1, 2), ("coronal", 0, 2), ("axial", 0, 1))
_N_SHOWN = 3


def plot_volume_cases(cases: VolumeCases, title: str) -> Figure:
    """Plot the first cases: map on the scalp, and sizes of dipoles projected along three axes.

    Parameters
    ----------
    cases : to plot. title : of the figure.
    """
    import matplotlib.pyplot as plt

    n = min(_N_SHOWN, len(cases))
    figure = plt.figure(figsize=(11, 2.9 * n), layout="constrained")
    grid = figure.add_gridspec(n, 4)
    for k in range(n):
        axis = figure.add_subplot(grid[k, 0])
        plot_topography(axis, cases.observation(k))
        count, extent = int(cases.draws["count"][k]), cases.draws["extent_mm"][k]
        axis.set_title(f"case {k}: {count} source, {extent[0]:.0f} mm", fontsize=9)
        for i, view in enumerate(_VIEWS):
            _plot_projection(figure.add_subplot(grid[k, i + 1]), cases, k, view)
    figure.suptitle(title, fontsize=10)
    return figure


def _plot_projection(axis: Any, cases: VolumeCases, k: int, view: tuple[str, int, int]) -> None:
    name, across, up = view
    positions = cases.forward.source_space.positions * 1e3
    size = np.linalg.norm(cases.fields[k], axis=1)
    order = np.argsort(size)  # the largest on top
    axis.scatter(positions[order, across], positions[order, up], c=size[order], s=4, cmap="magma_r")
    axis.set(title=name, aspect="equal", xlabel="xyz"[across] + " (mm)", ylabel="xyz"[up] + " (mm)")
    axis.spines[["top", "right"]].set_visible(False)
