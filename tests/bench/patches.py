"""Exact posteriors of patches: how long they take, how well chains mix, how good Laplace is."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from bayesesi import read_prior, read_simulator
from bayesesi.observation import Observation
from bayesesi.posterior.patches import make_atoms, make_problem, solve
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.scan import DrawScan
from bayesesi.prior import HeadPrior, PatchPrior
from tests.bench.outcome import Finding, Outcome, Table, at_most

TITLE = "Patches"
STANDS_ON = (
    "anatomy",
    "forward",
    "noise",
    "observation",
    "prior",
    "posterior",
    "simulator",
    "assets/template-bank.safetensors",
)
SEED, N_CASES, ESS = 7, 5, 200.0


def measure(step: Callable[[str], None]) -> Outcome:
    prior, heads = read_prior("spike", ico=4), read_prior("template-nominal")
    assert isinstance(prior, PatchPrior)
    assert isinstance(heads, HeadPrior)
    atoms = make_atoms(prior)
    step("cases")
    cases = _cases()
    step("one patch")
    obs = cases[0][0]
    alone = [_table_seconds(obs, prior, heads, n, atoms) for n in (1, 32) for _ in range(3)]
    one, many = float(np.median(alone[:3])), float(np.median(alone[3:]))
    rows = []
    for k, (case, count) in enumerate(cases):
        step(f"chains, case {k + 1} of {len(cases)}")
        rows.append(_chain_row(case, count, prior, heads, atoms, k))
    values = np.array([[row[2], row[3], row[4], row[5], row[7]] for row in rows], float)
    whole, ess, r_hat, scaled, efficiency = map(float, np.median(values, axis=0))
    of_cases = f"median of {len(rows)} cases"
    return Outcome(
        [
            Finding(
                "K = 1, one head, 64 x 5,124, head prepared", "3 runs", one, "s", bar=at_most(0.3)
            ),
            Finding("K = 1, 32 heads drawn, all told", "3 runs", many, "s", bar=at_most(3.0)),
            Finding("K <= 3, heads spread, all told", of_cases, whole, "s"),
            Finding("smallest bulk ESS of that run", of_cases, ess),
            Finding("largest R-hat of that run", of_cases, r_hat),
            Finding("seconds of chains for 200 ESS", of_cases, scaled, "s", bar=at_most(20.0)),
            Finding("sample efficiency of weighted draws", of_cases, efficiency),
        ],
        tables=[
            Table(
                "Chains, case by case",
                (
                    "true count",
                    "SNR dB",
                    "s",
                    "ESS",
                    "R-hat",
                    "s for 200 ESS",
                    "sweeps",
                    "efficiency",
                ),
                rows,
            )
        ],
        notes=[
            "Cases: `spike-64`, those with something active, each with a head and a session of its "
            "own. ESS: the least of the log-likelihood's and of each lobe's energy that holds 1 %."
        ],
    )


def _cases() -> list[tuple[Observation, int]]:
    simulation = read_simulator("spike-64", group_size=1).simulate(2 * N_CASES, SEED, "bench")
    active = [k for k in range(2 * N_CASES) if simulation.truth(k).count]
    return [(simulation.observation(k), simulation.truth(k).count) for k in active[:N_CASES]]


def _table_seconds(
    obs: Observation, prior: PatchPrior, heads: HeadPrior, n: int, atoms: Any
) -> float:
    """Of one head weighed; of many drawn, made and weighed."""
    start = perf_counter()
    problem = make_problem(obs, prior, heads, "draws", n, atoms=atoms)
    start = perf_counter() if n == 1 else start
    _ = Enumeration.of(DrawScan(problem)).log_evidences
    return perf_counter() - start


def _chain_row(
    obs: Observation, count: int, prior: PatchPrior, heads: HeadPrior, atoms: Any, seed: int
) -> list[float | str]:
    start = perf_counter()
    problem = make_problem(obs, prior, heads, seed=seed, atoms=atoms)
    prepared = perf_counter()
    post = solve(problem, seed, ESS)
    end = perf_counter()
    assert post.run is not None
    ess, r_hat = min(post.run.ess.values()), max(post.run.r_hat.values())
    chains, sweeps = end - prepared, int(post.run.details()["sweeps"])
    return [
        count,
        float(obs.snr_db),
        end - start,
        ess,
        r_hat,
        chains * ESS / min(ess, ESS),
        sweeps,
        post.sample_efficiency,
    ]
