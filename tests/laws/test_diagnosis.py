"""What a diagnosis must say of trials whose calibration is known, and what repair makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from bayesesi.calibration import diagnose, make_repair, reliability
from bayesesi.calibration.repair import (
    MomentRepair,
    ProbabilityRepair,
    RankRepair,
    drawn_active,
    interval_coverage,
    total_moment,
)
from bayesesi.calibration.trials import Trials
from bayesesi.errors import InputError
from tests.laws.worlds import P, world

N = 1500


@pytest.fixture(scope="module")
def exact() -> Trials:
    return world(N, seed=1)


@pytest.fixture(scope="module")
def too_sure() -> Trials:
    return world(N, seed=2, sure=2.0)


def test_the_exact_posterior_passes(exact: Trials) -> None:
    """1,500 cases. Deviations: sampling alone gives .34 / sqrt(1,500) = .009 of one rank a case;
    .025 is passed once in far more than 1,000 runs. All tests at 1 % in all. ECE of exact
    probabilities in ten bins of about 1,500 is about .01."""
    d = diagnose(exact)
    assert all(c.deviation.value < 0.025 for c in d.coverage.values()), d.coverage
    assert d.passed, d.failed
    assert d.reliability.slope.low < 1 < d.reliability.slope.high
    assert d.reliability.ece.value < 0.03
    assert d.reliability.brier_skill.value > 0.1


def test_a_posterior_that_is_too_sure_fails(too_sure: Trials) -> None:
    d = diagnose(too_sure)
    assert not d.passed
    assert "highest density" in d.failed
    assert d.reliability.slope.high < 0.85
    assert d.reliability.ece.value > 0.05


def test_repair_puts_probabilities_right_on_other_cases(too_sure: Trials) -> None:
    repair = make_repair(world(N, seed=3, sure=2.0))
    d = diagnose(too_sure, repair)
    assert d.repaired is not None
    assert d.repaired.reliability.ece.value < 0.5 * d.reliability.ece.value
    assert 0.85 < d.repaired.reliability.slope.value < 1.15
    for name, c in d.coverage.items():
        assert d.repaired.deviation[name].value < max(0.03, c.deviation.value)


def test_twins_of_reliability_fail(exact: Trials) -> None:
    """A base rate everywhere is asked nothing in [.05, .95]; logits doubled have half the slope."""
    p = drawn_active(exact).mean(axis=1)
    base = np.broadcast_to(exact.active.mean(axis=0), p.shape)
    with pytest.raises(InputError, match="too few to tell"):
        reliability(base, exact.active)
    odds = (p.clip(1e-3, 1 - 1e-3) / (1 - p.clip(1e-3, 1 - 1e-3))) ** 2
    twice = reliability(odds / (1 + odds), exact.active)
    assert twice.slope.high < 0.85


def test_reliability_agrees_with_mapie_and_scikit(exact: Trials) -> None:
    """Slope: scikit's logistic regression; ECE of bins of equal size: MAPIE's on what is asked."""
    from mapie.metrics.calibration import expected_calibration_error
    from sklearn.linear_model import LogisticRegression

    p, y = drawn_active(exact).mean(axis=1), exact.active
    asked = (p >= 0.05) & (p <= 0.95)
    found = reliability(p, y, n_boot=20)
    x = np.log(p[asked] / (1 - p[asked]))[:, None]
    fit = LogisticRegression(C=np.inf, max_iter=500).fit(x, y[asked])
    assert found.slope.value == pytest.approx(float(fit.coef_[0, 0]), abs=1e-3)
    theirs = expected_calibration_error(
        y[asked].astype(int), p[asked], num_bins=10, split_strategy="quantile"
    )
    assert found.ece.value == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_repaired_intervals_hold_what_they_say(level: float) -> None:
    """1,000 cases behind them and 1,000 others, of draws half as wide as they should be and off by
    a fifth: within 4 standard errors of the level; raw ones are far below."""
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 1, (2000, 1))
    truth = np.exp(centre[:, 0] + 0.4 * rng.standard_normal(2000))
    draws = np.exp(centre - 0.2 + 0.2 * rng.standard_normal((2000, 200)))
    repair = MomentRepair.of(truth[:1000], draws[:1000])
    held = interval_coverage(repair, truth[1000:], draws[1000:], level)
    tolerance = 4 * np.sqrt(2 * level * (1 - level) / 1000)
    assert abs(held - level) < tolerance + 0.02  # draws' own quantiles are interpolated
    assert interval_coverage(None, truth[1000:], draws[1000:], level) < level - 0.1


def test_ranks_are_repaired_by_their_own_law() -> None:
    rng = np.random.default_rng(0)
    repair = RankRepair.of(rng.beta(2, 1, 4000))
    found = repair(rng.beta(2, 1, 4000))
    assert np.abs(np.quantile(found, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.03


def test_a_curve_of_probabilities_rises_and_stays_in_its_range() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((500, P))
    repair = ProbabilityRepair.of(p, rng.random(p.shape) < p**2)
    assert (np.diff(repair.calibrated) >= 0).all()
    assert repair(0.5) == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ValueError, match="never fall"):
        ProbabilityRepair(said=(0.0, 1.0), calibrated=(0.5, 0.4))


def test_totals_are_of_cases_with_an_event(exact: Trials) -> None:
    truth, draws = total_moment(exact)
    assert (truth > 0).all()
    assert np.isfinite(draws).any(axis=1).all()


def test_scores_alone_have_no_diagnosis(exact: Trials) -> None:
    arrays = exact.to_arrays()
    empty = {k: arrays[k][:, :0] for k in ("energy", "moment", "peak", "centre", "total", "misfit")}
    with pytest.raises(InputError, match="needs draws"):
        diagnose(Trials(**{**arrays, **empty}))
    with pytest.raises(InputError, match="too few to measure"):
        diagnose(exact[:10])
