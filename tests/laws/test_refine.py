"""Importance weights: what they recover, what they say of themselves, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesesi.errors import InputError
from bayesesi.posterior.importance import ImportanceWeights, importance_weights

N = 40_000


def weights_of(proposal_sd: float, seed: int = 0) -> tuple[np.ndarray, ImportanceWeights]:
    """Draws of N(0, sd²) for the target 3 N(.5, 1)."""
    x = proposal_sd * np.random.default_rng(seed).standard_normal(N)
    target = np.log(3) + stats.norm(0.5, 1).logpdf(x)
    return x, importance_weights(target, stats.norm(0, proposal_sd).logpdf(x))


def test_a_wide_proposal_gives_the_target() -> None:
    """40,000 draws: mean, sd and evidence within .03 (five standard errors, 1 in a million)."""
    x, weights = weights_of(1.5)
    mean = weights.normalised @ x
    assert mean == pytest.approx(0.5, abs=0.03)
    assert np.sqrt(weights.normalised @ (x - mean) ** 2) == pytest.approx(1, abs=0.03)
    assert weights.log_evidence == pytest.approx(np.log(3), abs=0.03)
    assert weights.pareto_k < 0.5


def test_efficiency_is_that_of_the_closed_form() -> None:
    """Of N(0, 1) from N(0, s²) it is (2 s² - 1)^1/2 / s²; s = 1.5, 2 %."""
    x = 1.5 * np.random.default_rng(1).standard_normal(N)
    weights = importance_weights(stats.norm.logpdf(x), stats.norm(0, 1.5).logpdf(x))
    assert weights.sample_efficiency == pytest.approx(np.sqrt(2 * 2.25 - 1) / 2.25, rel=0.02)


def test_a_narrow_proposal_is_found_out() -> None:
    """Twin: where the proposal lacks the target's tails, the shape of the weights says so."""
    assert weights_of(0.5)[1].pareto_k > 0.7


def test_equal_weights_are_left_alone() -> None:
    weights = importance_weights(np.full(100, -3.0), np.full(100, -5.0))
    assert weights.sample_efficiency == pytest.approx(1)
    assert np.allclose(weights.normalised, 0.01)
    assert weights.log_evidence == pytest.approx(2)
    rows = weights.resample(100, np.random.default_rng(0))
    assert np.array_equal(rows, np.arange(100))


def test_what_is_excluded_is_never_drawn() -> None:
    log = np.array([0.0, -np.inf, np.log(3.0)])
    rows = importance_weights(log, np.zeros(3)).resample(400, np.random.default_rng(0))
    assert np.bincount(rows, minlength=3)[1] == 0
    assert np.bincount(rows, minlength=3)[2] == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    ("joint", "proposal", "said"),
    [
        (np.zeros(3), np.zeros(4), r"not \(3,\) and \(4,\)"),
        (np.zeros(0), np.zeros(0), r"not \(0,\)"),
        (np.full(3, -np.inf), np.zeros(3), "excludes every"),
        (np.array([np.nan, 0]), np.zeros(2), "no finite density"),
    ],
)
def test_mistakes_get_a_sentence(joint: np.ndarray, proposal: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        importance_weights(joint, proposal)
