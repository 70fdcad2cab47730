"""Priors and simulators as sbi takes them: the same numbers, flat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bayesesi
from bayesesi.errors import InputError
from bayesesi.prior import BLOCK, SbiPrior, SourcePrior
from tests.flow.small import observation

NAMES = ("focal", "cortical-dipole", "distributed", "focal-or-distributed")


def prior_of(name: str) -> SourcePrior:
    prior = bayesesi.read_prior(name)
    assert isinstance(prior, SourcePrior)
    return prior


@pytest.fixture(autouse=True)
def _torch_is_left_alone() -> object:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


@pytest.mark.parametrize("name", NAMES)
def test_flat_numbers_stand_for_the_same_events(name: str) -> None:
    prior = prior_of(name)
    door = prior.as_sbi_prior()
    theta = door.sample((12,))
    assert theta.shape == (12, *door.event_shape) == (12, len(door.names))
    draws = {k: v.numpy() for k, v in door.draws(theta).items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        direct = {k: v.numpy() for k, v in prior.pyro_program(12).items()}
    apart = prior.patterns(draws) - prior.patterns(direct)
    largest = abs(prior.patterns(direct)).max()
    assert abs(apart).max() <= 1e-5 * largest
    assert torch.isfinite(door.log_prob(theta)).all()


def test_the_density_is_that_of_the_spec() -> None:
    """By hand: nothing, or one dipole of 40 nA m at a place of the cortex."""
    prior = prior_of("cortical-dipole")
    door = prior.as_sbi_prior()
    theta = torch.zeros(2, len(door.names))
    column = {name: i for i, name in enumerate(door.names)}
    theta[1, column["count"]], theta[1, column["centre_0"]] = 1, 700
    theta[:, column["moment_nAm[0]"]] = theta[:, column["moment_nAm[1]"]] = 40.0
    found = door.log_prob(theta).double().numpy()
    assert found[0] == pytest.approx(np.log(0.1), abs=1e-5)
    size = bayesesi.prior.distribution_of(prior.spec.moment_nAm).log_prob(torch.tensor(40.0))  # type: ignore[attr-defined]
    weight = prior.weights[700]  # type: ignore[attr-defined]
    expected = np.log(0.9 * 0.8) + np.log(weight) + float(size) + np.log(0.5)
    assert found[1] == pytest.approx(expected, abs=1e-3)
    theta[1, column["count"]], theta[1, column["centre_1"]] = 2, 700  # nearer than 20 mm
    assert door.log_prob(theta)[1] == -torch.inf
    with pytest.raises(InputError, match="7 numbers, not 3"):
        door.log_prob(torch.zeros(1, 3))


def test_volts_are_those_of_the_event_in_noise() -> None:
    """Twice the moment, twice the event, over more than a block; without a seed all is drawn."""
    simulator = bayesesi.read_simulator("single-frame").as_sbi_simulator()
    theta = simulator.prior.sample((BLOCK + 3,))
    one = simulator(theta, seed=5)
    assert one.shape == (BLOCK + 3, 64)
    assert simulator.shape == (64, 1)
    torch.testing.assert_close(simulator(theta, seed=5), one)
    moments = [i for i, name in enumerate(simulator.prior.names) if name.startswith("moment_nAm")]
    double, none = theta.clone(), theta.clone()
    double[:, moments] *= 2
    none[:, moments] = 0
    two, nothing = simulator(double, seed=5), simulator(none, seed=5)
    torch.testing.assert_close(two - one, one - nothing, atol=1e-3, rtol=1e-3)
    active = theta[:, 0] > 0
    assert (one - nothing)[~active].abs().max() == 0
    assert ((one - nothing)[active].abs().amax(1) > 0).all()
    assert (simulator(theta) - one).abs().max() > 0.1


def test_recordings_of_many_montages_are_refused() -> None:
    with pytest.raises(InputError, match="differ in their channels"):
        bayesesi.read_simulator("frame-any-cap").as_sbi_simulator()


@pytest.mark.filterwarnings("ignore")
def test_sbi_trains_an_estimator_of_its_own() -> None:
    """Of the place and size of a dipole; it is the doors that are tried, not what it learns."""
    from sbi.inference import NPE
    from sbi.utils.user_input_checks import process_prior

    simulator = bayesesi.read_simulator("single-frame").as_sbi_simulator()
    prior, n_numbers, _ = process_prior(simulator.prior)
    assert n_numbers == len(simulator.prior.names)
    theta = prior.sample((200,))
    kept = [i for i, name in enumerate(simulator.prior.names) if name.startswith("moment_nAm")]
    trainer = NPE(prior=None, density_estimator="mdn", tracker=_Silent(), show_progress_bars=False)  # type: ignore[arg-type]
    trainer.append_simulations(theta[:, kept].log(), simulator(theta))
    trainer.train(max_num_epochs=1)
    x = simulator(theta[:1])
    drawn = trainer.build_posterior().sample((20,), x=x, show_progress_bars=False)
    assert drawn.shape == (20, len(kept))
    assert torch.isfinite(drawn).all()


class _Silent:
    """sbi's tracker of curves, which would write them beside the tests."""

    log_dir = None

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: None


def test_any_posterior_is_one_of_sbi() -> None:
    """A Gaussian one: its density, its draws, sbi's ranks; of another x it says nothing."""
    from sbi.diagnostics import run_sbc

    obs = observation()
    model = bayesesi.load_model("gaussian", prior="identity")
    door, post = model.as_sbi_posterior(obs), model.posterior(obs)
    theta = door.sample((7, 2), seed=4)
    draws = post.sample(14, seed=4)
    np.testing.assert_allclose(theta.reshape(14, -1), 1e9 * draws.reshape(14, -1), rtol=1e-5)
    flat = theta.reshape(14, -1)
    expected = post.log_prob(draws) - flat.shape[1] * np.log(1e9)
    np.testing.assert_allclose(door.log_prob(flat), expected, rtol=1e-3)
    some = torch.cat([door.default_x] * 100)
    truth = door.sample((100,))
    ranks, _ = run_sbc(truth, some, door, num_posterior_samples=100, show_progress_bar=False)
    assert ranks.shape == truth.shape
    assert float(ranks.float().mean()) == pytest.approx(50, abs=4.5 * 29.2 / 100**0.5)
    with pytest.raises(InputError, match="belongs to one observation"):
        door.sample((3,), x=2 * door.default_x)


def test_the_names_say_which_number_is_which() -> None:
    names = SbiPrior(prior_of("focal")).names
    assert len(set(names)) == len(names)
    assert {"count", "centre_0", "moment_nAm[2]"} <= set(names)
