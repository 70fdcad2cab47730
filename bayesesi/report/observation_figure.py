"""Plot a recording in its unit and whitened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.observation import Observation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEAD_RADIUS = 0.095  # m, in the flattened picture
#: Kind of channel -> factor from SI and the unit a reader expects.
UNITS = {"eeg": (1e6, "µV"), "mag": (1e15, "fT"), "grad": (1e13, "fT/cm")}


def plot_observation(obs: Observation) -> Figure:
    """Plot butterfly and topography of the window, and the whitened numbers against pure noise.

    Parameters
    ----------
    obs : to plot.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    plot_butterfly(axes[0], obs)
    plot_topography(axes[1], obs)
    _plot_whitened(axes[2], obs)
    return figure


def _unit(obs: Observation) -> tuple[str, float, str]:
    kind = obs.sensors.kinds[0]
    scale, unit = UNITS[kind] if obs.scale_known else (1.0, "unknown unit")
    return kind, scale, unit


def plot_butterfly(axis: Any, obs: Observation) -> None:
    """Plot all channels of the window over time.

    Parameters
    ----------
    axis : to draw into. obs : whose first kind of channel is drawn.
    """
    kind, scale, unit = _unit(obs)
    rows = np.array(obs.sensors.kinds) == kind
    values = obs.recording.values[rows] * scale
    if kind == "eeg":
        values = values - values.mean(axis=0)
    times = obs.recording.times * 1e3
    style = "o" if len(times) == 1 else "-"
    axis.plot(times, values.T, style, color="0.3", lw=0.6, ms=2)
    axis.set(title=f"{rows.sum()} {kind} channels", xlabel="time (ms)", ylabel=unit)
    axis.spines[["top", "right"]].set_visible(False)


def plot_topography(axis: Any, obs: Observation) -> None:
    """Plot the topography at the instant of most power.

    Parameters
    ----------
    axis : to draw into. obs : whose first kind of channel is drawn.
    """
    kind, scale, unit = _unit(obs)
    rows = np.flatnonzero(np.array(obs.sensors.kinds) == kind)
    values = obs.recording.values[rows] * scale
    values = values - values.mean(axis=0)
    peak = int((values**2).sum(axis=0).argmax())
    limit = float(np.abs(values[:, peak]).max())
    image = draw_topography(axis, values[:, peak], obs.sensors.positions[rows], limit)
    axis.set(title=f"at {obs.recording.times[peak] * 1e3:.0f} ms")
    if image is not None:
        axis.figure.colorbar(image, ax=axis, label=unit, shrink=0.8)


def draw_topography(
    axis: Any,
    values: NDArray[np.float64],
    positions: NDArray[np.float64],
    limit: float,
    cmap: str = "RdBu_r",
) -> Any:
    """Draw a topography; None, and words, where sensor positions are unknown.

    Parameters
    ----------
    axis : to draw into. values : (n,), any unit. positions : (n, 3) m.
    limit : of the scale, in the unit of the values, above 0. cmap : of Matplotlib.
    """
    import mne

    axis.set(aspect="equal")
    axis.set_axis_off()
    if not np.isfinite(positions).all() or len(values) < 4:
        axis.text(0.5, 0.5, "sensor positions unknown", ha="center", transform=axis.transAxes)
        return None
    flat = _flatten(positions)
    outermost = float(np.linalg.norm(flat, axis=1).max())
    image, _ = mne.viz.plot_topomap(
        values,
        flat,
        axes=axis,
        show=False,
        vlim=(-limit, limit),
        cmap=cmap,
        sphere=max(_HEAD_RADIUS, 1.03 * outermost),  # every sensor lies inside the circle
        contours=5,
        image_interp="linear",  # cubic swings beyond the electrodes
        extrapolate="head",
    )
    return image


def _flatten(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Azimuthal equidistant: the angle from the top of the head becomes the radius."""
    offset = positions - np.array([0.0, 0.015, 0.04])
    radius = np.linalg.norm(offset, axis=1)
    angle = np.arccos(np.clip(offset[:, 2] / radius, -1, 1))
    around = np.arctan2(offset[:, 1], offset[:, 0])
    radius = angle / (np.pi / 2) * _HEAD_RADIUS
    return np.column_stack([radius * np.cos(around), radius * np.sin(around)])


def _plot_whitened(axis: Any, obs: Observation) -> None:
    power = (obs.values**2).mean(axis=0)
    axis.bar(np.arange(1, len(power) + 1), power, color="#2166ac")
    axis.axhline(1.0, color="black", lw=1)
    axis.set(
        title="whitened power (line: pure noise)",
        xlabel="time function",
        ylabel="mean square",
        yscale="log",
    )
    axis.spines[["top", "right"]].set_visible(False)
