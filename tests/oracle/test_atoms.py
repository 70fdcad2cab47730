"""Atoms: against Bayes' rule where that is exact, and against its own density."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from bayesesi.errors import InputError
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.features import SizePrior, scan
from bayesesi.observation import Observation
from bayesesi.posterior.atoms import AtomPosterior, atom_posterior, refined, weighed
from bayesesi.posterior.atoms.posterior import _draw_events
from bayesesi.posterior.patches import Atoms, PatchStates, make_atoms, make_problem, solve
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.scan import DrawScan
from bayesesi.prior import PatchPrior
from bayesesi.spec import TransformerSpec
from tests.oracle.test_patches import patch_prior, small

SIZES = TransformerSpec(ico=2, width=16, source_width=8, n_blocks=1, n_attention_heads=2)


def estimator(prior: PatchPrior, extents: int, noise: float) -> AtomEstimator:
    """Begun anew, or with ``noise`` on every weight."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = AtomEstimator(SIZES, extents, prior.spec.count)
        for parameter in made.parameters():
            parameter.data += noise * torch.randn_like(parameter)
    return made


@pytest.fixture(scope="module")
def obs() -> Observation:
    quiet = small(2)
    event = np.outer(quiet.leadfield[:, 40], [1.0, 2.0, -1.0, 0.5][: quiet.n_functions])
    return replace(quiet, values=quiet.values + 4 * event / np.linalg.norm(event))


@pytest.fixture(scope="module")
def two(obs: Observation) -> AtomPosterior:
    """Up to two sources of one extent, by weights at random."""
    prior = patch_prior(2, (0.6, 0.4))
    return atom_posterior(obs, prior, estimator(prior, 1, 0.2), make_atoms(prior, 1))


def test_without_training_it_is_bayes_rule_for_one_source(
    obs: Observation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exactly known head: total variation to the enumeration below .01; with a discrepancy it is
    far larger."""
    monkeypatch.setattr(scan, "_N_FEW", 100)
    monkeypatch.setattr(scan, "_RANGE", (1e-5, 1e6))
    prior = patch_prior(2, (1.0,))
    atoms = make_atoms(prior, 3)
    problem = make_problem(obs, prior, atoms=atoms)
    size = SizePrior.of_grid(problem.sizes, problem.log_size)
    z = np.linspace(-4, 4, 60)
    share = stats.norm.logpdf(z) - logsumexp(stats.norm.logpdf(z))
    fine = replace(problem, sizes=np.exp(size.mean + size.sd * z), log_size=share)
    table = Enumeration.of(DrawScan(fine))
    want = np.r_[table.count_probability[0], table.probability.sum(axis=(0, 3)).ravel()]

    def apart(discrepancy: float) -> float:
        scene = scan.PreparedForward.scene
        monkeypatch.setattr(scene, "__defaults__", (None, None, discrepancy))
        post = atom_posterior(obs, prior, estimator(prior, 3, 0.0), atoms)
        return 0.5 * float(np.abs(np.exp(post.first) - want).sum())

    assert apart(0.0) < 0.01
    assert apart(5.0) > 0.1


def every_event(atoms: Atoms) -> PatchStates:
    """None, each one, each pair."""
    n = atoms.n_centres
    pairs = np.array(list(combinations(range(n), 2)))
    states = PatchStates.empty(1 + n + len(pairs), 2)
    states.used[1:, 0] = states.used[1 + n :, 1] = True
    states.centre[1 : 1 + n, 0] = np.arange(n)
    states.centre[1 + n :] = pairs
    return states


def test_densities_of_all_events_sum_to_one(two: AtomPosterior) -> None:
    """Pairs of one centre twice are the rest; the network at random gives them next to nothing."""
    events = every_event(two.problem.atoms)
    total = logsumexp(two.log_prob_of(events))
    n = two.problem.atoms.n_centres
    twice = PatchStates.empty(n, 2)
    twice.used[:] = True
    twice.centre[:] = np.arange(n)[:, None]
    # an order of two equal atoms is one order: what permutations count twice is halved
    rest = logsumexp(two.log_prob_of(twice)) - np.log(2)
    assert np.exp(total) + np.exp(rest) == pytest.approx(1, abs=1e-5)
    order = events[-50:]
    turned = replace(order, centre=order.centre[:, ::-1].copy())
    np.testing.assert_allclose(two.log_prob_of(turned), two.log_prob_of(order), atol=1e-6)


def test_draws_have_the_density(two: AtomPosterior, obs: Observation) -> None:
    """Chi-square over 20 shares of the events, 4,200 draws by sixties, which share no source with
    each other, at 1e-4; the density of other weights is found out."""
    events = every_event(two.problem.atoms)
    n = two.problem.atoms.n_centres
    key = {(n, n): 0, **{(i, n): 1 + i for i in range(n)}}
    key |= {tuple(pair): 1 + n + k for k, pair in enumerate(combinations(range(n), 2))}
    some = np.concatenate(
        [_draw_events(two.sight, 60, np.random.default_rng(s)) for s in range(70)]
    )
    some = np.sort(np.where(some < 0, n, some), axis=1)
    found = np.array([key.get(tuple(row), -1) for row in some.tolist()])
    prior = two.problem.prior
    assert isinstance(prior, PatchPrior)
    other = atom_posterior(obs, prior, estimator(prior, 1, 0.0), two.problem.atoms)

    def fits(post: AtomPosterior) -> float:
        p = np.exp(post.log_prob_of(events))
        order = np.argsort(np.random.default_rng(1).random(len(p)))
        share = np.empty(len(p), int)
        share[order] = (np.cumsum(p[order]) / p.sum() * 20).astype(int).clip(max=19)
        count = np.bincount(share[found[found >= 0]], minlength=20)
        want = np.bincount(share, p, 20) * count.sum() / p.sum()
        some = want > 0
        return float(stats.chisquare(count[some], want[some]).pvalue)

    assert fits(two) > 1e-4
    assert fits(other) < 1e-4


def test_shapes_seeds_and_moments(two: AtomPosterior, obs: Observation) -> None:
    draws = two.sample(200, seed=3)
    assert draws.shape == (200, 324, obs.n_functions)
    assert np.array_equal(draws, two.sample(200, seed=3))
    assert not np.array_equal(draws, two.sample(200, seed=4))
    assert two.mean().shape == two.sd().shape == (324, obs.n_functions)
    assert two.count_probability.sum() == pytest.approx(1)
    assert two.null_probability == pytest.approx(np.exp(two.first[0]))
    prior = two.problem.prior
    assert isinstance(prior, PatchPrior)
    again = atom_posterior(obs, prior, two.sight.estimator, two.problem.atoms)
    assert np.array_equal(again.sample(50), two.sample(50))
    other = atom_posterior(obs, prior, two.sight.estimator, two.problem.atoms, seed=1)
    assert not np.array_equal(other.sample(50), two.sample(50))


def test_weighed_draws_are_the_enumeration(obs: Observation) -> None:
    """A network at random, one source at most: counts of lobes from weighted draws against the
    table's, 1,600 draws, within five standard errors; unweighted they are far off."""
    prior = patch_prior(2, (1.0,))
    atoms = make_atoms(prior, 2)
    post = atom_posterior(obs, prior, estimator(prior, 2, 0.05), atoms)
    table = Enumeration.of(DrawScan(make_problem(obs, prior, atoms=atoms)))
    states, weights = weighed(post, table)
    assert len(states) == len(post.states)
    centre = table.probability.sum(axis=(0, 1, 3))
    order = np.argsort(-centre)
    some = np.zeros(atoms.n_centres, bool)
    some[order[: np.searchsorted(np.cumsum(centre[order]), 0.5)]] = True
    want = float(centre[some].sum())
    found = states.used[:, 0] & some[states.centre[:, 0]]
    error = np.sqrt(want * (1 - want) / (len(found) * weights.sample_efficiency))
    assert weights.sample_efficiency > 0.02
    assert abs(float(weights.normalised @ found) - want) < 5 * error
    assert abs(found.mean() - want) > 5 * np.sqrt(want * (1 - want) / len(found))
    with pytest.raises(InputError, match="of other places, extents or numbers"):
        weighed(
            post, Enumeration.of(DrawScan(make_problem(obs, prior, atoms=make_atoms(prior, 3))))
        )


def test_chains_start_from_draws(two: AtomPosterior) -> None:
    """To the same counts and places as from the table: pairs of a problem of one head."""
    problem = make_problem(two.obs, two.problem.prior, atoms=two.problem.atoms)
    ours = refined(two, problem, ess=1e9, most_sweeps=60)
    cold = solve(problem, ess=1e9, most_sweeps=60)
    np.testing.assert_allclose(ours.count_probability, cold.count_probability, atol=0.08)
    apart = ours.centre_probability() - cold.centre_probability()
    assert 0.5 * np.abs(apart).sum() / cold.centre_probability().sum() < 0.25
