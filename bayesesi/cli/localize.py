"""The verbs demo, localize and observe."""

from __future__ import annotations

import os
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
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed; each seed is another patient.")
    ] = 0,
    model: Annotated[
        str, typer.Option(help="Model: atoms, cortex, patches (one minute) or gaussian.")
    ] = "atoms",
) -> None:
    """Simulate a patient with one head model and localise the spike with another.

    bayesesi demo -o bayesesi-demo

    The patient has a spike of 60 nAm in the right temporal lobe (64 channels,
    40 trials). The recording is written to FIF, read back, whitened and
    localised with the template head. report.html compares the result with the
    true source.
    """
    from bayesesi.demo import run_demo

    with console.status("simulating, observing, inferring"):
        shown = run_demo(out, seed, model=model)
    obs, result = shown.observation, shown.result
    rows = {
        "recording": f"{len(obs.sensors)} channels, {obs.provenance['nave']:g} trials averaged, "
        f"electrodes {obs.sensors.origin}",
        "true source": f"{', '.join(shown.true_regions)} (simulated with another head: skull "
        "resistivity 1.7 times as high)",
        "whitened power": f"{obs.snr_db:+.1f} dB in {obs.n_eff} × {obs.n_functions} values "
        "(pure noise: 0 dB)",
        **_found(result),
        "peak": f"{shown.peak_error_mm:.0f} mm from the true source",
        "FIF path and array path": f"differ by {shown.array_difference:.0e}",
        "written": ", ".join(str(path) for path in shown.files),
    }
    show(rows, "a simulated patient")


@app.command()
@one_sentence
def localize(
    data: Annotated[Path, typer.Argument(help="Recording: -ave.fif, -epo.fif or raw.fif file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")],
    noise_cov: Annotated[
        str, typer.Option(help="Noise covariance: -cov.fif file, 'baseline' or 'adhoc'.")
    ] = "baseline",
    forward: Annotated[
        Path | None, typer.Option(help="Forward model: -fwd.fif file. (default: template head)")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Name of the condition, if the file has several.")
    ] = None,
    tmin: Annotated[float | None, typer.Option(help="Start of the window (s).")] = None,
    tmax: Annotated[float | None, typer.Option(help="End of the window (s).")] = None,
    peak: Annotated[
        bool,
        typer.Option(
            "--peak",
            help="Centre the window on the largest global field power between --tmin and --tmax "
            "(default: after time 0). Choosing the window from the data biases towards "
            "confidence; the report notes this.",
        ),
    ] = False,
    half_width: Annotated[
        float, typer.Option(help="With --peak: half width of the window (s).")
    ] = 0.02,
    model: Annotated[
        str,
        typer.Option(
            help="atoms: a few patches or no source (network); cortex: patches or a smooth field "
            "(network); parcels: activity of regions (network); patches: a few patches by Monte "
            "Carlo sampling, for any prior and forward model; dipole: one or two dipoles in the "
            "brain volume; gaussian: minimum norm; a .safetensors file; several joined with + : "
            "their mixture; auto: atoms for the template head, patches with --forward or --prior, "
            "and a comparison of a few patches, a smooth field and noise only."
        ),
    ] = "auto",
    prior: Annotated[
        str | None,
        typer.Option(
            help="Source prior. For patches: a spec (focal, spike, or a .toml file). For gaussian: "
            "auto, identity, depth or smooth."
        ),
    ] = None,
    level: Annotated[float, typer.Option(help="Level of sets and intervals, 0.5 to 0.99.")] = 0.9,
    draws: Annotated[int, typer.Option(help="Number of posterior draws.")] = 1000,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    subtract_baseline: Annotated[
        bool, typer.Option(help="Subtract the mean before time 0.")
    ] = False,
    unknown_scale: Annotated[bool, typer.Option(help="The recording's unit is unknown.")] = False,
    time_basis: Annotated[
        str, typer.Option(help="Temporal basis: dct, slepian or samples.")
    ] = "dct",
    fmax: Annotated[float, typer.Option(help="Upper frequency of the temporal basis (Hz).")] = 40.0,
    guarantee: Annotated[
        str, typer.Option(help="Guarantee of the conformal set: every, peak or recall.")
    ] = "every",
    calibrate: Annotated[
        int | None,
        typer.Option(
            min=50,
            help="Number of events simulated with this recording's cap, noise, window and power, "
            "from which the conformal set, the calibrated probabilities and the null test are "
            "made; kept for the same cap and noise. (default: 300 for atoms, else none)",
        ),
    ] = None,
    no_calibrate: Annotated[
        bool,
        typer.Option(
            "--no-calibrate",
            help="Do not simulate this recording: use the model's calibration card alone, which "
            "averages over caps, noises and powers. Saves about two minutes.",
        ),
    ] = False,
    heads: Annotated[
        str,
        typer.Option(
            help="With --calibrate: prior of the true head. template-people has folds of its own; "
            "template-nominal gives smaller sets, which miss more in a real head."
        ),
    ] = "template-people",
    workers: Annotated[
        int, typer.Option(min=1, help="Processes of --calibrate. (default: two)")
    ] = min(2, os.cpu_count() or 1),
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Also run a sensitivity analysis: left-out channels, other head models, another "
            "source prior.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier result in the folder.")
    ] = False,
) -> None:
    """Localise the sources of a recording and write a report.

    bayesesi localize my-ave.fif --noise-cov my-cov.fif --tmin 0.08 --tmax 0.12
    --subtract-baseline -o out

    Writes OUT/report.html, regions.json, result-post.nc (bayesesi.read_result)
    and maps (*.stc).
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
        read_noise(noise_cov),
        tmin=tmin,
        tmax=tmax,
        baseline=baseline,
        scale="unknown" if unknown_scale else "known",
        time_basis=time_basis,
        fmax=fmax,
    ).with_note(note)
    own = None if no_calibrate else _own_card(obs, chosen, model, calibrate, heads, workers)
    with console.status("inferring"):
        weighed = named is None and operator.banked is not None
        result = bayesesi.infer(
            obs,
            chosen,
            level=level,
            draws=draws,
            seed=seed,
            compare=weighed,
            guarantee=cast("Any", guarantee),
            sensitivity=sensitivity,
            calibrate=own or 0,
        )
    files = write_folder(result, out, overwrite)
    rows = {"window": _window(obs), **_found(result)}
    rows["written"] = ", ".join(str(path) for path in files)
    show(rows, obs.recording.name or data.name)


@app.command()
@one_sentence
def observe(
    data: Annotated[Path, typer.Argument(help="Recording: -ave.fif, -epo.fif or raw.fif file.")],
    noise_cov: Annotated[
        str, typer.Option(help="Noise covariance: -cov.fif file, 'baseline' or 'adhoc'.")
    ] = "baseline",
    forward: Annotated[
        Path | None, typer.Option(help="Forward model: -fwd.fif file. (default: template head)")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Name of the condition, if the file has several.")
    ] = None,
    tmin: Annotated[float | None, typer.Option(help="Start of the window (s).")] = None,
    tmax: Annotated[float | None, typer.Option(help="End of the window (s).")] = None,
    subtract_baseline: Annotated[
        bool, typer.Option(help="Subtract the mean before time 0.")
    ] = False,
    unknown_scale: Annotated[bool, typer.Option(help="The recording's unit is unknown.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Picture to write (PNG).")] = None,
) -> None:
    """Check a recording: whiten a window and print its properties.

    bayesesi observe my-ave.fif --noise-cov my-cov.fif --tmin 0.08 --tmax 0.12
    --subtract-baseline -o window.png
    """
    import bayesesi

    recording = bayesesi.read_recording(data, condition)
    obs = bayesesi.observe(
        recording,
        _forward(forward, recording),
        read_noise(noise_cov),
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


#: Families of models that solve hundreds of cases in a minute, and of how many they do by default.
_QUICK, _EVENTS = ("atoms",), 300


def _own_card(obs: Any, chosen: Any, named: str, n: int | None, heads: str, workers: int) -> Any:
    """The card of the recording itself; None where none is asked for and it would take long."""
    from bayesesi.calibration import calibrate_recording

    if n is None:
        alike = obs.forward.banked is not None and set(obs.sensors.kinds) == {"eeg"}
        if not alike or getattr(chosen, "family", "") not in _QUICK:
            return None
    model = chosen.name if named == "auto" else named
    return calibrate_recording(
        model, obs, n or _EVENTS, heads=heads, workers=workers, progress=True
    )


def read_noise(noise_cov: str) -> Any:
    """Read what ``--noise-cov`` names.

    Parameters
    ----------
    noise_cov : a path, or a word that ``observe`` takes.
    """
    from bayesesi.noise import read_noise_cov

    return noise_cov if noise_cov in ("baseline", "adhoc") else read_noise_cov(noise_cov)


def _window(obs: Any) -> str:
    first, last = obs.provenance["window_s"]
    return f"{first * 1e3:.0f} to {last * 1e3:.0f} ms, {obs.snr_db:+.1f} dB (pure noise: 0 dB)"


def _found(result: Any) -> dict[str, str]:
    """Return the rows of a result: verdict, regions, set."""
    rows = {"verdict": str(result.trust.verdict)}
    if result.trust.reasons:
        rows["reasons"] = "; ".join(reason.sentence for reason in result.trust.reasons)
    if "evidence" in result.about:
        rows["prior comparison"] = _evidence(result.about["evidence"])
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
        rows["sensitivity"] = _changed(result.about["sensitivity"])
    table, found, conformal = result.region_table(), result.credible_set, result.region_set
    likely = table[table["probability"] >= 0.01].head(3)
    rows["most probable"] = ", ".join(
        f"{row.region} {min(row.probability, 0.99):.2f}" for row in likely.itertuples()
    )
    if conformal is not None:
        rows[f"{conformal.level:.0%} conformal set"] = (
            f"{counted(len(conformal.regions), 'region')}, {conformal.area_cm2:.0f} cm², "
            f"{conformal.share:.1%} of the cortex ({conformal.guarantee})"
        )
    rows[f"{found.level:.0%} credible set"] = (
        f"{counted(len(found.regions), 'region')}, {found.area_cm2:.0f} cm², {found.share:.1%} of "
        "the cortex (the model's belief, no guarantee)"
    )
    if conformal is None:
        rows["no guarantee"] = result.no_region_set
    return rows


def _changed(found: list[dict[str, Any]]) -> str:
    from bayesesi.explain.perturbation import MOVED

    moved = [each for each in found if each["largest"] >= MOVED]
    if not moved:
        return f"no re-run of {len(found)} changes the result"
    worst = sorted(moved, key=lambda each: -each["largest"])[:3]
    largest = "; ".join(
        f"{e['words']}: {e['top']} {min(e['probability'], 0.99):.2f}" for e in worst
    )
    return f"{len(moved)} of {len(found)} re-runs change the result ({largest})"


_BELIEFS = {"focal": "a few patches", "distributed": "a smooth field", "nothing": "noise only"}


def _evidence(found: dict[str, Any]) -> str:
    share = sorted(found["probability"].items(), key=lambda item: -item[1])
    shares = ", ".join(f"{_BELIEFS[name]} {min(p, 0.99):.2f}" for name, p in share)
    return f"{shares} (equal prior odds; log odds of the first two ± {found['error']:.1f})"
