"""CaliBrain's two solvers and `atoms` on the same simulated cases, by both projects' measures.

    pip install --no-deps calibrain==1.0.3          # BSD-3; what it needs is here already
    python -m tests.oracle.calibrain run            # half an hour on one core; resumable
    python -m tests.oracle.calibrain report

Cases of `frame-any-cap`: one moment, an unknown head, 19 to 128 electrodes. CaliBrain's solvers are
run as `benchmark.rivals` runs them (Bayesian minimum norm, with the variance its evidence has its
maximum at and with that it is released with; sFLEX gamma-MAP, sigma 10 mm), on 1,284 sources, as in
its paper, and answer a Gaussian, of which 100 draws are taken. Its own measure, closed central
intervals over all sources, is repaired by its isotonic map of levels, fitted on one half of the
cases, told on the other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.benchmark.cases import on_level
from bayesesi.benchmark.rivals import bayesian_minimum_norm, sflex_gamma_map
from bayesesi.calibration import (
    Mixture,
    Trials,
    check_sets,
    diagnose,
    make_repair,
    run_trials,
    split_of,
)
from bayesesi.calibration.trials import CLOSED_LEVELS
from bayesesi.observation import Observation
from bayesesi.posterior.draws import SCORE_DRAWS
from bayesesi.simulator import Batch
from tests.oracle.sets import HERE

RUNS = Path("runs") / "calibrain"
N, SEED, LEVEL = 128, 2, 3


def coarse(batch: Batch, k: int) -> Observation:
    """The case on 1,284 sources."""
    return on_level(batch, k, LEVEL)


def minimum_norm(obs: Observation, seed: int) -> NDArray[np.float64]:
    return bayesian_minimum_norm(obs).draws(SCORE_DRAWS, seed)


def minimum_norm_released(obs: Observation, seed: int) -> NDArray[np.float64]:
    return bayesian_minimum_norm(obs, released=True).draws(SCORE_DRAWS, seed)


def gamma_map(obs: Observation, seed: int) -> NDArray[np.float64]:
    return sflex_gamma_map(obs).draws(SCORE_DRAWS, seed)


#: Words, solver, how it is shown a case.
METHODS: dict[str, tuple[Any, Any]] = {
    "CaliBrain, Bayesian minimum norm": (minimum_norm, coarse),
    "the same, as released": (minimum_norm_released, coarse),
    "CaliBrain, sFLEX gamma-MAP": (gamma_map, coarse),
    "atoms": ("atoms", None),
}


def trials_of_method(words: str, purpose: str) -> Trials:
    solver, view = METHODS[words]
    name = solver if isinstance(solver, str) else solver.__name__
    folder = RUNS / f"{name}-{purpose}"
    return run_trials(
        solver, Mixture.read(["frame-any-cap"]), N, SEED, purpose, folder, view=view, progress=True
    )


def run() -> None:
    for words in METHODS:
        for purpose in ("repair", "conformal", "diagnose"):
            trials_of_method(words, purpose)


def report() -> None:
    lines = [*HEADER]
    for words in METHODS:
        repair, split, new = (
            trials_of_method(words, p) for p in ("repair", "conformal", "diagnose")
        )
        closed = _closed_deviation(repair, new)
        d = diagnose(new, make_repair(repair))
        assert d.repaired is not None
        found = [c for c in check_sets(split_of(split), new) if c.guarantee == "every"]
        check = next(c for c in found if c.level == 0.9)
        cells = [
            f"{d.closed_deviation:.3f}",
            f"{closed:.3f}",
            *(f"{c.deviation.value:.3f}" for c in d.coverage.values()),
            f"{d.reliability.slope.value:.2f}",
            f"{d.reliability.ece.value:.3f}",
            f"{d.repaired.reliability.ece.value:.3f}",
            f"{d.reliability.brier_skill.value:.2f}",
            f"{check.held:.2f}",
            f"{check.area:.2f}",
            f"{d.seconds:.1f}",
        ]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    (HERE / "calibrain.md").write_text("\n".join([*lines, *FOOTER]) + "\n")


def _closed_deviation(repair: Trials, new: Trials) -> float:
    """After an isotonic map from levels to coverage on other cases, as CaliBrain repairs it."""
    from sklearn.isotonic import IsotonicRegression

    levels = np.array(CLOSED_LEVELS)
    fit = IsotonicRegression(out_of_bounds="clip").fit(levels, repair.closed.mean(axis=0))
    asked = np.interp(levels, fit.predict(levels), levels)  # level whose coverage is the wanted one
    found = np.interp(asked, levels, new.closed.mean(axis=0))
    return float(np.abs(found - levels).mean())


HEADER = (
    "# CaliBrain and `atoms` on the same simulated cases",
    "",
    f"`python -m tests.oracle.calibrain run`, then `report`; {N} cases of `frame-any-cap` each for "
    "repair, sets and the diagnosis. Closed: mean deviation of the coverage of closed central "
    "intervals over all sources, raw and repaired by an isotonic map: CaliBrain's measure. Ranks: "
    "mean deviation of randomised ranks of what a posterior selects, raw. Slope, ECE: of "
    "probabilities of regions in [.05, .95]. Sets: at 90 %, every active region; area: share of "
    "the cortex.",
    "",
    "| solver | closed | repaired | ranks: energy of likely regions | their moment | energy of "
    "likely sources | total moment | centre | slope | ECE | repaired | Brier skill | sets held | "
    "area | s a case |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)
FOOTER = (
    "",
    "The closed measure is passed or failed by silent sources: truths of exactly 0 lie in every "
    "interval that holds 0, for an exact posterior of few patches at all levels. It says nothing "
    "of the sources that are active, which the ranks and the sets ask about.",
)


if __name__ == "__main__":
    HERE.mkdir(parents=True, exist_ok=True)
    run() if sys.argv[1] == "run" else report()
