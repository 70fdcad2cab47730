"""Sets with a guarantee: the rank is exact, coverage is what the theorem says, twins fail."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bayesesi.conformal import GUARANTEES, Guarantee, conformal_rank, conformalize
from bayesesi.errors import InputError

P = 20


def world(
    n: int, rng: np.random.Generator, draws: int | None = None, shift: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores and which regions are active: one to three, loud ones more plausible.

    ``draws``: scores as shares of so many draws, most of them 0. ``shift`` lowers those of active
    regions.
    """
    count = rng.integers(1, 4, n)
    active = rng.random((n, P)).argsort(axis=1) < count[:, None]
    logit = rng.normal(-3, 1.5, (n, P)) + active * rng.normal(3.5 - shift, 1.5, (n, P))
    scores = 1 / (1 + np.exp(-logit))
    return (scores if draws is None else rng.binomial(draws, scores) / draws), active


def share_held(
    inside: NDArray[np.bool_], active: NDArray[np.bool_], scores: NDArray[np.float64], kind: str
) -> NDArray[np.float64]:
    """(n,) what the guarantee is of."""
    if kind == "recall":
        return np.asarray((inside & active).sum(axis=1) / active.sum(axis=1), float)
    return np.asarray((inside | ~active).all(axis=1), float)


def peaks(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(active.argmax(axis=1))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_rank_is_that_of_exact_arithmetic(level: float) -> None:
    exact = Fraction(str(level))
    for n in range(1, 3000, 7):
        wanted = -(-((n + 1) * exact).numerator // ((n + 1) * exact).denominator)
        assert conformal_rank(n, level) == min(wanted, n + 1)
    assert conformal_rank(9, 0.9) == 9  # nine cases are just enough for 90 %
    assert conformal_rank(8, 0.9) == 9  # eight are not: one more than there are


@pytest.mark.parametrize("kind", GUARANTEES)
@pytest.mark.parametrize("draws", [None, 100])
def test_coverage_is_the_theorems(kind: Guarantee, draws: int | None) -> None:
    """Mean over 200 splits of n = 99, 400 new cases each, at level .9: at least .9 - 4 standard
    errors, and for sets that must hold all no more than .9 + 1 / 100 + 4 of them."""
    rng, held = np.random.default_rng(3), []
    for k in range(200):
        scores, active = world(99 + 400, rng, draws)
        truth = active
        if kind == "peak":
            active = np.arange(P) == peaks(active)[:, None]
            truth = active
        rule = conformalize(scores[:99], truth[:99], 0.9, kind, seed=k)
        inside = rule.inside(scores[99:], seed=k)
        held.append(share_held(inside, active[99:], scores[99:], kind).mean())
    mean, error = np.mean(held), np.std(held) / np.sqrt(len(held))
    assert mean >= 0.9 - 4 * error
    assert mean <= 0.9 + 0.01 + 4 * error + (0.01 if kind == "recall" else 0.0)


def test_single_splits_follow_the_beta_law() -> None:
    """Coverage of one split is beta(k, n + 1 - k): Kolmogorov and Smirnov's test of 200, at 1 %."""
    rng, n, found = np.random.default_rng(0), 199, []
    k = conformal_rank(n, 0.9)
    for seed in range(200):
        scores, active = world(n + 2000, rng)
        rule = conformalize(scores[:n], active[:n], 0.9, "every", seed=seed)
        inside = rule.inside(scores[n:], seed=seed)
        found.append(share_held(inside, active[n:], scores[n:], "every").mean())
    law = stats.betabinom(2000, k, n + 1 - k)
    held = np.rint(2000 * np.array(found))
    ranks = law.cdf(held - 1) + 0.5 * law.pmf(held)
    assert stats.kstest(ranks, "uniform").pvalue > 0.01


def test_twins_fail() -> None:
    """A split that new cases are not like, and one whose truths leaked into the scores."""
    rng = np.random.default_rng(1)
    scores, active = world(499, rng)
    new, truth = world(4000, rng, shift=1.5)
    rule = conformalize(scores, active, 0.9)
    shifted = share_held(rule.inside(new), truth, new, "every").mean()
    assert shifted < 0.9 - 0.03
    leaked = conformalize(scores + 0.2 * active, active, 0.9)
    fresh, again = world(4000, rng)
    assert share_held(leaked.inside(fresh), again, fresh, "every").mean() < 0.9 - 0.03


def test_a_threshold_among_zeros_takes_in_some_of_them() -> None:
    """Where one in five active regions has no draw, a set at 90 % is not the whole cortex."""
    rng = np.random.default_rng(2)
    scores, active = world(999, rng, draws=10)
    missed = (active & (scores == 0)).any(axis=1).mean()
    assert missed > 0.12
    rule = conformalize(scores, active, 0.9, step=1 / 10)
    inside = rule.inside(scores)
    assert 0.1 < inside.mean() < 0.9
    assert inside.all(axis=1).mean() < 0.05


def test_few_cases_give_the_whole_cortex_and_say_so() -> None:
    scores, active = world(8, np.random.default_rng(0))
    rule = conformalize(scores, active, 0.9)
    names = [f"r{p}" for p in range(P)]
    found = rule.region_set(scores[0], names)
    assert found.whole
    assert set(found.regions) == set(names)
    assert found.regions[0] == names[int(scores[0].argmax())]
    assert "every active region in at least 90%" in found.guarantee
    assert "given that something is active" in found.guarantee
    assert found.n_conformal == 8


def test_silent_cases_do_not_count() -> None:
    rng = np.random.default_rng(0)
    scores, active = world(200, rng)
    silent = np.zeros((50, P), bool)
    both = conformalize(np.r_[scores, rng.random((50, P))], np.r_[active, silent], 0.9, step=1e-6)
    alone = conformalize(scores, active, 0.9, step=1e-6)
    assert both.n == alone.n == 200
    assert both.threshold == pytest.approx(alone.threshold, abs=1e-5)


def test_the_peak_is_mapies_set_of_one_class() -> None:
    """With probabilities of classes LAC is the same theorem: thresholds agree."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    rng = np.random.default_rng(5)
    raw, active = world(300, rng)
    scores = raw / raw.sum(axis=1, keepdims=True)
    truth = peaks(active)

    class Told(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Says of row k what was scored."""

        classes_ = np.arange(P)
        fitted_ = True

        def fit(self, x: object, y: object = None) -> Told:
            return self

        def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return x

        def predict(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
            return x.argmax(axis=1)

    state = np.random.get_state()  # noqa: NPY002  (which MAPIE draws from)
    mapie = SplitConformalClassifier(Told(), 0.9, conformity_score="lac", prefit=True)
    mapie.conformalize(scores[:200], truth[:200])
    theirs = mapie.predict_set(scores[200:])[1][:, :, 0]
    np.random.set_state(state)  # noqa: NPY002
    rule = conformalize(scores[:200], truth[:200], 0.9, "peak", step=1e-12)
    ours = rule.inside(scores[200:])
    assert (ours == theirs).mean() > 0.999


def test_what_makes_no_sense_is_refused() -> None:
    scores, active = world(50, np.random.default_rng(0))
    with pytest.raises(InputError, match="every, peak, recall"):
        conformalize(scores, active, 0.9, "most")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="same cases"):
        conformalize(scores, active[:10])
    with pytest.raises(InputError, match="not numbers"):
        conformalize(np.full_like(scores, np.nan), active)
    with pytest.raises(InputError, match="nothing is active"):
        conformalize(scores, np.zeros_like(active))
    with pytest.raises(InputError, match="level is a number"):
        conformalize(scores, active, 1.0)
    with pytest.raises(InputError, match="one region a case"):
        conformalize(scores, np.ones_like(active), 0.9, "peak")
    rule = conformalize(scores, active)
    with pytest.raises(InputError, match="one score per region"):
        rule.region_set(scores[0], ["a"])


def test_recall_with_confidence_holds_in_nearly_every_split() -> None:
    """6 splits of 200 cases at level .8 and confidence .9: the expected share held falls below the
    level in 10 % of splits at most, in 4 of 6 once in 800 times; the plain rule, which holds it on
    average only, falls below in about half, so in none of 6 once in 60 times."""
    rng, sure, plain = np.random.default_rng(0), [], []
    for k in range(6):
        scores, active = world(200 + 8000, rng)
        for held, confidence in ((sure, 0.9), (plain, None)):
            rule = conformalize(
                scores[:200], active[:200], 0.8, "recall", seed=k, confidence=confidence
            )
            inside = rule.inside(scores[200:], seed=k)
            held.append(share_held(inside, active[200:], scores[200:], "recall").mean())
    assert (np.array(sure) < 0.8).sum() <= 3
    assert (np.array(plain) < 0.8).sum() > (np.array(sure) < 0.8).sum()
    assert (
        "with 90% confidence" in conformalize(scores, active, 0.8, "recall", confidence=0.9).words
    )


def test_weights_carry_a_guarantee_over_a_declared_shift() -> None:
    """Hard cases are five times as common as in the split: unweighted sets fall short by more than
    3 %, weighted ones by the true ratios do not (4 standard errors of 60 runs)."""
    rng, weighted, plain = np.random.default_rng(0), [], []
    for k in range(60):
        easy = world(700, rng)
        hard = world(300, rng, shift=2.0)
        scores, active = np.r_[easy[0], hard[0]], np.r_[easy[1], hard[1]]
        ratio = np.r_[np.full(700, 0.2 / 0.7), np.full(300, 0.8 / 0.3)]
        new_scores, new_active = world(400, rng, shift=2.0)
        also, truth = world(100, rng)
        new_scores, new_active = np.r_[new_scores, also], np.r_[new_active, truth]
        for held, weights in ((weighted, np.r_[ratio, 0.8 / 0.3]), (plain, None)):
            rule = conformalize(scores, active, 0.8, seed=k, weights=weights)
            inside = rule.inside(new_scores, seed=k)
            held.append(share_held(inside, new_active, new_scores, "every").mean())
    error = np.std(weighted) / np.sqrt(len(weighted))
    assert np.mean(weighted) > 0.8 - 4 * error
    assert np.mean(plain) < 0.8 - 0.03
    rule = conformalize(scores, active, 0.8, weights=np.r_[ratio, 1.0])
    assert "approximately" in rule.words


def test_weights_and_confidence_where_they_mean_nothing_are_refused() -> None:
    scores, active = world(50, np.random.default_rng(0))
    with pytest.raises(InputError, match="51 numbers"):
        conformalize(scores, active, weights=np.ones(50))
    with pytest.raises(InputError, match="from 0 on"):
        conformalize(scores, active, weights=-np.ones(51))
    with pytest.raises(InputError, match="for the guarantee 'recall'"):
        conformalize(scores, active, confidence=0.9)


def test_words_for_numbers_are_one_sentence() -> None:
    scores, active = world(50, np.random.default_rng(0))
    for step in (np.nan, -1.0, np.inf, "a"):
        with pytest.raises(InputError, match="step is a number above 0"):
            conformalize(scores, active, step=step)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="True or False"):
        conformalize(scores, 0.5 * active)
    with pytest.raises(InputError, match="number of a region"):
        conformalize(scores, np.full(50, 3.7), 0.9, "peak")  # type: ignore[arg-type]
    for bad in (1j * scores, np.full(scores.shape, "a"), {"a": 1}):
        with pytest.raises(InputError, match="real numbers"):
            conformalize(bad, active)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="level is a number"):
        conformalize(scores, active, "0.9")  # type: ignore[arg-type]
