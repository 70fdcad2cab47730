"""From a recipe to weights to a posterior: resumed after a kill, saved, read, refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import bayesesi
from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError
from bayesesi.model import AtomModel, read_weights, write_weights
from bayesesi.spec import AtomsSpec, MixtureShare, Recipe, SpecError, read_spec
from bayesesi.training import CaseStream
from bayesesi.training.cases.atoms import AtomCases
from tests.flow.small import TINY

RECIPE = """
schema = 1
name = "tiny"
description = "As small as can be."
family = "atoms"
prior = "focal"
extents = 1

[[mixture]]
simulator = "single-frame"

"""
RECIPE += TINY.replace("steps = 3", "steps = 6")

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its simulator lies beside it: weights must be of use where it does not."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE.replace('"single-frame"', '"mine.toml"'))
    mine = 'schema = 1\nextend = "single-frame"\nname = "mine"\n'
    path.with_name("mine.toml").write_text(mine)
    return path


@pytest.fixture(scope="module")
def run(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    bayesesi.train(recipe, folder, "cpu", workers=0, progress=False)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> AtomModel:
    loaded = bayesesi.load_model(run / "tiny.safetensors")
    assert isinstance(loaded, AtomModel)
    return loaded


def test_a_run_leaves_weights_curves_and_its_recipe(run: Path, model: AtomModel) -> None:
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert any((run / "curves").iterdir())
    spec = read_spec("focal")
    assert model.spec.resolved() == spec.resolved()
    assert model.recipe.name == model.name == "tiny"
    assert model.history["cases"] == 6 * 64
    assert model.prior_null == 0.1
    assert model.history["validation"]["held_out"] > 0


def test_a_run_that_had_ended_gives_its_weights_again(recipe: Path, tmp_path: Path) -> None:
    """The averaged ones, whether it ends now or had ended: checkpoints after every second step."""
    import bayesesi.training.loop as of

    before, of._SAVE = of._SAVE, 2
    try:
        first = bayesesi.train(recipe, tmp_path, "cpu", workers=0, progress=False)
    finally:
        of._SAVE = before
    again = bayesesi.train(recipe, tmp_path, "cpu", workers=0, progress=False)
    for name, value in again.network.state_dict().items():
        torch.testing.assert_close(value, first.network.state_dict()[name])
    assert again.history["validation"] == first.history["validation"]
    assert again.history["support"] == first.history["support"]


class _Named(AtomCases):
    """Of every block, the name of the simulator it is of."""

    def _simulator(self, share: MixtureShare) -> Any:
        return SimpleNamespace(block=lambda *_: [share.simulator])

    def microbatches(self, batch: Any, rng: np.random.Generator) -> Any:
        return [batch]


def test_a_simulator_gives_no_case_before_it_begins(tmp_path: Path) -> None:
    """256 steps are 64 blocks, of which 16 are drawn evenly: alike by chance once in 2^15."""
    late = RECIPE.replace(
        "[backbone]", '[[mixture]]\nsimulator = "frame-any-cap"\nbegins = 0.75\n\n[backbone]'
    ).replace("steps = 6", "steps = 256")
    path = tmp_path / "late.toml"
    path.write_text(late)
    spec = read_spec(path)
    assert isinstance(spec, Recipe)
    met = list(islice(CaseStream(_Named(spec)), 64))
    assert set(met[:48]) == {"single-frame"}
    assert set(met[48:]) == {"single-frame", "frame-any-cap"}
    path.write_text(late.replace('"single-frame"', '"single-frame"\nbegins = 0.5'))
    with pytest.raises(SpecError, match="no simulator starts at 0"):
        read_spec(path)


def test_cases_are_the_same_for_any_start(recipe: Path) -> None:
    spec = read_spec(recipe)
    assert isinstance(spec, Recipe)
    assert isinstance(spec.estimator, AtomsSpec)
    cases = AtomCases(spec)
    first = next(iter(CaseStream(cases, start=4)))
    again = AtomCases(spec).session(4)[0]
    features = (each.inputs.scan.features for each in (first, again))
    torch.testing.assert_close(*features, rtol=0, atol=0)
    assert torch.equal(first.truth.target, again.truth.target)
    assert not torch.equal(first.truth.target, cases.session(5)[0].truth.target)
    session = cases.session(4)
    assert sum(map(len, session)) == 64
    n_atoms = cases.atoms.n_centres * spec.estimator.extents
    for case in session:
        assert 0 <= int(case.truth.target.min()) <= int(case.truth.target.max()) <= n_atoms
        assert (case.inputs.given <= 2).all()


def test_what_should_come_next_is_the_truth_strongest_first(recipe: Path) -> None:
    """Places within a cell of the coarse cortex; strengths as the sensors would see them."""
    spec = read_spec(recipe)
    assert isinstance(spec, Recipe)
    cases = AtomCases(spec)
    batch = cases._simulator(spec.mixture[0]).block(1, spec.seed, "train")[0]
    events = cases._events(batch, batch.leadfield)
    coarse = template_source_space(4).positions[cases.atoms.centres]
    fine = template_source_space(5).positions
    several = 0
    for k, event in enumerate(events):
        truth = batch.truth(k)
        assert (event >= 0).sum() == truth.count
        if not truth.count:
            continue
        places = coarse[event[: truth.count] % cases.atoms.n_centres]
        apart = np.linalg.norm(places[:, None] - fine[truth.centres], axis=2)
        assert apart.min(axis=1).max() < 0.008
        slots = batch.courses.shape[1]
        rows = batch.patterns_at(4)[k * slots : (k + 1) * slots]
        volts = (rows @ batch.leadfield.T)[apart.argmin(axis=1)]
        course = batch.courses[k][apart.argmin(axis=1)]
        size = np.linalg.norm(volts, axis=1) * np.linalg.norm(course, axis=1)
        assert (np.diff(size) <= 1e-12 * size.max()).all()
        several += truth.count > 1
    assert several > 5


def test_weights_on_other_inputs_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run / "tiny.safetensors"
    _, about = read_weights(path)
    assert about["constants"]["scan.DISCREPANCY"] == 0.25
    monkeypatch.setattr("bayesesi.features.scan.DISCREPANCY", 0.5)
    with pytest.raises(InputError, match=r"scan\.DISCREPANCY was 0\.25 and is 0\.5"):
        bayesesi.load_model(path)


def test_the_same_posterior_comes_back_from_the_file(model: AtomModel, tmp_path: Path) -> None:
    obs = bayesesi.read_simulator("single-frame", group_size=1).simulate(1, 3).observation(0)
    post = model.posterior(obs)
    again = bayesesi.load_model(model.write(tmp_path / "again.safetensors")).posterior(obs)
    assert (post.sample(20) == again.sample(20)).all()
    result = bayesesi.infer(obs, model, draws=50)
    assert result.about["model"]["name"] == "tiny"
    assert result.about["checks"]["outside"] == []
    long = bayesesi.read_simulator("event-any-cap", group_size=1).simulate(1, 3).observation(0)
    assert "functions of time" in model.posterior(long).outside


KILLED = """
import os, signal, sys
import bayesesi.training.loop as of
from bayesesi.training import module
from bayesesi.training.loop import fit
from bayesesi.spec import read_spec
of._SAVE, of._N_HELD, of._N_SEEN = 2, 1, 2
step = module.LearnedModule.training_step
def killed(self, *arguments):
    if self.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)
module.LearnedModule.training_step = killed
recipe = read_spec(sys.argv[1])
fit(recipe, read_spec(recipe.prior), sys.argv[2], "cpu", workers=0, progress=False)
"""


def test_a_killed_run_goes_on_to_the_same_weights(recipe: Path, run: Path, tmp_path: Path) -> None:
    """kill -9 in the fourth step, checkpoints after every second; then the same command again."""
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(recipe), str(folder)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    last = folder / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    model = bayesesi.train(recipe, folder, "cpu", workers=0, progress=False)
    whole = read_weights(run / "tiny.safetensors")[0]
    for name, value in model.network.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-6)


def test_a_folder_of_another_recipe_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "tiny.toml"
    other.write_text(RECIPE.replace("warm_up = 1", "warm_up = 2"))
    with pytest.raises(InputError, match="the run in this folder uses recipe"):
        bayesesi.train(other, run, "cpu", workers=0, progress=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps = 6", "steps = 0"), "optimiser.steps = 0"),
        (("n_heads = 1", "n_heads = 3"), "must divide the width, 8"),
        (('"single-frame"', '"focal"'), "is not a simulator"),
        (('prior = "focal"', 'prior = "distributed"'), "is not of the family patch"),
        (('prior = "focal"', 'prior = "nobody"'), "no spec 'nobody'"),
    ],
)
def test_a_recipe_with_a_mistake_is_one_sentence(
    change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.replace(*change))
    with pytest.raises((InputError, SpecError), match=said):
        bayesesi.train(path, tmp_path / "run", "cpu", workers=0, progress=False)


def damaged(path: Path, how: str) -> Path:
    data = bytearray(path.read_bytes())
    tensors, about = read_weights(path)
    out = path.with_name(f"{how}.safetensors")
    if how == "truncated":
        out.write_bytes(data[: len(data) // 2])
    elif how == "changed":
        data[-3] ^= 0xFF
        out.write_bytes(data)
    elif how == "foreign":
        out.write_bytes(json.dumps({"a": 1}).encode())
    elif how == "older":
        from safetensors.torch import save_file

        save_file(tensors, out, {"schema": "0", "bayesesi": json.dumps(about)})
    elif how == "misfit":
        recipe = {**about["recipe"], "extents": 2}
        write_weights(out, tensors, {**about, "recipe": recipe})
    return out


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "holds no weights of bayesesi"),
        ("changed", "was changed: its numbers have the hash"),
        ("foreign", "holds no weights of bayesesi"),
        ("older", "has schema 0, this version reads 1"),
        ("misfit", "do not fit the recipe in its header"),
        ("absent", "no weights are at"),
    ],
)
def test_a_damaged_file_is_one_sentence(run: Path, how: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        bayesesi.load_model(damaged(run / "tiny.safetensors", how))
    assert "\n" not in str(caught.value)


def test_what_a_network_cannot_take_is_said(model: AtomModel, run: Path) -> None:
    with pytest.raises(InputError, match="keeps the prior it was trained with"):
        bayesesi.load_model(run / "tiny.safetensors", prior="spike")
    with pytest.raises(InputError, match="no such model 'atomz'"):
        bayesesi.load_model("atomz")
