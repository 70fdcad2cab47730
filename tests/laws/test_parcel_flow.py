"""Activity of parcels: what is closed form is so, and the density is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayesesi.anatomy import Parcels, template_parcellation, template_parcels, template_source_space
from bayesesi.errors import InputError
from bayesesi.estimator.field import FieldCaseInputs
from bayesesi.estimator.parcel_gaussian import parcel_gaussian
from bayesesi.estimator.parcels import ParcelEstimator
from bayesesi.features import FieldForward, ParcelForward, TemporalGroups
from bayesesi.loss import Case, FieldTruth, Question
from bayesesi.loss.base import make_losses
from bayesesi.posterior.flow import ParcelPosterior, parcel_posterior
from bayesesi.spec import Recipe, make_spec
from tests.flow.small import LEVEL, observation

ESTIMATORS = ("zuko_nsf", "zuko_maf", "nsf", "maf", "gaussian", "evidential")


def recipe(density: str = "nsf", ico: int = LEVEL, parcels: int = 150) -> Recipe:
    """As small as can be."""
    sizes = {"width": 16, "source_width": 8, "n_blocks": 1, "n_attention_heads": 2}
    own = {"parcels": parcels, "hidden": 16, "transforms": 2, "context": 4}
    found = make_spec(
        "recipes",
        {
            "schema": 2,
            "name": "tiny",
            "description": "As small as can be.",
            "prior": "focal",
            "mixture": [{"simulator": "single-frame"}],
            "network": {"family": "transformer", "ico": ico, **sizes},
            "estimator": {"family": "flow", "density": density, **own},
            "losses": [{"family": "parcel-nll"}, {"family": "no-event"}],
            "optimiser": {"steps": 1},
        },
    )
    assert isinstance(found, Recipe)
    return found


def moved(estimator: str, parcels: Parcels) -> ParcelEstimator:
    """A network with weights at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = ParcelEstimator(recipe(estimator), parcels)
        for parameter in made.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture(scope="module")
def two() -> Parcels:
    """Two parcels, and most of the cortex outside."""
    n = template_source_space(LEVEL).n_sources
    labels = np.full(n, -1)
    labels[30:50], labels[200:210] = 0, 1
    signs = np.where(np.arange(n) % 3 > 0, 1, -1)
    return Parcels(labels, signs, np.array([0, 5]))


@pytest.fixture(scope="module")
def posterior() -> ParcelPosterior:
    return parcel_posterior(observation(), moved("nsf", template_parcels(80, LEVEL)), LEVEL)


def test_parcels_are_pieces_of_regions_of_about_one_area() -> None:
    space, regions, parcels = (
        template_source_space(4),
        template_parcellation(4),
        template_parcels(150),
    )
    assert 140 <= len(parcels) <= 165
    inside = parcels.labels >= 0
    np.testing.assert_array_equal(inside, regions.labels >= 0)
    np.testing.assert_array_equal(parcels.region[parcels.labels[inside]], regions.labels[inside])
    areas = np.bincount(parcels.labels[inside], space.areas[inside])
    assert np.quantile(areas, 0.9) / np.quantile(areas, 0.1) < 3
    assert space.normals is not None
    for r in range(68):
        own = regions.labels == r
        ways = parcels.signs[own, None] * space.normals[own]
        assert parcels.signs[own].sum() >= 0
        # current along those ways adds up to more than along the normals themselves
        assert np.linalg.norm(ways.sum(0)) >= 0.99 * np.linalg.norm(space.normals[own].sum(0))


def test_the_gaussian_is_that_of_the_sources(two: Parcels) -> None:
    obs = observation()
    forward = ParcelForward.on(FieldForward.of(obs.leadfield, LEVEL), two)
    network = moved("nsf", two)
    scene = forward.field.scene(
        torch.from_numpy(obs.values).float()[None], TemporalGroups.of(obs.time_basis.projector)
    )
    with torch.no_grad():
        belief, _ = network.believer.of_data(scene, forward.field)
        found = parcel_gaussian(belief, scene, forward, 0.1)
    rows = np.zeros((2, forward.field.n_sources))
    for p in range(2):
        own = two.labels == p
        rows[p, own] = two.signs[own] / np.linalg.norm(obs.leadfield[:, own], axis=0)
        rows[p] /= np.linalg.norm(rows[p])
    a = forward.field.operator.rows.double().numpy()
    for q in range(found.mean.shape[1]):
        d = belief.variance[:, 0, q].double().numpy()
        m = belief.mean[:, 0, q].double().numpy()
        noise = float(belief.inflation[0, q] * scene.noise[0, q])
        covariance = np.linalg.inv(a.T @ a / noise + np.diag(1 / d))
        u = scene.values[:, 0, q].double().numpy()
        mean = covariance @ (a.T @ u / noise + m / d)
        np.testing.assert_allclose(found.mean[0, q], rows @ mean, atol=2e-3)
        lower = found.lower[0, q].numpy()
        exact = rows @ covariance @ rows.T + 0.01 * np.eye(2)
        np.testing.assert_allclose(lower @ lower.T, exact, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_density_of_parcels_sums_to_one(two: Parcels, estimator: str) -> None:
    """Over a grid of one course of two parcels; of draws, as many lie where it says."""
    network = moved(estimator, two)
    obs = observation()
    forward = ParcelForward.on(FieldForward.of(obs.leadfield, LEVEL), two)
    scene = forward.field.scene(
        torch.from_numpy(obs.values).float()[None], TemporalGroups.of(obs.time_basis.projector)
    )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        belief = network.belief(scene, forward)
        drawn = network.sample(4000, belief)[0, 0]
        low, high = drawn.amin(0) - 1.0, drawn.amax(0) + 1.0
        edges = [torch.linspace(float(low[k]), float(high[k]), 161) for k in range(2)]
        middle = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
        grid = torch.cartesian_prod(*middle)[None, None].expand(1, scene.size.shape[1], -1, -1)
        density = network.log_prob(grid, belief)[0, 0].exp().double().numpy()
    cell = float((edges[0][1] - edges[0][0]) * (edges[1][1] - edges[1][0]))
    assert density.sum() * cell == pytest.approx(1.0, abs=0.02)
    # 4,000 draws right of the median of the grid: within 4 standard errors, .032
    below = grid[0, 0, :, 0].numpy() < float(drawn[:, 0].median())
    assert density[below].sum() * cell == pytest.approx(0.5, abs=0.04)


def test_fields_agree_with_the_activity_they_are_drawn_for(posterior: ParcelPosterior) -> None:
    """To the floor, in units of the data: .1 within 5 % over 400 x 3 x 80 numbers."""
    fields, activity = posterior.sample(400, seed=3), posterior.parcel_moments(400, seed=3)
    loud = np.abs(activity).max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(loud, np.abs(fields).max(axis=(1, 2)) > 0)
    parcels = posterior.network.parcels
    sums = np.zeros_like(activity)
    inside = parcels.labels >= 0
    np.add.at(
        sums,
        (slice(None), parcels.labels[inside]),
        parcels.signs[inside, None] * fields[:, inside],
    )
    unit = (posterior.scene.size[0] * posterior.parcels.size[:, None]).numpy()
    apart = ((activity - sums)[loud] @ posterior.scene.turn[0].numpy()) / unit
    assert apart.std() == pytest.approx(0.1, rel=0.05)


def test_the_mean_is_that_of_the_draws(posterior: ParcelPosterior) -> None:
    draws = posterior.sample(3000, seed=5)
    error = draws.std(axis=0) / np.sqrt(3000) + posterior.sd() / np.sqrt(256)
    off = np.abs(draws.mean(axis=0) - posterior.mean()) / error.max(axis=0)
    assert np.quantile(off, 0.99) < 4.5


def test_the_same_seed_draws_the_same_and_leaves_torch_alone(posterior: ParcelPosterior) -> None:
    before = torch.random.get_rng_state()
    first, again = (posterior.parcel_moments(20, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(posterior.parcel_moments(20, seed=2) - first).max() > 0
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.filterwarnings("ignore:Capping:UserWarning")
def test_sbi_sees_the_same_posterior(posterior: ParcelPosterior) -> None:
    """Its density in nA m, its draws, and sbi's own diagnostics."""
    from sbi.diagnostics import run_sbc

    activity = posterior.parcel_moments(40, seed=4)
    activity = activity[np.abs(activity).max(axis=(1, 2)) > 0]
    of_sbi = posterior.as_sbi_posterior()
    some = torch.cat([posterior.scene.flat()] * 100)
    along = 1e9 * activity @ posterior.scene.turn[0].numpy()
    flat = torch.from_numpy(along.reshape(len(along), -1)).float()
    found = of_sbi.log_prob(flat, norm_posterior=False).numpy()
    expected = posterior.log_prob(activity) - np.log(1e9) * flat.shape[1]
    np.testing.assert_allclose(found, expected, atol=0.05)
    with torch.random.fork_rng(devices=[]):
        drawn = of_sbi.sample((100,), show_progress_bars=False)
        ranks, _ = run_sbc(drawn, some, of_sbi, num_posterior_samples=100, show_progress_bar=False)
    assert drawn.shape == ranks.shape == (100, flat.shape[1])
    # ranks of its own draws, 0 to 100: their mean within 4.5 standard errors of 100 even ones
    assert float(ranks.float().mean()) == pytest.approx(50, abs=4.5 * 29.2 / 100**0.5)


def test_what_the_density_is_not_of_is_refused(posterior: ParcelPosterior) -> None:
    with pytest.raises(InputError, match="activity of parcels"):
        posterior.log_prob(posterior.sample(2))
    with pytest.raises(InputError, match="n must be at least 1"):
        posterior.parcel_moments(0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_losses_have_finite_gradients(two: Parcels, estimator: str) -> None:
    network, obs = moved(estimator, two), observation()
    forward = ParcelForward.on(FieldForward.of(obs.leadfield, LEVEL), two)
    values = torch.from_numpy(obs.values).float()
    scene = forward.field.scene(
        torch.stack([values] * 3), TemporalGroups.of(obs.time_basis.projector)
    )
    generator = torch.Generator().manual_seed(7)
    field = torch.randn(forward.field.n_sources, *scene.size.shape, generator=generator)
    field[:, 2] = 0  # nothing is active
    functions = torch.from_numpy(obs.time_basis.functions).float()
    case = Case(FieldCaseInputs(forward.field, scene, LEVEL), FieldTruth(field, functions), seed=3)
    nll, no_event = make_losses(recipe().losses).values()
    question = Question(case, network)
    each, nothing = nll(question), no_event(question)
    assert each.shape == (2 * scene.size.shape[1],)
    torch.testing.assert_close(nll(Question(case, network)), each)
    assert nothing.shape == (3,)
    (each.mean() + nothing.mean()).backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert sum(float(grad.abs().sum()) for grad in grads) > 0


def test_a_scene_of_one_course_has_one(two: Parcels) -> None:
    obs = observation()
    forward = ParcelForward.on(FieldForward.of(obs.leadfield, LEVEL), two)
    values = torch.from_numpy(obs.values).float()[None, :, :1]
    scene = forward.field.scene(values, TemporalGroups.of(np.ones((1, 1))))
    belief = moved("nsf", two).belief(scene, forward)
    assert belief.gaussian.lower.shape == (1, 1, 2, 2)
