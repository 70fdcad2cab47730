"""Laws of every registered family, over the lists of ``families``; each has a twin that fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from bayesesi.errors import InputError
from bayesesi.loss import Loss, Question
from bayesesi.loss.base import make_losses
from bayesesi.posterior import Posterior
from bayesesi.registry import families, implementation, spec_of
from bayesesi.spec import MODEL_FAMILIES
from tests.laws import families as of

KINDS = ("network", "estimator", "loss", "strategy")
EVERY = [(kind, name) for kind in KINDS for name in families(kind)]


def test_every_registered_family_is_in_the_lists() -> None:
    assert set(families("network")) == set(of.BACKBONES)
    assert set(families("estimator")) == set(of.ESTIMATORS)
    assert set(families("loss")) == set(of.LOSSES)
    assert set(of.POSTERIORS) | {"patches"} == set(MODEL_FAMILIES)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_family_has_a_frozen_spec_a_class_and_words(kind: str, name: str) -> None:
    spec = spec_of(kind, name)
    made = spec()
    assert made.name == name
    assert spec.__doc__
    assert implementation(spec).__doc__ or implementation(spec).__init__.__doc__
    with pytest.raises(ValidationError):
        made.family = "another"
    with pytest.raises(ValidationError, match="extra_forbidden"):
        spec(unknown=1)


def test_a_family_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match="did you mean 'transformer'"):
        spec_of("network", "transformr")


# Estimators


@pytest.mark.parametrize("name", of.ESTIMATORS)
def test_an_estimator_begins_alike_for_one_seed(name: str) -> None:
    recipe, prior = of.recipe(name), of.prior(name)
    make = implementation(recipe.estimator).of
    first, again = (make(recipe, prior).state_dict() for _ in range(2))
    other = make(recipe.model_copy(update={"seed": 1}), prior).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", of.ESTIMATORS)
def test_an_estimator_names_the_contexts_that_it_met(name: str) -> None:
    network: Any = of.network(name)
    found = network.contexts(of.case_of(name).inputs)
    assert found.ndim == 2
    assert found.shape[1] >= len(network.context_names)


# Losses


def loss_and_network(name: str) -> tuple[Loss, nn.Module]:
    (loss,) = make_losses((spec_of("loss", name)(weight=1.0),)).values()
    return loss, of.network(of.LOSSES[name])  # type: ignore[return-value]


@pytest.mark.parametrize("name", of.LOSSES)
def test_a_loss_is_a_finite_number_for_each_case(name: str) -> None:
    loss, network = loss_and_network(name)
    case = of.case_of(of.LOSSES[name])
    each = loss(Question(case, network))
    assert each.ndim == 1
    assert 0 < len(each) <= 3 * len(case)
    assert torch.isfinite(each).all()
    each.mean().backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert sum(float(grad.abs().sum()) for grad in grads) > 0


@pytest.mark.parametrize("name", of.LOSSES)
def test_a_loss_depends_on_the_case_and_its_seed_alone(name: str) -> None:
    loss, network = loss_and_network(name)
    case = of.case_of(of.LOSSES[name])
    with torch.random.fork_rng(devices=[]):
        first = loss(Question(case, network))
        torch.manual_seed(99)
        torch.testing.assert_close(loss(Question(case, network)), first, rtol=0, atol=0)


class _Careless(Loss):
    """The twin: noise from the global generator."""

    def forward(self, question: Question) -> Tensor:
        return torch.randn(len(question.case))


def test_a_loss_that_draws_from_the_global_generator_is_noticed() -> None:
    loss = _Careless(spec_of("loss", "regression")())
    question = Question(of.field_case(), of.network("diffusion"))
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(loss(question), loss(question))


# Posteriors


@pytest.fixture(scope="module", params=of.POSTERIORS)
def posterior(request: pytest.FixtureRequest) -> Posterior:
    return of.model(request.param).posterior(of.POSTERIORS[request.param](), 0)


N_DRAWS = 400


def largest_z(post: Posterior) -> float:
    """The largest of 20 fixed projections of the draws' mean less the mean, in standard errors."""
    draws = post.sample(N_DRAWS, 3).reshape(N_DRAWS, -1)
    ways = np.random.default_rng(0).standard_normal((20, draws.shape[1]))
    along = draws @ ways.T
    apart = along.mean(axis=0) - ways @ post.mean().ravel()
    return float(np.abs(apart / (along.std(axis=0) / N_DRAWS**0.5 + 1e-30)).max())


def test_draws_depend_on_the_seed_alone(posterior: Posterior) -> None:
    first, other = posterior.sample(3, 1), posterior.sample(3, 2)
    np.testing.assert_array_equal(posterior.sample(3, 1), first)
    assert not np.array_equal(first, other)


def test_draws_have_the_shape_of_the_mean_and_are_moments(posterior: Posterior) -> None:
    draws, mean, sd = posterior.sample(2, 0), posterior.mean(), posterior.sd()
    assert draws.shape[1:] == mean.shape == sd.shape
    assert (sd >= 0).all()
    assert np.isfinite(draws).all()
    largest = np.abs(mean).max()
    assert 1e-13 < largest < 1e-3  # A m: from a thousandth of a nAm to far too much


def test_shares_of_silent_draws_are_the_probability_of_nothing(posterior: Posterior) -> None:
    """n = 400: within 4 standard errors and 1 %; false alarm 1 in 10,000 a family."""
    draws = posterior.sample(N_DRAWS, 5).reshape(N_DRAWS, -1)
    share, p = float((np.abs(draws).max(axis=1) == 0).mean()), posterior.null_probability
    assert abs(share - p) <= 4 * (p * (1 - p) / N_DRAWS) ** 0.5 + 0.01


def test_the_mean_of_an_exact_posterior_is_that_of_its_draws() -> None:
    """n = 400 draws, 20 directions: within 4.5 standard errors; false alarm 1 in 7,000."""
    post = of.model("gaussian").posterior(of.POSTERIORS["gaussian"](), 0)
    assert largest_z(post) < 4.5


def test_draws_about_another_mean_are_noticed() -> None:
    """The twin: draws shifted by half of a standard deviation."""
    post = of.model("gaussian").posterior(of.POSTERIORS["gaussian"](), 0)

    class Shifted:
        def sample(self, n: int, seed: int) -> Any:
            return post.sample(n, seed) + 0.5 * post.sd()

        def mean(self) -> Any:
            return post.mean()

    assert largest_z(Shifted()) > 4.5  # type: ignore[arg-type]
