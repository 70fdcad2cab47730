"""Fields by denoising: what is closed form is so, whatever the network says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from bayesesi.estimator.field import _N_GATES as N_GATES
from bayesesi.estimator.field import (
    FieldCaseInputs,
    FieldDenoiser,
    MeanField,
    SourceGaussian,
    conditioned,
    minimum_norm,
)
from bayesesi.estimator.vector_field import field_estimator
from bayesesi.features import FieldForward, FieldInputs, TemporalGroups
from bayesesi.features.field import template_smoothing
from bayesesi.loss import Case, FieldCase, FieldTruth, Question
from bayesesi.loss.base import make_losses
from bayesesi.loss.denoising import DenoisingLoss
from bayesesi.posterior.diffusion import draw_fields
from bayesesi.posterior.diffusion import posterior as of_draws
from bayesesi.registry import families, spec_of
from bayesesi.spec import TransformerSpec
from bayesesi.spec.loss import DenoisingSpec
from tests.flow.small import LEVEL, observation

SIZES = TransformerSpec(ico=LEVEL, width=16, source_width=8, n_blocks=1, n_attention_heads=2)
#: Cases, and courses of time.
B, Q = 3, 3


@pytest.fixture(scope="module")
def forward() -> FieldForward:
    return FieldForward.of(observation().leadfield, LEVEL)


@pytest.fixture(scope="module")
def scene(forward: FieldForward) -> FieldInputs:
    obs = observation()
    values = torch.from_numpy(obs.values).float()
    cases = torch.stack([values, 2 * values, values.flip(1)])
    return forward.scene(cases, TemporalGroups.of(obs.time_basis.projector))


@pytest.fixture(scope="module")
def moved() -> FieldDenoiser:
    """A network with weights at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = FieldDenoiser(SIZES)
        for parameter in made.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture(scope="module")
def noisy(forward: FieldForward, scene: FieldInputs) -> tuple[Tensor, Tensor, Tensor]:
    """x_t and its alpha and sigma."""
    generator = torch.Generator().manual_seed(1)
    shape = (forward.n_sources, B, scene.values.shape[2])
    x = torch.randn(shape, generator=generator)
    return x, torch.tensor([0.0, 0.4, 0.9]), torch.tensor([1.0, 0.6, 0.1])


def exact(
    forward: FieldForward,
    scene: FieldInputs,
    belief: SourceGaussian,
    x: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    k: int,
    q: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(S,) mean and (S, S) covariance of course q of case k by its precision, all written out."""
    a = forward.operator.rows.double().numpy()
    noise = float(belief.inflation[k, q] * scene.noise[k, q])
    d = belief.variance[:, k, q].double().numpy()
    precision = a.T @ a / noise + np.diag(1 / d + float(alpha[k] / sigma[k]) ** 2)
    right = a.T @ scene.values[:, k, q].double().numpy() / noise
    right += belief.mean[:, k, q].double().numpy() / d
    right += float(alpha[k] / sigma[k] ** 2) * x[:, k, q].double().numpy()
    covariance = np.linalg.inv(precision)
    return covariance @ right, covariance


def test_the_data_are_kept_but_for_their_length(forward: FieldForward, scene: FieldInputs) -> None:
    obs, one = observation(), scene.pick(slice(1))
    largest = np.linalg.svd(obs.values, compute_uv=False)[:Q]
    found = (one.values[:, 0] * one.size[0]).norm(dim=0)
    np.testing.assert_allclose(found, largest, rtol=1e-3)
    generator = torch.Generator().manual_seed(0)
    moments = 1e-8 * torch.randn(forward.n_sources, 1, obs.n_functions, generator=generator)
    x = forward.standardised(moments, one)
    along = moments[:, 0].double().numpy() @ one.turn[0].double().numpy()
    turned = (
        forward.operator.turn.double().numpy()
        @ obs.leadfield
        @ along
        / one.size[0].double().numpy()
    )
    np.testing.assert_allclose(
        forward.operator.A(x)[:, 0], turned, atol=1e-4 * np.abs(turned).max()
    )
    back = forward.moments(x, one)[:, 0].double().numpy()
    np.testing.assert_allclose(back, along @ one.turn[0].T.double().numpy(), atol=1e-13)


def test_rows_are_orthogonal_and_smoothing_keeps_a_constant(forward: FieldForward) -> None:
    gram = forward.operator.rows @ forward.operator.rows.T
    torch.testing.assert_close(gram.diag(), forward.power, rtol=1e-3, atol=1e-3)
    assert (gram - gram.diag().diag()).abs().max() < 1e-3 * float(forward.power.max())
    for kernel, left in zip(template_smoothing(LEVEL), forward.left, strict=True):
        np.testing.assert_allclose(kernel.sum(axis=1), 1.0, rtol=1e-12)
        assert 0 < left <= 1


def test_a_scene_comes_back_from_its_flat_form(scene: FieldInputs) -> None:
    again = FieldInputs.of_flat(scene.flat(), scene)
    for name in ("values", "size", "turn", "features", "context"):
        torch.testing.assert_close(getattr(again, name), getattr(scene, name), rtol=0, atol=0)


def test_untrained_it_is_the_minimum_norm(
    forward: FieldForward, scene: FieldInputs, noisy: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, alpha, sigma = noisy
    with torch.no_grad():
        found = FieldDenoiser(SIZES)(x, alpha, sigma, scene, forward)
        ridge = minimum_norm(x, alpha, sigma, scene, forward)
    flat = SourceGaussian(torch.zeros_like(x), torch.ones_like(x), torch.ones(B, Q))
    for k, q in product(range(B), range(Q)):
        mean, _ = exact(forward, scene, flat, x, alpha, sigma, k, q)
        np.testing.assert_allclose(found[:, k, q], mean, atol=2e-4)
        np.testing.assert_allclose(ridge[:, k, q], mean, atol=2e-4)


@pytest.fixture(scope="module")
def belief(forward: FieldForward, noisy: tuple[Tensor, Tensor, Tensor]) -> SourceGaussian:
    generator = torch.Generator().manual_seed(2)
    x = noisy[0]
    return SourceGaussian(
        0.5 * torch.randn(x.shape, generator=generator),
        torch.randn(x.shape, generator=generator).exp(),
        torch.randn((B, Q), generator=generator).exp(),
    )


def test_conditioning_is_that_of_a_gaussian(
    forward: FieldForward,
    scene: FieldInputs,
    belief: SourceGaussian,
    noisy: tuple[Tensor, Tensor, Tensor],
) -> None:
    found = conditioned(belief, *noisy, scene, forward)
    for k, q in product(range(B), range(Q)):
        mean, _ = exact(forward, scene, belief, *noisy, k, q)
        np.testing.assert_allclose(found[:, k, q], mean, atol=5e-4)


def test_a_turn_in_time_turns_the_answer(moved: FieldDenoiser, forward: FieldForward) -> None:
    """Where functions of time are alike, as white noise has them; and a sign is one of turns."""
    obs = observation()
    r = obs.n_functions
    window = TemporalGroups(torch.eye(r), torch.zeros(r, dtype=torch.long), torch.ones(1), 1.0)
    turn = torch.linalg.qr(torch.randn(r, r, generator=torch.Generator().manual_seed(4)))[0]
    values = torch.from_numpy(obs.values).float()[None]
    with torch.no_grad():
        scenes = [forward.scene(v, window) for v in (values, values @ turn, -values)]
        means = [forward.moments(moved.mean(s, forward)[0], s) for s in scenes]
    largest = float(means[0].abs().max())
    torch.testing.assert_close(means[1], means[0] @ turn, atol=1e-3 * largest, rtol=0)
    torch.testing.assert_close(means[2], -means[0], atol=1e-3 * largest, rtol=0)


def test_of_pure_noise_nothing_is_seen(
    moved: FieldDenoiser,
    forward: FieldForward,
    scene: FieldInputs,
    noisy: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, _, _ = noisy
    zero, one = torch.zeros(B), torch.ones(B)
    with torch.no_grad():
        first = moved(x, zero, one, scene, forward)
        torch.testing.assert_close(moved(3 - x, zero, one, scene, forward), first)
        third = moved(x, zero + 0.5, one / 2, scene, forward)
    assert (third - first).abs().max() > 0.1


def test_draws_of_a_gaussian_are_those_of_its_posterior(
    forward: FieldForward, scene: FieldInputs
) -> None:
    """Of 6 directions over 1,600 numbers: means within 4.5 standard errors (a false alarm in 1e-4),
    standard deviations within 10 %, to which the steps are exact, 4.5 of theirs are 8; twins: a
    prior of twice the variance, and noise that does not leave."""
    k, q = 1, 0
    many = scene.pick(torch.tensor([k]))
    zero, one = torch.zeros(forward.n_sources, B, Q), torch.ones(forward.n_sources, B, Q)
    flat = SourceGaussian(zero, one, torch.ones(B, Q))
    mean, covariance = exact(forward, scene, flat, zero, torch.zeros(B), torch.ones(B), k, q)
    directions = np.r_[np.eye(forward.n_sources)[:3], forward.operator.rows[:3].numpy() / 10]
    sd = np.sqrt(np.einsum("ds,st,dt->d", directions, covariance, directions))

    def off(net: FieldDenoiser) -> tuple[float, float]:
        drawn = draw_fields(net, many, forward, torch.Generator().manual_seed(5), 1600)
        along = directions @ (drawn[:, :, q].double().numpy() - mean[:, None])
        z = np.abs(along.mean(axis=1)) / sd * np.sqrt(along.shape[1])
        return float(z.max()), float(np.abs(along.std(axis=1) / sd - 1).max())

    right, wide = FieldDenoiser(SIZES).eval(), FieldDenoiser(SIZES).eval()
    z, spread = off(right)
    assert z < 4.5
    assert spread < 0.1
    wide.backbone.source_head[-1].bias.data[N_GATES] = np.log(2.0)
    assert off(wide)[1] > 0.1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_draws, "_less_noisy", lambda x, *_: x)
        assert off(right)[1] > 0.1


def test_the_same_seed_draws_the_same_field(
    moved: FieldDenoiser, forward: FieldForward, scene: FieldInputs
) -> None:
    first, again, other = (
        draw_fields(moved, scene, forward, torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    )
    assert first.shape == (forward.n_sources, B, scene.values.shape[2])
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (other - first).abs().max() > 1e-3


def test_sbi_sees_the_velocity_and_the_score_of_the_denoiser(
    moved: FieldDenoiser, forward: FieldForward, scene: FieldInputs
) -> None:
    x = torch.randn(B, forward.n_sources * Q, generator=torch.Generator().manual_seed(6))
    times = torch.tensor([0.2, 0.5, 0.8])

    def denoised(alpha: Tensor, sigma: Tensor) -> Tensor:
        field = x.unflatten(1, (-1, Q)).movedim(1, 0)
        return moved(field, alpha, sigma, scene, forward).movedim(0, 1).flatten(1)

    with torch.no_grad():
        flow = field_estimator(moved, forward, scene, "flow")
        clean, t = denoised(1 - times, times), times[:, None]
        velocity = flow.ode_fn(x, scene.flat(), times)
        torch.testing.assert_close(velocity, (x - clean) / t, atol=2e-3, rtol=1e-3)
        half = torch.tensor(0.5)
        same = denoised(half.expand(B), half.expand(B))
        of_flow = flow.score(x, scene.flat(), half)
        torch.testing.assert_close(of_flow, (0.5 * same - x) / 0.25, atol=2e-2, rtol=1e-2)
        score = field_estimator(moved, forward, scene, "score")
        sigma = score.std_fn(times)[:, 0]
        alpha = (1 - sigma**2).sqrt()
        expected = (alpha[:, None] * denoised(alpha, sigma) - x) / sigma[:, None] ** 2
        torch.testing.assert_close(
            score.score(x, scene.flat(), times), expected, atol=2e-2, rtol=1e-2
        )


@pytest.fixture(scope="module")
def case(forward: FieldForward, scene: FieldInputs) -> FieldCase:
    field = torch.randn(forward.n_sources, B, Q, generator=torch.Generator().manual_seed(7))
    field[:, 2] = 0  # nothing is active
    functions = torch.from_numpy(observation().time_basis.functions).float()
    return Case(FieldCaseInputs(forward, scene, LEVEL), FieldTruth(field, functions), seed=3)


@pytest.mark.parametrize("matching", ["flow", "score"])
def test_denoising_is_of_cases_with_an_event_and_its_gradients_are_finite(
    moved: FieldDenoiser, case: FieldCase, matching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moved, "matching", matching)
    loss = DenoisingLoss(DenoisingSpec())
    each = loss(Question(case, moved))
    assert each.shape == (2,)
    torch.testing.assert_close(loss(Question(case, moved)), each)
    moved.zero_grad()
    each.mean().backward()
    grads = [p.grad for p in moved.parameters() if p.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert sum(float(grad.abs().sum()) for grad in grads) > 0


def test_each_loss_of_the_mean_acts_and_reaches_no_draw(
    moved: FieldDenoiser, case: FieldCase
) -> None:
    fitting = [spec_of("loss", name) for name in families("loss")]
    specs = tuple(spec(weight=1.0) for spec in fitting if "diffusion" in spec.fits)
    losses = {n: loss for n, loss in make_losses(specs).items() if not loss.of_draws}
    assert len(losses) == 8
    question = Question(case, moved)
    for name, loss in losses.items():
        moved.zero_grad(set_to_none=True)
        each = loss(question)
        assert each.shape == ((3,) if name == "no-event" else (2,)), name
        each.mean().backward(retain_graph=True)
        head = moved.backbone.source_head[-1].weight.grad
        if name == "no-event":
            assert head is None
            continue
        assert head is not None
        assert torch.isfinite(head).all(), name
        assert head[: len(head) // 2].abs().max() == 0, name
        assert head[len(head) // 2 :].abs().max() > 0, name


def test_a_loss_of_no_weight_is_left_out() -> None:
    specs = tuple(spec_of("loss", name)(weight=0.0) for name in ("laplacian", "band-power"))
    assert list(make_losses((*specs, DenoisingSpec()))) == ["denoising"]


class _Known:
    """An estimator whose mean is given."""

    def __init__(self, mean: torch.Tensor) -> None:
        self.mean = mean

    def answer(self, inputs: FieldCaseInputs) -> MeanField:
        return MeanField(self.mean, torch.zeros(B))


def test_losses_are_least_where_they_should_be(case: FieldCase) -> None:
    """0 at what each asks for, above 0 elsewhere."""

    def loss(name: str, mean: torch.Tensor) -> float:
        (made,) = make_losses((spec_of("loss", name)(weight=1.0),)).values()
        return float(made(Question(case, _Known(mean))).mean())  # type: ignore[arg-type]

    truth = case.truth.field
    other = truth.roll(1, 0)
    for name in ("regression", "band-power"):
        assert loss(name, truth) < 1e-12, name
        assert loss(name, 2 * other) > 1e-6, name
    flat = torch.ones_like(truth)
    for name in ("laplacian", "total-variation"):
        assert loss(name, flat) == 0
        assert loss(name, truth) > 0
    assert loss("group-sparsity", truth) > loss("group-sparsity", truth / 2)
    assert loss("temporal-smoothness", truth) > 4 * loss("temporal-smoothness", truth / 4)
