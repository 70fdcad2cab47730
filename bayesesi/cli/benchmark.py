"""The verb benchmark."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bayesesi.cli.app import app, one_sentence, show
from bayesesi.errors import InputError


@app.command()
@one_sentence
def benchmark(
    task: Annotated[
        str,
        typer.Argument(
            help="cortex-focal, distributed, shift, sif-994, cal or piu-61 (simulated cases); "
            "real (recordings); or resolution (maps of point-spread and cross-talk)."
        ),
    ],
    methods: Annotated[
        str,
        typer.Option(
            help="Method names, separated by semicolons. (default: all methods of the task)"
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the page and its tables.")
    ] = Path("benchmark"),
    work: Annotated[
        Path, typer.Option(help="Folder of finished cases; an interrupted run continues from it.")
    ] = (Path("runs") / "benchmark"),
    n: Annotated[
        int | None, typer.Option("-n", help="Number of cases. (default: set by the task)")
    ] = None,
    n_slow: Annotated[
        int | None, typer.Option(help="Number of cases for slow methods (the first n).")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with visual_evoked or ictal_p2 (task real only)."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine (with Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
) -> None:
    """Run all methods on the same cases and write a table, figures and failures.

    bayesesi benchmark cortex-focal --workers 2 -o benchmark

    bayesesi benchmark piu-61 --methods 'eLORETA;sLORETA, tuned' -n 30

    Test cases are not used for training or calibration. Classical inverses:
    default regularisation, or tuned on separate cases (NAME, tuned). Add your
    own method with an entry point of the group bayesesi.methods.
    """
    from bayesesi.benchmark.figures import headline
    from bayesesi.benchmark.page import check_parquet, write_benchmark
    from bayesesi.benchmark.run import run_benchmark
    from bayesesi.benchmark.summary import best_first, means
    from bayesesi.benchmark.tasks import RESOLUTION
    from bayesesi.io.atomic import check_folder

    check_parquet()
    check_folder(out, overwrite=True)
    if task == RESOLUTION:
        if n is not None or n_slow is not None or data is not None:
            raise InputError("the task resolution has no cases; omit -n, --n-slow and --data")
        _resolution(methods, out, work, workers, scheduler)
        return
    names = _named(methods)
    found = run_benchmark(
        task,
        names,
        work,
        n,
        n_slow,
        data=data,
        workers=workers,
        scheduler=scheduler,
        progress=True,
    )
    command = f"bayesesi benchmark {task}"
    command += f" --methods {shlex.quote(methods)}" if names else ""
    command += f" -n {n}" if n is not None else ""
    command += f" --n-slow {n_slow}" if n_slow is not None else ""
    command += f" --data {shlex.quote(str(data))}" if data is not None else ""
    written = write_benchmark(found, out, command)
    main, overall = headline(found), means(found)
    rows = {name: str(overall[name][main]) for name in best_first(found, main)}
    failed = int((found.rows["reason"] != "").sum())
    rows |= {"failed": str(failed), "written": ", ".join(str(path) for path in written)}
    show(rows, f"{task}: {main}")


def _resolution(methods: str, out: Path, work: Path, workers: int, scheduler: str | None) -> None:
    from bayesesi.benchmark.resolution_maps import run_single_sources
    from bayesesi.benchmark.resolution_page import write_resolution
    from bayesesi.benchmark.tasks import RESOLUTION

    found = run_single_sources(
        _named(methods), work, workers=workers, scheduler=scheduler, progress=True
    )
    command = f"bayesesi benchmark {RESOLUTION}" + (
        f" --methods {shlex.quote(methods)}" if methods else ""
    )
    written = write_resolution(found, out, command)
    rows = {
        name: f"peak error {own.peak_error.mean():.1f} mm, spread {own.spread.mean():.1f} mm"
        for name, own in found.psf.items()
    }
    rows |= {name: f"failed: {why}" for name, (_, why) in found.failed.items()}
    rows["written"] = ", ".join(str(path) for path in written)
    show(rows, f"{RESOLUTION}: point-spread functions")


def _named(methods: str) -> list[str] | None:
    named = [each.strip() for each in methods.split(";") if each.strip()]
    if methods and not named:
        raise InputError(
            "--methods contains no name; give names separated by semicolons, or omit it"
        )
    return named or None
