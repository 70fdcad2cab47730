"""The verb simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bayesesi.cli.app import app, console, one_sentence, save_figure


@app.command()
@one_sentence
def simulate(
    name: Annotated[str, typer.Argument(help="Name of a shipped simulator, or a .toml file.")],
    n: Annotated[int, typer.Option("-n", help="Number of cases.")] = 256,
    seed: Annotated[
        int, typer.Option(help="Random seed; case k of a seed is always the same.")
    ] = 0,
    namespace: Annotated[
        str,
        typer.Option(
            "--for",
            help="Purpose of the cases: train, validate, repair, conformal, diagnose or bench. "
            "Different purposes never share random numbers.",
        ),
    ] = "train",
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the cases; an interrupted run continues."),
    ] = Path("simulation"),
    workers: Annotated[int, typer.Option(help="Processes on this machine (with Dask).")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers share the folder.")
    ] = None,
    session: Annotated[
        int,
        typer.Option(
            help="Number of cases that share a montage and a noise covariance: 64 for speed, 1 for "
            "independent cases (needed for calibration)."
        ),
    ] = 64,
    fif: Annotated[
        str | None,
        typer.Option(
            help="Also write FIF files and the true sources to OUT/fif: evoked, raw or epochs."
        ),
    ] = None,
) -> None:
    """Simulate recordings with known sources and draw an overview.

    bayesesi simulate spike-64 -n 1000 --seed 0 -o out

    Read the cases with bayesesi.read_simulation("out").
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
    save_figure(plot_simulation(simulation), out / "page.png")
    if fif is not None:
        whole = read_simulation(out)
        console.print(Text(f"written to {write_fif(whole, out / 'fif', check_kind(fif))}"))


def _simulate_volume(name: str, n: int, seed: int, namespace: str, out: Path) -> None:
    """Simulate free dipoles on a grid: one file and an overview."""
    from bayesesi.report.volume_figure import plot_volume_cases
    from bayesesi.simulator import read_volume_simulator, write_volume_cases

    simulator = read_volume_simulator(name)
    console.print(Text("computing the lead fields of two heads (first time only, some minutes)"))
    cases = simulator.simulate(n, seed, namespace)
    path = write_volume_cases(cases, out / "cases.safetensors")
    console.print(Text(f"{n} cases of {simulator.spec.name} in {path}"))
    title = f"{simulator.spec.name}: {simulator.spec.description}"
    save_figure(plot_volume_cases(cases, title), out / "page.png")
