"""A benchmark as a page and as files: HTML with pictures inside, Markdown, JSON, Parquet."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesesi.benchmark.measures import MEASURES
from bayesesi.benchmark.methods import methods
from bayesesi.benchmark.run import Benchmark
from bayesesi.benchmark.summary import (
    CURVES,
    Mean,
    best_first,
    curves,
    failures,
    means,
    reliabilities,
    sets,
    wins,
)
from bayesesi.draft import draft_file
from bayesesi.errors import InputError
from bayesesi.report.report import page_environment
from bayesesi.report.result_figure import data_uri, new_figure
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
_OF_KIND = {"learned": "#1d5b8a", "exact": "#5b8a3a", "classic": "#8a949e", "rival": "#b3590a"}


def headline(found: Benchmark) -> str:
    """The measure that methods are ordered by."""
    return "nemd" if found.task.places == "volume" else "peak_mm"


def summary_table(found: Benchmark, command: str) -> dict[str, Any]:
    """All numbers of a page, plain: what ``.json`` holds."""
    regions, probable = sets(found), reliabilities(found)
    order = best_first(found, headline(found))

    def row(each: dict[str, Mean]) -> dict[str, Any]:
        return {name: vars(mean) for name, mean in each.items() if mean.n}

    overall = means(found)
    return {
        "task": found.task.name,
        "words": found.task.words,
        "inverse_crime": found.task.crime,
        "command": command,
        "created": datetime.now(UTC).date().isoformat(),
        "measures": MEASURES,
        "settings": found.settings,
        "methods": {name: row(overall[name]) for name in order},
        "conditions": {
            condition.name: {name: row(each) for name, each in means(found, condition.name).items()}
            for condition in found.task.conditions
        },
        "sets": {
            name: {"held": vars(held), "area": vars(area)} for name, (held, area) in regions.items()
        },
        "reliability": {
            name: dict(zip(("slope", "ece", "brier_skill"), each, strict=True))
            for name, each in probable.items()
        },
        "failures": {
            name: {"n": n, "reason": reason} for name, (n, reason) in failures(found).items()
        },
    }


def write_benchmark(found: Benchmark, folder: str | Path, command: str) -> tuple[Path, ...]:
    """``TASK.html``, ``.md``, ``.json``, ``.png`` and ``.parquet``, each whole or not at all.

    Raises
    ------
    InputError : a folder that cannot be written; Parquet's library is missing.
    """
    check_parquet()
    folder, table = Path(folder), summary_table(found, command)
    parts = {
        "json": json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False),
        "md": markdown(table, found),
        "html": page(table, found),
    }
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror})") from error
    for ending, text in parts.items():
        written.append(folder / f"{found.task.name}.{ending}")
        with draft_file(written[-1]) as draft:
            draft.write_text(text, encoding="utf-8")
    written.append(folder / f"{found.task.name}.png")
    with draft_file(written[-1]) as draft:
        plot_means(found).savefig(draft, dpi=110, format="png")
    written.append(folder / f"{found.task.name}.parquet")
    with draft_file(written[-1]) as draft:
        found.rows.to_parquet(draft, engine="pyarrow", index=False)
    return tuple(written)


def check_parquet() -> None:
    """That the tidy table can be written, before anything long is begun.

    Raises
    ------
    InputError : its library is missing.
    """
    if find_spec("pyarrow") is None:
        raise InputError(
            "the tidy table is Parquet; install its library with pip install 'bayesesi[benchmark]'"
        )


def rows_of(table: dict[str, Any], condition: str | None = None) -> list[list[str]]:
    """Header and rows: methods, best first, by measures that any of them has."""
    found = table["methods"] if condition is None else table["conditions"][condition]
    known = [name for name in MEASURES if any(name in each for each in found.values())]
    header = ["method", *known]
    areas = table["sets"] if condition is None else {}
    if areas:
        header += ["90 % sets held", "area, share of cortex"]
    header.append("n")
    rows = [header]
    for name, each in found.items():
        cells = [_said(each[m]) if m in each else "–" for m in known]
        if areas:
            own = areas.get(name)
            cells += [_said(own[k]) if own else "–" for k in ("held", "area")]
        rows.append([name, *cells, str(max((v["n"] for v in each.values()), default=0))])
    return rows


def _said(mean: dict[str, Any]) -> str:
    return str(Mean(**mean))


def markdown(table: dict[str, Any], found: Benchmark) -> str:
    """The same numbers as text."""
    lines = [f"# {table['task']}", "", table["words"], ""]
    lines += [f"Inverse crime: {table['inverse_crime']}.", ""]
    lines += [f"Made by `{table['command']}` on {table['created']}.", ""]
    lines += _markdown_rows(rows_of(table))
    lines += ["", "Means over cases with 95 % intervals of cases drawn again.", ""]
    if len(found.task.conditions) > 1:
        for condition in found.task.conditions:
            lines += [f"## {condition.name}", "", *_markdown_rows(rows_of(table, condition.name))]
            lines.append("")
    if table["reliability"]:
        lines += ["## Probabilities of regions", ""]
        own = [["method", "slope", "ECE on .05 to .95", "Brier skill"]]
        own += [[name, *each.values()] for name, each in table["reliability"].items()]
        lines += [*_markdown_rows(own), ""]
    if table["failures"]:
        lines += ["## What failed", ""]
        own = [["method", "cases", "first reason"]]
        own += [[n, str(e["n"]), e["reason"]] for n, e in table["failures"].items()]
        lines += [*_markdown_rows(own), ""]
    if table["settings"]:
        said = ", ".join(f"{name} {value:.3g}" for name, value in table["settings"].items())
        lines += [f"Settings chosen on other cases: {said}.", ""]
    lines += ["| measure | what it is |", "|---|---|"]
    lines += [f"| {name} | {words} |" for name, words in MEASURES.items()]
    return "\n".join(lines) + "\n"


def _markdown_rows(rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(plain(cell, 200).replace("|", "/") for cell in cells) + " |"

    return [line(rows[0]), "|" + "---|" * len(rows[0]), *map(line, rows[1:])]


def page(table: dict[str, Any], found: Benchmark) -> str:
    """HTML that needs nothing beside itself."""
    from bayesesi import __version__

    main = headline(found)
    pictures = [
        (plot_means(found), "Means with 95 % intervals over cases; colours are kinds of method."),
        (plot_spread(found), f"{MEASURES[main]}: how cases differ. Box: quartiles; bar: median."),
        (plot_curves(found), f"{MEASURES[main]}, by the kind of case; bars: 95 % intervals."),
        (plot_wins(found), f"Share of cases in which the row does better: {MEASURES[main]}."),
    ]
    return (
        page_environment()
        .get_template("benchmark.html")
        .render(
            table=table,
            rows=rows_of(table),
            conditions=[
                (c.name, rows_of(table, c.name))
                for c in found.task.conditions
                if len(found.task.conditions) > 1
            ],
            pictures=[(data_uri(figure, 110), words) for figure, words in pictures if figure],
            version=__version__,
        )
    )


def _colour(name: str) -> str:
    known = methods().get(name)
    return _OF_KIND.get(known.kind if known else "", "#1f2a36")


def plot_means(found: Benchmark) -> Figure:
    """A panel a measure of the four that tell most: dots and intervals, methods best first."""
    overall, regions = means(found), sets(found)
    panels = {
        words: {n: each[m] for n, each in overall.items() if each[m].n}
        for words, m in _PANELS.items()
    }
    panels["area of 90 % sets, share of cortex"] = {n: area for n, (_, area) in regions.items()}
    shown = [(words, values) for words, values in panels.items() if values][:_MOST_PANELS]
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


def plot_spread(found: Benchmark) -> Figure:
    """A box a method."""
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
    """A panel a kind of case that varies; the best of each kind of method first."""
    main = headline(found)
    order = best_first(found, main)
    ours = [n for n in order if methods().get(n) and methods()[n].kind in ("learned", "exact")][:2]
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
    """A matrix of shares."""
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
