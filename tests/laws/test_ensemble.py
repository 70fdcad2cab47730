"""Mixtures of posteriors: moments, shares, what members disagree in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bayesesi
from bayesesi.errors import InputError
from bayesesi.model import AtomModel, dropout_ensemble, ensemble
from bayesesi.posterior import gaussian_posterior
from bayesesi.posterior.ensemble import EnsemblePosterior, ensemble_posterior
from tests.flow.small import forward, observation


@pytest.fixture(scope="module")
def mixed() -> EnsemblePosterior:
    obs = observation()
    return ensemble_posterior([gaussian_posterior(obs, prior) for prior in ("identity", "smooth")])


def test_variances_add_up_as_those_of_the_draws(mixed: EnsemblePosterior) -> None:
    """4,000 draws: standard deviations of 324 x R numbers within 6 % in the mean square, 1 % of it
    by chance; members alone have less."""
    draws = mixed.sample(4000, seed=1)
    first, second = mixed.members
    np.testing.assert_allclose(mixed.mean(), (first.mean() + second.mean()) / 2)
    error = mixed.sd() / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - mixed.mean()) < 5 * error).all()
    assert np.mean(draws.var(axis=0) / mixed.sd() ** 2) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(mixed.sd() ** 2, mixed.aleatoric() ** 2 + mixed.epistemic() ** 2)
    np.testing.assert_allclose(mixed.epistemic(), np.abs(first.mean() - second.mean()) / 2)


def test_members_have_equal_shares_and_the_same_seed_the_same_draws(
    mixed: EnsemblePosterior,
) -> None:
    member = mixed.latents(101, seed=4)["member"]
    assert sorted(np.bincount(member)) == [50, 51]
    np.testing.assert_array_equal(mixed.sample(9, seed=2), mixed.sample(9, seed=2))
    assert np.abs(mixed.sample(9, seed=2) - mixed.sample(9, seed=3)).max() > 0
    apart = mixed.region_disagreement(300)
    alike = ensemble_posterior([mixed.members[0]] * 2).region_disagreement(300)
    assert alike.max() == 0 < apart.max() <= 0.5


def test_the_density_is_the_mean_of_densities(mixed: EnsemblePosterior) -> None:
    first = mixed.members[0]
    mixed = ensemble_posterior([first, gaussian_posterior(first.obs, "depth")])
    twice = ensemble_posterior([first, first])
    draws = first.sample(5, seed=0)
    np.testing.assert_allclose(twice.log_prob(draws), first.log_prob(draws))
    each = [member.log_prob(draws) for member in mixed.members]
    np.testing.assert_allclose(mixed.log_prob(draws), np.logaddexp(*each) - np.log(2))


def test_one_or_strangers_are_no_ensemble(mixed: EnsemblePosterior) -> None:
    with pytest.raises(InputError, match="two members or more"):
        ensemble_posterior([mixed.members[0]])
    other = gaussian_posterior(observation(seed=7))
    with pytest.raises(InputError, match="of the same observation"):
        ensemble_posterior([mixed.members[0], other])
    with pytest.raises(InputError, match="two members or more"):
        ensemble([bayesesi.load_model("gaussian")])


def test_models_are_joined_by_name() -> None:
    both = bayesesi.load_model("gaussian+patches")
    assert both.name == "gaussian+patches"
    file = Path(bayesesi.__file__).parent / "assets" / "atoms.safetensors"
    assert bayesesi.load_model(f"cortex+{file}").name == "cortex+atoms"
    with pytest.raises(InputError, match="no such model"):
        bayesesi.load_model("gaussian+magic")


def test_a_forward_is_turned_as_every_member_takes_it() -> None:
    """Free sources are fine for the first, patches lie along the normals."""
    free = forward("free")
    assert bayesesi.load_model("gaussian").oriented(free).orientation == "free"
    for name in ("gaussian+patches", "patches+gaussian"):
        assert bayesesi.load_model(name).oriented(free).orientation == "fixed"


def test_copies_of_a_network_without_some_of_its_numbers_differ() -> None:
    """And what they differ in grows with the share that is left out."""
    model = bayesesi.load_model("atoms")
    assert isinstance(model, AtomModel)
    obs = bayesesi.read_simulator("single-frame").simulate(2, 1, "validate").observation(1)
    apart = []
    for share in (0.02, 0.3):
        thinned = dropout_ensemble(model, 3, share, seed=1).posterior(obs)
        apart.append(float(thinned.region_disagreement(200).max()))
        whole, copy = model.network.state_dict(), thinned
        assert copy.null_probability >= 0
        assert all((whole[k] == v).all() for k, v in model.network.state_dict().items())
    assert 0 <= apart[0] <= apart[1]
    assert apart[1] > 0
    with pytest.raises(InputError, match="at most"):
        dropout_ensemble(model, 3, 0.9)
