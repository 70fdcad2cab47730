"""Rules from a card's cases are those from the scores themselves; cells, radius, null test."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from bayesesi.calibration import check_sets, scores_of, split_of
from bayesesi.conformal import (
    CELLS,
    GUARANTEES,
    ConformalSplit,
    Guarantee,
    cell_of,
    conformalize,
)
from bayesesi.errors import InputError
from tests.laws.worlds import world


def split(n: int = 1500, seed: int = 1, n_draws: int = 100) -> ConformalSplit:
    return split_of(world(n, seed, n_draws=n_draws))


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_rule_of_a_split_is_that_of_its_scores(guarantee: Guarantee) -> None:
    trials = world(600, 1)
    scores, rows = scores_of(trials), np.flatnonzero(trials.loud)
    truth: NDArray[np.generic] = trials.active if guarantee != "peak" else trials.peak_region
    direct = conformalize(scores[rows], truth[rows], 0.9, guarantee, step=1e-9)
    stored = split_of(trials).rule(0.9, guarantee)
    assert stored.n == direct.n
    assert stored.threshold == pytest.approx(direct.threshold, rel=1e-4, abs=1e-6)


def test_sets_hold_what_they_say_on_other_cases() -> None:
    """1,350 cases behind and as many others: the exact law of a split's coverage at 0.1 % a set;
    the expected share is within 4 standard errors of its level."""
    for check in check_sets(split(seed=1), world(1500, 2)):
        if check.p_value is not None:
            assert check.p_value > 1e-3, check
        else:
            assert check.held > check.level - 4 * np.sqrt(check.level * (1 - check.level) / 600)
        assert 0 < check.area < 1
        assert sum(n for _, _, n in check.by_cell) == check.n


def test_twins_fail() -> None:
    """Truths where the solver does not look, and cases that leaked into their own scores."""
    shifted = check_sets(split(seed=1), world(1500, 2, shift=0.7))
    assert all(c.p_value < 1e-3 for c in shifted if c.p_value is not None)
    trials = world(1500, 1)
    leaked = ConformalSplit.of(
        scores_of(trials) + 0.3 * trials.active,
        trials.active,
        trials.peak_region,
        trials.stratum("channels"),
        trials.stratum("data_snr_db"),
    )
    every = [c for c in check_sets(leaked, world(1500, 2)) if c.guarantee == "every"]
    assert all(c.held < c.level for c in every)
    assert all(c.p_value is not None and c.p_value < 1e-3 for c in every)


def test_the_law_of_coverage_over_repeats() -> None:
    """100 partitions of 2,000 cases into 1,000 and 1,000: without ties the mean coverage is
    k / (n + 1) on average over all partitions, so that of 100 is within 4 standard errors of it."""
    trials = world(2200, 3)
    trials = trials[np.flatnonzero(trials.loud)[:1900]]
    scores, rng, held = scores_of(trials), np.random.default_rng(0), []
    for _ in range(100):
        order = rng.permutation(len(trials))
        first, rest = order[:1000], order[1000:]
        rule = conformalize(scores[first], trials.active[first], 0.9, step=1e-9)
        inside = rule.inside(scores[rest])
        held.append((inside | ~trials.active[rest]).all(axis=1).mean())
    error = np.std(held) / 10
    assert 0.9 - 4 * error <= np.mean(held) <= 0.9 + 1 / 1001 + 4 * error


def test_cells_speak_where_they_have_cases_enough() -> None:
    assert cell_of(20, 0.0) == 0
    assert cell_of(64, 10.0) == len(CELLS) - 1
    large = split(4000, n_draws=5)
    own = large.cell_for(100, 20.0)
    assert own.words == "with similar signal power and similarly many channels"
    assert (np.array(large.cell)[own.rows] == len(CELLS) - 1).all()
    small = split(700, n_draws=5)
    assert small.cell_for(100, 20.0).words.startswith("of any signal power")
    assert split(100, n_draws=5).cell_for(100, 20.0).words.startswith("of any signal power")
    assert large.rule(0.9, cell=own).n == len(own.rows)


def test_cells_part_recordings_as_they_part_cases() -> None:
    """A rare, harder cell that has too few cases: all recordings of its power then use one rule.
    1,200 cases and as many new ones, 40 splits: held at 90 % within 4 standard errors; were the
    other cell to keep a rule of its own, .84 of them would."""
    rng, held = np.random.default_rng(0), []
    for _ in range(40):
        few = rng.random(2400) < 0.2
        scores = rng.normal(np.where(few, -2.0, 0.0), 1.0)[:, None]
        active = np.ones(scores.shape, bool)
        channels, power = np.where(few, 20.0, 64.0), np.repeat([0.0, 5.0, 20.0], 800)
        order = rng.permutation(2400)
        first, rest = order[:1200], order[1200:]
        made = ConformalSplit.of(
            scores[first],
            active[first],
            np.zeros(len(first), int),
            channels[first],
            power[first],
        )
        for cell in np.unique(cell_of(channels, power)):
            rows = rest[cell_of(channels[rest], power[rest]) == cell]
            rule = made.rule(0.9, cell=made.cell_for(channels[rows[0]], power[rows[0]]))
            held.append(np.c_[rule.inside(scores[rows])[:, 0], np.ones(len(rows))])
    each = np.concatenate(held)
    n_splits = 40
    error = np.sqrt(0.09 * (1 / len(each) + 1 / (1200 * n_splits)))
    assert abs(each[:, 0].mean() - 0.9) < 4 * error + 1 / 400


def test_a_radius_holds_the_place() -> None:
    """1,300 cases behind it and others from the same law: within 4 standard errors."""
    radius = split(1500, 1, n_draws=5).radius_mm(0.9)
    other = world(1500, 2, n_draws=5)
    errors = 1e3 * other.mode_error[other.loud]
    assert abs((errors <= radius).mean() - 0.9) < 4 * np.sqrt(2 * 0.09 / 1300)
    assert split(9, 1, n_draws=5).radius_mm(0.95) == float("inf")


def test_a_mask_holds_its_share_of_sources() -> None:
    rule = split(1500, 1, n_draws=5).mask_rule(0.8)
    other = world(1500, 2, n_draws=5)
    held = (other.mask_scores[other.loud] >= rule.threshold).mean()
    assert abs(held - 0.8) < 0.03


def test_the_null_test_errs_as_often_as_it_says() -> None:
    """p-values of noise from the law of the split: at most 5 % at 5 %, up to 4 standard errors."""
    trials, other = world(4000, 1, n_draws=5), world(4000, 2, n_draws=5)
    made = split_of(trials)
    p = np.array([made.null_p(float(v)) for v in other.sign("nothing")[~other.loud]])
    assert (p <= 0.05).mean() < 0.05 + 4 * np.sqrt(2 * 0.05 * 0.95 / len(made.nothing))
    events = np.array([made.null_p(float(v)) for v in other.sign("nothing")[other.loud]])
    assert (events <= 0.05).mean() > 0.2


def test_a_damaged_split_is_refused() -> None:
    with pytest.raises(ValidationError, match="another number of cases"):
        ConformalSplit(active=((0.1,),), peak=(), cell=(0,))
    with pytest.raises(ValidationError, match="no region"):
        ConformalSplit(active=((),), peak=(0.1,), cell=(0,))
    with pytest.raises(InputError, match="no cases with an event"):
        ConformalSplit(active=(), peak=(), cell=()).rule()
    with pytest.raises(InputError, match="has no distances"):
        ConformalSplit(active=((0.1,),), peak=(0.1,), cell=(0,)).radius_mm()


def test_each_guarantee_has_a_twin_that_fails() -> None:
    """1,300 cases behind and others that are not like them: recall of truths where the solver does
    not look, places twice as far off, sources with half their score, noise that looks like events;
    each misses its level by more than 8 standard errors."""
    made = split(1500, 1)
    shifted = check_sets(made, world(1500, 2, shift=0.7))
    assert all(c.held < c.level - 0.1 for c in shifted if c.guarantee == "recall")
    other = world(1500, 2, n_draws=5)
    far = 2e3 * other.mode_error[other.loud]
    assert (far <= made.radius_mm(0.9)).mean() < 0.9 - 8 * np.sqrt(0.09 / 1300)
    low = 0.5 * other.mask_scores[other.loud]
    assert (low >= made.mask_rule(0.8).threshold).mean() < 0.8 - 0.1
    noise = other.sign("nothing")[~other.loud] - 6.0
    alarms = np.mean([made.null_p(float(v)) <= 0.05 for v in noise])
    assert alarms > 0.05 + 8 * np.sqrt(0.05 * 0.95 / len(noise))
    sharpened = check_sets(made, world(1500, 2, sure=3.0))
    assert any(c.p_value is not None and c.p_value < 1e-3 for c in sharpened)
