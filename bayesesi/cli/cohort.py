"""Many recordings."""

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
            help="A folder (every recording of MNE's in it, patients by BIDS's sub-), or a table "
            "(CSV, TSV) with the column file and, where known, recording, patient, condition, "
            "noise_cov, tmin, tmax, subtract_baseline, unknown_scale, target, outcome."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of results and tables.")],
    model: Annotated[str, typer.Option(help="As of localize.")] = "atoms",
    level: Annotated[float, typer.Option(help="Of sets and intervals.")] = 0.9,
    draws: Annotated[int, typer.Option(help="Of each posterior.")] = 500,
    seed: Annotated[int, typer.Option(help="The same one gives the same tables.")] = 0,
    bootstrap: Annotated[
        int,
        typer.Option(help="Times the trials of each recording of epochs are drawn again."),
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes on this machine (Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
) -> None:
    """Localise many recordings: a row each, patients pooled, beside what surgery found.

    bayesesi cohort spikes.csv -o cohort --workers 2

    Writes OUT/recordings.csv, patients.csv, cohort.html, and a result a recording. A recording that
    fails is a row with its reason. A run that was stopped goes on.
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
            row.patient or "patient not given": f"{row.first_region or 'not localised'}"
            + (f" {row.probability:.2f}" if row.first_region else "")
            for row in found.patients.head(20).itertuples()
        },
        **{f"failed: {row.recording}": row.reason for row in failed.head(10).itertuples()},
        "written": ", ".join(str(out / name) for name in WRITTEN),
    }
    show(rows, str(source))
