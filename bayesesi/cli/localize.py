"""Recordings: check one, localise it, and the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from bayesesi.cli.app import app, console, counted, one_sentence, plain, save_figure, show


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
    show(rows, "a simulated patient")


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
    from bayesesi.io.atomic import check_folder
    from bayesesi.model import fitting_model
    from bayesesi.observation import peak_window
    from bayesesi.report.export import write_folder

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
    show(rows, obs.recording.name or data.name)


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
    rows = {name.replace("_", " "): plain(value) for name, value in obs.provenance.items()}
    rows["whitened power"] = f"{obs.snr_db:+.1f} dB (pure noise: 0 dB)"
    show(rows, obs.recording.name or data.name)
    if out is not None:
        from bayesesi.report.observation_figure import plot_observation

        save_figure(plot_observation(obs), out)


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
            f"{counted(len(earned.regions), 'region')}, {earned.area_cm2:.0f} cm², "
            f"{earned.share:.1%} of the cortex ({earned.guarantee})"
        )
    rows[f"{found.level:.0%} credible set"] = (
        f"{counted(len(found.regions), 'region')}, {found.area_cm2:.0f} cm², {found.share:.1%} of "
        "the cortex (the model's belief, no guarantee)"
    )
    if earned is None:
        rows["no guarantee"] = result.no_region_set
    return rows


def _changed(found: list[dict[str, Any]]) -> str:
    from bayesesi.explain.perturbation import MOVED

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
