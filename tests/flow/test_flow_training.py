"""A recipe of parcels, from training to a posterior of the same weights read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bayesesi
from bayesesi.errors import InputError
from bayesesi.model import FlowModel, read_weights, write_weights
from bayesesi.observation import Observation
from tests.flow.small import TINY

RECIPE = """
schema = 1
name = "tiny-parcels"
description = "As small as can be."
family = "flow"
prior = "focal-or-distributed"
parcels = 70
estimator = "{estimator}"
hidden = 8
transforms = 1
context = 4

[[mixture]]
simulator = "single-frame"

"""
RECIPE += TINY

pytestmark = pytest.mark.usefixtures("few_held_out")


def trained(folder: Path, estimator: str) -> FlowModel:
    path = folder / "tiny-parcels.toml"
    path.write_text(RECIPE.format(estimator=estimator))
    made = bayesesi.train(path, folder / "run", "cpu", workers=0, progress=False)
    assert isinstance(made, FlowModel)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flow")


@pytest.fixture(scope="module")
def model(folder: Path) -> FlowModel:
    return trained(folder, "nsf")


@pytest.fixture(scope="module")
def obs() -> Observation:
    return bayesesi.read_simulator("single-frame").simulate(4, 1, "validate").observation(1)


def test_the_file_gives_the_same_posterior(
    folder: Path, model: FlowModel, obs: Observation
) -> None:
    again = bayesesi.load_model(folder / "run" / "tiny-parcels.safetensors")
    assert isinstance(again, FlowModel)
    first, second = model.posterior(obs), again.posterior(obs)
    np.testing.assert_array_equal(first.parcels.label, second.parcels.label)
    activity = first.parcel_moments(30, seed=2)
    assert activity.shape == (30, first.parcels.n_parcels, obs.n_functions)
    np.testing.assert_array_equal(activity, second.parcel_moments(30, seed=2))
    loud = activity[np.abs(activity).max(axis=(1, 2)) > 0]
    np.testing.assert_array_equal(first.log_prob(loud), second.log_prob(loud))
    assert np.isfinite(first.log_prob(loud)).all()
    fields = first.sample(3, seed=2)
    assert fields.shape == (3, obs.source_space.n_sources, obs.n_functions)
    np.testing.assert_array_equal(fields, second.sample(3, seed=2))


def test_a_run_is_repeated_to_the_same_weights(model: FlowModel, tmp_path: Path) -> None:
    other = trained(tmp_path, "nsf")
    for name, value in model.network.state_dict().items():
        np.testing.assert_array_equal(value, other.network.state_dict()[name])


def test_it_answers_where_and_how_sure(model: FlowModel, obs: Observation) -> None:
    result = bayesesi.infer(obs, model, draws=40)
    assert len(result.inference_data["posterior"]["silent"].values[0]) == 40
    assert result.about["model"]["details"]["parcels"] == len(model.network.parcels)


@pytest.mark.parametrize("estimator", ["zuko_nsf", "zuko_maf", "maf"])
def test_estimators_of_zuko_and_of_nflows_are_learned_as_well(
    tmp_path: Path, obs: Observation, estimator: str
) -> None:
    post = trained(tmp_path, estimator).posterior(obs)
    assert np.isfinite(post.log_prob(post.parcel_moments(50, seed=1)[:1] + 1e-12)).all()


def test_weights_without_their_parcels_are_refused(folder: Path, model: FlowModel) -> None:
    tensors, about = read_weights(folder / "run" / "tiny-parcels.safetensors")
    about.pop("tensors")
    kept = {name: value for name, value in tensors.items() if name != "labels"}
    broken = write_weights(folder / "broken.safetensors", kept, about)
    with pytest.raises(InputError, match="do not fit the recipe"):
        bayesesi.load_model(broken)
