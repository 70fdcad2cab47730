"""Simulations as FIF files: another tool reads the same numbers, and the truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from bayesesi import observe, read_noise_cov, read_recording, read_simulator, template_forward
from bayesesi.errors import InputError
from bayesesi.simulator import Simulation, to_epochs, to_raw, write_fif


@pytest.fixture(scope="module")
def spikes() -> Simulation:
    return read_simulator("spike-64").simulate(3, seed=6)


@pytest.fixture(scope="module")
def seizures() -> Simulation:
    return read_simulator("ictal-75").simulate(3, seed=6)


def test_an_exported_average_observes_as_the_simulation(spikes: Simulation, tmp_path: Path) -> None:
    """FIF, read back, on the template by its own positions: values to single precision."""
    folder = write_fif(spikes, tmp_path / "out")
    stem = folder / "sub-000001" / "eeg" / "sub-000001_task-spike64"
    evoked = read_recording(f"{stem}_ave.fif")
    noise = read_noise_cov(f"{stem}_cov.fif")
    batch = spikes.batches[0]
    own = spikes.observation(1)
    again = observe(
        evoked,
        batch.session.forward,
        noise,
        autocorrelation=np.asarray(batch.session.noise.autocorrelation),
    )
    assert evoked.nave == 30
    assert tuple(evoked.info["bads"]) == batch.session.bads
    assert (evoked.info["highpass"], evoked.info["lowpass"]) == pytest.approx((0.5, 70.0))
    assert np.allclose(again.values, own.values, atol=1e-3 * np.abs(own.values).max())
    template = template_forward(evoked.info)
    assert template.sensors is not None
    assert batch.session.forward.sensors is not None
    away = template.sensors.positions - batch.session.forward.sensors.positions
    assert np.linalg.norm(away, axis=1).max() < 0.004


def test_the_truth_lies_beside(spikes: Simulation, tmp_path: Path) -> None:
    folder = write_fif(spikes, tmp_path / "out")
    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    assert list(table["participant_id"]) == ["sub-000000", "sub-000001", "sub-000002"]
    for k in range(3):
        stem = folder / f"sub-00000{k}" / "eeg" / f"sub-00000{k}_task-spike64"
        truth = json.loads(Path(f"{stem}_truth.json").read_text())
        assert tuple(truth["active"]) == spikes.truth(k).active
        assert truth["count"] == table["n_sources"][k]
        stc = mne.read_source_estimate(f"{stem}_truth")
        assert np.allclose(stc.data, spikes.field(k), atol=1e-6 * np.abs(spikes.field(k)).max())
    about = json.loads((folder / "dataset_description.json").read_text())
    assert about["Simulator"]["name"] == "spike-64"


def test_single_trials_are_raw_or_epochs(seizures: Simulation, tmp_path: Path) -> None:
    raw = to_raw(seizures.batches[0], 2)
    assert np.allclose(raw.get_data(), seizures.batches[0].volts[2])
    epochs = to_epochs(seizures.batches[0])
    assert len(epochs) == 3
    assert epochs.metadata["active"][0] == ";".join(seizures.truth(0).active)
    folder = write_fif(seizures, tmp_path / "out", "epochs")
    path = folder / "sub-000000" / "eeg" / "sub-000000_task-ictal75_epo.fif"
    read = mne.read_epochs(path, verbose="error")
    assert np.allclose(read.get_data(), epochs.get_data(), atol=1e-10)
    write_fif(seizures, tmp_path / "raw", "raw")


def test_averages_are_no_raw(spikes: Simulation, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="averages of 30 trials"):
        write_fif(spikes, tmp_path / "out", "raw")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="exported as evoked, raw, epochs, not 'set'"):
        write_fif(spikes, tmp_path / "out", "set")  # type: ignore[arg-type]
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        write_fif(spikes, tmp_path)
