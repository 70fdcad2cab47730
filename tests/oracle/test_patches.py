"""At most one patch, exactly: against brute force, and calibrated on its own prior."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from bayesesi import ForwardOperator, NoiseCovariance, observe, read_prior, template_forward
from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior import Atoms, PatchPosterior, make_atoms, patch_posterior
from bayesesi.posterior.patches import NOISE_DOF
from bayesesi.prior import HeadPrior, PatchPrior

LEVEL, N_CHANNELS = 2, 10


@pytest.fixture(scope="module")
def prior() -> PatchPrior:
    found = read_prior("focal", level=LEVEL)
    assert isinstance(found, PatchPrior)
    return found


@pytest.fixture(scope="module")
def atoms(prior: PatchPrior) -> Atoms:
    return make_atoms(prior, 3)


@pytest.fixture(scope="module")
def obs() -> Observation:
    """Noise on ten channels, four samples, over a random leadfield of 324 sources."""
    rng = np.random.default_rng(1)
    space = template_source_space(LEVEL)
    names = tuple(f"E{i}" for i in range(N_CHANNELS))
    forward = ForwardOperator(30 * rng.standard_normal((N_CHANNELS, space.n_sources)), space, names)
    noise = NoiseCovariance(1e-12 * np.eye(N_CHANNELS), names)
    volts = 1e-6 * rng.standard_normal((N_CHANNELS, 4))
    return observe(volts, forward, noise, sfreq=250.0, autocorrelation=np.array([1.0, 0.5, 0.2]))


def test_evidence_equals_brute_force(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    """Every patch and size as a multivariate Student density of all numbers at once."""
    post = patch_posterior(obs, prior, atoms=atoms)
    turned = obs.values @ post.time.turn
    n, r = turned.shape
    law = stats.multivariate_t
    null = law(np.zeros(n * r), np.eye(n * r), df=NOISE_DOF).logpdf(turned.T.ravel())
    total = [np.log(post.null) + null]
    topographies = atoms.weights @ obs.leadfield.T
    for a in range(0, len(atoms.centre)):
        for m in (0, 7) if a % 50 == 0 else ():
            u = post.sizes[m] ** 2 * post.time.variance
            blocks = [np.eye(n) + x * np.outer(topographies[a], topographies[a]) for x in u]
            shape = np.zeros((n * r, n * r))
            for k, block in enumerate(blocks):
                shape[k * n : (k + 1) * n, k * n : (k + 1) * n] = block
            want = law(np.zeros(n * r), shape, df=NOISE_DOF).logpdf(turned.T.ravel())
            got = post.log_likelihood[0, a, m] + (null - (post._log_null - np.log(post.null)))
            assert got == pytest.approx(want, abs=1e-8)
    joint = atoms.log_prior[:, None] + post.log_size + post.log_likelihood[0]
    constant = null - (post._log_null - np.log(post.null))
    total.append(np.log1p(-post.null) + logsumexp(joint) + constant)
    assert post.log_evidence == pytest.approx(logsumexp(total), abs=1e-8)
    assert post.null_probability + post.probability.sum() == pytest.approx(1)


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
    silent = ~draws.any(axis=(1, 2))
    assert silent.mean() == pytest.approx(post.null_probability, abs=0.02)


def simulate(post: PatchPosterior, rng: np.random.Generator) -> tuple[Observation, int, np.ndarray]:
    """A data set of the model's own prior: its atom (-1 for none) and amplitudes."""
    obs, atoms = post.obs, post.atoms
    r = obs.n_functions
    tau = np.sqrt(NOISE_DOF / 2 / rng.gamma(NOISE_DOF / 2))
    values = tau * rng.standard_normal(obs.values.shape)
    if rng.random() < post.null:
        return replace(obs, values=values), -1, np.zeros(r)
    weights = np.exp(atoms.log_prior)
    atom = int(rng.choice(len(weights), p=weights / weights.sum()))
    size = post.sizes[rng.integers(len(post.sizes))]
    turned = tau * size * np.sqrt(post.time.variance) * rng.standard_normal(r)
    amplitude = post.time.turn @ turned
    topography = obs.leadfield @ atoms.weights[[atom]].toarray()[0]
    return replace(obs, values=values + np.outer(topography, amplitude)), atom, amplitude


def masses(
    obs: Observation, prior: PatchPrior, atoms: Atoms, assumed: Atoms | None, n: int
) -> np.ndarray:
    """Randomised highest-density mass of the true state (nothing, or an atom), n data sets."""
    model = patch_posterior(obs, prior, atoms=atoms)
    rng = np.random.default_rng(11)
    found = []
    for _ in range(n):
        data, atom, _ = simulate(model, rng)
        post = patch_posterior(data, prior, atoms=assumed or atoms)
        p = np.r_[post.null_probability, post.probability.sum(axis=(0, 2))]
        own = p[atom + 1]
        found.append(p[p > own].sum() + rng.random() * p[p == own].sum())
    return np.array(found)


def test_the_true_state_has_its_mass(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    """Simulation-based calibration: 400 randomised HPD masses are uniform (KS, 1e-4).

    Twins that fail: centres assigned to other patches, and a leadfield of another head.
    """
    assert stats.kstest(masses(obs, prior, atoms, None, 400), "uniform").pvalue > 1e-4
    order = np.random.default_rng(0).permutation(len(atoms.centre))
    shuffled = replace(atoms, weights=atoms.weights[order])
    assert stats.kstest(masses(obs, prior, atoms, shuffled, 400), "uniform").pvalue < 1e-4


@pytest.fixture(scope="module")
def recording() -> Observation:
    """A patch in the right temporal lobe under 32 electrodes, 20 samples, on the template."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    forward = template_forward(info, level=3)
    rng = np.random.default_rng(4)
    course = np.sin(np.arange(20) / 4)
    volts = np.outer(forward.leadfield[:, 900], 1e-7 * course)
    volts += 3e-7 * rng.standard_normal((32, 20))
    noise = NoiseCovariance(9e-14 * np.eye(32), tuple(montage.ch_names))
    return observe(volts, forward, noise, sfreq=250.0, autocorrelation="white")


def test_heads_spread_the_posterior(recording: Observation) -> None:
    """Where the head is not known, probability spreads over more cortex, near the truth."""
    prior = read_prior("focal", level=3)
    heads = read_prior("template-nominal")
    assert isinstance(prior, PatchPrior)
    assert isinstance(heads, HeadPrior)
    atoms = make_atoms(prior)
    exact = patch_posterior(recording, prior, atoms=atoms)
    drawn = patch_posterior(recording, prior, heads, 12, atoms=atoms)
    assert drawn.n_heads == 12
    assert drawn.head_probability.sum() == pytest.approx(1)
    assert exact.null_probability < 1e-6

    def entropy(post: PatchPosterior) -> float:
        return float(stats.entropy(post.centre_probability()))

    assert entropy(drawn) > entropy(exact)
    space = recording.source_space
    best = int(exact.centre_probability().argmax())
    assert np.linalg.norm(space.positions[best] - space.positions[900]) < 0.015
    again = patch_posterior(recording, prior, heads, 12, atoms=atoms)
    assert np.array_equal(again.log_likelihood, drawn.log_likelihood)


def test_heads_are_those_of_the_bank(recording: Observation) -> None:
    """A head that is the assumed one, drawn: the same as taking it for the true one, to 1e-4."""
    prior, heads = read_prior("focal", level=3), read_prior("template-exact")
    assert isinstance(prior, PatchPrior)
    assert isinstance(heads, HeadPrior)
    atoms = make_atoms(prior)
    exact = patch_posterior(recording, prior, atoms=atoms)
    drawn = patch_posterior(recording, prior, heads, 2, atoms=atoms)
    for h in range(2):
        assert np.allclose(drawn.gain[h], exact.gain[0], rtol=1e-4)
        assert np.allclose(drawn.log_likelihood[h], exact.log_likelihood[0], atol=1e-2)


def test_pure_noise_is_called_nothing(recording: Observation) -> None:
    prior = read_prior("focal", level=3)
    assert isinstance(prior, PatchPrior)
    rng = np.random.default_rng(5)
    noise = replace(recording, values=rng.standard_normal(recording.values.shape))
    assert patch_posterior(noise, prior).null_probability > prior.spec.count.null


def test_mistakes_get_a_sentence(obs: Observation, prior: PatchPrior, atoms: Atoms) -> None:
    heads = read_prior("template-nominal")
    assert isinstance(heads, HeadPrior)
    with pytest.raises(InputError, match="came from no bank"):
        patch_posterior(obs, prior, heads, atoms=atoms)
    other = read_prior("focal", level=3)
    assert isinstance(other, PatchPrior)
    with pytest.raises(InputError, match="1284 sources, the observation on 324"):
        patch_posterior(obs, other)
    with pytest.raises(InputError, match="at least once"):
        patch_posterior(obs, prior, atoms=atoms).sample(0)
