"""Notebooks to start from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from bayesesi.cli.app import app, one_sentence, show
from bayesesi.io.atomic import atomic_folder, check_folder


@app.command()
@one_sentence
def notebooks(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write them into.")] = Path(
        "bayesesi-notebooks"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace those that are there already.")
    ] = False,
) -> None:
    """Write the notebooks that ship, to run and to change.

    bayesesi notebooks -o notebooks && jupyter lab notebooks

    The extra named notebooks brings the kernel and widgets; any Jupyter opens them.
    """
    from bayesesi.spec import shipped_notebooks

    found = shipped_notebooks()
    check_folder(out, overwrite)
    with atomic_folder(out, overwrite, tuple(path.name for path in found.values())) as draft:
        for path in found.values():
            shutil.copyfile(path, draft / path.name)
    show({name: str(out / path.name) for name, path in found.items()}, "notebooks")
