"""The verb cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesesi.cli.app import app, one_sentence, show


@app.command()
@one_sentence
def cohort(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with MNE recordings (patients from BIDS sub-), or a table (CSV, TSV) "
            "with the column file and optionally recording, patient, condition, noise_cov, tmin "
            "(s), tmax (s), subtract_baseline, unknown_scale, target, outcome."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results and tables.")],
    model: Annotated[str, typer.Option(help="Model, as in localize.")] = "atoms",
    level: Annotated[float, typer.Option(help="Level of sets and intervals, 0.5 to 0.99.")] = 0.9,
    draws: Annotated[int, typer.Option(help="Number of posterior draws per recording.")] = 500,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    bootstrap: Annotated[
        int,
        typer.Option(
            help="Number of bootstrap samples over the trials of each recording with epochs."
        ),
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes on this machine (with Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
) -> None:
    """Localise many recordings and pool them by patient.

    bayesesi cohort spikes.csv -o cohort --workers 2

    Writes OUT/recordings.csv, patients.csv, cohort.html and one result per
    recording. If a table has targets and outcomes, the page compares them with
    the results. A recording that fails gets a row with the reason. An
    interrupted run continues.
    """
    from bayesesi.cohort import read_entries, run_cohort
    from bayesesi.cohort.run import WRITTEN

    found = run_cohort(
        read_entries(source),
        out,
        model,
        level,
        draws,
        seed,
        bootstrap,
        workers=workers,
        scheduler=scheduler,
        progress=True,
    )
    table = found.recordings
    failed = table[table["status"] == "failed"]
    rows = {
        "recordings": f"{len(table)}, {len(failed)} failed",
        "localised": str(int((table["first_region"] != "").sum())),
        **{
            row.patient or "unknown patient": f"{row.first_region or 'not localised'}"
            + (f" {row.probability:.2f}" if row.first_region else "")
            for row in found.patients.head(20).itertuples()
        },
        **{f"failed: {row.recording}": row.reason for row in failed.head(10).itertuples()},
        "written": ", ".join(str(out / name) for name in WRITTEN),
    }
    show(rows, str(source))
