"""The verb plan."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from bayesesi.cli.app import app, one_sentence, save_figure, show


@app.command()
@one_sentence
def plan(
    montage: Annotated[
        list[str] | None,
        typer.Option(
            "--montage",
            "-m",
            help="Montage: eeg19, eeg21, eeg32, eeg64, eeg75, eeg128 or eeg256; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Picture to write (PNG); a table of regions (CSV) is written next to it.",
        ),
    ] = Path("plan.png"),
    moment: Annotated[float, typer.Option(help="Peak moment of the source (nAm).")] = 60.0,
    noise: Annotated[float, typer.Option(help="Noise per electrode after averaging (µV).")] = 1.5,
    extent: Annotated[
        float, typer.Option(help="Extent of the source along the cortex (mm, standard deviation).")
    ] = 10.0,
    head: Annotated[
        str, typer.Option(help="Head prior, such as template-nominal.")
    ] = "template-nominal",
    level: Annotated[float, typer.Option(help="Level of sets, 0.5 to 0.99.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Map the expected localisation error of montages before a recording.

    bayesesi plan -m eeg19 -m eeg64 --moment 60 --noise 1.5 -o plan.png

    The maps show the expected error and set size for one source at each place,
    with an unknown head.
    """
    import numpy as np
    import pandas as pd

    from bayesesi.montage_design import SEEN_MM, plans
    from bayesesi.report.plan_figure import plot_plans

    found = plans(
        montage or ["eeg19", "eeg64"],
        progress=True,
        head=head,
        moment_nAm=moment,
        noise_uV=noise,
        extent_mm=extent,
        level=level,
        seed=seed,
    )
    rows = {
        each.montage: f"{each.n_channels} electrodes: error {np.median(each.error_mm):.0f} mm, "
        f"{level:.0%} set {np.median(each.set_cm2):.0f} cm² (medians over the cortex); "
        f"{each.seen:.0%} of it within {SEEN_MM:.0f} mm"
        for each in found
    }
    for less, more in pairwise(found):
        gain = float(np.median(less.error_mm - more.error_mm))
        rows[f"{less.montage} to {more.montage}"] = (
            f"{gain:+.0f} mm (median change of the error), {more.seen - less.seen:+.0%} of the "
            "cortex localised"
        )
    show(rows, "expected localisation")
    save_figure(plot_plans(found), out)
    table = pd.concat([each.table().assign(montage=each.montage) for each in found])
    table.to_csv(out.with_suffix(".csv"), index=False)
