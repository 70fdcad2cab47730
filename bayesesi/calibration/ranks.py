"""Diagnose calibration by simulated truths, which changes no posterior.

Where a truth and D draws of its posterior are exchangeable, so is any statistic f(j, v) of them,
data-dependent ones too, and with ties broken by lot

    PIT = (#{d: f(j_d) < f(j)} + U (1 + #{d: f(j_d) = f(j)})) / (D + 1),   U ~ uniform(0, 1)

is uniform on (0, 1), exactly and for any D (Talts et al. 2018, arXiv:1804.06788; of statistics that
depend on the data, Modrak et al. 2023, doi:10.1214/23-BA1404).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesesi.errors import InputError, some

#: Nominal levels of a coverage curve.
LEVELS: tuple[float, ...] = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
#: How often an exact posterior may fail a test of uniformity.
FALSE_ALARM = 0.01
#: Cases a bin of the chi-square test is to have; the law of its statistic is approximate.
_CASES_A_BIN, _MOST_BINS = 10, 20

Test = Literal["chi-square", "ks"]


def randomised_ranks(
    truth: NDArray[np.floating], draws: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Compute the (n,) PIT in (0, 1) of truths among draws: see the module.

    Uniform under the exact posterior, whatever shape the statistic's law has: continuous, counts,
    or mostly zero.

    Parameters
    ----------
    truth : (n,) a statistic, any unit. draws : (n, D) in the same unit. rng : breaks ties.

    Raises
    ------
    InputError : shapes that do not fit, no cases, or values that are NaN.
    """
    truth, draws = np.asarray(truth, float), np.asarray(draws, float)
    if truth.ndim != 1 or draws.ndim != 2 or len(draws) != len(truth) or not draws.size:
        raise InputError(
            f"ranks need a truth (n,) and draws (n, D), got {truth.shape} among {draws.shape}"
        )
    if np.isnan(truth).any() or np.isnan(draws).any():
        raise InputError("a statistic that is not a number has no rank; leave such cases out")
    below = (draws < truth[:, None]).sum(axis=1)
    ties = (draws == truth[:, None]).sum(axis=1)
    inside = rng.uniform(np.finfo(float).tiny, 1.0, len(truth))
    return np.asarray((below + inside * (1 + ties)) / (draws.shape[1] + 1))


def highest_density_mass(
    truth_score: NDArray[np.floating],
    draw_scores: NDArray[np.floating],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Compute the (n,) share of draws more plausible than the truth, ties by lot.

    A score is larger for what the posterior finds more plausible: a density, or the probability of
    the region that holds the peak. The set of all that scores above some value and has the mass
    ``level`` covers the truth where this is below ``level``; it is uniform if calibrated.

    Parameters
    ----------
    truth_score : (n,), any unit. draw_scores : (n, D) in the same unit. rng : breaks ties.

    Raises
    ------
    InputError : see ``randomised_ranks``.
    """
    return randomised_ranks(-np.asarray(truth_score), -np.asarray(draw_scores), rng)


def central_mass(pit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the (n,) level of the smallest central interval that holds the truth, |2 PIT - 1|.

    Parameters
    ----------
    pit : (n,), 0 to 1.
    """
    return np.abs(2 * np.asarray(pit, float) - 1)


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """Hold how often sets of each nominal level held the truth.

    Attributes
    ----------
    levels, coverage : (L,) nominal and measured. n : number of cases.
    low, high : (L,) about the nominal level: where the coverage of an exact posterior lies with the
        probability ``confidence`` or more, at each level by itself, by the binomial law.
    """

    levels: NDArray[np.float64]
    coverage: NDArray[np.float64]
    n: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float

    @property
    def deviation(self) -> float:
        """Mean over levels of |coverage - level|."""
        return float(np.abs(self.coverage - self.levels).mean())

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(L,) levels at which the coverage is within its band."""
        return np.asarray((self.coverage >= self.low) & (self.coverage <= self.high))

    def __repr__(self) -> str:
        return (
            f"<CoverageCurve | {self.n} cases, mean deviation {self.deviation:.3f}, "
            f"{self.inside.sum()} of {len(self.levels)} levels within their "
            f"{self.confidence:.0%} band>"
        )


def coverage(
    mass: NDArray[np.floating], levels: ArrayLike = LEVELS, confidence: float = 0.95
) -> CoverageCurve:
    """Compute the coverage of sets: the share of cases with ``mass`` <= level.

    Parameters
    ----------
    mass : (n,), 0 to 1: from ``highest_density_mass``, from ``central_mass(pit)``, or a PIT itself
        (then the sets are one-sided). levels : (L,) nominal levels, 0 to 1.
    confidence : probability of the band about each level, between 0 and 1.

    Raises
    ------
    InputError : no cases, masses or levels outside [0, 1], a confidence outside (0, 1).
    """
    from scipy import stats

    mass, nominal = _unit(mass, "mass"), _unit(np.atleast_1d(levels), "levels")
    if not 0 < confidence < 1:
        raise InputError(f"confidence lies between 0 and 1, not {confidence!r}")
    n, tail = len(mass), (1 - confidence) / 2
    covered = (mass[:, None] <= nominal).mean(axis=0)
    low, high = stats.binom.ppf([[tail], [1 - tail]], n, nominal) / n
    return CoverageCurve(nominal, covered, n, np.maximum(low, 0.0), high, confidence)


def coverage_deviation(mass: NDArray[np.floating], levels: ArrayLike = LEVELS) -> float:
    """Average |coverage - level| over levels; sampling alone gives about .34 / sqrt(n).

    Parameters
    ----------
    mass : (n,), 0 to 1, see ``coverage``. levels : (L,), 0 to 1.
    """
    return coverage(mass, levels).deviation


@dataclass(frozen=True)
class Uniformity:
    """Hold what a test of uniformity found.

    Attributes
    ----------
    test : ``"chi-square"`` or ``"ks"``. p_value : probability, 0 to 1. n : number of values.
    false_alarm : probability; ``uniform`` is False where p is below it.
    """

    test: Test
    p_value: float
    n: int
    false_alarm: float

    @property
    def uniform(self) -> bool:
        return self.p_value >= self.false_alarm


def uniformity(
    pit: NDArray[np.floating], test: Test = "chi-square", false_alarm: float = FALSE_ALARM
) -> Uniformity:
    """Test whether independent values are uniform on (0, 1).

    ``"chi-square"`` of counts in equal bins sees a wrong width; ``"ks"``, the largest distance from
    the diagonal by its exact law, sees a shift. Only one PIT a case: those of a case depend on each
    other.

    Parameters
    ----------
    pit : (n,), 0 to 1, 20 or more. test : ``"chi-square"`` or ``"ks"``.
    false_alarm : probability with which an exact posterior fails, between 0 and 1.

    Raises
    ------
    InputError : an unknown test, fewer than 20 values, values outside [0, 1].
    """
    from scipy import stats

    values = _unit(pit, "PIT")
    if test not in get_args(Test):
        raise InputError(f"test is 'chi-square' or 'ks', not {some([test])}")
    if len(values) < 2 * _CASES_A_BIN:
        raise InputError(
            f"{len(values)} cases are too few to measure calibration; give at least 20"
        )
    if not 0 < false_alarm < 1:
        raise InputError(f"false_alarm lies between 0 and 1, not {false_alarm!r}")
    if test == "ks":
        p = stats.kstest(values, "uniform", method="exact").pvalue
    else:
        n_bins = min(_MOST_BINS, len(values) // _CASES_A_BIN)
        bins = np.minimum((values * n_bins).astype(int), n_bins - 1)
        p = stats.chisquare(np.bincount(bins, minlength=n_bins)).pvalue
    return Uniformity(test, float(p), len(values), false_alarm)


def _unit(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """(n,) numbers of [0, 1], at least one."""
    array = np.asarray(values, float)
    if array.ndim != 1 or not array.size or not ((array >= 0) & (array <= 1)).all():
        raise InputError(f"{what} is a row of numbers from 0 to 1, at least one, of one a case")
    return array
