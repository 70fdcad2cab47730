"""Power-scaling by weights against states enumerated under the powers themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayesesi.anatomy import active_regions, region_energy
from bayesesi.errors import InputError
from bayesesi.posterior import gaussian_posterior, patch_posterior
from bayesesi.posterior.patches import Amplitudes, PatchPosterior, PatchStates
from bayesesi.posterior.patches.field import chunks
from bayesesi.posterior.patches.states import log_prior
from bayesesi.posterior.power_scaling import POWER, power_sensitivity
from tests.flow.small import LEVEL, observation
from tests.oracle.test_patches import patch_prior


@pytest.fixture(scope="module")
def posterior() -> PatchPosterior:
    """Up to one patch, in an event that can be seen but not well."""
    return patch_posterior(observation(4.0), patch_prior(LEVEL, (1.0,)))


def enumerated(posterior: PatchPosterior) -> tuple[PatchStates, np.ndarray, np.ndarray]:
    """Every state with one patch, and one of nothing; its log prior and log-likelihood."""
    problem = posterior.problem
    sizes = (len(problem.atoms.centres), problem.atoms.n_extents, len(problem.log_size))
    grid = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, 3)
    n = len(grid) + 1
    states = PatchStates.empty(n, posterior.states.used.shape[1], posterior.states.seen.shape[2])
    states.used[:-1, 0] = True
    for column, name in enumerate(("centre", "extent", "size")):
        getattr(states, name)[:-1, 0] = grid[:, column]
    likelihood = [Amplitudes(problem, states[rows]).log_likelihood for rows in chunks(n)]
    return states, log_prior(problem, states), np.concatenate(likelihood)


def test_weights_do_what_powers_do(posterior: PatchPosterior) -> None:
    """Changes of 68 probabilities within .05, some four standard errors of 1,600 draws."""
    states, prior, likelihood = enumerated(posterior)
    problem = posterior.problem
    once = PatchPosterior.__mro__[1](posterior.obs, problem, states)  # type: ignore[call-arg]
    energy = once.energy(once.sample(len(states)))
    # draws come in an order of their own: back to that of the states
    order = np.random.default_rng(0).permutation(len(states))
    active = np.zeros((len(states), 68))
    active[order] = active_regions(region_energy(energy, posterior.parcellation), 0.1)

    def probability(a: float, b: float) -> np.ndarray:
        log = a * prior + b * likelihood
        log[-1] += np.log(problem.atoms.n_extents)  # a slot that is not used keeps an extent
        weight = np.exp(log - log.max())
        return np.asarray(weight @ active / weight.sum())

    plain = posterior.region_probability(5000, seed=1)
    np.testing.assert_allclose(probability(1, 1), plain, atol=0.03)
    found = power_sensitivity(posterior, len(posterior.states), seed=2)
    span = 2 * np.log2(POWER)
    of_prior = (probability(POWER, 1) - probability(1 / POWER, 1)) / span
    of_data = (probability(1, POWER) - probability(1, 1 / POWER)) / span
    pairs = (found.prior, of_prior), (found.likelihood, of_data)
    for ours, exact in pairs:
        np.testing.assert_allclose(ours, exact, atol=0.05)
        assert np.corrcoef(ours, exact)[0, 1] > 0.9
    assert np.abs(of_data).max() > 0.08  # there is something to be seen
    assert np.corrcoef(found.likelihood, of_prior)[0, 1] < 0.9  # twin: the other's answer
    assert found.pareto_k < 0.7
    assert found.source in ("data", "prior", "both")


def test_a_likelihood_that_counts_half_moves_half_as_much(posterior: PatchPosterior) -> None:
    """To first order; the prior counts as before."""
    whole = power_sensitivity(posterior, 1600, seed=2)
    problem = replace(posterior.problem)
    problem.__dict__["zeta"] = 0.5
    half = power_sensitivity(replace(posterior, problem=problem), 1600, seed=2)
    np.testing.assert_array_equal(half.prior, whole.prior)
    np.testing.assert_allclose(half.likelihood, whole.likelihood / 2, atol=0.005)
    assert np.abs(whole.likelihood).max() > 0.05


def test_noise_moves_with_nothing() -> None:
    quiet = patch_posterior(observation(0.0), patch_prior(LEVEL, (1.0,)))
    assert power_sensitivity(quiet, 2000).source in ("neither", "prior")


def test_a_family_without_states_is_refused() -> None:
    with pytest.raises(InputError, match="keeps no prior and likelihood apart"):
        power_sensitivity(gaussian_posterior(observation()))
