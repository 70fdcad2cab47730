"""How often the network `cortex` holds the truth, on cases of its own simulators.

    python -m tests.oracle.cortex_coverage run frame-any-field 100      # or event-any-field
    python -m tests.oracle.cortex_coverage draws                        # draws beside the truth
    python -m tests.oracle.cortex_coverage report

Cases are of the purpose "diagnose", each with a head, a cap and a noise of its own; the network has
seen none of them, and nothing of it was chosen on them. Rows are kept in
``reports/coverage/cortex-SIMULATOR.jsonl`` with the hash of the weights: others begin anew.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from bayesesi import load_model, read_simulator
from bayesesi.anatomy import region_energy, template_parcellation, template_source_space
from bayesesi.calibration import central_mass, coverage, randomised_ranks
from bayesesi.inference.inference import credible_regions
from bayesesi.model import FieldModel
from bayesesi.simulator import Simulation, Truth
from tests.oracle.coverage import HERE, LEVELS

SIMULATORS = ("frame-any-field", "event-any-field")
N_DRAWS, SEED = 60, 6


def model() -> FieldModel:
    found = load_model("cortex")
    assert isinstance(found, FieldModel)
    return found


def row(shipped: FieldModel, simulation: Simulation, k: int) -> dict[str, Any]:
    obs, truth = simulation.observation(k), simulation.truth(k)
    regions = template_parcellation(4)
    post = shipped.posterior(obs, seed=k)
    summary = post.summarise(N_DRAWS, seed=k)
    kept: dict[str, Any] = {
        "case": k,
        "weights": shipped.fingerprint,
        "active": len(truth.active),
        "patches": n_patches(truth),
        "snr_db": truth.snr_db if truth.count else None,
        "null": post.null_probability,
    }
    if not truth.count:
        return kept
    active = np.isin(regions.names, truth.active)
    sets = {str(level): credible_regions(summary, level) for level in LEVELS}
    true = region_energy((simulation.field(k) ** 2).sum(axis=1)[None], regions)
    energy = summary.region_energy
    first, size = np.sqrt(energy), np.sqrt(true[0])
    apart = np.linalg.norm(first[:, None] - first, axis=2).sum() / (N_DRAWS * (N_DRAWS - 1))
    score = np.linalg.norm(first - size, axis=1).mean() - 0.5 * apart
    total = randomised_ranks(true.sum(axis=1), energy.sum(axis=1)[None], np.random.default_rng(k))
    return kept | {
        "inside": {name: bool((inside | ~active).all()) for name, inside in sets.items()},
        "share": {n: float(regions.areas[i].sum() / regions.areas.sum()) for n, i in sets.items()},
        "energy_score": float(score / np.linalg.norm(size)),
        "total_rank": float(total[0]),
    }


def n_patches(truth: Truth) -> int:
    """0 for a smooth field, whose centre is none."""
    return int((truth.centres >= 0).sum())


def rows(name: str, weights: str) -> list[dict[str, Any]]:
    path = HERE / f"cortex-{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [r for r in map(json.loads, lines) if r["weights"] == weights]


def run(name: str, n_cases: int) -> None:
    """Rows of the cases that have none yet."""
    HERE.mkdir(parents=True, exist_ok=True)
    path, shipped = HERE / f"cortex-{name}.jsonl", model()
    kept = rows(name, shipped.fingerprint)
    path.write_text("".join(json.dumps(r) + "\n" for r in kept))
    simulation = read_simulator(name, group_size=1).simulate(n_cases, SEED, "diagnose")
    done = {r["case"] for r in kept}
    for k in range(n_cases):
        if k not in done:
            with path.open("a") as file:
                file.write(json.dumps(row(shipped, simulation, k)) + "\n")
            sys.stdout.write(f"{name}: case {k} of {n_cases}\n")


HEADER = (
    "# Coverage of the network `cortex` on cases of its own simulators",
    "",
    '`python -m tests.oracle.cortex_coverage run SIMULATOR N`, then `report`; purpose "diagnose", '
    f"{N_DRAWS} draws a case. A set of regions holds the truth if every active region is in it; "
    "share: of the cortex, at 90 %; energy score: of the roots of the 68 region energies, over the "
    "truth's length; total: how often central intervals of the whole energy held it at 80 %.",
    "",
    "| cases | n | .5 | .8 | .9 | .95 | share | energy score | total | p(nothing) |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def report() -> None:
    """A table by simulator and by kind of event, and the curves of the whole energy."""
    from matplotlib.figure import Figure

    lines, weights = [*HEADER], model().fingerprint
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    for name, marker in zip(SIMULATORS, "os", strict=True):
        every = rows(name, weights)
        loud = [r for r in every if "inside" in r]
        if not loud:
            continue
        curve = coverage(central_mass(np.array([r["total_rank"] for r in loud])))
        axes.plot(curve.levels, curve.coverage, marker, ls="-", ms=4, label=name)
        axes.fill_between(curve.levels, curve.low, curve.high, color="0.9", zorder=0)
        kinds = {"": loud}
        kinds[", patches"] = [r for r in loud if r["patches"]]
        kinds[", a smooth field"] = [r for r in loud if not r["patches"]]
        lines += [_line(name + words, some) for words, some in kinds.items() if some]
        silent = [r["null"] for r in every if "inside" not in r]
        if silent:
            median = np.median(silent)
            lines.append(
                f"| {name}, nothing | {len(silent)} | | | | | | | | {median:.2f} (median) |"
            )
    axes.set(xlabel="nominal level", ylabel="whole energy: share of cases inside", xlim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(HERE / "cortex.png", dpi=120)
    (HERE / "cortex.md").write_text("\n".join(lines) + "\n")


def _line(words: str, some: list[dict[str, Any]]) -> str:
    held = [np.mean([r["inside"][str(level)] for r in some]) for level in LEVELS]
    share = np.median([r["share"]["0.9"] for r in some])
    score = np.mean([r["energy_score"] for r in some])
    total = np.mean(central_mass(np.array([r["total_rank"] for r in some])) <= 0.8)
    null = np.median([r["null"] for r in some])
    cells = " | ".join(f"{value:.2f}" for value in (*held, share, score, total, null))
    return f"| {words} | {len(some)} | {cells} |"


def draws() -> None:
    """Three events: the truth, the mean, and three draws, sizes of moments, each to its largest.

    The first cases with one patch, with two or more, and with a smooth field.
    """
    from matplotlib.figure import Figure

    from bayesesi.report.cortex_picture import (
        on_template,
        plot_cortex,
        sequential_colours,
        spot_on_cortex,
    )

    space, shipped = template_source_space(4), model()
    simulation = read_simulator(SIMULATORS[0], group_size=1).simulate(40, SEED, "diagnose")
    truths = [simulation.truth(k) for k in range(40)]
    kinds = {
        "one patch": lambda t: n_patches(t) == 1,
        "patches": lambda t: n_patches(t) > 1,
        "a smooth field": lambda t: t.count > 0 and not n_patches(t),
    }
    figure = Figure(figsize=(10, 6), layout="constrained")
    columns = ("truth", "mean", "a draw", "another", "a third")
    for i, (words, fits) in enumerate(kinds.items()):
        k = next(k for k, truth in enumerate(truths) if fits(truth))
        post = shipped.posterior(simulation.observation(k))
        true = simulation.field(k)
        maps = [np.abs(f).max(axis=1) for f in (true, post.mean(), *post.sample(3, seed=1))]
        assert space.vertices is not None
        side, _, seen = spot_on_cortex(int(space.vertices[maps[0].argmax()]))
        view = "lateral" if seen["lateral"] else "medial"
        for column, (title, values) in enumerate(zip(columns, maps, strict=True)):
            axes = figure.add_subplot(3, 5, 5 * i + column + 1, projection="3d")
            spread = on_template(values / space.areas, space.vertices)
            plot_cortex(axes, sequential_colours(spread, spread.max()), side, view)
            axes.set_title(
                title if column else f"{words}, {truths[k].snr_db:.0f} dB: {title}", size=8
            )
    figure.savefig(HERE.parent / "figures" / "cortex-draws.png", dpi=110)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], int(sys.argv[3]))
    else:
        {"report": report, "draws": draws}[sys.argv[1]]()
