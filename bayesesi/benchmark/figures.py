"""Plot a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesesi.benchmark.methods import methods
from bayesesi.benchmark.run import Benchmark
from bayesesi.benchmark.score import MEASURES
from bayesesi.benchmark.summary import CURVES, best_first, curves, means, sets, wins
from bayesesi.errors import InputError
from bayesesi.report.map_figure import plot_map_rows
from bayesesi.report.result_figure import new_figure
from bayesesi.report.words import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Methods whose curves are drawn: more are a tangle.
_CURVED = 6
_COLOURS = ("#1d5b8a", "#b3590a", "#5b8a3a", "#7a3b7a", "#8a949e", "#1f2a36")
#: What is drawn of all methods, if any has it.
_PANELS = {
    "peak off, mm": "peak_mm",
    "earth mover's distance (1: flat)": "nemd",
    "area under the ROC curve": "auc",
    "1 - weighted cosine": "cosine",
}
_MOST_PANELS = 4
#: Rows of maps.
_MAPPED = 14
_ELSEWHERE = (
    "Earth mover's distance relative to that of a flat map, with 95 % intervals over cases. Dashed "
    "lines with hollow marks are published values, not measured here: "
)
_OF_KIND = {"learned": "#1d5b8a", "exact": "#5b8a3a", "classic": "#8a949e", "rival": "#b3590a"}


def headline(found: Benchmark) -> str:
    """Choose the measure that methods are ordered by.

    Parameters
    ----------
    found : the answers.
    """
    return "nemd" if found.task.places == "volume" else "peak_mm"


def pictures_of(found: Benchmark) -> list[tuple[Figure | None, str]]:
    """Plot the pictures, with their words, in the order of the page.

    Parameters
    ----------
    found : the answers.
    """
    main = headline(found)
    if found.task.places_only:  # a few recordings are no sample
        return [(plot_means(found), "Means; colours are kinds of method."), *plots_of_maps(found)]
    return [
        (plot_published(found), _ELSEWHERE + _sources(found)),
        (plot_means(found), "Means with 95 % intervals over cases; colours are kinds of method."),
        (
            plot_spread(found),
            f"{MEASURES[main]}: distribution over cases. Box: quartiles; bar: median.",
        ),
        (plot_curves(found), f"{MEASURES[main]} by condition; bars: 95 % intervals."),
        (
            plot_wins(found),
            f"Share of cases in which the method of the row is better: {MEASURES[main]}.",
        ),
    ]


def _sources(found: Benchmark) -> str:
    return "; ".join(dict.fromkeys(each.source for each in found.task.published)) + "."


def _is_ours(name: str) -> bool:
    return name in methods() and methods()[name].kind in ("learned", "exact")


def _colour(name: str) -> str:
    known = methods().get(name)
    return _OF_KIND.get(known.kind if known else "", "#1f2a36")


def plot_means(found: Benchmark) -> Figure:
    """Plot a panel for each of four measures: dots and intervals, methods best first.

    Parameters
    ----------
    found : the answers.

    Raises
    ------
    InputError : no method has an answer.
    """
    overall, regions = means(found), sets(found)
    panels = {
        words: {n: each[m] for n, each in overall.items() if each[m].n}
        for words, m in _PANELS.items()
    }
    panels["area of 90 % sets, share of cortex"] = {n: area for n, (_, area) in regions.items()}
    shown = [(words, values) for words, values in panels.items() if values][:_MOST_PANELS]
    if not shown:
        raise InputError(
            "no method produced a result, so no page can be written; see the reasons in the folder "
            "of finished cases"
        )
    order = best_first(found, headline(found))
    figure = new_figure(12.5, 0.9 + 0.19 * len(order), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axis, (words, values) in zip(axes, shown, strict=True):
        for row, name in enumerate(order):
            if name in values:
                each = values[name]
                axis.plot([each.low, each.high], [row, row], color=_colour(name), lw=1.5)
                axis.plot(each.value, row, "o", color=_colour(name), ms=4)
        axis.set_title(words, fontsize=9)
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(order)), [plain(name, 30) for name in order], fontsize=7.5)
    axes[0].invert_yaxis()
    return figure


def plot_published(found: Benchmark) -> Figure | None:
    """Plot the best six by condition, beside what others published of their own head.

    Parameters
    ----------
    found : the answers.
    """
    measure = found.task.published[0].measure if found.task.published else ""
    if not measure or not found.rows[measure].notna().any():
        return None
    names = [condition.name for condition in found.task.conditions]
    order, tables = best_first(found, measure)[:_CURVED], [means(found, name) for name in names]
    figure = new_figure(9.5, 4.4, layout="constrained")
    axis = figure.subplots()
    for k, (name, colour) in enumerate(zip(order, _COLOURS, strict=False)):
        own = [table[name][measure] for table in tables]
        value, low, high = (
            np.array([getattr(mean, end) for mean in own]) for end in ("value", "low", "high")
        )
        places = np.arange(len(names)) + 0.06 * (k - len(order) / 2)
        bars = value - low, high - value
        axis.errorbar(
            places, value, bars, fmt="o-", ms=4, lw=1.2, color=colour, label=plain(name, 30)
        )
    for each, marker in zip(found.task.published, "Ds^v", strict=False):
        known = dict(each.values)
        at = [k for k, name in enumerate(names) if name in known]
        axis.plot(
            at,
            [known[names[k]] for k in at],
            marker=marker,
            ls="--",
            lw=1,
            mfc="none",
            color="#b3005a",
            label=f"{each.method}: another head",
        )
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_ylabel(MEASURES[measure], fontsize=8)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=7, frameon=False, ncols=2)
    return figure


def plots_of_maps(found: Benchmark) -> list[tuple[Figure, str]]:
    """Plot each method's maps of recordings, with a line around where the truth is known to be.

    Parameters
    ----------
    found : the answers.
    """
    drawn = []
    for condition in found.task.conditions if found.maps else ():
        rows = found.rows[found.rows["condition"] == condition.name]
        nearest = rows.sort_values(headline(found), kind="stable")["method"]
        known = [name for name in nearest if (name, condition.name) in found.maps]
        order = sorted(known, key=lambda name: not _is_ours(name))
        maps = {name: [found.maps[name, condition.name]] for name in order[:_MAPPED]}
        if maps:
            words = (
                f"{condition.name}: maps relative to their maximum, our methods first, then by "
                "distance of the peak; the black line surrounds the known location."
            )
            drawn.append((plot_map_rows(maps, outline=condition.case(0, 0).size > 0), words))
    return drawn


def plot_spread(found: Benchmark) -> Figure:
    """Plot a box for each method.

    Parameters
    ----------
    found : the answers.
    """
    main = headline(found)
    order = best_first(found, main)
    values = [
        found.rows.loc[found.rows["method"] == name, main].dropna().to_numpy(float)
        for name in order
    ]
    figure = new_figure(9, 0.8 + 0.24 * len(order), layout="constrained")
    axis = figure.subplots()
    boxes = axis.boxplot(
        values, orientation="horizontal", showfliers=False, patch_artist=True, widths=0.6
    )
    for box, name in zip(boxes["boxes"], order, strict=True):
        box.set(facecolor=_colour(name), alpha=0.6)
    axis.set_yticks(range(1, len(order) + 1), [plain(name, 30) for name in order], fontsize=7)
    axis.set_xlabel(MEASURES[main], fontsize=8)
    axis.invert_yaxis()
    return figure


def plot_curves(found: Benchmark) -> Figure | None:
    """Plot a panel for each kind of case that varies; the best of each kind of method first.

    Parameters
    ----------
    found : the answers.
    """
    main = headline(found)
    order = best_first(found, main)
    ours = [name for name in order if _is_ours(name)][:2]
    names = [*ours, *[n for n in order if n not in ours]][:_CURVED]
    table = curves(found, main, names)
    if not table:
        return None
    figure = new_figure(12, 2.6 * -(-len(table) // 4) + 0.5, layout="constrained")
    axes = figure.subplots(-(-len(table) // 4), 4, squeeze=False, sharey=True)
    for axis, (kind, (middles, own)) in zip(axes.flat, table.items(), strict=False):
        for (name, each), colour in zip(own.items(), _COLOURS, strict=False):
            value, low, high = (
                np.array([getattr(mean, k) for mean in each]) for k in ("value", "low", "high")
            )
            axis.errorbar(
                middles, value, (value - low, high - value), color=colour, lw=1.2, label=name[:30]
            )
        axis.set_xlabel(CURVES[kind][0], fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(table) :]:
        axis.remove()
    axes.flat[0].legend(fontsize=6, frameon=False)
    axes.flat[0].set_ylabel(MEASURES[main].split(" from")[0][:40], fontsize=8)
    return figure


def plot_wins(found: Benchmark) -> Figure | None:
    """Plot a matrix of the shares of cases won.

    Parameters
    ----------
    found : the answers.
    """
    main = headline(found)
    order = best_first(found, main)
    table = wins(found, main).reindex(index=order, columns=order)
    if len(order) < 2:
        return None
    figure = new_figure(8.5, 7.5, layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(table.to_numpy(float), vmin=0, vmax=1, cmap="cividis")
    names = [plain(name, 30) for name in order]
    axis.set_xticks(range(len(order)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(order)), names, fontsize=7)
    figure.colorbar(image, shrink=0.6, label="share of cases won")
    return figure
