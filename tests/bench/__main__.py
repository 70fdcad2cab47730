"""`make bench`: every claim about speed and accuracy, measured.

A finished row is kept in `build/bench/` and reused until what it measured changes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from time import perf_counter
from typing import Any

from tests.bench.report import REPORTS

ROWS = tuple(row for report in REPORTS for row in report.rows)
THREADS = min(2, os.cpu_count() or 1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("row", nargs="*", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--fresh", action="store_true", help="measure again what is unchanged")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.row) - set(ROWS))
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")

    from tests.bench.report import write_report

    results = _run(tuple(chosen.row) or ROWS, chosen.fresh)
    write_report(results)
    missed = [
        f"{result['title']}: {line['what']}"
        for result in results.values()
        for line in result.get("outcome", {}).get("findings", [])
        if line["met"] is False
    ]
    for line in missed:
        print(f"bar missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def _run(rows: tuple[str, ...], fresh: bool) -> dict[str, dict[str, Any]]:
    """The results of every row: measured now, kept from before, or the reason there is none."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from tests.bench.store import key_of, read_row

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    results: dict[str, dict[str, Any]] = {}
    # OpenMEEG's chatter is kept off standard output: progress goes beside it
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(rows))
        for name in ROWS:
            module = importlib.import_module(f"tests.bench.{name}")
            key = key_of(name, module.STANDS_ON)
            stored = None if fresh and name in rows else read_row(name, key)
            if stored is None and name in rows:
                stored = _measure(name, module, key, bar, task)
            skipped = {"title": module.TITLE, "skipped": "run this row"}
            results[name] = stored if stored is not None else skipped
            bar.advance(task, name in rows)
    return results


def _measure(name: str, module: Any, key: str, bar: Any, task: Any) -> dict[str, Any]:
    # loaded before the number of threads is set, so that it holds for their libraries, too
    import openmeeg  # noqa: F401
    import sklearn  # noqa: F401
    from threadpoolctl import threadpool_limits

    from tests.bench.outcome import Skipped
    from tests.bench.store import conditions, write_row

    start, around = perf_counter(), conditions(THREADS)
    try:
        with threadpool_limits(THREADS):
            outcome = module.measure(lambda text: bar.update(task, description=f"{name}: {text}"))
    except Skipped as reason:
        return {"title": module.TITLE, "skipped": str(reason)}
    result = {
        "title": module.TITLE,
        "key": key,
        "seconds": perf_counter() - start,
        "conditions": around,
        "outcome": outcome.to_json(),
    }
    write_row(name, result)
    return result


if __name__ == "__main__":
    sys.exit(main())
