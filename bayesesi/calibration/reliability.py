"""Measure whether probabilities are calibrated: reliability of "this region is active".

Only probabilities in [.05, .95] count: over many regions, most of them inactive, a constant base
rate looks perfectly calibrated and doubled logits hardly worse. Regions of a case depend on each
other, so that the sampling error is found by drawing cases anew (bootstrap).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayesesi.errors import InputError
from bayesesi.spec.base import Table

#: Probabilities that are asked, bins of about as many of them each (at most), and bootstrap
#: samples.
ASKED = (0.05, 0.95)
N_BINS, N_BOOT = 10, 200
#: Steps of Newton's; logistic regression in two numbers converges in fewer.
_STEPS = 30
_TINY = 1e-9


class Interval(Table):
    """Hold a number, and between which it lies in 95 % of samples of as many cases drawn anew.

    For a mean of distances from what is ideal (a deviation, an ECE) that spread lies above 0 and
    mostly above the number even where the truth is 0: noise of the samples adds to it.

    Attributes
    ----------
    value, low, high : a scalar and the ends of its interval, in its own unit.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, again: NDArray[np.floating]) -> Interval:
        """Take the 2.5 and 97.5 % quantiles of bootstrap samples.

        Parameters
        ----------
        value : a scalar, any unit. again : (B,) the same of samples drawn anew; NaN are left out.
        """
        kept = again[np.isfinite(again)]
        low, high = np.quantile(kept, [0.025, 0.975]) if len(kept) else (value, value)
        return cls(value=_short(value), low=_short(low), high=_short(high))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Reliability(Table):
    """Hold the reliability of probabilities of regions.

    Attributes
    ----------
    said, found : a bin's mean probability, and share of its regions that are active. n : of them.
    slope : of logit(truth) on logit(probability): 1 if calibrated, below if too sure (Cox 1958).
    ece : mean distance of said and found, by size of the bins. brier_skill : 1 - score over that of
        the base rate of each region, over all probabilities.
    """

    said: tuple[float, ...]
    found: tuple[float, ...]
    n: tuple[int, ...]
    slope: Interval
    ece: Interval
    brier_skill: Interval


def reliability(
    probability: NDArray[np.floating],
    active: NDArray[np.bool_],
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> Reliability:
    """Measure the reliability of probabilities against truths.

    Parameters
    ----------
    probability : (n, P), 0 to 1. active : (n, P) which regions are active.
    seed : of the bootstrap. n_boot : number of samples it draws.

    Raises
    ------
    InputError : shapes that do not fit, or too few probabilities in [.05, .95].
    """
    p, y = np.asarray(probability, float), np.asarray(active, float)
    if p.shape != y.shape or p.ndim != 2 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"probabilities {p.shape} and truths {y.shape} are (n, P) from 0 to 1")
    asked = (p >= ASKED[0]) & (p <= ASKED[1])
    case, _ = np.nonzero(asked)
    if len(case) < 2 * N_BINS:
        raise InputError(
            f"{len(case)} probabilities lie in {ASKED[0]} to {ASKED[1]}, too few to tell whether "
            "they mean what they say"
        )
    ps, ys = p[asked], y[asked]
    # shares of draws lie on a lattice: edges that fall together make one bin of two
    edges = np.unique(np.quantile(ps, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, ps, side="left")
    bins = np.unique(bins, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(p), np.full(len(p), 1 / len(p)), size=n_boot)
    weights = np.vstack([np.ones(len(p)), drawn])  # (1 + B, n)
    of_pairs = weights[:, case]
    size, said, found = (_in_bins(of_pairs, bins, v) for v in (np.ones_like(ps), ps, ys))
    gaps = np.abs(said - found).sum(axis=1) / size.sum(axis=1)
    slopes, skill = _slopes(ps, ys, of_pairs), _brier_skill(p, y, weights)
    safe = np.maximum(size[0], 1)
    return Reliability(
        said=tuple(_short(v) for v in said[0] / safe),
        found=tuple(_short(v) for v in found[0] / safe),
        n=tuple(int(v) for v in size[0]),
        slope=Interval.of(slopes[0], slopes[1:]),
        ece=Interval.of(gaps[0], gaps[1:]),
        brier_skill=Interval.of(skill[0], skill[1:]),
    )


def _in_bins(
    weights: NDArray[np.float64], bins: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(B, bins) weighted sums."""
    onto = np.zeros((len(bins), int(bins.max()) + 1))
    onto[np.arange(len(bins)), bins] = values
    return np.asarray(weights @ onto)


def _slopes(
    p: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(B,) of logistic regressions on logit p, each with its weights (B, m), by Newton's method."""
    x = np.log(p / (1 - p))
    a, b = np.zeros(len(weights)), np.ones(len(weights))
    for _ in range(_STEPS):
        mean = expit(a[:, None] + b[:, None] * x)
        left, spread = weights * (y - mean), weights * mean * (1 - mean)
        s0, s1, s2 = spread.sum(axis=1), spread @ x, spread @ (x**2)
        g0, g1 = left.sum(axis=1), left @ x
        det = s0 * s2 - s1**2 + _TINY
        a, b = a + (s2 * g0 - s1 * g1) / det, b + (s0 * g1 - s1 * g0) / det
    return np.asarray(b)


def _brier_skill(
    p: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(B,)"""
    score = weights @ ((p - y) ** 2).sum(axis=1)
    share = weights @ y / weights.sum(axis=1, keepdims=True)
    n = weights.sum(axis=1, keepdims=True)
    base = (n * share * (1 - share)).sum(axis=1)
    return np.asarray(1 - score / np.maximum(base, _TINY))


def _short(value: float) -> float:
    """As a card keeps it."""
    return float(f"{float(value):.5g}")
