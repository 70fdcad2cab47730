"""The verb notebooks."""

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
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write the notebooks to.")
    ] = Path("bayesesi-notebooks"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing notebooks.")
    ] = False,
) -> None:
    """Copy the shipped notebooks to a folder.

    bayesesi notebooks -o notebooks && jupyter lab notebooks

    Any Jupyter opens them. The extra notebooks of the package installs a kernel
    and widgets.
    """
    from bayesesi.spec import shipped_notebooks

    found = shipped_notebooks()
    check_folder(out, overwrite)
    with atomic_folder(out, overwrite, tuple(path.name for path in found.values())) as draft:
        for path in found.values():
            shutil.copyfile(path, draft / path.name)
    show({name: str(out / path.name) for name, path in found.items()}, "notebooks")
