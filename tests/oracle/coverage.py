"""How often posteriors of patches hold the truth, on simulated spikes in heads that differ.

    python -m tests.oracle.coverage run drawn one       # the head drawn, one patch at most
    python -m tests.oracle.coverage run template two    # the template taken for the true head
    python -m tests.oracle.coverage report one

Cases are those of ``spike-64`` with one patch, or two, at most, session by session, of the purpose
"diagnose"; each goes once through ``patch_posterior``. Rows are kept in
``reports/coverage/MOST-ARM.jsonl``, so that a run goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation, template_source_space
from bayesesi.calibration import coverage, highest_density_mass
from bayesesi.inference.inference import credible_regions
from bayesesi.posterior.patches import Atoms, StatePosterior, make_atoms, patch_posterior
from bayesesi.posterior.patches.likelihood import HeadModel
from bayesesi.prior import HeadPrior, PatchPrior, read_prior
from bayesesi.simulator import Simulation, read_simulator

SPECS = Path(__file__).parent / "specs"
HERE = Path(__file__).parents[2] / "reports" / "coverage"
LEVELS = (0.5, 0.8, 0.9, 0.95)
#: What each arm takes the true head for.
ARMS = {"drawn": "template-nominal", "template": "template-exact"}
N_CASES, SEED, N_SWEEPS = 200, 4, 10
#: m: places this near to each other count as one, in the density of places.
WIDTH = 0.010


@cache
def beliefs(arm: str, most: str) -> tuple[PatchPrior, HeadPrior, Atoms]:
    prior, heads = read_prior(SPECS / f"spike-of-{most}.toml", ico=4), read_prior(ARMS[arm])
    assert isinstance(prior, PatchPrior)
    assert isinstance(heads, HeadPrior)
    return prior, heads, make_atoms(prior)


def row(arm: str, most: str, simulation: Simulation, k: int) -> dict[str, Any]:
    """What is kept of one case."""
    prior, heads, atoms = beliefs(arm, most)
    obs, truth = simulation.observation(k), simulation.truth(k)
    began = time.perf_counter()
    model: HeadModel = "spread" if arm == "drawn" else "draws"
    n_heads = None if arm == "drawn" else 1
    post = patch_posterior(
        obs, prior, heads, model, n_heads, seed=k, atoms=atoms, most_sweeps=N_SWEEPS
    )
    seconds = time.perf_counter() - began
    summary = post.summarise(400, seed=k)
    names = template_parcellation(4).names
    active = np.isin(names, truth.active)
    sets = {str(level): credible_regions(summary, level) for level in LEVELS}
    areas = template_parcellation(4).areas
    return {
        "case": k,
        "count": truth.count,
        "snr_db": truth.snr_db if truth.count else None,
        "data_db": obs.snr_db,
        "mass": mass(post, truth.centres, np.random.default_rng(k)),
        "null": post.null_probability,
        "count_probability": post.count_probability.tolist(),
        "inside": {name: bool((inside | ~active).all()) for name, inside in sets.items()},
        "share": {name: float(areas[i].sum() / areas.sum()) for name, i in sets.items()},
        "ess": min(post.run.ess.values()) if post.run else None,
        "r_hat": max(post.run.r_hat.values()) if post.run else None,
        "efficiency": post.sample_efficiency,
        "seconds": seconds,
    }


def mass(
    post: StatePosterior, centres: NDArray[np.int64], rng: np.random.Generator, n: int = 400
) -> float:
    """Randomised mass of draws at denser places than the truth: uniform where calibrated.

    The density at an event is the mean over half of the draws of exp(-d² / (2 width²)), d the
    distance of its centres to the draw's, matched the best way; 0 of another count. The truth is
    ranked among the other half.
    """
    states = post.draw_states(n, seed=0)
    coarse = template_source_space(4).positions[post.problem.atoms.centres]
    used = [coarse[c[u]] for c, u in zip(states.centre, states.used, strict=True)]
    true = template_source_space(5).positions[centres]
    kernels, rest = used[: n // 2], used[n // 2 :]
    scores = [density(event, kernels) for event in [true, *rest]]
    return float(highest_density_mass(np.array(scores[:1]), np.array([scores[1:]]), rng)[0])


def density(event: NDArray[np.float64], kernels: list[NDArray[np.float64]]) -> float:
    alike = [other for other in kernels if len(other) == len(event)]
    if not alike or len(event) == 0:
        return len(alike) / len(kernels)
    apart = ((event[None, :, None] - np.array(alike)[:, None]) ** 2).sum(axis=-1)
    own = np.arange(len(event))
    ways = [apart[:, own, list(order)].sum(axis=1) for order in permutations(own)]
    return float(np.exp(-0.5 * np.min(ways, axis=0) / WIDTH**2).sum() / len(kernels))


def run(arm: str, most: str, n_cases: int = N_CASES) -> None:
    """Rows of the cases that have none yet."""
    HERE.mkdir(parents=True, exist_ok=True)
    path = HERE / f"{most}-{arm}.jsonl"
    done = {r["case"] for r in rows(arm, most)}
    simulator = read_simulator(SPECS / f"spike-64-of-{most}.toml", group_size=1)
    simulation = simulator.simulate(n_cases, SEED, "diagnose")
    for k in range(n_cases):
        if k in done:
            continue
        line = json.dumps(row(arm, most, simulation, k))
        with path.open("a") as file:
            file.write(line + "\n")
        sys.stdout.write(f"{arm}: case {k} of {n_cases}\n")


def rows(arm: str, most: str) -> list[dict[str, Any]]:
    path = HERE / f"{most}-{arm}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def report(most: str) -> None:
    """Curves with binomial bands, and a table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    lines = [*HEADER]
    for arm, marker in zip(ARMS, "os", strict=True):
        found = rows(arm, most)
        if not found:
            continue
        masses = np.array([r["mass"] for r in found])
        curve = coverage(masses)
        axes.plot(curve.levels, curve.coverage, marker, ls="-", ms=4, label=WORDS[arm])
        axes.fill_between(curve.levels, curve.low, curve.high, color="0.9", zorder=0)
        lines.append(table_line(arm, found, coverage(masses, LEVELS)))
    axes.set(xlabel="nominal level", ylabel="share of cases that hold the truth", xlim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(HERE / f"{most}.png", dpi=120)
    text = "\n".join([*lines, *FOOTER]).replace("MOST", most)
    (HERE / f"{most}.md").write_text(text + "\n")


WORDS = {"drawn": "head drawn", "template": "template taken for the true head"}
HEADER = (
    "# Coverage of `patches` on simulated spikes, MOST patch(es) at most",
    "",
    "Made by `python -m tests.oracle.coverage run drawn MOST`, `run template MOST`, `report MOST`.",
    "",
    "| head | cases | 50 % | 80 % | 90 % | 95 % | regions at 90 % | cortex at 90 % | smallest "
    "ESS, median | s a case |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
FOOTER = (
    "",
    "![Coverage](MOST.png)",
    "",
    "Columns 50 to 95 %: share of cases whose true event (number of patches, their centres) lies "
    "in the highest-density set of that probability, by the randomised mass in "
    "`tests/oracle/coverage.py`; in brackets the 95 % binomial band about the nominal level. "
    "Regions: share of cases with something active whose truly active regions all lie in the "
    "credible set of regions; cortex: median share of the cortex of that set.",
    "",
    "Cases: `spike-64` with MOST patch(es) at most (`tests/oracle/specs`), truth on 20,484, "
    "posterior on 5,124 sources, each case with a head, a cap, a noise and an estimate of it of "
    "its own, clinical artifacts included. No inverse crime.",
)


def table_line(arm: str, found: list[dict[str, Any]], curve: Any) -> str:
    some = [r for r in found if r["count"]]
    cells = [
        f"{c:.2f} ({low:.2f} to {high:.2f})"
        for c, low, high in zip(curve.coverage, curve.low, curve.high, strict=True)
    ]
    ess = [r["ess"] for r in found if r["ess"]]
    least = f"{np.median(ess):.0f}" if ess else "independent"
    return (
        f"| {WORDS[arm]} | {len(found)} | "
        + " | ".join(cells)
        + f" | {np.mean([r['inside']['0.9'] for r in some]):.2f}"
        + f" | {np.median([r['share']['0.9'] for r in some]):.3f}"
        + f" | {least} | {np.median([r['seconds'] for r in found]):.0f} |"
    )


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else N_CASES)
    else:
        report(sys.argv[2])
