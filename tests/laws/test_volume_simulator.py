"""Blobs of free dipoles in the volume: the protocol's norms, SNR and heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bayesesi.errors import InputError
from bayesesi.simulator import (
    VolumeCases,
    VolumeSimulator,
    read_simulator,
    read_volume_simulator,
)
from bayesesi.simulator.volume import UNIT


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> VolumeSimulator:
    """A coarse grid and coarse shells, one to three sources."""
    path = tmp_path_factory.mktemp("piu") / "coarse.toml"
    path.write_text(
        'schema = 1\nextend = "piu-61"\nname = "coarse"\nspacing_mm = 20.0\nn_vertices = 162\n'
        "n_sources = [1, 2, 3]\nsnr_db = { uniform = [0.0, 20.0] }\n"
    )
    return read_volume_simulator(path)


@pytest.fixture(scope="module")
def cases(simulator: VolumeSimulator) -> VolumeCases:
    return simulator.simulate(300, seed=1)


def test_a_single_blob_has_the_norm_of_its_amplitude(cases: VolumeCases) -> None:
    single = np.flatnonzero(cases.draws["count"] == 1)
    norm = np.linalg.norm(cases.fields[single].reshape(len(single), -1), axis=1)
    assert np.allclose(norm, UNIT * np.abs(cases.draws["amplitude"][single, 0]), rtol=1e-4)
    flat = cases.fields[single[0]]
    assert np.linalg.matrix_rank(flat / np.abs(flat).max(), tol=1e-4) == 1  # one orientation
    assert np.abs(flat).sum(axis=1).argmax() == cases.draws["centre"][single[0], 0]


def test_counts_and_amplitudes_are_as_declared(cases: VolumeCases) -> None:
    count = cases.draws["count"]
    assert set(count) == {1, 2, 3}
    assert ((cases.draws["amplitude"] != 0).sum(axis=1) == count).all()
    assert cases.draws["extent_mm"].min() >= 5
    assert cases.draws["extent_mm"].max() <= 40


def test_volts_are_those_of_the_true_head_and_its_noise(
    simulator: VolumeSimulator, cases: VolumeCases
) -> None:
    """Residuals over their sd: mean square over 300 x 61 numbers within 4.5 standard errors of 1.

    The twin with the assumed head fails.
    """
    for leadfield, fits in ((simulator.true_leadfield, True), (simulator.forward.leadfield, False)):
        event = np.tensordot(cases.fields, leadfield, axes=([1, 2], [1, 2]))
        z = (cases.volts - event) / cases.noise_sd[:, None]
        freedom = 300 * 60  # the average reference takes one of each case
        off = abs((z**2).sum() / freedom - 1) / np.sqrt(2 / freedom)
        assert (off < 4.5) == fits
        assert z.shape == (300, 61)


def test_cases_go_through_the_door(cases: VolumeCases) -> None:
    obs = cases.observation(7)
    assert obs.leadfield.shape == (60, cases.forward.n_sources, 3)
    assert obs.values.shape == (60, 1)


def test_case_k_is_the_same_for_any_start(simulator: VolumeSimulator, cases: VolumeCases) -> None:
    part = simulator.simulate(50, seed=1, start=250)
    assert np.array_equal(part.volts, cases.volts[250:])
    assert np.array_equal(part.fields, cases.fields[250:])


def test_families_are_not_mixed_up(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="read_volume_simulator"):
        read_simulator("piu-61")
    with pytest.raises(InputError, match="not of family 'volume-frame'"):
        read_volume_simulator("erp")


def test_the_command_line_writes_cases_and_a_page(tmp_path: Path) -> None:
    from safetensors.numpy import load_file
    from typer.testing import CliRunner

    from bayesesi.cli import app

    (tmp_path / "coarse.toml").write_text(
        'schema = 1\nextend = "piu-61"\nname = "coarse"\nspacing_mm = 20.0\nn_vertices = 162\n'
    )
    out = tmp_path / "out"
    run = CliRunner().invoke(
        app, ["simulate", str(tmp_path / "coarse.toml"), "-n", "5", "-o", str(out)]
    )
    assert run.exit_code == 0, run.output
    arrays = load_file(out / "cases.safetensors")
    assert arrays["volts"].shape == (5, 61)
    assert (out / "page.png").stat().st_size > 30_000


@pytest.mark.slow
def test_the_protocol_of_61_electrodes_runs() -> None:
    """Two direct solutions of three shells of 642 vertices, the first time."""
    cases = read_volume_simulator("piu-61").simulate(256, seed=0)
    assert cases.volts.shape == (256, 61)
    assert 3000 < cases.forward.n_sources < 6000
    assert cases.observation(0).n_eff == 60
