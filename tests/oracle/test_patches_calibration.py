"""Simulation-based calibration of patches on their own prior: states, amplitudes, heads and noise.

Cases are drawn from the model itself; statistics may depend on the data (Modrak et al. 2023,
doi:10.1214/23-BA1404). Each row of ranks is tested by Kolmogorov's distance at 1e-4, so that one of
the fourteen tests of uniformity here fails by chance in one of 700 runs with other seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import mne
import numpy as np
import pytest
from scipy import stats

from bayesesi import NoiseCovariance, observe, read_prior, template_forward
from bayesesi.calibration import highest_density_mass, randomised_ranks
from bayesesi.noise import NOISE_DOF
from bayesesi.posterior.patches import (
    Amplitudes,
    PatchLikelihood,
    PatchPosterior,
    PatchStates,
    make_atoms,
    make_problem,
    solve,
)
from bayesesi.posterior.patches.field import lobe_energy
from bayesesi.prior import HeadPrior, PatchPrior, make_prior
from bayesesi.spec import PatchSpec, read_spec
from tests.oracle.coverage import density
from tests.oracle.test_patches import looks

LEVEL, N_DRAWS, ALARM = 2, 300, 1e-4
pytestmark = pytest.mark.slow


def big_patches(most: int, extent_mm: tuple[float, float] = (20.0, 60.0)) -> PatchPrior:
    """Patches that a coarse cortex resolves, up to ``most`` of them."""
    spec = read_spec("focal")
    assert isinstance(spec, PatchSpec)
    plain = spec.model_dump(by_alias=True)
    weights = [1.0] if most == 1 else [0.6, 0.4]
    plain["count"] |= {"weights": weights, "null": 0.2, "min_distance_mm": 30.0}
    plain["extent_mm"] = {"loguniform": list(extent_mm)}
    prior = make_prior(PatchSpec.model_validate(plain), LEVEL)
    assert isinstance(prior, PatchPrior)
    return prior


def stated(most: int, model: str, extent_mm: tuple[float, float] = (20.0, 60.0)) -> PatchLikelihood:
    """Sources of a level under 32 electrodes, the head unknown."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    noise = NoiseCovariance(9e-14 * np.eye(32), tuple(montage.ch_names))
    volts = 3e-7 * np.random.default_rng(0).standard_normal((32, 32))
    forward = template_forward(info, ico=LEVEL)
    obs = observe(volts, forward, noise, sfreq=250.0, autocorrelation="white")
    heads = read_prior("template-nominal")
    assert isinstance(heads, HeadPrior)
    prior = big_patches(most, extent_mm)
    n_heads = 8 if model == "draws" else 96
    problem = make_problem(obs, prior, heads, model, n_heads, atoms=make_atoms(prior, 3))  # type: ignore[arg-type]
    return replace(problem, coarsened=False)


@dataclass(frozen=True)
class Case:
    """Data of a problem's own prior, and what made them."""

    problem: PatchLikelihood
    state: PatchStates
    amplitude: np.ndarray


def own_case(
    problem: PatchLikelihood, rng: np.random.Generator, colour: np.ndarray | None = None
) -> Case:
    """``colour`` (R, R) makes the noise correlated in time, which no model here knows of."""
    n, r = problem.turned.shape
    state = PatchStates.empty(1, problem.n_slots, n if problem.spread is not None else 0)
    state.head[:] = rng.choice(problem.n_heads, p=np.exp(problem.log_head))
    free = np.ones(problem.atoms.n_centres)
    for k in range(rng.choice(len(problem.log_count), p=np.exp(problem.log_count))):
        share = problem.place * free
        state.used[0, k] = True
        state.centre[0, k] = rng.choice(len(share), p=share / share.sum())
        free = free * ~problem.near[state.centre[0, k]]
    state.extent[:] = rng.integers(problem.atoms.n_extents, size=state.extent.shape)
    state.size[:] = rng.choice(
        len(problem.sizes), size=state.size.shape, p=np.exp(problem.log_size)
    )
    if problem.spread is None:
        seen = problem.topographies[state.head[0], state.extent[0], state.centre[0], 0]
    else:
        state = state.with_topography(looks(problem, state, rng))
        seen = state.seen[0]
    tau = np.sqrt(NOISE_DOF / rng.chisquare(NOISE_DOF))
    scale = np.where(state.used[0], problem.sizes[state.size[0]], 0.0)
    turned = tau * scale[:, None] * np.sqrt(problem.variance)
    turned = turned * rng.standard_normal((len(scale), r))
    noise = rng.standard_normal((n, r))
    values = seen.T @ turned + tau * (noise if colour is None else noise @ colour)
    obs = replace(problem.obs, values=values @ problem.turn.T)
    own = replace(problem, turned=values, obs=obs)
    return Case(own, state, (turned @ problem.turn.T)[None, :, None])


def ranks_of(
    case: Case, states: PatchStates, amplitude: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """Randomised ranks of the truth among draws, by statistic."""
    problem = case.problem
    half = len(states) // 2
    places = problem.obs.source_space.positions[problem.atoms.centres]
    events = [places[c[u]] for c, u in zip(states.centre, states.used, strict=True)]
    true = places[case.state.centre[0, case.state.used[0]]]
    score = np.array([density(event, events[:half]) for event in [true, *events[half:]]])
    lobes = lobe_energy(problem, states, amplitude)
    lobe = int(lobes.mean(axis=0).argmax())
    both = PatchStates.joined([case.state, states])
    everything = np.concatenate([case.amplitude, amplitude])
    found = {
        "likelihood": Amplitudes(problem, both).log_likelihood,
        "lobe": np.r_[lobe_energy(problem, case.state, case.amplitude)[:, lobe], lobes[:, lobe]],
        "moment": np.where(both.used, np.linalg.norm(everything[:, :, 0], axis=2), 0).sum(axis=1),
    }
    if problem.heads:
        found["conductivity"] = np.log(problem.heads["skull_S_per_m"])[both.head]
    ranks = {name: float(randomised_ranks(v[:1], v[None, 1:], rng)[0]) for name, v in found.items()}
    return ranks | {"mass": float(highest_density_mass(score[:1], score[None, 1:], rng)[0])}


Solver = Callable[[Case, np.random.Generator], tuple[PatchStates, np.ndarray]]


def exactly(case: Case, rng: np.random.Generator) -> tuple[PatchStates, np.ndarray]:
    post: PatchPosterior = solve(case.problem, int(rng.integers(2**31)), most_sweeps=20)
    return post.draw(N_DRAWS, seed=1)


def p_values(
    problem: PatchLikelihood,
    n: int,
    solver: Solver = exactly,
    colour: np.ndarray | None = None,
    seed: int = 3,
) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        case = own_case(problem, rng, colour)
        states, amplitude = solver(case, rng)
        rows.append(ranks_of(case, states, amplitude, rng))
    return {
        name: float(stats.kstest([row[name] for row in rows], "uniform").pvalue) for name in rows[0]
    }


@pytest.fixture(scope="module")
def one() -> PatchLikelihood:
    return stated(1, "draws")


def test_one_patch_and_the_head(one: PatchLikelihood) -> None:
    """n = 300 cases of one patch or none, 8 heads."""
    found = p_values(one, 300)
    assert set(found) == {"likelihood", "lobe", "moment", "conductivity", "mass"}
    assert min(found.values()) > ALARM, found


def test_two_patches_and_the_head() -> None:
    """n = 40 cases of two patches at most, by chains."""
    found = p_values(stated(2, "draws"), 40)
    assert min(found.values()) > ALARM, found


def test_one_patch_that_spreads() -> None:
    """n = 100 cases of one patch or none whose looks spread, integrated and weighed."""
    found = p_values(stated(1, "spread"), 100)
    assert min(found.values()) > ALARM, found


def test_a_posterior_that_is_the_prior_is_found_out(one: PatchLikelihood) -> None:
    def from_prior(case: Case, rng: np.random.Generator) -> tuple[PatchStates, np.ndarray]:
        drawn = [own_case(case.problem, rng) for _ in range(60)]
        states = PatchStates.joined([d.state for d in drawn])
        return states, np.concatenate([d.amplitude for d in drawn])

    assert p_values(one, 300, from_prior)["likelihood"] < ALARM


def test_halved_extents_are_found_out(one: PatchLikelihood) -> None:
    small = stated(1, "draws", (10.0, 30.0))

    def halved(case: Case, rng: np.random.Generator) -> tuple[PatchStates, np.ndarray]:
        told = replace(small, turned=case.problem.turned, obs=case.problem.obs)
        states, amplitude = exactly(replace(case, problem=told), rng)
        return states, amplitude

    assert min(p_values(one, 300, halved).values()) < ALARM


def test_noise_correlated_in_time_is_found_out(one: PatchLikelihood) -> None:
    r = len(one.variance)
    correlation = 0.9 ** np.abs(np.subtract.outer(np.arange(r), np.arange(r)))
    assert min(p_values(one, 300, colour=np.linalg.cholesky(correlation).T).values()) < ALARM


def test_weights_that_saw_the_truth_are_found_out(one: PatchLikelihood) -> None:
    """Draws whose moment is nearer to the true one weigh more."""

    def leaked(case: Case, rng: np.random.Generator) -> tuple[PatchStates, np.ndarray]:
        states, amplitude = exactly(case, rng)
        moment, true = ((a**2).sum(axis=(1, 2, 3)) for a in (amplitude, case.amplitude))
        kept = np.argsort(np.abs(moment - true))[: len(states) // 6]
        return states[kept], amplitude[kept]

    assert min(p_values(one, 300, leaked).values()) < ALARM
