"""Proper scores of a posterior's draws as forecasts of the truth; smaller is better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.calibration.reliability import Interval
from bayesesi.calibration.trials import Trials
from bayesesi.spec.base import Table

#: Interval whose score is told.
_INTERVAL = 0.9


class Scores(Table):
    """Hold scores of forecasts: smaller is better.

    Attributes
    ----------
    crps_total : of the total moment, over its mean. energy : energy score of the roots of region
        energies, over the truth's length, mean of cases with an event. interval : 90 % interval
        score of the total moment, over its mean.
    """

    crps_total: Interval
    energy: Interval
    interval: Interval


def forecast_scores(trials: Trials, seed: int, n_boot: int) -> Scores:
    """Score draws of ``trials``: 95 % intervals of ``n_boot`` resamples of cases by ``seed``."""
    truth, draws = trials.true_total.astype(float), trials.total.astype(float)
    d = trials.n_draws
    ordered = np.sort(draws, axis=1)
    # E|x - x'| of the draws, by their order
    pairs = (2 * np.arange(1, d + 1) - d - 1) @ ordered.T / (d * max(d - 1, 1))
    crps = np.abs(draws - truth[:, None]).mean(axis=1) - pairs
    tail = (1 - _INTERVAL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    interval = high - low + missed / tail
    loud = np.flatnonzero(trials.true_energy.sum(axis=1) > 0)
    energy = np.array([_energy_score(trials, int(i)) for i in loud])
    rng = np.random.default_rng([seed, 2])

    def mean(values: NDArray[np.float64], over: NDArray[np.float64]) -> Interval:
        drawn = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=n_boot)
        return Interval.of(
            float(values.sum() / over.sum()), (drawn @ values) / np.maximum(drawn @ over, 1e-300)
        )

    return Scores(
        crps_total=mean(crps, truth),
        energy=mean(energy, np.ones(len(energy))),
        interval=mean(interval, truth),
    )


def _energy_score(trials: Trials, i: int) -> float:
    """Gneiting & Raftery 2007, doi:10.1198/016214506000001437."""
    truth = np.sqrt(trials.true_energy[i].astype(float))
    draws = np.sqrt(trials.energy[i].astype(float))
    d = len(draws)
    gram = draws @ draws.T
    square = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    apart = np.sqrt(np.maximum(square, 0)).sum() / (d * max(d - 1, 1))
    score = np.linalg.norm(draws - truth, axis=1).mean() - 0.5 * apart
    return float(score / np.linalg.norm(truth))
