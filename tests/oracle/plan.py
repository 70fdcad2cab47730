"""Whether plans order places as measured errors do: `atoms` on single sources, four montages.

    python -m tests.oracle.plan [N]     # N places a montage; writes reports/bench/plan.md

The cases are made as the plan makes them (a patch of 10 mm and 60 nAm in a drawn head, white noise
of 1.5 µV), but on the finer cortex, in other heads, and answered by the network from the door on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap, spearmanr

from bayesesi import load_model, observe
from bayesesi.anatomy import template_source_space
from bayesesi.forward import montage_sensors
from bayesesi.montage_design import PLACES, plan
from bayesesi.noise import NoiseCovariance
from bayesesi.prior import HeadPrior, read_prior
from bayesesi.prior.focal import PatchPrior
from bayesesi.simulator.simulator import template_forward_of

OUT = Path(__file__).parents[2] / "reports" / "bench" / "plan.md"
MONTAGES = ("eeg19", "eeg32", "eeg64", "eeg128")
NOISE, MOMENT, EXTENT, TIMES = 1.5e-6, 60e-9, 10.0, 3


def measured(montage: str, places: np.ndarray) -> np.ndarray:
    """(n,) mm, mean over draws, from the most probable place of `atoms` to the true one."""
    forward = template_forward_of(montage_sensors(montage))
    heads, prior = read_prior("template-nominal"), read_prior("focal", ico=4)
    assert isinstance(heads, HeadPrior)
    assert isinstance(prior, PatchPrior)
    n, names = len(places), forward.ch_names
    sites = {
        "centre": places,
        "extent_mm": np.full(n, EXTENT),
        "profile": np.zeros(n, np.int64),
        "edge": np.zeros((n, 3)),
    }
    assert forward.banked is not None
    modes = prior.shapes(sites) @ forward.banked.bank.cortex_modes(4).T
    rows = heads.whitened_rows(forward.banked, np.eye(len(names)), 32, ("bench", 5, 0))[1]
    covariance = NoiseCovariance.adhoc(names, forward.sensors.kinds, {"eeg": NOISE})
    model, space = load_model("atoms"), template_source_space(4)
    rng, apart = np.random.default_rng(5), np.zeros((n, TIMES))
    for k in range(n):
        for time in range(TIMES):
            volts = MOMENT * (rows[rng.integers(len(rows))] @ modes[k])
            volts = volts + NOISE * rng.standard_normal(len(names))
            obs = observe(volts[:, None], forward, covariance, sfreq=500.0, ch_names=names)
            summary = model.posterior(obs).summarise(100)
            loud = summary.peak[~summary.silent]
            mode = np.bincount(loud).argmax() if len(loud) else rng.integers(space.n_sources)
            apart[k, time] = np.linalg.norm(space.positions[mode] - space.positions[places[k]])
    return 1e3 * apart.mean(axis=1)


def main(n: int) -> None:
    coarse = template_source_space(PLACES)
    at = coarse.index_in(template_source_space(4))
    chosen = np.random.default_rng(1).choice(len(at), n, replace=False)
    lines = [
        "# Plans beside measured errors",
        "",
        f"`python -m tests.oracle.plan {n}`: {n} places, {TIMES} draws each, one patch of 10 mm "
        "and 60 nAm, white noise of 1.5 µV an electrode, heads and caps not known; mm from the "
        "most probable place of `atoms` to the true one. Rank correlation over places, 95 % "
        "bootstrap interval.",
        "",
        "| montage | plan, median mm | measured, median mm | Spearman's rank correlation |",
        "|---|---|---|---|",
    ]
    planned, found = [], []
    for name in MONTAGES:
        planned.append(plan(name).error_mm[chosen])
        found.append(measured(name, at[chosen]))
        lines.append(_row(name, planned[-1], found[-1]))
    lines.append(_row("all together", np.concatenate(planned), np.concatenate(found)))
    OUT.write_text("\n".join(lines) + "\n")


def _row(name: str, planned: np.ndarray, found: np.ndarray) -> str:
    rho = spearmanr(planned, found).statistic
    low, high = bootstrap(
        (planned, found),
        lambda a, b: spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=999,
        random_state=0,
        method="percentile",
    ).confidence_interval
    return (
        f"| {name} | {np.median(planned):.0f} | {np.median(found):.0f} | {rho:.2f} "
        f"({low:.2f} to {high:.2f}) |"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
