"""A recipe of fields, from training to a posterior of the same weights read again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bayesesi
from bayesesi.errors import InputError
from bayesesi.model import FieldModel, read_weights, write_weights
from bayesesi.observation import Observation
from tests.flow.small import TINY

RECIPE = """
schema = 1
name = "tiny-field"
description = "As small as can be."
family = "diffusion"
prior = "focal-or-distributed"
matching = "{matching}"

[[mixture]]
simulator = "single-frame"

[losses]
forward = 0.1
laplacian = 0.1

"""
RECIPE += TINY

pytestmark = pytest.mark.usefixtures("few_held_out")


def trained(folder: Path, matching: str, steps: int | None = None) -> FieldModel:
    path = folder / "tiny-field.toml"
    path.write_text(RECIPE.format(matching=matching))
    made = bayesesi.train(path, folder / "run", "cpu", steps, workers=0, progress=False)
    assert isinstance(made, FieldModel)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("field")


@pytest.fixture(scope="module")
def model(folder: Path) -> FieldModel:
    return trained(folder, "flow")


@pytest.fixture(scope="module")
def obs() -> Observation:
    return bayesesi.read_simulator("single-frame").simulate(4, 1, "validate").observation(1)


def test_the_file_gives_the_same_posterior(folder: Path, model: FieldModel, obs: object) -> None:
    assert isinstance(obs, Observation)
    again = bayesesi.load_model(folder / "run" / "tiny-field.safetensors")
    assert isinstance(again, FieldModel)
    assert again.prior_null == pytest.approx(0.1)
    first, second = model.posterior(obs), again.posterior(obs)
    draws = first.sample(3, seed=2)
    assert draws.shape == (3, obs.source_space.n_sources, obs.n_functions)
    np.testing.assert_array_equal(draws, second.sample(3, seed=2))
    assert np.abs(draws - second.sample(3, seed=3)).max() > 0
    np.testing.assert_array_equal(first.mean(), second.mean())
    assert (first.sd() >= 0).all()
    assert 0 < first.null_probability < 1
    assert first.outside == second.outside
    with pytest.raises(InputError, match="no density"):
        first.log_prob(draws)


def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(
    folder: Path, model: FieldModel, tmp_path: Path
) -> None:
    """Times and noise follow from the cases, so that a second run repeats the first."""
    other = trained(tmp_path, "flow")
    for name, value in model.network.state_dict().items():
        np.testing.assert_array_equal(value, other.network.state_dict()[name])


@pytest.mark.slow
def test_processes_of_torchrun_share_the_cases(tmp_path: Path, model: FieldModel) -> None:
    """Two of them see twice as many as one, and leave one file."""
    recipe = tmp_path / "tiny-field.toml"
    recipe.write_text(RECIPE.format(matching="flow").replace("steps = 3", "steps = 2"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += [str(Path(sys.executable).with_name("bayesesi")), "train", str(recipe)]
    command += ["-o", str(tmp_path / "run"), "--device", "cpu", "--workers", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("written") == 1
    shared = bayesesi.load_model(tmp_path / "run" / "tiny-field.safetensors")
    assert isinstance(shared, FieldModel)
    assert model.history["cases"] == 3 * 64
    assert shared.history["cases"] == 2 * 2 * 64


def test_scores_are_learned_as_well(tmp_path: Path, obs: object) -> None:
    assert isinstance(obs, Observation)
    model = trained(tmp_path, "score", steps=2)
    assert model.recipe.estimator.model_dump()["matching"] == "score"
    assert np.isfinite(model.posterior(obs).sample(2)).all()


def test_weights_of_another_family_are_refused(folder: Path, model: FieldModel) -> None:
    path = folder / "run" / "tiny-field.safetensors"
    tensors, about = read_weights(path)
    about.pop("tensors")
    foreign = write_weights(folder / "foreign.safetensors", tensors, {**about, "family": "magic"})
    with pytest.raises(InputError, match="family 'magic'"):
        bayesesi.load_model(foreign)
    atoms = write_weights(folder / "atoms.safetensors", tensors, {**about, "family": "atoms"})
    with pytest.raises(InputError, match="do not fit the recipe"):
        bayesesi.load_model(atoms)


def test_an_answer_scales_with_its_recording(model: FieldModel, obs: object) -> None:
    """Twice the lead field, half the moments: what is said of the sensors does not change."""
    assert isinstance(obs, Observation)
    louder = replace(obs, leadfield=2 * obs.leadfield)
    first, second = model.posterior(obs), model.posterior(louder)
    np.testing.assert_allclose(2 * second.mean(), first.mean(), rtol=1e-3, atol=1e-13)
    assert second.null_probability == pytest.approx(first.null_probability, abs=1e-4)


def test_the_shipped_network_tells_an_event_from_noise() -> None:
    """Of 24 held-out cases."""
    shipped = bayesesi.load_model("cortex")
    simulation = bayesesi.read_simulator("single-frame").simulate(24, 5, "validate")
    nothing, silent = [], []
    for k in range(24):
        nothing.append(shipped.posterior(simulation.observation(k)).null_probability)
        silent.append(simulation.truth(k).count == 0)
    nothing_of = np.array(nothing)
    assert nothing_of[np.array(silent)].mean() > 3 * nothing_of[~np.array(silent)].mean()
