"""Free dipoles in the volume: blobs, the likelihood, the density of the flows, their draws."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayesesi
from bayesesi.anatomy import EXTENT_NODES, template_blobs
from bayesesi.errors import InputError
from bayesesi.estimator.dipole import DipoleEstimator, DipoleStates
from bayesesi.estimator.dipole_density import flat, of_flat
from bayesesi.features import covariance_likelihood
from bayesesi.features import dipole as view
from bayesesi.features.covariance_likelihood import CourseInputs, grid_log_t
from bayesesi.features.dipole import DipoleForward
from bayesesi.features.dipole_scan import DipoleSummary
from bayesesi.features.size_prior import SizePrior
from bayesesi.forward import template_forward
from bayesesi.observation import Observation
from bayesesi.posterior.dipole import DipoleBelief, DipolePosterior, dipole_posterior
from bayesesi.prior import (
    HeadPrior,
    NormalScore,
    VolumeDipolePrior,
    block_generator,
    distribution_of,
)
from bayesesi.spec import DipolesSpec, Quantity, VolumeDipoleSpec

CHANNELS = ("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2").split()
N_HEADS = 2
ESTIMATORS = ("zuko_nsf", "zuko_maf", "nsf", "maf", "gaussian", "evidential")
#: A place in the volume, m, and the moment of a dipole there, A m.
PLACE, MOMENT = np.array([0.03, 0.02, 0.06]), np.array([20e-9, -30e-9, 60e-9])


def small(density: str = "nsf") -> DipolesSpec:
    """As small as can be."""
    return DipolesSpec(density=density, hidden=16, transforms=2, components=4)


@pytest.fixture(scope="module")
def prior() -> VolumeDipolePrior:
    found = bayesesi.read_prior("volume-dipole")
    assert isinstance(found, VolumeDipolePrior)
    return found


@pytest.fixture(scope="module")
def belief(prior: VolumeDipolePrior) -> DipoleBelief:
    return DipoleBelief(prior.spec, N_HEADS)


def observation(n_times: int = 1, noise_uV: float = 1.0, seed: int = 0) -> Observation:
    """A blob of 6 mm at ``PLACE`` in the assumed head, in white noise."""
    info = mne.create_info(CHANNELS, 250.0, "eeg")
    forward = template_forward(info, source_space="volume")
    weights = template_blobs().weights(PLACE[None], np.array([0.006]))
    look = np.einsum("v,cvk->ck", weights.toarray()[0], forward.leadfield)
    course = np.sin(np.linspace(0.3, np.pi, n_times)) if n_times > 1 else np.ones(1)
    rng = np.random.default_rng(seed)
    volts = np.outer(look @ MOMENT, course)
    volts = volts + 1e-6 * noise_uV * rng.standard_normal(volts.shape)
    cov = bayesesi.NoiseCovariance((1e-6 * noise_uV) ** 2 * np.eye(len(CHANNELS)), tuple(CHANNELS))
    return bayesesi.observe(volts, forward, cov, sfreq=250.0, autocorrelation="white")


@pytest.fixture(scope="module")
def obs() -> Observation:
    return observation()


@pytest.fixture(scope="module")
def posterior(obs: Observation, belief: DipoleBelief) -> DipolePosterior:
    estimator = DipoleEstimator(small())
    return dipole_posterior(obs, estimator, belief, n_proposals=600)


# Blobs


def test_a_blob_has_the_moment_one_and_lies_where_it_is() -> None:
    blobs, rng = template_blobs(), np.random.default_rng(0)
    points = blobs.source_space.positions
    inner = points[np.linalg.norm(points - points.mean(axis=0), axis=1) < 0.03]
    places = inner[rng.integers(len(inner), size=40)] + rng.uniform(-0.004, 0.004, (40, 3))
    extents = rng.uniform(0.004, 0.008, 40)
    weights = blobs.weights(places, extents)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights @ points, places, atol=1e-3)
    wide = blobs.weights(places, np.full(40, 0.016))
    spread = [
        float((w.toarray()[0] * ((points - p) ** 2).sum(axis=1)).sum())
        for w, p in zip((weights, wide), (places[0], places[0]), strict=True)
    ]
    assert spread[1] > 2 * spread[0]


def test_blobs_go_from_place_to_place_without_a_jump() -> None:
    blobs = template_blobs()
    along = PLACE + np.linspace(-0.01, 0.01, 400)[:, None] * np.array([1.0, 0.4, -0.2])
    steps = np.diff(blobs.weights(along, np.full(400, 0.007)).toarray(), axis=0)
    assert np.abs(steps).sum(axis=1).max() < 0.05
    outside = np.array([[0.2, 0.0, 0.0]])
    assert blobs.cell(outside)[0] == -1
    assert blobs.cell(blobs.source_space.positions[[7]])[0] == 7
    assert blobs.volume == pytest.approx(blobs.n_points * 0.0082**3)


def test_a_normal_score_is_the_quantile_of_its_prior() -> None:
    rng = np.random.default_rng(0)
    for quantity in (
        Quantity(family="loguniform", numbers=(4.0, 16.0)),
        Quantity(family="lognormal", numbers=(0.01, 1.8), within=(0.002, 0.03)),
        Quantity(family="lognormal", numbers=(40.0, 2.0)),
    ):
        score = NormalScore(quantity)
        u = rng.standard_normal(200).clip(-3.5, 3.5)
        np.testing.assert_allclose(score.score(score.value(u)), u, atol=1e-5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            drawn = distribution_of(quantity).sample((4000,)).double().numpy()
        scores = score.score(drawn)
        assert abs(scores.mean()) < 0.08  # 5 standard errors
        assert abs(scores.std() - 1) < 0.06
    with pytest.raises(InputError, match="loguniform or lognormal"):
        NormalScore(Quantity(family="normal", numbers=(0.0, 1.0)))


# The prior


def test_the_prior_draws_dipoles_in_the_brain_and_apart(prior: VolumeDipolePrior) -> None:
    draws = prior.draw(2000, seed=1)
    share = np.bincount(draws["count"], minlength=3) / 2000
    np.testing.assert_allclose(share, prior.count_probability, atol=0.05)
    assert (template_blobs().cell(draws["place"]) >= 0).all()
    two = draws["count"] == 2
    apart = np.linalg.norm(draws["place"][two, 0] - draws["place"][two, 1], axis=1)
    assert apart.min() >= 0.015
    moments = prior.volume(draws)
    size = np.sqrt(sum(moments[:, k::3].sum(axis=1) ** 2 for k in range(3)))
    used = (np.arange(2) < draws["count"][:, None]).ravel()
    np.testing.assert_allclose(size[used], draws["moment_nAm"].ravel()[used] * 1e-9, rtol=1e-4)
    assert not size[~used].any()


def test_the_priors_density_is_uniform_in_the_brain(
    prior: VolumeDipolePrior, belief: DipoleBelief
) -> None:
    """By Monte Carlo: the mean of 1 / p over draws of p is the volume of its support."""
    door = prior.as_sbi_prior()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theta = door.sample((400,))
    assert torch.isfinite(door.log_prob(theta)).all()
    zero = torch.zeros(1)
    one = DipoleStates(torch.tensor(PLACE)[None, None].float(), zero[None], zero)
    found = float(belief.log_prior(one)[0])
    assert found == pytest.approx(-np.log(template_blobs().volume) - np.log(2 * np.pi), abs=1e-4)
    outside = DipoleStates(torch.full((1, 1, 3), 0.3), zero[None], zero)
    assert float(belief.log_prior(outside)[0]) == -np.inf
    near = torch.tensor(np.stack([PLACE, PLACE + 0.004]))[None].float()
    assert float(belief.log_prior(DipoleStates(near, torch.zeros(1, 2), zero))[0]) == -np.inf


def test_a_simulator_shows_them_at_the_scalp() -> None:
    simulator = bayesesi.read_simulator("frame-dipole")
    batch = simulator.block(0, 3, "train")[0]
    power = (batch.volts.astype(float) ** 2).mean(axis=(1, 2))
    assert (power > 0).all()
    found = batch.snr_db[batch.draws["count"] > 0]
    assert np.isfinite(found).all()
    assert np.isneginf(batch.snr_db[batch.draws["count"] == 0]).all()


# What they look like, and how likely


def test_an_unknown_head_is_the_mean_square_over_heads(obs: Observation) -> None:
    """P at a node is the mean of L' L over the heads drawn, by their own lead fields."""
    banked, whitener = obs.forward.banked, obs.whitener.matrix
    heads = bayesesi.read_prior("template-nominal")
    assert banked is not None
    assert isinstance(heads, HeadPrior)
    forward = DipoleForward.of(banked, whitener, heads, seed=5, n_heads=N_HEADS)
    node, extent, point = 1, 1, 777
    with block_generator("validate", 5, 3 + node):
        draws = heads.draw(N_HEADS)
        where = heads.electrodes(draws, banked.electrodes).positions
    settings = heads.settings({**draws, "skull_S_per_m": np.full(N_HEADS, view.SKULL_NODES[node])})
    weights = template_blobs().kernels[extent][[point]].toarray()[0]
    total, mean = 0.0, 0.0
    for k in range(N_HEADS):
        seen = whitener @ banked.leadfield(settings[k], where[k]).reshape(len(CHANNELS), -1)
        look = np.einsum("v,nvk->kn", weights, seen.reshape(len(seen), -1, 3))
        look = look @ forward.turn.T / draws["size"][k] ** 2 / np.sqrt(forward.unit)
        total, mean = total + look.T @ look / N_HEADS, mean + look / N_HEADS
    place = template_blobs().source_space.positions[[point]]
    gather = forward.gather(
        place, np.array([EXTENT_NODES[extent]]), np.array([view.SKULL_NODES[node]])
    )
    np.testing.assert_allclose(forward.squares(gather)[0], total, atol=2e-3 * abs(total).max())
    np.testing.assert_allclose(forward.means(gather)[0], mean, atol=2e-3 * abs(mean).max())
    between = forward.gather(PLACE[None], np.array([0.006]), np.array([0.01]))
    assert np.linalg.eigvalsh(forward.squares(between)[0].numpy())[0] > -1e-5


def brute(
    scene: CourseInputs,
    p: NDArray[np.float64],
    turn: NDArray[np.float64],
    values: NDArray[np.float64],
) -> float:
    """The module's mixture of Gaussians, summed term by term over all sensors."""
    n, m = scene.n, len(turn)
    full = turn.T @ p @ turn
    log_t, terms = grid_log_t().double().numpy(), []
    scales = zip(
        covariance_likelihood.SCALES,
        covariance_likelihood.log_scale_share().double().numpy(),
        strict=True,
    )
    for scale, share in scales:
        total = share
        for q in range(values.shape[1]):
            each = [
                float(scene.log_size[0, q, j])
                + multivariate_normal.logpdf(
                    values[:, q], np.zeros(n), scale**2 * (np.eye(n) + np.exp(t) * full)
                )
                for j, t in enumerate(log_t)
            ]
            found = logsumexp(each)
            if q:
                none = multivariate_normal.logpdf(values[:, q], np.zeros(n), scale**2 * np.eye(n))
                found = np.logaddexp(found, none) + np.log(0.5)
            total += found + 0.5 * n * np.log(2 * np.pi)
        terms.append(total)
    assert m <= n
    return scene.power * float(logsumexp(terms))


@pytest.mark.parametrize("n_times", [1, 12])
def test_the_likelihood_is_the_gaussians_written_out(n_times: int, belief: DipoleBelief) -> None:
    obs = observation(n_times)
    belief = DipoleBelief(belief.spec, 1)
    forward = belief.forward(obs.forward, obs.whitener.matrix)
    scene = belief.scene(obs.values[None], forward)
    nu = scene.noise[0].double().sqrt().numpy()
    values = obs.values @ scene.turn[0].double().numpy() / nu
    two = DipoleStates(
        torch.tensor(np.stack([PLACE, -PLACE + 0.05]))[None].float(),
        torch.zeros(1, 2),
        torch.zeros(1),
    )
    one = DipoleStates(two.place[:, :1], two.extent[:, :1], two.skull)
    found = []
    for dipoles in (one, two):
        p = belief.squares(dipoles, forward)[0].double().numpy()
        expected = brute(scene, p, forward.turn, values)
        found.append(float(belief.log_likelihood(dipoles, forward, scene)[0]))
        assert found[-1] == pytest.approx(expected, abs=2e-2)
    nothing = brute(scene, np.zeros((forward.m, forward.m)), forward.turn, values)
    assert float(scene.log_nothing()[0]) == pytest.approx(nothing, abs=2e-2)
    assert found[0] > nothing + 2  # the twin: another event is told apart


def test_noise_in_the_best_direction_is_counted_as_noise() -> None:
    """Of pure noise the course that shows most has energy nu at most, and nearly so: the edge of a
    spectrum is reached from below. 400 windows, whose mean has a standard error of .005."""
    rng, n, r = np.random.default_rng(0), 40, 10
    values = rng.standard_normal((400, n, r))
    forward = DipoleForward(
        np.eye(n),
        np.zeros((1, 3 * n), np.float32),
        np.zeros((1, 1), np.float32),
        1.0,
        template_blobs(),
    )
    scene = CourseInputs.of(values, forward, SizePrior.unknown())
    energy = (scene.values.square().sum(1) + scene.rest)[:, 0] / n
    assert 0.8 < float(energy.mean()) < 1.02
    single = CourseInputs.of(values[:, :, :1], forward, SizePrior.unknown())
    assert float(single.noise.max()) == 1.0


def test_deeper_knowledge_of_the_unit_matters_only_where_it_is_known(
    obs: Observation, posterior: DipolePosterior
) -> None:
    known, unknown = (
        posterior.belief.scene(obs.values[None], posterior.forward, scale_known=k)
        for k in (True, False)
    )
    assert float(unknown.log_size.std()) == pytest.approx(0.0, abs=1e-6)
    assert float(known.log_size.std()) > 0.5


# The flows


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("k", [1, 2])
def test_the_flows_have_a_density(estimator: str, k: int, posterior: DipolePosterior) -> None:
    """E_q[r / q] = 1 for a density r inside q's: the scan's own Gaussians, a little narrower.

    n = 4000, the ratio's own standard error, times 5.
    """
    ratio = _ratio(estimator, k, posterior)
    assert ratio.mean() == pytest.approx(1.0, abs=5 * ratio.std() / np.sqrt(4000))


def test_a_density_that_is_none_is_found_out(posterior: DipolePosterior) -> None:
    twin = 1.2 * _ratio("nsf", 1, posterior)
    assert abs(twin.mean() - 1) > 5 * twin.std() / np.sqrt(4000)


def _ratio(estimator: str, k: int, posterior: DipolePosterior) -> NDArray[np.float64]:
    """(4000,) r / q."""
    net, summary = DipoleEstimator(small(estimator)).eval(), posterior.summary
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        drawn = net.sample(4000, k, summary)
        log_q = net.log_prob(drawn, summary).double()
    found = summary.one if k == 1 else summary.two
    apart = drawn.place.flatten(1)[:, None] - found.mean
    lower = 0.7 * found.lower[0]
    z = torch.linalg.solve_triangular(lower, apart.transpose(0, 1).transpose(1, 2), upper=False)
    size = lower.diagonal(dim1=1, dim2=2).log().sum(1)
    each = -0.5 * z.square().sum(1) - size[:, None] - 1.5 * k * float(np.log(2 * np.pi))
    log_r = (each + found.log_weight[0][:, None]).logsumexp(0).double()
    scores = torch.cat([drawn.extent, drawn.skull[:, None]], dim=1).double() / 0.7
    log_r = log_r - 0.5 * scores.square().sum(1)
    log_r = log_r - (k + 1) * float(np.log(0.7 * np.sqrt(2 * np.pi)))
    return np.asarray((log_r - log_q).exp().numpy())


def test_a_pair_has_one_density_in_either_order(posterior: DipolePosterior) -> None:
    net, summary = posterior.estimator, posterior.summary
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        drawn = net.sample(50, 2, summary)
        one = net.symmetric_log_prob(drawn, summary)
        other = net.symmetric_log_prob(drawn.swapped(), summary)
    torch.testing.assert_close(one, other)
    assert (drawn.sorted().place[:, 0, 0] <= drawn.sorted().place[:, 1, 0]).all()


def test_a_summary_may_be_flat(posterior: DipolePosterior) -> None:
    again = of_flat(flat(posterior.summary), posterior.summary)
    torch.testing.assert_close(again.two.lower, posterior.summary.two.lower)
    torch.testing.assert_close(again.context, posterior.summary.context)


# The posterior


def test_draws_lie_where_the_dipole_is(posterior: DipolePosterior) -> None:
    places = posterior.places(1, 500)[:, 0]
    assert np.linalg.norm(places.mean(axis=0) - PLACE) < 0.012
    (ball,) = posterior.ellipsoids(0.9, 1)
    assert np.linalg.norm(ball.centre - places.mean(axis=0)) < 0.003
    np.testing.assert_allclose(ball.directions @ ball.directions.T, np.eye(3), atol=1e-8)
    assert ball.axes[0] >= ball.axes[2] > 0
    half, most = (posterior.confidence_volume(level, 1)[0] for level in (0.5, 0.95))
    assert 0 < half <= most < template_blobs().volume
    share = posterior.place_probability(1)
    np.testing.assert_allclose(share.sum(axis=0), 1.0, atol=1e-6)


def test_moments_are_those_of_least_squares_where_the_head_is_known(belief: DipoleBelief) -> None:
    """One head and little noise: given the place, m = (L L')^-1 L y, but for how P is blurred."""
    obs = observation(noise_uV=0.2)
    estimator = DipoleEstimator(small())
    belief = DipoleBelief(belief.spec, 1)
    post = dipole_posterior(obs, estimator, belief, n_proposals=400)
    place = torch.tensor(PLACE)[None, None].float().expand(300, 1, 3)
    extent = float(belief.extent.score(np.array([6.0]))[0])
    skull = float(belief.skull.score(np.array([view.SKULL_NODES[1]]))[0])
    known = DipoleStates(place, torch.full((300, 1), extent), torch.full((300,), skull))
    moment, tau = post._moments(known, np.random.default_rng(0))
    look = belief.means(known.pick(slice(0, 1)), post.forward)[0].double().numpy()
    look = look * np.sqrt(post.forward.unit)
    data = post.forward.turn @ obs.values[:, 0]
    fit = np.linalg.lstsq(look.T, data, rcond=None)[0]
    found = moment[:, 0, :, 0].mean(axis=0)
    assert np.linalg.norm(found - fit) < 0.15 * np.linalg.norm(fit)
    assert set(np.round(tau, 4)) <= set(np.round(covariance_likelihood.SCALES, 4))


def test_fields_are_the_blobs_of_the_draws(posterior: DipolePosterior) -> None:
    draws, fields = posterior.dipoles(30, 4), posterior.sample(30, 4)
    assert fields.shape == (30, template_blobs().n_points, 3, 1)
    total = np.nansum(draws.moment, axis=1)
    np.testing.assert_allclose(fields.sum(axis=1), total, rtol=1e-6, atol=1e-18)
    np.testing.assert_array_equal(posterior.latents(30, 4)["count"], draws.count)
    assert np.isnan(draws.place[draws.count < 2, 1]).all()
    with pytest.raises(InputError, match="n must be at least 1"):
        posterior.dipoles(0)
    with pytest.raises(InputError, match="1 or 2 dipoles"):
        posterior.places(3)


def test_weights_tell_evidence_and_efficiency(posterior: DipolePosterior) -> None:
    assert 0.01 < posterior.sample_efficiency <= 1
    evidence = posterior.log_evidence
    assert evidence[1] > evidence[0] + 3  # a dipole of 70 nA m is there
    assert posterior.null_probability == pytest.approx(float(posterior.count_probability[0]))
    told = posterior.findings(0.9)["dipoles"]
    assert len(told["each"]) == posterior.likely_count
    assert told["each"][0]["volume_cm3"] > 0


def test_sbi_takes_them(posterior: DipolePosterior) -> None:
    door = posterior.as_sbi_posterior(1)
    with torch.random.fork_rng(devices=[]):
        theta = door.sample((20,), show_progress_bars=False)
        found = door.log_prob(theta)
    assert theta.shape == (20, 5)
    some = DipoleStates((theta[:, :3] / 1e3)[:, None], theta[:, 3:4], theta[:, 4])
    with torch.inference_mode():
        expected = posterior.estimator.log_prob(some, posterior.summary) - 3 * np.log(1e3)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_only_the_templates_volume_will_do(obs: Observation, belief: DipoleBelief) -> None:
    estimator = DipoleEstimator(small())
    own = replace(obs, forward=replace(obs.forward, banked=None))
    with pytest.raises(InputError, match="template_forward"):
        dipole_posterior(own, estimator, belief)
    with pytest.raises(InputError, match="has a volume"):
        own.forward.in_volume()
    again = obs.forward.in_volume()
    np.testing.assert_allclose(again.leadfield, obs.forward.leadfield, rtol=1e-4, atol=1e-3)


def test_a_summary_of_many_is_that_of_each(obs: Observation, posterior: DipolePosterior) -> None:
    both = np.stack([obs.values, 0.5 * obs.values])
    belief, forward = posterior.belief, posterior.forward
    found = DipoleSummary.of(belief.scene(both, forward), belief.scan(forward), 4)
    torch.testing.assert_close(found.context[0], posterior.summary.context[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        found.one.mean[0], posterior.summary.one.mean[0], atol=1e-4, rtol=1e-3
    )


def test_a_spec_says_what_it_may_hold() -> None:
    with pytest.raises(ValueError, match="extent"):
        VolumeDipoleSpec(
            schema=1,
            name="wide",
            description="Too wide.",
            family="volume-dipole",
            extent_mm=Quantity(family="loguniform", numbers=(4.0, 40.0)),
        )


def test_the_moment_that_is_told_is_its_size_over_time(belief: DipoleBelief) -> None:
    """Not a bound on it: the largest length of J(t) over the samples, draw by draw."""
    obs = observation(12)
    post = dipole_posterior(obs, DipoleEstimator(small()), belief, n_proposals=300)
    draws, k = post.dipoles(500, post.seed), post.likely_count
    own = draws.moment[draws.count == k, 0]
    sizes = [max(np.linalg.norm(one @ f) for f in obs.time_basis.functions) for one in own]
    told = post.findings(0.9)["dipoles"]["each"][0]["moment_nAm"]
    np.testing.assert_allclose(told, 1e9 * np.quantile(sizes, [0.05, 0.5, 0.95]), atol=0.06)


def test_one_draw_with_all_the_weight_still_has_a_volume(belief: DipoleBelief) -> None:
    obs = observation()
    loud = replace(obs, values=1e5 * obs.values)
    post = dipole_posterior(loud, DipoleEstimator(small()), belief, n_proposals=100)
    assert post.sample_efficiency < 0.05
    assert (post.confidence_volume(0.9, 1) > 0).all()
    assert np.isfinite(post.place_probability(1)).all()
