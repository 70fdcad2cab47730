"""Render a benchmark as a page and as files: HTML with pictures, Markdown, JSON, Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesesi.benchmark.figures import headline, pictures_of
from bayesesi.benchmark.run import Benchmark
from bayesesi.benchmark.score import MEASURES
from bayesesi.benchmark.summary import (
    Mean,
    best_first,
    failures,
    means,
    reliabilities,
    sets,
    shared_cases,
)
from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file
from bayesesi.report.report import page_environment
from bayesesi.report.result_figure import data_uri, png_of
from bayesesi.report.words import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OVER = (
    "Means over cases with 95 % bootstrap intervals over cases (none for fewer than five cases); n "
    "is the largest number of cases of any measure."
)


def summary_table(found: Benchmark, command: str) -> dict[str, Any]:
    """Collect all numbers of a page, plain: what ``.json`` holds.

    Parameters
    ----------
    found : the answers. command : that made them.
    """
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
    """Write ``TASK.html``, ``.md``, ``.json``, ``.png`` and ``.parquet``, each whole or not at all.

    Parameters
    ----------
    found : the answers. folder : to write into. command : that made them.

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
    """Write all but the tidy table: numbers thrice, the pictures, and the first of them on its own.

    Parameters
    ----------
    table : of ``summary_table``. pictures : with their words. folder : to write into.

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
    """Check that the tidy table can be written, before anything long is begun.

    Raises
    ------
    InputError : its library is missing.
    """
    if find_spec("pyarrow") is None:
        raise InputError(
            "the table of cases needs Parquet; install it with pip install 'bayesesi[benchmark]'"
        )


def rows_of(table: dict[str, Any]) -> list[list[str]]:
    """List header and rows: methods, best first, by measures that any of them has, and their sets.

    Parameters
    ----------
    table : of ``summary_table``.
    """
    header, *rows = _rows(table, table["methods"])
    areas = table["sets"]
    if areas:
        header[-1:-1] = ["coverage of 90 % sets", "area, share of cortex"]
        for row in rows:
            own = areas.get(row[0])
            row[-1:-1] = [_said(own[k]) if own else "–" for k in ("held", "area")]
    return [header, *rows]


def parts_of(table: dict[str, Any]) -> dict[str, list[list[str]]]:
    """List header and rows of parts of the cases, by words.

    Of the cases that every method was given, where slow ones were not given all; and of each
    condition, unless there is but one.

    Parameters
    ----------
    table : of ``summary_table``.
    """
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
    """Write the same numbers as text.

    Parameters
    ----------
    table : of ``summary_table``.
    """
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
    """Render HTML that needs nothing beside itself.

    Parameters
    ----------
    table : of ``summary_table``. pictures : with their words.
    """
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
