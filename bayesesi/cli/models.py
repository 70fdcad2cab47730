"""Networks: train, measure, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bayesesi.cli.app import app, console, models_app, one_sentence, plain, save_figure, show


@app.command()
@one_sentence
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe that ships, or a TOML file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the run; runs/RECIPE if not given."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    steps: Annotated[
        int | None, typer.Option(help="Instead of the recipe's: a trial, not a model.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that simulate.")] = 1,
) -> None:
    """Train a network on the simulators its recipe names.

    A run that was stopped, or killed, goes on from its last checkpoint when the command is given
    again. Curves: tensorboard --logdir OUT. On several devices: torchrun --nproc-per-node N, then
    the path of this command and the same arguments. In the end OUT/RECIPE.safetensors holds the
    weights, with their recipe; `bayesesi localize DATA --model OUT/RECIPE.safetensors` uses them.
    """
    import bayesesi
    from bayesesi.training import is_first

    model = bayesesi.train(recipe, out, device, steps, workers)
    if not is_first():
        return
    history = model.history
    rows = {
        "trained": f"{history['cases']:,} cases in {history['seconds'] / 60:.0f} min on "
        f"{history['device']}",
        **{name: f"{value:.3f}" for name, value in history["validation"].items()},
        "written": str((out or Path("runs") / model.name) / f"{model.name}.safetensors"),
    }
    show(rows, model.name)


@models_app.callback(invoke_without_command=True)
@one_sentence
def models_list(context: typer.Context) -> None:
    """List the models that ship, with what their calibration cards say."""
    import bayesesi
    from bayesesi.calibration import card_of

    if context.invoked_subcommand is not None:
        return
    table = Table("model", "what it is", "calibration")
    for each in bayesesi.list_models():
        model = bayesesi.load_model(each)
        first = (type(model).__doc__ or "").strip().splitlines()[0]
        card = card_of(model)
        said = "no card" if card is None else f"{card.diagnosis.n} cases"
        table.add_row(each, first.replace("``", ""), said)
    console.print(table)


@models_app.command("show")
@one_sentence
def models_show(
    name: Annotated[str, typer.Argument(help="Of a model that ships, or a .safetensors file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Draw its calibration card here (PNG).")
    ] = None,
) -> None:
    """All that is known of a model: recipe, prior, training, and its calibration card."""
    import bayesesi
    from bayesesi.calibration import card_of
    from bayesesi.model import LearnedModel

    chosen = bayesesi.load_model(name)
    rows = {"prior": chosen.prior, "nothing is active": f"{chosen.prior_null:.0%} before the data"}
    if isinstance(chosen, LearnedModel):
        told = ("steps", "cases", "seconds", "device")
        rows |= {key: plain(chosen.history[key]) for key in told if key in chosen.history}
        rows["recipe"] = chosen.recipe.description
        rows["simulators"] = ", ".join(i.simulator for i in chosen.recipe.mixture)
        rows["parameters"] = f"{chosen.n_parameters:,}"
    show(rows, chosen.name)
    card = card_of(chosen)
    if card is None:
        how = f"make one with `bayesesi calibrate {name}`"
        if chosen.card_path is None:
            how = "a mixture of models keeps none; bayesesi.calibrate gives one in Python"
        console.print(Text(f"no calibration card; {how}"))
        return
    _show_card(card, out)


@app.command()
@one_sentence
def calibrate(
    model: Annotated[str, typer.Argument(help="A model that ships, or a .safetensors file.")],
    n: Annotated[
        int,
        typer.Option(
            "-n", help="Cases of the diagnosis; half as many repair, as many are behind sets."
        ),
    ] = 1000,
    conformal: Annotated[
        int | None,
        typer.Option(help="Cases behind sets: 2,000 let each kind of recording have its own."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same one gives the same card.")] = 1,
    simulator: Annotated[
        list[str] | None,
        typer.Option(
            help="Where cases come from, a spec or a .toml file, as often as you like; the model's "
            "own recipe if not given."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of finished cases; runs/calibrate-MODEL if not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Draw the card here (PNG).")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine (Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
) -> None:
    """Measure a model on simulated cases: is its sureness earned?

    bayesesi calibrate atoms -n 1000 --workers 2 -o card.png

    Coverage, reliability, sets with a guarantee and verdicts, raw and repaired, are printed and
    kept beside the weights, in MODEL.card.json; `bayesesi models show MODEL` prints them again, and
    `bayesesi localize` then gives sets with a guarantee. A run that was stopped goes on.
    """
    import bayesesi

    card = bayesesi.calibrate(
        model,
        n,
        seed,
        n_conformal=conformal,
        simulators=simulator or None,
        folder=work,
        workers=workers,
        scheduler=scheduler,
        progress=True,
    )
    _show_card(card, out)


def _show_card(card: Any, out: Path | None) -> None:
    show(card.summary(), f"{card.model}: calibration card, {card.created}")
    if out is not None:
        from bayesesi.report.card_figure import plot_card

        save_figure(plot_card(card), out)
