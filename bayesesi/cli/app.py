"""The command line: helpers of all verbs."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="EEG source imaging with calibrated uncertainty.\n\n"
    "Start with `bayesesi demo`, then run `bayesesi localize my-ave.fif -o out`. "
    "`bayesesi VERB --help` explains each verb. Research use only.",
)
head_app = typer.Typer(
    no_args_is_help=True, help="Show or rebuild the template head and its leadfields."
)
specs_app = typer.Typer(help="List and check the shipped priors, simulators and recipes.")
models_app = typer.Typer(help="List the shipped models and show their calibration cards.")
app.add_typer(head_app, name="head")
app.add_typer(models_app, name="models")
app.add_typer(specs_app, name="specs")
console, errors = Console(), Console(stderr=True)


#: Arguments of the Python interface -> options of the command line.
_FLAGS = {
    "baseline=(None, 0)": "--subtract-baseline",
    "choose condition = ": "choose --condition ",
    "scale='unknown'": "--unknown-scale",
    "noise_cov=mne.compute_covariance(epochs)": "--noise-cov my-cov.fif",
}


def one_sentence(command: Callable[..., None]) -> Callable[..., None]:
    """Print an ``InputError`` as one sentence and exit with status 2, without a traceback.

    Parameters
    ----------
    command : function of the command line.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            sentence = str(error)
            for argument, flag in _FLAGS.items():
                sentence = sentence.replace(argument, flag)
            errors.print(Text(f"bayesesi: {printable(sentence)}"), soft_wrap=True)
            raise typer.Exit(2) from None

    return wrapped


def _version(wanted: bool) -> None:
    if wanted:
        from bayesesi import __version__

        console.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Set up what every command shares."""
    import warnings

    # no window opens; matplotlib reads it when a verb first loads it
    os.environ["MPLBACKEND"] = "agg"
    # arviz 0.23 announces its rewrite to every new user; the pin below 1 is our answer
    warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)


def plain(value: Any) -> str:
    """Format numbers to four digits, lists and tables without brackets.

    Parameters
    ----------
    value : of any type.
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(plain, value)) or "none"
    return str(value)


def show(rows: dict[str, str], title: str) -> None:
    """Print a table of names and values.

    Parameters
    ----------
    rows : name -> value. title : above them.
    """
    table = Table(title=Text(printable(title[:200])), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(Text(printable(name[:100])), Text(printable(value[:1000])))
    console.print(table)


def printable(text: str) -> str:
    """Replace control characters in ``text``: names in a recording come from outside."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def save_figure(figure: Any, out: Path) -> None:
    """Write a figure in the format that its ending names, PNG without one.

    Parameters
    ----------
    figure : of Matplotlib. out : file to write.

    Raises
    ------
    InputError : an ending that Matplotlib does not know.
    """
    ending = out.suffix.removeprefix(".").lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise InputError(
            f"{out.name} is not a picture: its ending must be one of {', '.join(known)}"
        )
    with atomic_file(out) as draft:
        figure.savefig(draft, format=ending, dpi=110)
    console.print(Text(f"written to {out}"))


def counted(n: int, noun: str) -> str:
    """Format a count: "1 trial", "6 trials", of ``n`` and ``noun``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
