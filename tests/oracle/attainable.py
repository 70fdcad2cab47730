"""How near the network `atoms` comes to what can be had: exact posteriors on the same cases.

    python -m tests.oracle.attainable 48

One patch, 32 to 128 electrodes, 0 to 20 dB (`tests/bench/specs/frame-one.toml`, purpose "bench"):
`patches` is told that there is one patch and integrates 192 heads; the network is told neither.
Writes ``reports/coverage/attainable.md``.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi import load_model, read_simulator
from bayesesi.anatomy import region_energy, template_parcellation, template_source_space
from bayesesi.benchmark import baselines as linear
from bayesesi.metrics.peaks import peak_error
from bayesesi.posterior.patches.state_posterior import StatePosterior
from bayesesi.simulator import Simulation
from tests.bench.atoms import GRID, SEED, SESSION, SPECS, place_map
from tests.oracle.coverage import HERE

N_DRAWS, N_CHOOSE, N_RESAMPLES = 200, 48, 2000


def simulated(n: int, namespace: str) -> Simulation:
    return read_simulator(SPECS / "frame-one.toml", SESSION).simulate(n, SEED, namespace)


def energy_score(draws: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Of roots of region energies, draws (n, 68), over the truth's length."""
    far = np.linalg.norm(draws - truth, axis=1).mean()
    apart = np.linalg.norm(draws[:, None] - draws, axis=2).sum() / (len(draws) * (len(draws) - 1))
    return float((far - 0.5 * apart) / np.linalg.norm(truth))


def best_lambda() -> float:
    simulation = simulated(N_CHOOSE, "validate")
    total = np.zeros(len(GRID))
    for k in range(N_CHOOSE):
        obs, true = simulation.observation(k), place(simulation, k)
        maps = [linear.power_map(obs, "eLORETA", value) for value in GRID]
        total += [peak_error(m, obs.source_space.positions, true) for m in maps]
    return float(GRID[int(total.argmin())])


def place(simulation: Simulation, k: int) -> NDArray[np.float64]:
    return template_source_space(5).positions[simulation.truth(k).centres]


def run(n: int) -> None:
    simulation, regularisation = simulated(n, "bench"), best_lambda()
    models = {"patches": load_model("patches", SPECS / "one.toml"), "atoms": load_model("atoms")}
    errors: dict[str, list[float]] = {name: [] for name in (*models, "eLORETA")}
    scores: dict[str, list[float]] = {name: [] for name in models}
    seconds = dict.fromkeys(models, 0.0)
    for k in range(n):
        obs, true = simulation.observation(k), place(simulation, k)
        field = (simulation.field(k) ** 2).sum(axis=1)[None]
        size = np.sqrt(region_energy(field, template_parcellation(4))[0])
        for name, model in models.items():
            began = time.perf_counter()
            post: Any = model.posterior(obs, seed=k)
            assert isinstance(post, StatePosterior)
            summary = post.summarise(N_DRAWS, seed=k)
            seconds[name] += time.perf_counter() - began
            errors[name].append(peak_error(place_map(post), obs.source_space.positions, true))
            scores[name].append(energy_score(np.sqrt(summary.region_energy), size))
        power = linear.power_map(obs, "eLORETA", regularisation)
        errors["eLORETA"].append(peak_error(power, obs.source_space.positions, true))
        sys.stdout.write(f"case {k + 1} of {n}\n")
    (HERE / "attainable.md").write_text(report(n, errors, scores, seconds))


def report(
    n: int,
    errors: dict[str, list[float]],
    scores: dict[str, list[float]],
    seconds: dict[str, float],
) -> str:
    apart = np.stack([errors["atoms"], errors["patches"], errors["eLORETA"]])
    each = np.stack([scores["atoms"], scores["patches"]])
    lines = [
        "# What can be had of one patch, and what `atoms` has",
        "",
        f"`python -m tests.oracle.attainable {n}`: {n} cases, {SESSION} a session, one patch, "
        "32 to 128 electrodes, 0 to 20 dB; the true head, the cap's error and the noise unknown. "
        "`patches` is told that there is one patch. Score: energy score of the roots of the 68 "
        "region energies, over the truth's length.",
        "",
        "| | mm, mean | median | score | s a case |",
        "|---|---|---|---|---|",
    ]
    for name, found in errors.items():
        score = f"{np.mean(scores[name]):.3f}" if name in scores else ""
        took = f"{seconds[name] / n:.2f}" if name in seconds else ""
        lines.append(
            f"| {name} | {np.mean(found):.1f} | {np.median(found):.1f} | {score} | {took} |"
        )
    lines += [
        "",
        f"(atoms - patches) / (eLORETA - patches), mm: {within(apart, gap)} (bar: .35). "
        f"Score of atoms over that of patches: {within(each, ratio)} (bar: 1.25). Intervals: 95 %, "
        "cases resampled.",
    ]
    return "\n".join(lines) + "\n"


def gap(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((means[0] - means[1]) / (means[2] - means[1]))


def ratio(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(means[0] / means[1])


def within(values: NDArray[np.float64], of: Any) -> str:
    """Of the means of rows (., n), with its interval."""
    rng = np.random.default_rng(0)
    picks = rng.integers(values.shape[1], size=(N_RESAMPLES, values.shape[1]))
    low, high = np.quantile(of(values[:, picks].mean(axis=2)), [0.025, 0.975])
    return f"{float(of(values.mean(axis=1))):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 48)
