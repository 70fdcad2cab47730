"""The verbs train, models and calibrate."""

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
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the run. (default: runs/RECIPE)"),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu or cuda.")] = "auto",
    steps: Annotated[
        int | None,
        typer.Option(
            help="Number of training steps (quick tests only). (default: set by the recipe)"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that simulate training cases.")] = 1,
) -> None:
    """Train a network on the simulators of a recipe.

    bayesesi train atoms --workers 2 -o runs/atoms

    An interrupted run continues from its last checkpoint when the command is
    repeated. Show the curves with tensorboard --logdir OUT. On several devices
    use torchrun --nproc-per-node N, the path of this command and the same
    arguments. OUT/RECIPE.safetensors then contains the weights and the recipe;
    `bayesesi localize DATA --model OUT/RECIPE.safetensors` uses them.
    """
    import bayesesi
    from bayesesi.spec import read_spec
    from bayesesi.training import is_first

    folder = out or Path("runs") / read_spec(recipe).name
    model = bayesesi.train(recipe, folder, device, steps, workers)
    if not is_first():
        return
    history = model.history
    rows = {
        "trained": f"{history['cases']:,} cases in {history['seconds'] / 60:.0f} min on "
        f"{history['device']}",
        **{name: f"{value:.3f}" for name, value in history["validation"].items()},
        "written": str(model.path),
    }
    show(rows, model.name)


@models_app.callback(invoke_without_command=True)
@one_sentence
def models_list(context: typer.Context) -> None:
    """List the shipped models and their calibration cards."""
    import bayesesi
    from bayesesi.calibration import card_of

    if context.invoked_subcommand is not None:
        return
    table = Table("model", "description", "calibration")
    for each in bayesesi.list_models():
        model = bayesesi.load_model(each)
        first = (type(model).__doc__ or "").strip().splitlines()[0]
        card = card_of(model)
        cases = "no card" if card is None else f"{card.diagnosis.n} cases"
        table.add_row(each, first.replace("``", ""), cases)
    console.print(table)


@models_app.command("show")
@one_sentence
def models_show(
    name: Annotated[str, typer.Argument(help="Name of a shipped model, or a .safetensors file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Picture of the calibration card to write (PNG)."),
    ] = None,
) -> None:
    """Show the recipe, prior, training and calibration card of a model.

    bayesesi models show atoms -o card.png
    """
    import bayesesi
    from bayesesi.calibration import card_of
    from bayesesi.model import LearnedModel

    chosen = bayesesi.load_model(name)
    rows = {"prior": chosen.prior, "no source": f"{chosen.prior_null:.0%} prior probability"}
    if isinstance(chosen, LearnedModel):
        shown = ("steps", "cases", "seconds", "device")
        rows |= {key: plain(chosen.history[key]) for key in shown if key in chosen.history}
        rows["recipe"] = chosen.recipe.description
        rows["simulators"] = ", ".join(i.simulator for i in chosen.recipe.mixture)
        rows["parameters"] = f"{chosen.n_parameters:,}"
    show(rows, chosen.name)
    card = card_of(chosen)
    if card is None:
        how = f"make one with `bayesesi calibrate {name}`"
        if chosen.card_path is None:
            how = "a mixture of models stores none; use bayesesi.calibrate in Python"
        console.print(Text(f"no calibration card; {how}"))
        return
    _show_card(card, out)


@app.command()
@one_sentence
def calibrate(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a .safetensors file.")],
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            help="Number of test cases; n/2 further cases fit the recalibration, n calibrate the "
            "conformal sets. (default: 1000; 300 with --like)",
        ),
    ] = None,
    conformal: Annotated[
        int | None,
        typer.Option(
            help="Number of cases for the conformal sets; from 2,000 on, each kind of "
            "recording has its own sets."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    simulator: Annotated[
        list[str] | None,
        typer.Option(
            help="Simulator of the cases: a spec or a .toml file; repeatable. (default: those "
            "of the model's recipe)"
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Recording, as localize takes it: the cases have its cap, noise, window and "
            "power, and -n (here 300 by default) is the number of events behind the sets."
        ),
    ] = None,
    noise_cov: Annotated[
        str, typer.Option(help="With --like: -cov.fif file, 'baseline' or 'adhoc'.")
    ] = "baseline",
    condition: Annotated[
        str | None, typer.Option(help="With --like: name of the condition.")
    ] = None,
    tmin: Annotated[float | None, typer.Option(help="With --like: window's start (s).")] = None,
    tmax: Annotated[float | None, typer.Option(help="With --like: window's end (s).")] = None,
    subtract_baseline: Annotated[
        bool, typer.Option(help="With --like: subtract the mean before time 0.")
    ] = False,
    heads: Annotated[
        str, typer.Option(help="With --like: prior of the true head, as localize takes it.")
    ] = "template-people",
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of finished cases. (default: runs/calibrate-MODEL)"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Picture of the card to write (PNG).")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the card, MODEL.card.json. (default: that of the weights; your data "
            "folder for a shipped model)"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine (with Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
) -> None:
    """Calibrate a model on simulated data and store its calibration card.

    bayesesi calibrate atoms -n 1000 --workers 2 -o card.png

    bayesesi calibrate atoms --like my-ave.fif --noise-cov my-cov.fif
    --tmin 0.08 --tmax 0.12

    With --like the card is of one recording: its cases have that cap, noise,
    window and power. It is kept, and `bayesesi localize` uses it for the same
    recording. Without it the card contains coverage, reliability, conformal sets
    and verdicts, before and after recalibration. It is stored next to the
    weights in MODEL.card.json, that of a shipped model in your data folder;
    `bayesesi models show MODEL` prints it, and `bayesesi localize` uses it for
    conformal sets. An interrupted run continues.
    """
    import bayesesi
    from bayesesi.calibration import card_place
    from bayesesi.io.atomic import check_folder

    if like is not None:
        window = {"tmin": tmin, "tmax": tmax, "baseline": (None, 0) if subtract_baseline else None}
        shared = {"heads": heads, "folder": work, "workers": workers, "scheduler": scheduler}
        _calibrate_like(model, (like, condition, noise_cov), window, n or 300, seed, shared)
        return
    n = n or 1000
    measured = bayesesi.load_model(model)
    store = True if card_place(measured) is None else None
    written = card_place(measured, store)
    if into is not None:
        check_folder(into, overwrite=True)
        store, written = False, into / f"{measured.name}.card.json"
    card = bayesesi.calibrate(
        model,
        n,
        seed,
        n_conformal=conformal,
        simulators=simulator or None,
        folder=work or Path("runs") / f"calibrate-{measured.name}",
        store=store,
        workers=workers,
        scheduler=scheduler,
        progress=True,
    )
    if into is not None:
        card.write(into / f"{measured.name}.card.json")
    _show_card(card, out)
    console.print(Text(f"written to {written}"))


def _calibrate_like(
    model: str,
    files: tuple[Path, str | None, str],
    window: dict[str, Any],
    n: int,
    seed: int,
    options: dict[str, Any],
) -> None:
    """Make the card of one recording, of its file, condition and noise, and print it."""
    import bayesesi
    from bayesesi.calibration import calibrate_recording
    from bayesesi.cli.localize import read_noise

    recording = bayesesi.read_recording(files[0], files[1])
    forward = bayesesi.load_model(model).oriented(bayesesi.template_forward(recording.info))
    obs = bayesesi.observe(recording, forward, read_noise(files[2]), **window)
    card = calibrate_recording(model, obs, n, seed, progress=True, **options)
    show(card.summary(), f"{card.model}: calibration card of a recording, {card.created}")


def _show_card(card: Any, out: Path | None) -> None:
    show(card.summary(), f"{card.model}: calibration card, {card.created}")
    if out is not None:
        from bayesesi.report.card_figure import plot_card

        save_figure(plot_card(card), out)
