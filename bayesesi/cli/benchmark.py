"""Every method on the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesesi.cli.app import app, one_sentence, show


@app.command()
@one_sentence
def benchmark(
    task: Annotated[
        str, typer.Argument(help="cortex-focal, distributed, shift, sif-994, cal or piu-61.")
    ],
    methods: Annotated[
        str, typer.Option(help="Names with semicolons between; all that belong there if none.")
    ] = "",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the page and its tables.")
    ] = Path("benchmark"),
    work: Annotated[Path, typer.Option(help="Folder of finished cases: a stopped run goes on.")] = (
        Path("runs") / "benchmark"
    ),
    n: Annotated[int | None, typer.Option("-n", help="Cases; the task's own if none.")] = None,
    n_slow: Annotated[
        int | None, typer.Option(help="Cases of slow methods, the first of them.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine (Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
) -> None:
    """Every method on the same simulated cases: one table, curves, who wins, what failed.

    bayesesi benchmark cortex-focal --workers 2 -o benchmark

    bayesesi benchmark piu-61 --methods 'eLORETA;sLORETA, tuned' -n 30

    Cases are of simulators that no card or network has met in this order. Lambda of classics is
    shown by its rule and, as NAME, tuned, chosen on other cases of the task. A method of your own
    joins by an entry point of the group bayesesi.methods.
    """
    from bayesesi.benchmark.page import check_parquet, headline, write_benchmark
    from bayesesi.benchmark.run import run_benchmark
    from bayesesi.benchmark.summary import best_first, means

    check_parquet()
    names = [each.strip() for each in methods.split(";") if each.strip()] or None
    found = run_benchmark(
        task, names, work, n, n_slow, workers=workers, scheduler=scheduler, progress=True
    )
    command = f"bayesesi benchmark {task}"
    command += f" --methods {methods!r}" if names else ""
    command += f" -n {n}" if n is not None else ""
    command += f" --n-slow {n_slow}" if n_slow is not None else ""
    written = write_benchmark(found, out, command)
    main, overall = headline(found), means(found)
    rows = {name: str(overall[name][main]) for name in best_first(found, main)}
    failed = int((found.rows["reason"] != "").sum())
    rows |= {"failed": str(failed), "written": ", ".join(str(path) for path in written)}
    show(rows, f"{task}: {main}")
