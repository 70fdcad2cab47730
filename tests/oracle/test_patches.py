"""Patches exactly: one by enumeration, two by chains, against brute force and their own prior."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import mne
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from bayesesi import ForwardOperator, NoiseCovariance, observe, read_prior, template_forward
from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError
from bayesesi.noise import NOISE_DOF
from bayesesi.observation import Observation, TimeBasis, make_time_basis
from bayesesi.posterior.patches import (
    Amplitudes,
    Atoms,
    PatchLikelihood,
    PatchPosterior,
    PatchStates,
    make_atoms,
    make_problem,
    patch_posterior,
    solve,
)
from bayesesi.posterior.patches.chain_run import _bridge, run_chains
from bayesesi.posterior.patches.chains import Kernel
from bayesesi.posterior.patches.covariance_scan import SpreadScan
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.laplace import drawn, peak
from bayesesi.posterior.patches.scan import DrawScan
from bayesesi.posterior.patches.states import log_prior
from bayesesi.posterior.patches.topography_covariance import SCALES, HeadSpread
from bayesesi.prior import HeadPrior, PatchPrior, make_prior
from bayesesi.prior.placement import Placement
from bayesesi.spec import PatchSpec, read_spec

LEVEL, N_CHANNELS = 2, 10


def patch_prior(level: int, weights: tuple[float, ...], apart_mm: float = 30.0) -> PatchPrior:
    spec = read_spec("focal")
    assert isinstance(spec, PatchSpec)
    change = {"weights": weights, "min_distance_mm": apart_mm}
    prior = make_prior(
        spec.model_copy(update={"count": spec.count.model_copy(update=change)}), level
    )
    assert isinstance(prior, PatchPrior)
    return prior


@pytest.fixture(scope="module")
def prior() -> PatchPrior:
    return patch_prior(LEVEL, (1.0,))


@pytest.fixture(scope="module")
def atoms(prior: PatchPrior) -> Atoms:
    return make_atoms(prior, 3)


def small(level: int, n_times: int = 4, free: bool = False, seed: int = 1) -> Observation:
    """Noise on ten channels over a random leadfield of the sources of a level."""
    rng = np.random.default_rng(seed)
    space = template_source_space(level)
    names = tuple(f"E{i}" for i in range(N_CHANNELS))
    shape = (N_CHANNELS, space.n_sources, 3) if free else (N_CHANNELS, space.n_sources)
    forward = ForwardOperator(30 * rng.standard_normal(shape), space, names)
    noise = NoiseCovariance(1e-12 * np.eye(N_CHANNELS), names)
    volts = 1e-6 * rng.standard_normal((N_CHANNELS, n_times))
    return observe(volts, forward, noise, sfreq=250.0, autocorrelation=np.array([1.0, 0.5, 0.2]))


@pytest.fixture(scope="module")
def obs() -> Observation:
    return small(LEVEL)


def log_student(problem: PatchLikelihood, columns: np.ndarray) -> float:
    """All numbers at once as a multivariate Student; columns (n_eff, J) in units of tau."""
    n, r = problem.turned.shape
    shape = np.zeros((n * r, n * r))
    for k, q in enumerate(problem.variance):
        block = slice(k * n, (k + 1) * n)
        shape[block, block] = np.eye(n) + q * columns @ columns.T
    law = stats.multivariate_t(np.zeros(n * r), shape, df=NOISE_DOF)
    return float(law.logpdf(problem.turned.T.ravel()))


@pytest.mark.parametrize("free", [False, True])
def test_likelihoods_equal_brute_force(free: bool) -> None:
    """Of none, one and two sources, each way of weighing, but for a constant: to 1e-8."""
    prior = patch_prior(1, (0.5, 0.5))
    problem = make_problem(small(1, free=free), prior, atoms=make_atoms(prior, 2))
    scan, rng = DrawScan(problem), np.random.default_rng(2)
    states = PatchStates.empty(6, 2)
    states.used[2:, 0] = states.used[4:, 1] = True
    for field in (states.centre, states.extent, states.size):
        field[:] = rng.integers(2, size=field.shape)
    states.centre[:] = rng.integers(problem.atoms.n_centres, size=(6, 2))
    got = Amplitudes(problem, states).log_likelihood
    want = []
    for d in range(6):
        used = np.flatnonzero(states.used[d])
        parts = [
            problem.sizes[states.size[d, k]]
            * problem.topographies[0, states.extent[d, k], states.centre[d, k]].T
            for k in used
        ]
        want.append(
            log_student(problem, np.hstack(parts) if parts else np.zeros((N_CHANNELS - 1, 0)))
        )
    assert np.allclose(got - got[0], np.array(want) - want[0], atol=1e-8)
    without = replace(states, used=states.used & [True, False])
    others, rows = Amplitudes(problem, without), np.arange(6)
    whole = scan.at_all_centres(others, states.extent[:, 1])
    assert np.allclose(whole[rows, states.centre[:, 1], states.size[:, 1]][4:], got[4:], atol=1e-8)
    near = scan.at_near_centres(others, states.centre[:, 1:], states.size[:, 1])
    assert np.allclose(near[rows, states.extent[:, 1], 0][4:], got[4:], atol=1e-8)
    table = Enumeration.of(scan).log_likelihood
    alone = table[0, states.extent[2, 0], states.centre[2, 0], states.size[2, 0]]
    assert alone == pytest.approx(got[2], abs=1e-8)


def test_evidence_of_one_is_a_sum(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    post = patch_posterior(obs, prior, atoms=atoms)
    problem = post.problem
    assert post.log_evidences[0] == pytest.approx(
        log_student(problem, np.zeros((N_CHANNELS - 1, 0))), abs=1e-8
    )
    table = post.table.log_likelihood[0]
    each = table + atoms.log_place[:, None] + problem.log_size - np.log(3)
    shift = log_student(problem, np.zeros((N_CHANNELS - 1, 0))) + 0.5 * (
        NOISE_DOF + problem.n_numbers
    ) * np.log(problem.power)
    assert post.log_evidences[1] == pytest.approx(logsumexp(each) + shift, abs=1e-8)
    assert post.table.count_probability[0] + post.table.probability.sum() == pytest.approx(1)


def test_places_are_those_of_the_prior() -> None:
    """The density of three centres is that of placing them, averaged over orders; 1e-5."""
    prior = patch_prior(1, (0.2, 0.3, 0.5), apart_mm=50.0)
    problem = make_problem(small(1), prior, atoms=make_atoms(prior, 1))
    rng = np.random.default_rng(0)
    centre = rng.integers(problem.atoms.n_centres, size=(40, 3))
    weights = torch.tensor(problem.place)
    positions = torch.tensor(prior.source_space.positions[problem.atoms.centres])

    def in_order(order: tuple[int, ...]) -> np.ndarray:
        total = np.zeros(40)
        for k in range(len(order)):
            earlier = torch.tensor(centre[:, list(order[:k])])
            law = Placement(weights, positions, earlier, 0.05)
            total += law.log_prob(torch.tensor(centre[:, order[k]])).numpy()
        return total

    for used in ([True, False, True], [True, True, True]):
        slots = tuple(np.flatnonzero(used))
        want = logsumexp([in_order(o) for o in permutations(slots)], axis=0)
        want -= np.log(len(list(permutations(slots))))
        got = problem.log_place(centre, np.tile(used, (40, 1)))
        assert np.array_equal(np.isfinite(got), np.isfinite(want))
        assert np.allclose(got[np.isfinite(got)], want[np.isfinite(want)], atol=1e-5)


@pytest.fixture(scope="module")
def pairs() -> PatchLikelihood:
    """Two sources of 9 centres, one extent, two sizes; the data hold two of them, weakly."""
    prior = patch_prior(1, (0.5, 0.5))
    problem = make_problem(small(1, n_times=8), prior, atoms=make_atoms(prior, 1))
    keep = np.arange(4, 76, 8)
    atoms = problem.atoms
    few = Atoms(atoms.weights[keep], atoms.centres[keep], np.full(9, -np.log(9)), np.zeros(1))
    seen = problem.topographies[:, :, keep]
    rng = np.random.default_rng(5)
    made = 2e-8 * seen[0, 0, [1, 6], 0].T @ rng.standard_normal((2, 3))
    return replace(
        problem,
        atoms=few,
        topographies=seen,
        sizes=np.array([1e-8, 4e-8]),
        log_size=np.log([0.7, 0.3]),
        turned=problem.turned + made,
    )


def every_pair(problem: PatchLikelihood) -> tuple[PatchStates, np.ndarray]:
    """All states of two sources and their log p(v~, state)."""
    grid = np.array(list(np.ndindex(9, 9, 2, 2)))
    states = PatchStates.empty(len(grid), 2)
    states.used[:] = True
    states.centre[:], states.size[:] = grid[:, :2], grid[:, 2:]
    return states, Amplitudes(problem, states).log_likelihood + log_prior(problem, states)


@pytest.mark.slow
def test_chains_equal_all_pairs(pairs: PatchLikelihood) -> None:
    """Pairs of centres: total variation from brute force under .06 with 3,200 sweeps of 8 chains
    (of as many independent draws: .03); evidence of two sources to .1 nats.

    Twin: chains in which the second source has half the size are off by more than .2.
    """
    states, score = every_pair(pairs)
    want = np.zeros((9, 9))
    np.add.at(want, (states.centre[:, 0], states.centre[:, 1]), np.exp(score - logsumexp(score)))

    def found(problem: PatchLikelihood) -> tuple[np.ndarray, np.ndarray]:
        scan = DrawScan(problem)
        table, rng = Enumeration.of(scan), np.random.default_rng(3)
        run = run_chains(scan, table, rng, ess=np.inf, most=400)
        count = np.zeros((9, 9))
        np.add.at(count, (run.states.centre[:, 0], run.states.centre[:, 1]), 1)
        return (count + count.T) / count.sum() / 2, run.log_evidences

    share, evidences = found(pairs)
    assert 0.5 * np.abs(share - want).sum() < 0.06
    nothing = evidences[0] - Amplitudes(pairs, PatchStates.empty(1, 2)).log_likelihood[0]
    # two labelled slots hold one event in two ways, which the prior of slots counts once
    exact = logsumexp(score) - pairs.log_count[2] + nothing
    assert evidences[2] == pytest.approx(exact, abs=0.1)
    share, _ = found(replace(pairs, sizes=pairs.sizes / 8))
    assert 0.5 * np.abs(share - want).sum() > 0.2


def test_a_bridge_between_two_laws() -> None:
    """log ratio of 5 N(1, 1) to N(0, 1), from 6,000 draws of one and 500 of the other: to .15 (four
    standard errors)."""
    rng = np.random.default_rng(0)

    def log_ratio(x: np.ndarray) -> np.ndarray:
        return np.log(5) + stats.norm(1, 1).logpdf(x) - stats.norm.logpdf(x)

    born, died = log_ratio(rng.standard_normal(6000)), log_ratio(1 + rng.standard_normal(500))
    assert _bridge(born, died) == pytest.approx(np.log(5), abs=0.15)
    assert _bridge(born, died[:0]) == pytest.approx(np.log(5), abs=0.15)
    assert _bridge(np.full(5, -np.inf), np.full(5, -np.inf)) == -np.inf


@pytest.mark.slow
def test_moves_leave_their_target(pairs: PatchLikelihood) -> None:
    """States drawn from the posterior of two keep its law under each move: chi-square of 4,000
    places of the first source, false alarms 1e-4. Twin: moves of a flattened likelihood do not."""
    states, score = every_pair(pairs)
    rng = np.random.default_rng(1)
    law = np.exp(score - logsumexp(score))
    start = states[rng.choice(len(law), 4000, p=law)]
    want = np.bincount(states.centre[:, 0], law, 9)
    slot = rng.integers(2, size=4000)

    def places(kernel: Kernel, move: str) -> np.ndarray:
        chains = kernel.weighed(start)
        if move == "visit":
            return kernel.visit(chains, rng).states.centre[:, 0]
        beside = kernel._beside(start, slot)
        parts = () if move == "size" else (beside,)
        return getattr(kernel, move)(chains, slot, *parts, rng).states.centre[:, 0]

    kernel = Kernel(DrawScan(pairs), least=2)
    for move in ("redraw", "local", "size", "visit"):
        count = np.bincount(places(kernel, move), minlength=9)
        assert stats.chisquare(count, 4000 * want).pvalue > 1e-4, move
    count = np.bincount(places(replace(kernel, share=0.2), "redraw"), minlength=9)
    assert stats.chisquare(count, 4000 * want).pvalue < 1e-4


@pytest.fixture(scope="module")
def spread_pairs(pairs: PatchLikelihood) -> PatchLikelihood:
    """The same sources, whose topographies spread."""
    rng = np.random.default_rng(6)
    n, m, centres = N_CHANNELS - 1, 3, 9
    axes = np.linalg.qr(rng.standard_normal((centres, n, m)))[0].swapaxes(1, 2)
    spread = HeadSpread(
        axes.astype(np.float32),
        np.tile([0.1, 0.05, 0.03], (centres, 1)).astype(np.float32),
        np.full(centres, 0.004, np.float32),
        np.log([0.2, 0.5, 0.2, 0.1]),
    )
    return replace(pairs, spread=spread, coarsened=False)


def some_states(problem: PatchLikelihood, n: int, k: int) -> PatchStates:
    rng = np.random.default_rng(3)
    states = PatchStates.empty(n, 2, len(problem.turned))
    states.used[:, :k] = True
    states.head[:] = rng.integers(problem.n_heads, size=n)
    states.centre[:] = np.stack([rng.permutation(9)[:2] for _ in range(n)])
    states.size[:] = rng.integers(len(problem.sizes), size=(n, 2))
    return states


@pytest.mark.parametrize("k", [0, 1, 2])
def test_integral_over_topographies(spread_pairs: PatchLikelihood, k: int) -> None:
    """Weights of drawn topographies average to p(v~ | state): against 40,000 draws from their
    prior, to .1 nats; the Laplace value is within 1 nat of it and draws weigh nearly alike.

    Twin: with the scale of the spread wrong by 4 it is off by more than .3 nats somewhere.
    """
    problem, rng = spread_pairs, np.random.default_rng(0)
    states = some_states(problem, 5, k)
    each = np.array([weight(problem, states[d : d + 1], rng) for d in range(5)])
    want = np.array([by_prior(problem, states[d : d + 1], rng) for d in range(5)])
    assert np.allclose(each, want, atol=0.1)
    assert np.allclose(peak(problem, states).log_weight, want, atol=1.0)
    if k:
        wrong = replace(states, head=np.where(states.head < 2, states.head + 2, states.head - 2))
        other = np.array([by_prior(problem, wrong[d : d + 1], rng) for d in range(5)])
        assert np.abs(other - want).max() > 0.3


def weight(problem: PatchLikelihood, state: PatchStates, rng: np.random.Generator) -> float:
    many = state[np.zeros(4000, int)]
    log = drawn(problem, many, rng)[1]
    assert np.exp(2 * logsumexp(log) - logsumexp(2 * log)) > 0.3 * len(log)
    return float(logsumexp(log) - np.log(len(log)))


def by_prior(problem: PatchLikelihood, state: PatchStates, rng: np.random.Generator) -> float:
    """Likelihoods of topographies drawn from their prior, averaged."""
    many = state[np.zeros(40_000, int)]
    seen = looks(problem, many, rng)
    likelihood = Amplitudes(problem, many.with_topography(seen)).log_likelihood
    return float(logsumexp(likelihood) - np.log(len(likelihood)))


def looks(problem: PatchLikelihood, states: PatchStates, rng: np.random.Generator) -> np.ndarray:
    """(D, K, n) topographies drawn from what is believed of them before the data."""
    spread = problem.spread
    assert spread is not None
    mean = problem.topographies[0, states.extent, states.centre, 0].astype(float)
    axes = spread.directions[states.centre].astype(float)
    rest = np.sqrt(spread.rest[states.centre])[..., None]
    white = rng.standard_normal(mean.shape)
    along = np.einsum("dkmn,dkn->dkm", axes, white)
    more = (np.sqrt(spread.variance[states.centre]) - rest) * along
    off = rest * white + np.einsum("dkmn,dkm->dkn", axes, more)
    size = np.linalg.norm(mean, axis=2) * np.sqrt(np.array(SCALES)[states.head])[:, None]
    return mean + size[..., None] * off


@pytest.mark.slow
def test_a_look_that_is_no_number_is_nowhere(spread_pairs: PatchLikelihood) -> None:
    """Single precision may run away for a candidate; the others keep their weights."""
    states = PatchStates.empty(2, 2, len(spread_pairs.turned))
    centres = np.array([[0, 1, 2]] * 2)
    size = np.full(2, 3)
    others = Amplitudes(spread_pairs, states)
    want = SpreadScan(spread_pairs).at_near_centres(others, centres, size)
    lost = spread_pairs.topographies.copy()
    lost[:, :, 1] = np.nan
    got = SpreadScan(replace(spread_pairs, topographies=lost)).at_near_centres(
        others, centres, size
    )
    assert (got[:, :, 1] == -np.inf).all()
    np.testing.assert_allclose(got[:, :, [0, 2]], want[:, :, [0, 2]])


@pytest.mark.slow
def test_chains_equal_all_pairs_of_spread_sources(spread_pairs: PatchLikelihood) -> None:
    """As above where topographies spread, every pair and scale integrated by weighted draws: total
    variation of the pair of centres under .1, evidence of two sources to .2 nats."""
    problem, rng = spread_pairs, np.random.default_rng(2)
    grid = np.array(list(np.ndindex(9, 9, 2, 2, 4)))
    grid = grid[grid[:, 0] < grid[:, 1]]
    states = PatchStates.empty(len(grid), 2, len(problem.turned))
    states.used[:], states.head[:] = True, grid[:, 4]
    states.centre[:], states.size[:] = grid[:, :2], grid[:, 2:4]
    score = [drawn(problem, states, rng)[1] for _ in range(40)]
    score = logsumexp(score, axis=0) - np.log(40) + log_prior(problem, states)
    want = np.zeros((9, 9))
    np.add.at(want, (states.centre[:, 0], states.centre[:, 1]), np.exp(score - logsumexp(score)))
    post = solve(problem, seed=1, ess=np.inf, most_sweeps=200)
    both = np.sort(post.states.centre[post.states.count == 2], axis=1)
    count = np.zeros((9, 9))
    np.add.at(count, (both[:, 0], both[:, 1]), 1)
    assert 0.5 * np.abs(count / count.sum() - want).sum() < 0.1
    empty = PatchStates.empty(1, 2, len(problem.turned))
    nothing = post.log_evidences[0] - Amplitudes(problem, empty).log_likelihood[0]
    exact = logsumexp(score) + np.log(2) - problem.log_count[2] + nothing
    assert post.log_evidences[2] == pytest.approx(exact, abs=0.2)


def test_draws_have_its_mean_and_sd(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    """20,000 draws: z-scores of means below 5.5; sd within 10 % where it counts."""
    rng = np.random.default_rng(2)
    topography = obs.leadfield @ atoms.weights[[300]].toarray()[0]
    values = obs.values + 4e-8 * np.outer(topography, rng.standard_normal(obs.n_functions))
    post = patch_posterior(replace(obs, values=values), prior, atoms=atoms)
    draws = post.sample(20_000, seed=3)
    scale = draws.std(axis=0)
    seen = scale > 0.05 * scale.max()
    z = (draws.mean(axis=0) - post.mean())[seen] / scale[seen] * np.sqrt(20_000)
    assert np.abs(z).max() < 5.5
    assert np.allclose(post.sd()[seen], scale[seen], rtol=0.1)
    assert np.array_equal(draws[:5], post.sample(20_000, seed=3)[:5])
    assert np.array_equal(post.latents(50, 3)["count"] == 0, ~draws_of(post, 50).any(axis=(1, 2)))


def draws_of(post: PatchPosterior, n: int) -> np.ndarray:
    return post.sample(n, seed=3)


def simulate(
    problem: PatchLikelihood, rng: np.random.Generator
) -> tuple[Observation, int, np.ndarray]:
    """A data set of the model's own prior: its atom (-1 for none) and amplitudes."""
    obs, atoms = problem.obs, problem.atoms
    r = obs.n_functions
    tau = np.sqrt(NOISE_DOF / 2 / rng.gamma(NOISE_DOF / 2))
    values = tau * rng.standard_normal(obs.values.shape)
    if rng.random() < np.exp(problem.log_count[0]):
        return replace(obs, values=values), -1, np.zeros(r)
    weights = np.exp(atoms.log_prior)
    atom = int(rng.choice(len(weights), p=weights / weights.sum()))
    size = rng.choice(problem.sizes, p=np.exp(problem.log_size))
    turned = tau * size * np.sqrt(problem.variance) * rng.standard_normal(r)
    amplitude = problem.turn @ turned
    topography = obs.leadfield @ atoms.weights[[atom]].toarray()[0]
    return replace(obs, values=values + np.outer(topography, amplitude)), atom, amplitude


def masses(
    obs: Observation, prior: PatchPrior, atoms: Atoms, assumed: Atoms | None, n: int
) -> np.ndarray:
    """Randomised highest-density mass of the true state (nothing, or an atom), n data sets."""
    problem = make_problem(obs, prior, atoms=atoms)
    rng = np.random.default_rng(11)
    found = []
    for _ in range(n):
        data, atom, _ = simulate(problem, rng)
        told = make_problem(data, prior, atoms=assumed or atoms)
        table = Enumeration.of(DrawScan(told))
        p = np.r_[table.count_probability[0], table.probability[0].sum(axis=2).ravel()]
        own = p[atom + 1]
        found.append(p[p > own].sum() + rng.random() * p[p == own].sum())
    return np.array(found)


@pytest.mark.slow
def test_the_true_state_has_its_mass(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    """Simulation-based calibration: 400 randomised HPD masses are uniform (KS, 1e-4).

    Twins that fail: centres assigned to other patches, and extents halved.
    """
    assert stats.kstest(masses(obs, prior, atoms, None, 400), "uniform").pvalue > 1e-4
    order = np.random.default_rng(0).permutation(atoms.weights.shape[0])
    shuffled = replace(atoms, weights=atoms.weights[order])
    assert stats.kstest(masses(obs, prior, atoms, shuffled, 400), "uniform").pvalue < 1e-4


@pytest.fixture(scope="module")
def recording() -> Observation:
    """A patch in the right temporal lobe under 32 electrodes, 20 samples, on the template."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    forward = template_forward(info, ico=3)
    rng = np.random.default_rng(4)
    course = np.sin(np.arange(20) / 4)
    volts = np.outer(forward.leadfield[:, 900], 1e-7 * course)
    volts += 3e-7 * rng.standard_normal((32, 20))
    noise = NoiseCovariance(9e-14 * np.eye(32), tuple(montage.ch_names))
    return observe(volts, forward, noise, sfreq=250.0, autocorrelation="white")


def test_one_moment_is_answered_as_well(recording: Observation) -> None:
    """A window of one sample leaves no noise beside its one component."""
    one = replace(recording, values=recording.values[:, :1], time_basis=moment(recording))
    unit = one.values / np.sqrt((one.values**2).mean())
    for size, low, high in ((0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (4.0, 0.35, 0.6), (100.0, 0.3, 0.31)):
        loud = replace(one, values=size * unit)
        prior, heads = patch_prior(3, (1.0,)), read_prior("template-nominal")
        assert isinstance(heads, HeadPrior)
        problem = make_problem(loud, prior, heads, n_heads=24)
        assert low <= problem.zeta <= high
        assert np.isfinite(solve(problem).log_evidences).all()


def moment(obs: Observation) -> TimeBasis:
    return make_time_basis("samples", obs.time_basis.times[:1], 250.0, 0.0, 40.0)


def test_heads_spread_the_posterior(recording: Observation) -> None:
    """Where the head is not known, probability spreads over more cortex, near the truth."""
    prior, heads = patch_prior(3, (1.0,)), read_prior("template-nominal")
    assert isinstance(heads, HeadPrior)
    atoms = make_atoms(prior, 3)
    exact = patch_posterior(recording, prior, atoms=atoms)
    drawn = patch_posterior(recording, prior, heads, "draws", 12, atoms=atoms)
    spread = patch_posterior(recording, prior, heads, "spread", 64, atoms=atoms)
    assert exact.null_probability < 1e-6

    def entropy(post: PatchPosterior) -> float:
        return float(stats.entropy(post.table.probability.sum(axis=(0, 1, 3))))

    assert entropy(spread) > entropy(exact)
    assert entropy(drawn) > entropy(exact)
    space = recording.source_space
    best = int(exact.centre_probability().argmax())
    assert np.linalg.norm(space.positions[best] - space.positions[900]) < 0.015
    again = patch_posterior(recording, prior, heads, "draws", 12, atoms=atoms)
    assert np.array_equal(again.table.log_likelihood, drawn.table.log_likelihood)


def test_laplace_is_near_the_exact(recording: Observation) -> None:
    """One source at 25 dB, its topography integrated by Laplace: what is drawn from it weighs alike
    under the exact density, sample efficiency over .5."""
    prior, heads = patch_prior(3, (1.0,)), read_prior("template-nominal")
    assert isinstance(heads, HeadPrior)
    post = patch_posterior(recording, prior, heads, atoms=make_atoms(prior, 3))
    assert post.sample_efficiency > 0.5
    assert post.details()["sample_efficiency"] == round(post.sample_efficiency, 3)


def test_heads_are_those_of_the_bank(recording: Observation) -> None:
    """A head that is the assumed one, drawn: the same as taking it for the true one."""
    prior, heads = patch_prior(3, (1.0,)), read_prior("template-exact")
    assert isinstance(heads, HeadPrior)
    atoms = make_atoms(prior, 2)
    exact = make_problem(recording, prior, atoms=atoms)
    drawn = make_problem(recording, prior, heads, "draws", 2, atoms=atoms)
    for h in range(2):
        scale = np.abs(exact.topographies).max()
        assert np.abs(drawn.topographies[h] - exact.topographies[0]).max() < 1e-4 * scale


def test_pure_noise_is_called_nothing(recording: Observation) -> None:
    prior, rng = patch_prior(3, (1.0,)), np.random.default_rng(5)
    noise = replace(recording, values=rng.standard_normal(recording.values.shape))
    assert patch_posterior(noise, prior).null_probability > prior.spec.count.null


def test_mistakes_get_a_sentence(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    heads = read_prior("template-nominal")
    assert isinstance(heads, HeadPrior)
    with pytest.raises(InputError, match="not from the bank"):
        patch_posterior(obs, prior, heads, atoms=atoms)
    with pytest.raises(InputError, match="head_model is one of spread, draws"):
        patch_posterior(obs, prior, heads, "linear", atoms=atoms)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="1284 sources, the observation on 324"):
        patch_posterior(obs, patch_prior(3, (1.0,)))
    with pytest.raises(InputError, match="n must be at least 1"):
        patch_posterior(obs, prior, atoms=atoms).sample(0)
    smooth = read_prior("distributed", ico=LEVEL)
    with pytest.raises(InputError, match="family patch or dipole"):
        make_atoms(smooth)  # type: ignore[arg-type]
