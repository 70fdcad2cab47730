"""The Gaussian posterior against dense linear algebra, MNE, and its own prior."""

from __future__ import annotations

import json
from dataclasses import replace

import mne
import numpy as np
import pytest
from scipy import linalg, stats

from bayesesi import ForwardOperator, NoiseCovariance, observe, template_forward
from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior import GaussianPosterior, gaussian_posterior
from tests.oracle.recordings import recorded

N_CHANNELS, N_SOURCES, N_TIMES = 12, 30, 3
SCALE = 2e-8


KINDS = ("fixed", "loose", "free")


def small(kind: str = "fixed", seed: int = 0, n_times: int = N_TIMES) -> Observation:
    """Random leadfield, white noise of 1 µV, data drawn from a prior of scale 20 nAm."""
    rng = np.random.default_rng(seed)
    shape = (N_CHANNELS, N_SOURCES) if kind == "fixed" else (N_CHANNELS, N_SOURCES, 3)
    leadfield = 30.0 * rng.standard_normal(shape)
    names = tuple(f"E{i}" for i in range(N_CHANNELS))
    positions = rng.uniform(-0.05, 0.05, (N_SOURCES, 3))
    normals = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    space = SourceSpace(positions, normals)
    forward = ForwardOperator(leadfield, space, names, loose=0.2 if kind == "loose" else 1.0)
    moments = SCALE * rng.standard_normal((*shape[1:], n_times))
    volts = np.tensordot(leadfield, moments, axes=leadfield.ndim - 1)
    volts = volts + 1e-6 * rng.standard_normal((N_CHANNELS, n_times))
    noise = NoiseCovariance(1e-12 * np.eye(N_CHANNELS), names)
    return observe(
        volts, forward, noise, sfreq=250.0, time_basis="samples", autocorrelation="white"
    )


def prior_covariance(post: GaussianPosterior) -> np.ndarray:
    """(F, F), A² m²: of each source s² (loose I + (1 - loose) n n'), block by block."""
    variances = (post.scale * post.shape.sd) ** 2
    if post.obs.forward.orientation != "loose":
        return np.diag(variances)
    normals, loose = post.obs.source_space.normals, post.obs.forward.loose
    assert normals is not None
    blocks = [loose * np.eye(3) + (1 - loose) * np.outer(n, n) for n in normals]
    return linalg.block_diag(*blocks) * variances


def dense(post: GaussianPosterior) -> tuple[np.ndarray, np.ndarray]:
    """(F, R) mean and (F, F) covariance by inverting the posterior's precision."""
    leadfield = post.obs.leadfield.reshape(post.obs.n_eff, -1)
    covariance = np.linalg.inv(np.linalg.inv(prior_covariance(post)) + leadfield.T @ leadfield)
    return covariance @ leadfield.T @ post.obs.values, covariance


@pytest.mark.parametrize("prior", ["identity", "depth"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_dense_algebra(prior: str, kind: str) -> None:
    """Mean, sd, evidence and density to 1e-8 of what inverting F by F matrices gives."""
    post = gaussian_posterior(small(kind), prior, SCALE)
    mean, covariance = dense(post)
    flat = post.mean().reshape(mean.shape)
    assert np.allclose(flat, mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
    sd = np.sqrt(np.diag(covariance))
    assert np.allclose(post.sd().reshape(mean.shape), sd[:, None], rtol=1e-6)
    leadfield = post.obs.leadfield.reshape(post.obs.n_eff, -1)
    marginal = np.eye(post.obs.n_eff) + leadfield @ prior_covariance(post) @ leadfield.T
    law = stats.multivariate_normal(np.zeros(len(marginal)), marginal)
    assert post.log_evidence == pytest.approx(law.logpdf(post.obs.values.T).sum(), rel=1e-9)
    draws = post.sample(4, seed=1)
    want = [
        sum(
            stats.multivariate_normal(mean[:, r], covariance, allow_singular=False).logpdf(x[:, r])
            for r in range(N_TIMES)
        )
        for x in draws.reshape(4, *mean.shape)
    ]
    assert np.allclose(post.log_prob(draws), want, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_its_mean_and_covariance(kind: str) -> None:
    """8,000 draws: z-scores of means and second moments below 5 (2,000 of them: 1 in 1,000)."""
    post = gaussian_posterior(small(kind), "identity", SCALE)
    mean, covariance = dense(post)
    draws = post.sample(8000, seed=2).reshape(8000, *mean.shape)
    z = (draws.mean(axis=0) - mean) / draws.std(axis=0) * np.sqrt(8000)
    assert np.abs(z).max() < 5
    off = draws[:, :, 0] - mean[:, 0]
    products = off[:, :, None] * off[:, None]
    z = (products.mean(axis=0) - covariance) / products.std(axis=0) * np.sqrt(8000)
    assert np.abs(z).max() < 5
    assert np.array_equal(draws[0], post.sample(1, seed=2).reshape(mean.shape))


@pytest.mark.parametrize("lambda2", [1.0, 1 / 9, 0.01])
@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0])
def test_its_mean_is_mnes_minimum_norm(lambda2: float, loose: float) -> None:
    """To 1e-6 of the largest; MNE's depth weighting is off, its normals the vertices'."""
    evoked, forward, cov, obs = recorded(loose)
    inverse = mne.minimum_norm.make_inverse_operator(
        evoked.info, forward, cov, loose=loose, depth=None, use_cps=False, verbose="error"
    )
    theirs = mne.minimum_norm.apply_inverse(
        evoked, inverse, lambda2, "MNE", pick_ori="vector" if loose else None, verbose="error"
    ).data
    # MNE scales its source covariance so that signal and noise have the same power
    power = (gaussian_posterior(obs, scale=1.0).seen ** 2).sum() / obs.n_eff
    ours = gaussian_posterior(obs, "identity", np.sqrt(1 / (power * lambda2))).mean()
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(theirs).max()


def ranks(widened: float) -> np.ndarray:
    """Ranks of the truth's energy and of one source's moment among 31 draws, 400 data sets."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng((7, seed))
        obs = small(seed=seed, n_times=1)
        truth = SCALE * rng.standard_normal((N_SOURCES, 1))
        values = obs.leadfield @ truth + rng.standard_normal((obs.n_eff, 1))
        post = gaussian_posterior(replace(obs, values=values), "identity", widened * SCALE)
        draws = post.sample(31, seed=seed)
        found.append((np.abs(draws).sum(axis=(1, 2)) < np.abs(truth).sum()).sum())
        found.append((draws[:, 4, 0] < truth[4, 0]).sum())
    return np.array(found)


def test_ranks_on_its_own_prior_are_uniform() -> None:
    """Simulation-based calibration: chi-square of 400 ranks in 8 bins, false alarms 1e-4.

    The twin, whose prior is twice as wide as the truth's, fails.
    """
    for widened, uniform in ((1.0, True), (2.0, False)):
        counts = np.bincount(ranks(widened) // 4, minlength=8)
        assert (stats.chisquare(counts).pvalue > 1e-4) == uniform


def test_the_scale_of_most_evidence_is_found() -> None:
    """The maximum: no other scale has more, and it is near the one that made the data."""
    obs = small(n_times=40)
    post = gaussian_posterior(obs)
    assert post.scale == pytest.approx(SCALE, rel=0.35)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert gaussian_posterior(obs, scale=factor * post.scale).log_evidence < post.log_evidence


def nulls(obs: Observation, power: float, signal: float = 0.0) -> np.ndarray:
    """(50,) probabilities of nothing in noise of a power, and a source of that amplitude."""
    base = gaussian_posterior(obs, scale=SCALE)
    found = []
    for seed in range(50):
        rng = np.random.default_rng((11, seed))
        values = np.sqrt(power) * rng.standard_normal(obs.values.shape)
        topography = obs.leadfield[:, rng.integers(obs.leadfield.shape[1])]
        values += signal * (topography / np.sqrt((topography**2).mean()))[:, None]
        found.append(replace(base, obs=replace(obs, values=values)).null_probability)
    return np.array(found)


def silent(n_functions: int) -> Observation:
    """64 channels; for tests that put in values of their own."""
    obs = recorded(0.0)[3]
    return replace(obs, values=np.zeros((obs.n_eff, n_functions)))


@pytest.mark.parametrize("n_functions", [1, 20, 150])
def test_nothing_is_told_from_something(n_functions: int) -> None:
    """64 channels: at least 40 of 50 recordings of noise are called so, whatever its power.

    Each is with .94 or more, so that fewer come 2 times in 10,000; a source three times the noise
    (+9.5 dB) leaves nothing at most 1e-6.
    """
    obs = silent(n_functions)
    for power in (0.5, 1.0, 1.3, 1.6):
        assert (nulls(obs, power) > 0.5).sum() >= 40
    assert nulls(obs, 1.0, signal=3.0).max() < 1e-6


def test_noise_of_known_scale_would_call_louder_noise_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin of the test above: it fails at a power of 1.6, and not at 1."""
    from bayesesi.posterior import gaussian

    obs = silent(150)
    monkeypatch.setattr(gaussian, "NOISE_DOF", 1e9)
    assert (nulls(obs, 1.0) > 0.5).sum() >= 40
    assert (nulls(obs, 1.6) > 0.5).sum() < 10


def test_probability_of_nothing_is_calibrated_on_its_own_prior() -> None:
    """1,000 cases, one in ten without sources: nothing there as often as said, z below 4.

    In all of them, and in those where the posterior is in doubt (.02 to .98).
    """
    base = gaussian_posterior(small(), scale=SCALE)
    rng = np.random.default_rng(6)
    nothing = rng.uniform(size=1000) < 0.1
    said = []
    for empty in nothing:
        scale = 0.0 if empty else rng.choice(base._event_scales)
        z, noise = rng.standard_normal((N_SOURCES, N_TIMES)), rng.standard_normal((11, N_TIMES))
        tau = np.sqrt(12 / rng.chisquare(12))
        values = tau * (scale * base.seen @ z + noise)
        said.append(replace(base, obs=replace(base.obs, values=values)).null_probability)
    p = np.array(said)
    for chosen in (p >= 0, (p > 0.02) & (p < 0.98)):
        off = (nothing - p)[chosen].sum() / np.sqrt((p * (1 - p))[chosen].sum())
        assert chosen.sum() > 50
        assert abs(off) < 4


def test_details_are_json() -> None:
    post = gaussian_posterior(small("loose"), "depth", SCALE)
    told = json.loads(json.dumps(post.details()))
    assert told["family"] == "gaussian"
    assert (told["prior"], told["orientation"], told["loose"]) == ("depth", "loose", 0.2)
    assert told["scale"] == pytest.approx(20e-9)
    assert told["log_evidence"] == post.log_evidence


def test_smooth_fields_on_the_template() -> None:
    """The mean explains as sources allow; draws vary about it as sd says; regions get a share."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    forward = template_forward(info, ico=3)
    rng = np.random.default_rng(5)
    volts = forward.leadfield[:, [300]] * 3e-8 + 3e-7 * rng.standard_normal((32, 1))
    noise = NoiseCovariance(9e-14 * np.eye(32), tuple(montage.ch_names))
    obs = observe(volts, forward, noise, sfreq=250.0)
    post = gaussian_posterior(obs, "smooth")
    draws = post.sample(400, seed=0)
    assert np.allclose(draws.std(axis=0), post.sd(), rtol=0.2)
    z = (draws.mean(axis=0) - post.mean()) / post.sd() * np.sqrt(400)
    assert np.abs(z).max() < 5
    probability = post.region_probability(100, seed=1)
    assert probability.shape == (68,)
    assert probability.max() <= 1
    assert probability.sum() >= 1  # the region with the most is always active
    stc = post.source_estimate("mean")
    assert stc.data.shape == (1284, 1)
    data = post.to_arviz(3)
    assert data["posterior"]["j"].dims == ("chain", "draw", "source", "function")
    with pytest.raises(InputError, match="no density"):
        post.log_prob(draws)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"prior": "lasso"}, "prior is one of identity, depth, smooth, not 'lasso'"),
        ({"scale": -1.0}, "positive size"),
        ({"scale": np.nan}, "positive size"),
        ({"prior": "smooth"}, "live on the template's cortex"),
    ],
)
def test_mistakes_get_a_sentence(keys: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        gaussian_posterior(small(), **keys)  # type: ignore[arg-type]
    flat = replace(small("loose").forward, source_space=SourceSpace(np.zeros((N_SOURCES, 3))))
    with pytest.raises(InputError, match="need normals"):
        gaussian_posterior(replace(small("loose"), forward=flat))
    with pytest.raises(InputError, match="n must be at least 1"):
        gaussian_posterior(small(), scale=SCALE).sample(0)
    with pytest.raises(InputError, match="in a volume"):
        gaussian_posterior(small(), scale=SCALE).source_estimate()
