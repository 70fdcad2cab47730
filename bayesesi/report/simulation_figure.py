"""Plot a simulation: its recordings, and what made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_source_space
from bayesesi.report.cortex_picture import plot_cortex, signed_colours
from bayesesi.report.observation_figure import plot_butterfly, plot_topography
from bayesesi.simulator import Batch, Simulation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Cases shown: those at these quantiles of SNR, so that nobody chose them.
_QUANTILES = (0.25, 0.5, 0.75)
#: Shortest window, in samples, with a spectrum worth drawing.
_SPECTRAL = 64


def plot_simulation(simulation: Simulation) -> Figure:
    """Plot three cases with their truth, and spectra, sizes, SNR and active regions of all.

    Parameters
    ----------
    simulation : to plot.
    """
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 11.5), layout="constrained")
    grid = figure.add_gridspec(4, 4, height_ratios=(1, 1, 1, 0.9))
    for row, k in enumerate(_typical(simulation)):
        _plot_case(figure, [grid[row, i] for i in range(4)], simulation, k)
    _plot_spectrum(figure.add_subplot(grid[3, 0]), simulation)
    _plot_sizes(figure.add_subplot(grid[3, 1]), simulation)
    _plot_snr(figure.add_subplot(grid[3, 2]), simulation)
    _plot_active(figure.add_subplot(grid[3, 3]), simulation)
    spec = simulation.spec
    figure.suptitle(
        f"{spec.name}: {spec.description}\n{len(simulation)} cases of seed {simulation.seed}; "
        "shown are those at 25, 50 and 75 % of SNR",
        fontsize=10,
    )
    return figure


def _typical(simulation: Simulation) -> list[int]:
    snr = simulation.snr_db
    active = np.flatnonzero(np.isfinite(snr))
    if not len(active):
        return list(range(min(3, len(simulation))))
    order = active[np.argsort(snr[active])]
    return [int(order[int(q * (len(order) - 1))]) for q in _QUANTILES]


def _plot_case(figure: Figure, cells: list[Any], simulation: Simulation, k: int) -> None:
    obs, truth = simulation.observation(k), simulation.truth(k)
    butterfly = figure.add_subplot(cells[0])
    plot_butterfly(butterfly, obs)
    butterfly.set_title(f"case {k}, SNR {truth.snr_db:+.0f} dB", fontsize=9)
    topography = figure.add_subplot(cells[1])
    plot_topography(topography, obs)
    field = simulation.field(k, ico=5)
    density = field / template_source_space(5).areas[:, None]  # A m / m²
    peak = int((density**2).sum(axis=0).argmax())
    limit = float(np.abs(density[:, peak]).max()) or 1.0
    colours = signed_colours(density[:, peak], limit)
    energy = (density**2).sum(axis=1)
    right = energy[len(energy) // 2 :].sum() > energy.sum() / 2
    side = "right" if right else "left"
    for cell, view in zip(cells[2:], ("lateral", "medial"), strict=True):
        axis = figure.add_subplot(cell, projection="3d")
        plot_cortex(axis, colours, side, view)
        # nAm / mm² is 1e-3 A m / m²
        where = ", ".join(truth.active[:2]) + (" ..." if len(truth.active) > 2 else "")
        axis.set_title(
            f"{side}, {view}" if view == "medial" else f"to {limit * 1e3:.2g} nAm/mm²\n{where}",
            fontsize=8,
        )


def _good(batch: Batch) -> NDArray[np.float32]:
    names = batch.session.ch_names
    return batch.volts[:, [i for i, n in enumerate(names) if n not in batch.session.bads]]


def _plot_spectrum(axis: Any, simulation: Simulation) -> None:
    spec = simulation.spec
    n_times = simulation.batches[0].volts.shape[2]
    if n_times < _SPECTRAL:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "one sample:\nno spectrum", ha="center", transform=axis.transAxes)
        return
    from scipy.signal import periodogram

    spectra = []
    for batch in simulation:
        grid, power = periodogram(_good(batch) * 1e6, spec.sfreq_Hz, "hann", axis=2)
        spectra.append(power.mean(axis=1))  # over channels
    of_cases = np.concatenate(spectra)
    low, middle, high = np.quantile(of_cases, (0.1, 0.5, 0.9), axis=0)
    axis.fill_between(grid[1:], low[1:], high[1:], color="0.8", label="80 % of cases")
    axis.plot(grid[1:], middle[1:], color="#b2182b", label="median")
    guide = (grid >= 2) & (grid <= 40)
    axis.plot(grid[guide], middle[guide][0] * 2 / grid[guide], "k--", lw=0.8, label="1/f")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="Hz",
        ylabel="µV²/Hz",
        title="spectrum, "
        + ("single trials" if spec.n_trials == 1 else f"averages of {spec.n_trials}"),
    )
    axis.legend(fontsize=7, frameon=False)
    _bare(axis)


def _plot_sizes(axis: Any, simulation: Simulation) -> None:
    sizes = np.concatenate(
        [np.sqrt((_good(b).astype(float) ** 2).mean(axis=(1, 2))) for b in simulation]
    )
    low, high = np.quantile(sizes * 1e6, (0.001, 0.999))
    axis.hist(sizes * 1e6, np.geomspace(low * 0.9, high * 1.1, 30), color="0.6")
    axis.set(
        xscale="log", xlabel="root mean square, µV", ylabel="cases", title="size of recordings"
    )
    axis.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:.0e}"[0] in "25" else "")
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    _bare(axis)


def _plot_snr(axis: Any, simulation: Simulation) -> None:
    snr = simulation.snr_db
    shown = snr[np.isfinite(snr)]
    axis.hist(shown, 30, color="#2166ac")
    axis.set(
        xlabel="SNR, dB",
        ylabel="cases",
        title=f"SNR; no event in {1 - len(shown) / len(snr):.0%}",
    )
    _bare(axis)


def _plot_active(axis: Any, simulation: Simulation) -> None:
    counts = np.bincount(simulation.active.sum(axis=1))
    axis.bar(np.arange(len(counts)), counts / counts.sum(), color="0.6")
    axis.set(xlabel="active regions", ylabel="share of cases", title="truth")
    _bare(axis)


def _bare(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
