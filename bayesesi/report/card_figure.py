"""Plot a calibration card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesesi.calibration import CalibrationCard
from bayesesi.calibration.diagnosis import ASKED_LEVELS, KINDS
from bayesesi.calibration.trials import CLOSED_LEVELS
from bayesesi.calibration.verdicts import MISS_MM, SET_LEVEL
from bayesesi.conformal import CELLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Shown as the end of the scale of deviations.
_WIDEST = 0.2
_GREY, _BLUE, _ORANGE = "0.75", "#0072b2", "#d55e00"


def plot_card(card: CalibrationCard) -> Figure:
    """Plot coverage, reliability and sets above; deviations by kind of case below.

    Parameters
    ----------
    card : of a model.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.5), layout="constrained")
    grid = figure.add_gridspec(2, 12, height_ratios=(1.15, 1))
    _plot_coverage(figure.add_subplot(grid[0, :3]), card)
    _plot_reliability(figure.add_subplot(grid[0, 3:6]), card)
    _plot_sets(figure.add_subplot(grid[0, 6:9]), card)
    _plot_risk(figure.add_subplot(grid[0, 9:]), card)
    shared = None
    for k, name in enumerate(KINDS):
        axes = figure.add_subplot(grid[1, 2 * k : 2 * k + 2], sharey=shared)
        shared = shared or axes
        _plot_kind(axes, card, name, first=k == 0)
    d = card.diagnosis
    figure.suptitle(
        f"{card.model}: {d.n} cases for the diagnosis, {card.repair.n} for the repair, "
        f"{len(card.split)} with an event behind sets; "
        + ", ".join(each["name"][:60].replace("$", "") for each in card.simulators),
        fontsize=10,
    )
    return figure


def _plot_coverage(axes: Axes, card: CalibrationCard) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1)
    for (name, c), marker in zip(card.diagnosis.coverage.items(), "os^vD", strict=True):
        axes.plot(ASKED_LEVELS, c.found, marker, ls="-", ms=3, lw=0.8, label=name)
    axes.plot(CLOSED_LEVELS, card.diagnosis.closed, ":", color="0.4", label="closed, all sources")
    axes.set(xlabel="level", ylabel="share of ranks below", title="rank of the truth among draws")
    axes.legend(frameon=False, fontsize=7)


def _plot_reliability(axes: Axes, card: CalibrationCard) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1)
    r = card.diagnosis.reliability
    axes.plot(r.said, r.found, "o-", color=_BLUE, ms=4, label=f"raw, slope {r.slope.value:.2f}")
    if card.diagnosis.repaired is not None:
        q = card.diagnosis.repaired.reliability
        label = f"repaired, slope {q.slope.value:.2f}"
        axes.plot(q.said, q.found, "s--", color=_ORANGE, ms=4, label=label)
    axes.set(xlabel="model probability", ylabel="observed frequency", title="regions, .05 to .95")
    axes.legend(frameon=False, fontsize=7)


def _plot_sets(axes: Axes, card: CalibrationCard) -> None:
    checks = [c for c in card.sets if c.guarantee == "every"]
    at = np.arange(len(CELLS))
    check = next(c for c in checks if c.level == SET_LEVEL)
    held, area, n = (np.array(v) for v in zip(*check.by_cell, strict=True))
    some = n > 0
    axes.bar(at[some], area[some], color=_GREY, label="area, share of cortex")
    axes.plot(at[some], held[some], "o", color=_BLUE, label="coverage")
    axes.axhline(SET_LEVEL, color=_BLUE, lw=0.8, ls="--")
    axes.set(ylim=(0, 1.05), title=f"{SET_LEVEL:.0%} sets by kind of recording")
    axes.set_xticks(at, [c.replace(", ", ",\n") for c in CELLS], fontsize=6, rotation=90)
    axes.legend(frameon=False, fontsize=7)


def _plot_risk(axes: Axes, card: CalibrationCard) -> None:
    kept, risk = np.array(card.trust.risk).T
    axes.plot(kept, risk, "o-", color=_ORANGE, ms=4)
    axes.set(
        xlabel="share of cases kept, most trusted first",
        ylabel=f"share with mode error over {MISS_MM:.0f} mm",
        title="risk and coverage of verdicts",
        ylim=(0, None),
    )


def _plot_kind(axes: Axes, card: CalibrationCard, name: str, first: bool) -> None:
    words, edges = KINDS[name]
    ticks = [f"< {edges[0]:g}", f"{edges[0]:g} to {edges[1]:g}", f"> {edges[1]:g}"]
    if name == "sources":
        ticks = ["one", "two", "three"]
    for (quantity, c), marker in zip(card.diagnosis.coverage.items(), "os^vD", strict=True):
        values = [np.nan if v is None else v for v, _ in c.by_kind[name]]
        axes.plot(range(3), values, marker, ls="-", ms=3, lw=0.8, label=quantity)
    axes.axhline(0.05, color=_GREY, lw=0.8, ls="--")
    axes.set_xticks(range(3), ticks, fontsize=7)
    axes.set(title=words, ylim=(0, _WIDEST))
    axes.title.set_fontsize(9)
    if first:
        axes.set_ylabel("mean deviation of ranks")
    else:
        axes.tick_params(labelleft=False)
