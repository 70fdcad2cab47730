"""A recipe of dipoles, from training to a report of the same weights read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import bayesesi
from bayesesi.cli import app
from bayesesi.errors import InputError
from bayesesi.forward import template_forward
from bayesesi.model import DipoleModel
from bayesesi.observation import Observation, observe
from bayesesi.posterior.dipole import DipoleBelief
from bayesesi.report import make_report
from bayesesi.simulator import write_fif

RECIPE = """
schema = 1
name = "tiny-dipole"
description = "As small as can be."
family = "dipole"
prior = "volume-dipole"
estimator = "nsf"
hidden = 8
transforms = 1
components = 3

[[mixture]]
simulator = "frame-dipole"

[optimiser]
steps = 2
warm_up = 1
"""

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.fixture(autouse=True, scope="module")
def _few_heads() -> Iterator[None]:
    few = partial(DipoleBelief, n_heads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesesi.training.cases.dipole.DipoleBelief", few)
        patch.setattr("bayesesi.model.dipole.DipoleBelief", few)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dipole")


@pytest.fixture(scope="module")
def model(folder: Path, _few_heads: None) -> DipoleModel:
    path = folder / "tiny-dipole.toml"
    path.write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesesi.training.loop._N_HELD", 1)
        patch.setattr("bayesesi.training.loop._N_SEEN", 1)
        made = bayesesi.train(path, folder / "run", "cpu", workers=0, progress=False)
    assert isinstance(made, DipoleModel)
    last = made.network.count[-1]  # type: ignore[index]
    last.bias.data += torch.tensor([-9.0, 2.0, 0.0])  # so small a network believes in nothing
    made.write(folder / "run" / "tiny-dipole.safetensors")
    return made


@pytest.fixture(scope="module")
def obs(model: DipoleModel) -> Observation:
    """A case with a dipole, as a user would observe it, brought into the volume."""
    batch = bayesesi.read_simulator("frame-dipole", 1).simulate(8, 2, "validate").batches
    found = next(b for b in batch if b.draws["count"][0] == 1 and b.snr_db[0] > 10)
    session = found.session
    noise = session.noise
    scaled = type(noise)(noise.matrix * found.noise_scale[0] ** 2, noise.ch_names)
    forward = model.oriented(session.forward)
    return observe(session.recording(found.volts[0]), forward, scaled, bads=session.bads)


def test_the_file_gives_the_same_posterior(
    folder: Path, model: DipoleModel, obs: Observation
) -> None:
    again = bayesesi.load_model(folder / "run" / "tiny-dipole.safetensors")
    assert isinstance(again, DipoleModel)
    first, second = model.posterior(obs), again.posterior(obs)
    one, other = first.dipoles(20, 3), second.dipoles(20, 3)
    np.testing.assert_array_equal(one.place, other.place)
    np.testing.assert_array_equal(first.count_probability, second.count_probability)
    assert "volume" in model.oriented(template_forward(obs_info())).source_space.kind


def obs_info() -> object:
    import mne

    return mne.create_info(["Cz", "Pz", "Oz", "Fz", "C3", "C4", "T7", "T8"], 250.0, "eeg")


def test_infer_tells_of_dipoles_and_the_page_shows_them(
    model: DipoleModel, obs: Observation, tmp_path: Path
) -> None:
    result = bayesesi.infer(obs, model, draws=60)
    assert result.has_dipoles
    assert not result.has_regions
    table = result.dipole_table()
    assert {"x_mm", "nearest_region", "volume_cm3", "moment_nAm"} <= set(table.columns)
    assert (table.volume_cm3 > 0).all()
    again = bayesesi.read_result(result.save(tmp_path / "x-post.nc"))
    assert again.dipole_table().equals(table)
    assert json.loads(json.dumps(result.to_dict()))["dipoles"]["each"]
    html = make_report(again.with_truth((), np.array([0.0, 0.0, 0.05]))).html
    assert "Most probably" in html
    assert "ellipsoid" in html
    assert make_report(again).html == make_report(again).html
    with pytest.raises(InputError, match="no dipoles"):
        bayesesi.infer(obs, "gaussian", draws=20).dipole_table()


def test_localize_takes_a_file_of_dipoles(folder: Path, model: DipoleModel, tmp_path: Path) -> None:
    simulation = bayesesi.read_simulator("event-dipole").simulate(1, 3, "validate")
    written = write_fif(simulation, tmp_path / "fif", "evoked")
    data = next(p for p in sorted(Path(written).rglob("*_ave.fif")))
    cov = next(p for p in sorted(Path(written).rglob("*_cov.fif")))
    weights = folder / "run" / "tiny-dipole.safetensors"
    command = ["localize", str(data), "--noise-cov", str(cov), "--model", str(weights)]
    done = CliRunner().invoke(app, [*command, "--draws", "40", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_prior_that_holds_no_dipoles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(RECIPE.replace('prior = "volume-dipole"', 'prior = "focal"'))
    with pytest.raises(InputError, match="family volume-dipole"):
        bayesesi.train(path, tmp_path / "run", "cpu", workers=0, progress=False)
