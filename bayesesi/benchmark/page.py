"""A benchmark as a page and as files: HTML with pictures inside, Markdown, JSON, Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesesi.benchmark.methods import methods
from bayesesi.benchmark.run import Benchmark
from bayesesi.benchmark.score import MEASURES
from bayesesi.benchmark.summary import (
    CURVES,
    Mean,
    best_first,
    curves,
    failures,
    means,
    reliabilities,
    sets,
    shared_cases,
    wins,
)
from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file
from bayesesi.report.map_figure import plot_map_rows
from bayesesi.report.report import page_environment
from bayesesi.report.result_figure import data_uri, new_figure, png_of
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
_OVER = (
    "Means over cases with 95 % bootstrap intervals over cases (none for fewer than five cases); n "
    "is the largest number of cases of any measure."
)
_ELSEWHERE = (
    "Earth mover's distance relative to that of a flat map, with 95 % intervals over cases. Dashed "
    "lines with hollow marks are published values, not measured here: "
)
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

    overall, first = means(found), shared_cases(found)
    fewest = {} if first.all() else means(found, fewest=True)
    return {
        "task": found.task.name,
        "words": found.task.words,
        "inverse_crime": found.task.crime,
        "command": command,
        "created": datetime.now(UTC).date().isoformat(),
        "measures": MEASURES,
        "over": _OVER,
        "settings": found.settings,
        "published": [
            {"method": p.method, "measure": p.measure, "values": dict(p.values), "source": p.source}
            for p in found.task.published
        ],
        "methods": {name: row(overall[name]) for name in order},
        "conditions": {
            condition.name: {name: row(each) for name, each in means(found, condition.name).items()}
            for condition in found.task.conditions
        },
        "shared": {name: row(fewest[name]) for name in order if name in fewest},
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
    table, pictures = summary_table(found, command), pictures_of(found)
    written = write_page(table, pictures, folder)
    parquet = Path(folder) / f"{found.task.name}.parquet"
    with atomic_file(parquet) as draft:
        found.rows.to_parquet(draft, engine="pyarrow", index=False)
    return (*written, parquet)


def write_page(
    table: dict[str, Any],
    pictures: Sequence[tuple[Figure | None, str]],
    folder: str | Path,
) -> tuple[Path, ...]:
    """All but the tidy table: numbers thrice, the pictures, and the first of them on its own.

    Raises
    ------
    InputError : a folder that cannot be written.
    """
    folder, name = Path(folder), str(table["task"])
    parts = {
        "json": json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False),
        "md": markdown(table),
        "html": page(table, pictures),
    }
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror})") from error
    for ending, text in parts.items():
        written.append(folder / f"{name}.{ending}")
        with atomic_file(written[-1]) as draft:
            draft.write_text(text, encoding="utf-8")
    written.append(folder / f"{name}.png")
    with atomic_file(written[-1]) as draft:
        draft.write_bytes(png_of(next(figure for figure, _ in pictures if figure), 110))
    return tuple(written)


def check_parquet() -> None:
    """That the tidy table can be written, before anything long is begun.

    Raises
    ------
    InputError : its library is missing.
    """
    if find_spec("pyarrow") is None:
        raise InputError(
            "the table of cases needs Parquet; install it with pip install 'bayesesi[benchmark]'"
        )


def rows_of(table: dict[str, Any]) -> list[list[str]]:
    """Header and rows: methods, best first, by measures that any of them has, and their sets."""
    header, *rows = _rows(table, table["methods"])
    areas = table["sets"]
    if areas:
        header[-1:-1] = ["coverage of 90 % sets", "area, share of cortex"]
        for row in rows:
            own = areas.get(row[0])
            row[-1:-1] = [_said(own[k]) if own else "–" for k in ("held", "area")]
    return [header, *rows]


def parts_of(table: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Words -> header and rows: of the cases that every method was given, where slow ones were not
    given all; and of each condition, unless there is but one."""
    parts = {}
    if table["shared"]:
        n = max(mean["n"] for each in table["shared"].values() for mean in each.values())
        parts[f"The first {n} cases, which every method received"] = table["shared"]
    if len(table["conditions"]) > 1:
        parts |= table["conditions"]
    return {words: _rows(table, found) for words, found in parts.items()}


def _rows(table: dict[str, Any], found: dict[str, Any]) -> list[list[str]]:
    known = [name for name in table["measures"] if any(name in each for each in found.values())]
    rows = [["method", *known, "n"]]
    for name, each in found.items():
        cells = [_said(each[m]) if m in each else "–" for m in known]
        rows.append([name, *cells, str(max((v["n"] for v in each.values()), default=0))])
    return rows


def _said(mean: dict[str, Any]) -> str:
    return str(Mean(**mean))


def markdown(table: dict[str, Any]) -> str:
    """The same numbers as text."""
    lines = [f"# {table['task']}", "", table["words"], ""]
    lines += [f"Inverse crime: {table['inverse_crime']}.", ""]
    lines += [f"Made by `{table['command']}` on {table['created']}.", ""]
    lines += [f"![The picture of {table['task']}]({table['task']}.png)", ""]
    lines += _markdown_rows(rows_of(table))
    lines += ["", table["over"], ""]
    for words, rows in parts_of(table).items():
        lines += [f"## {words}", "", *_markdown_rows(rows), ""]
    if table["reliability"]:
        lines += ["## Reliability of region probabilities", ""]
        own = [["method", "slope", "ECE on .05 to .95", "Brier skill"]]
        own += [[name, *each.values()] for name, each in table["reliability"].items()]
        lines += [*_markdown_rows(own), ""]
    if table["published"]:
        lines += ["## Published results, for another head and other cases", ""]
        names = list(table["conditions"])
        own = [["method", "measure", *names]]
        for each in table["published"]:
            cells = [f"{each['values'][n]:g}" if n in each["values"] else "–" for n in names]
            own.append([f"{each['method']} ({each['source']})", each["measure"], *cells])
        lines += [*_markdown_rows(own), ""]
    if table["failures"]:
        lines += ["## Failures", ""]
        own = [["method", "cases", "first reason"]]
        own += [[n, str(e["n"]), e["reason"]] for n, e in table["failures"].items()]
        lines += [*_markdown_rows(own), ""]
    if table["settings"]:
        said = ", ".join(f"{name} {value:.3g}" for name, value in table["settings"].items())
        lines += [f"Settings chosen on separate cases: {said}.", ""]
    lines += ["| measure | definition |", "|---|---|"]
    lines += [f"| {name} | {words} |" for name, words in table["measures"].items()]
    return "\n".join(lines) + "\n"


def _markdown_rows(rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(plain(cell, 200).replace("|", "/") for cell in cells) + " |"

    return [line(rows[0]), "|" + "---|" * len(rows[0]), *map(line, rows[1:])]


def page(table: dict[str, Any], pictures: Sequence[tuple[Figure | None, str]]) -> str:
    """HTML that needs nothing beside itself."""
    from bayesesi import __version__

    return (
        page_environment()
        .get_template("benchmark.html")
        .render(
            table=table,
            rows=rows_of(table),
            parts=parts_of(table),
            pictures=[(data_uri(figure, 110), words) for figure, words in pictures if figure],
            version=__version__,
        )
    )


def pictures_of(found: Benchmark) -> list[tuple[Figure | None, str]]:
    """With their words, in the order of the page."""
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
    """A panel a measure of the four that tell most: dots and intervals, methods best first.

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
    """The best six by condition, beside what others published of their own head."""
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
    """Of recordings: what each method says, with a line around where it is known to be."""
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
