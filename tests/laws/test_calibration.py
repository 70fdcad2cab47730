"""What diagnosis must say of posteriors whose calibration is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bayesesi.calibration import (
    LEVELS,
    central_mass,
    coverage,
    coverage_deviation,
    highest_density_mass,
    randomised_ranks,
    uniformity,
)
from bayesesi.errors import InputError

N, D = 2000, 60
Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Of truth or draws j (n, d) and the posterior's mean (n, 1), the data's stand-in.
STATISTICS: dict[str, Statistic] = {
    "continuous": lambda j, mean: j,
    "counts": lambda j, mean: np.round(j),
    "mostly zero": lambda j, mean: np.maximum(j - 1.5, 0),
    "one of two": lambda j, mean: (j > 0.8).astype(float),
    "constant": lambda j, mean: np.zeros_like(j),
    "of the data": lambda j, mean: np.round(2 * np.abs(j - 0.7 * mean)),
}


def conjugate(widened: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """j ~ N(0, 1), v ~ N(j, 1/2): truths (N, 1), draws (N, D), posterior means (N, 1)."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((N, 1))
    data = truth + np.sqrt(0.5) * rng.standard_normal((N, 1))
    mean, sd = data / 1.5, np.sqrt(1 / 3)
    return truth, mean + widened * sd * rng.standard_normal((N, D)), mean


def pit_of(name: str, widened: float = 1.0, seed: int = 0) -> np.ndarray:
    truth, draws, mean = conjugate(widened, seed)
    statistic = STATISTICS[name]
    ranks = randomised_ranks(
        statistic(truth, mean)[:, 0], statistic(draws, mean), np.random.default_rng(seed + 1)
    )
    assert ((ranks > 0) & (ranks < 1)).all()
    return ranks


@pytest.mark.parametrize("name", list(STATISTICS))
@pytest.mark.parametrize("test", ["chi-square", "ks"])
def test_ranks_under_the_exact_posterior_are_uniform(name: str, test: str) -> None:
    """2,000 cases, ties or not; false alarms 1 in 10,000."""
    assert uniformity(pit_of(name), test, false_alarm=1e-4).uniform  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["continuous", "counts", "of the data"])
def test_a_posterior_widened_by_half_fails(name: str) -> None:
    """The twin."""
    assert not uniformity(pit_of(name, widened=1.5), false_alarm=1e-4).uniform


def test_ties_that_are_not_broken_fail() -> None:
    """The twin of breaking them: the least rank of counts is not uniform."""
    truth, draws, _ = conjugate()
    least = (np.round(draws) < np.round(truth)).sum(axis=1) / (D + 1)
    assert not uniformity(least, false_alarm=1e-4).uniform


@pytest.mark.parametrize("test", ["chi-square", "ks"])
def test_false_alarms_are_as_rare_as_stated(test: str) -> None:
    """1,000 tests of 100 uniform values at .05: 29 to 74 alarms with probability .999."""
    rng = np.random.default_rng(2)
    found = [
        uniformity(rng.uniform(size=100), test, 0.05).uniform  # type: ignore[arg-type]
        for _ in range(1000)
    ]
    low, high = stats.binom.ppf([0.0005, 0.9995], 1000, 0.05)
    assert low <= found.count(False) <= high


def test_ranks_are_the_ranks() -> None:
    """By hand: without ties a rank fixes its cell, with ties the cells of all of them."""
    rng = np.random.default_rng(0)
    many = np.repeat([[0.0, 1.0, 1.0, 2.0]], 20_000, axis=0)
    ranks = randomised_ranks(np.full(20_000, 1.0), many, rng)
    assert ranks.min() == pytest.approx(0.2, abs=1e-3)
    assert ranks.max() == pytest.approx(0.8, abs=1e-3)
    assert stats.kstest(ranks, "uniform", (0.2, 0.6)).pvalue > 1e-4
    above = randomised_ranks(np.full(20_000, 5.0), many, rng)
    assert above.min() > 0.8
    again = randomised_ranks(np.ones(9), many[:9], np.random.default_rng(4))
    assert np.array_equal(again, randomised_ranks(np.ones(9), many[:9], np.random.default_rng(4)))


def test_sets_of_highest_density_cover_as_they_say() -> None:
    """Score: the posterior's own density, a statistic of the data too; the twins are off."""
    for widened, deviation in ((1.0, (0.0, 0.02)), (1.5, (0.1, 1.0)), (0.67, (0.1, 1.0))):
        truth, draws, mean = conjugate(widened)
        mass = highest_density_mass(
            -np.abs(truth - mean)[:, 0], -np.abs(draws - mean), np.random.default_rng(3)
        )
        low, high = deviation
        assert low <= coverage_deviation(mass) <= high
        sign = np.sign((coverage(mass).coverage - np.array(LEVELS)).mean())
        assert widened == 1 or sign == np.sign(widened - 1)


def test_central_intervals_are_those_of_the_quantiles() -> None:
    """Coverage by PIT is the share of truths between two quantiles of exact Gaussians."""
    truth, _, mean = conjugate()
    pit = stats.norm.cdf(truth, mean, np.sqrt(1 / 3))[:, 0]
    half = stats.norm.ppf(0.5 + np.array(LEVELS) / 2) * np.sqrt(1 / 3)
    want = (np.abs(truth - mean) <= half).mean(axis=0)
    assert np.allclose(coverage(central_mass(pit)).coverage, want)


@pytest.mark.parametrize("n", [30, 500])
def test_bands_hold_as_often_as_they_say(n: int) -> None:
    """Binomial: exact at each level, so at least the confidence and little more at large n."""
    level = np.array([0.1, 0.5, 0.9])
    curve = coverage(np.linspace(0, 1, n), level, confidence=0.9)
    inside = stats.binom.cdf(np.round(curve.high * n), n, level) - stats.binom.cdf(
        np.round(curve.low * n) - 1, n, level
    )
    assert (inside >= 0.9).all()
    assert n < 100 or (inside < 0.93).all()
    assert curve.inside.all()
    assert curve.n == n
    assert repr(curve).startswith(f"<CoverageCurve | {n} cases, mean deviation 0.0")


def test_coverage_at_the_ends() -> None:
    curve = coverage(np.array([0.2, 0.4]), [0.0, 0.3, 1.0])
    assert curve.coverage.tolist() == [0, 0.5, 1]
    assert (curve.low[0], curve.high[-1]) == (0, 1)


def test_mistakes_get_a_sentence() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"draws \(n, D\)"):
        randomised_ranks(np.zeros(3), np.zeros((4, 5)), rng)
    with pytest.raises(InputError, match="has no rank"):
        randomised_ranks(np.array([np.nan]), np.zeros((1, 5)), rng)
    for wrong in ([], [1.2], [np.nan], [[0.5]]):
        with pytest.raises(InputError, match="from 0 to 1"):
            coverage(np.array(wrong))
    with pytest.raises(InputError, match="confidence"):
        coverage(np.array([0.5]), confidence=95)
    with pytest.raises(InputError, match="chi-square"):
        uniformity(np.full(50, 0.5), "hunch")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="too few to measure"):
        uniformity(np.full(5, 0.5))
    with pytest.raises(InputError, match="false_alarm"):
        uniformity(np.full(50, 0.5), false_alarm=1.0)
