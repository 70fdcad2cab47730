"""Channels that are left out: the closed forms are those of leaving them out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bayesesi import read_simulator
from bayesesi.calibration import scored, uniformity
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior import gaussian_posterior
from bayesesi.simulator import Simulation
from bayesesi.trust.ood_features import OOD_FEATURES, ood_features
from bayesesi.trust.predictive_check import held_out_channels, held_out_trials, krige


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return read_simulator("frame-measured-cap", group_size=1).simulate(40, 0, "validate")


def dense(obs: Observation, power: float) -> np.ndarray:
    """(C, C) covariance of channels, sources of a power t, the reference nearly unknown."""
    leadfield = obs.leadfield / np.linalg.norm(obs.leadfield, axis=0)
    gram = leadfield @ leadfield.T
    whole = np.eye(obs.n_eff) + power * gram / (np.trace(gram) / obs.n_eff)
    colorer = obs.whitener.colorer
    volts = colorer @ whole @ colorer.T
    return np.asarray(volts + 1e6 * np.trace(volts) * np.ones(volts.shape))


def test_kriging_is_leaving_each_channel_out(simulation: Simulation) -> None:
    """Against the conditional law of each channel, of a covariance with a huge variance of the
    reference."""
    for k in range(3):
        obs = simulation.observation(k)
        found = krige(obs)
        cov = dense(obs, found.power)
        volts = obs.whitener.colorer @ obs.values
        for c in (0, 3, len(cov) - 1):
            rest = np.delete(np.arange(len(cov)), c)
            gain = np.linalg.solve(cov[np.ix_(rest, rest)], cov[rest, c])
            error = volts[c] - gain @ volts[rest]
            spread = np.sqrt(cov[c, c] - gain @ cov[rest, c])
            assert np.allclose(found.z[c], error / spread, rtol=2e-2, atol=2e-2)


def test_held_out_ranks_are_uniform_under_the_model() -> None:
    """Data drawn from the Gaussian model itself, four times for each of 30 recordings, a channel
    each: chi-square, which sees a wrong width, at 0.1 %. Data with four times the noise fail it,
    in five of five tries by 1e-8 or less with half as many."""
    right, wrong = [], []
    simulation = read_simulator("frame-measured-cap", group_size=1).simulate(30, 1, "validate")
    rng = np.random.default_rng(0)
    for k in range(30):
        obs = simulation.observation(k)
        leadfield = obs.leadfield / np.linalg.norm(obs.leadfield, axis=0).mean()
        for pit, size in ((right, 1.0), (wrong, 4.0)):
            for _ in range(4):
                field = rng.standard_normal((leadfield.shape[1], 1)) / np.sqrt(leadfield.shape[1])
                prior = 3.0 * leadfield @ field
                data = prior + size * rng.standard_normal(prior.shape)
                pit.append(_pit_of_one(leadfield, data, obs, rng))
    assert uniformity(np.array(right), false_alarm=1e-3).uniform
    assert not uniformity(np.array(wrong), false_alarm=1e-3).uniform


def _pit_of_one(
    leadfield: np.ndarray, data: np.ndarray, obs: Observation, rng: np.random.Generator
) -> float:
    """One channel's rank, draws from the exact posterior of what sources explain."""
    gram = 9.0 / leadfield.shape[1] * leadfield @ leadfield.T
    gain = gram @ np.linalg.inv(gram + np.eye(len(gram)))
    root = np.linalg.cholesky(gram - gain @ gram + 1e-9 * np.eye(len(gram)))
    mean = gain @ data
    draws = mean + np.einsum("ij,djr->dir", root, rng.standard_normal((2000, len(gram), 1)))
    held = held_out_channels(replace(obs, values=data), draws)
    return float(held.pit[rng.integers(len(held.pit)), 0])


def test_other_trials_are_foreseen_by_a_posterior_that_is_right() -> None:
    """The Gaussian posterior of one average foresees another of the same event: 40 recordings, one
    number each, Kolmogorov and Smirnov's test at 0.1 %. One of which the noise is taken for a
    quarter of what it is does not."""
    simulation = read_simulator("frame-measured-cap", group_size=1).simulate(40, 2, "validate")
    rng, right, wrong = np.random.default_rng(0), [], []
    for k in range(40):
        obs = simulation.observation(k)
        gram = obs.leadfield @ obs.leadfield.T
        gram = 9.0 * gram / np.trace(gram) * obs.n_eff
        signal = np.linalg.cholesky(gram + 1e-6 * np.eye(len(gram)))
        event = signal @ rng.standard_normal((len(gram), 1))
        for ranks, size in ((right, 1.0), (wrong, 2.0)):
            first, second = (event + size * rng.standard_normal(event.shape) for _ in range(2))
            gain = gram @ np.linalg.inv(gram + np.eye(len(gram)))
            root = np.linalg.cholesky(gram - gain @ gram + 1e-9 * np.eye(len(gram)))
            white = rng.standard_normal((1000, len(gram), 1))
            draws = gain @ first + np.einsum("ij,djr->dir", root, white)
            held = held_out_trials(_of(obs, first), _of(obs, second), draws)
            ranks.append(float(held.pit[rng.integers(len(held.pit)), 0]))
    assert uniformity(np.array(right), "ks", false_alarm=1e-3).uniform
    spread = (np.abs(2 * np.array(wrong) - 1) > 0.8).mean()
    assert spread > (np.abs(2 * np.array(right) - 1) > 0.8).mean()
    short = replace(obs, recording=replace(obs.recording, values=obs.recording.values[:, :0]))
    with pytest.raises(InputError, match="same channels and window"):
        held_out_trials(obs, short, draws)


def _of(obs: Observation, values: np.ndarray) -> Observation:
    """The observation with other whitened numbers, and the volts that give them."""
    projector = obs.time_basis.projector
    volts = obs.whitener.colorer @ values @ np.linalg.pinv(projector)
    return replace(obs, values=values, recording=replace(obs.recording, values=volts))


def test_signs_tell_a_permuted_recording(simulation: Simulation) -> None:
    """Foreseen channels: of 20 loud recordings the share is larger than of the same permuted."""
    rng, better = np.random.default_rng(0), 0
    loud = np.flatnonzero(simulation.snr_db > 8)[:15]
    for k in loud:
        batch = simulation.batches[k]
        obs = batch.observation(0)
        volts = batch.volts[0][rng.permutation(len(batch.volts[0]))]
        other = batch.session.observe(volts, float(batch.noise_scale[0]))
        better += krige(obs).foreseen > krige(other).foreseen
    assert better >= stats.binom.ppf(0.999, len(loud), 0.5)


def test_signs_have_their_names_and_are_numbers(simulation: Simulation) -> None:
    posterior = gaussian_posterior(simulation.observation(0), "smooth")
    draws, summary = scored(posterior, 0)
    found = ood_features(posterior, summary, draws.explained())
    assert tuple(found) == OOD_FEATURES
    assert np.isfinite(list(found.values())).all()
