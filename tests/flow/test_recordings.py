"""Real recordings through the door: quiet before the stimulus, a response after it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from bayesesi import read_noise_cov, read_recording, template_forward
from bayesesi.benchmark.recordings import seizure
from bayesesi.forward import ForwardOperator
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation, observe

Array = NDArray[np.float64]

pytestmark = pytest.mark.shared

BANK = Path(__file__).resolve().parents[2] / "bayesesi" / "assets" / "template-bank.safetensors"
needs_bank = pytest.mark.skipif(
    not BANK.is_file(), reason="the template's lead field bank is not built; make assets"
)
CONDITIONS = ["Left visual", "Right visual"]


def visual(shared_data: Path, condition: str) -> tuple[mne.Evoked, NoiseCovariance]:
    folder = shared_data / "visual_evoked"
    evoked = read_recording(folder / "visual-ave.fif", condition)
    assert isinstance(evoked, mne.Evoked)
    return evoked, read_noise_cov(folder / "sample-cov.fif")


def chi2(obs: Observation) -> float:
    return float((obs.values**2).mean())


@needs_bank
@pytest.mark.parametrize("condition", CONDITIONS)
def test_eeg_on_the_template(shared_data: Path, condition: str) -> None:
    """Before the stimulus chi-square is .96 to 1.16, at 80 to 120 ms 3 and more, of six trials.

    60 channels × 9 functions before: 5 % (1 s.d.) if noise were known exactly.
    """
    evoked, cov = visual(shared_data, condition)
    forward = template_forward(evoked.info)
    options: dict[str, Any] = dict(baseline=(None, 0))
    quiet = observe(evoked, forward, cov, tmin=-0.1, tmax=0, **options)
    whole = observe(evoked, forward, cov, tmin=-0.2, tmax=0, **options)
    loud = observe(evoked, forward, cov, tmin=0.08, tmax=0.12, **options)
    assert quiet.provenance["autocorrelation"] == "before time 0"
    assert quiet.n_eff == 59
    assert 0.8 < chi2(quiet) < 1.3
    assert 0.8 < chi2(whole) < 1.3
    assert chi2(loud) > 2.5
    assert loud.snr_db > quiet.snr_db + 3
    assert quiet.sensors.origin == "measured"
    assert quiet.forward.banked is not None
    assert quiet.leadfield.shape == (59, quiet.source_space.n_sources)
    assert loud.provenance["nave"] == 6
    assert 59 < loud.provenance["noise_dof"] < 2904


@needs_bank
def test_a_standing_offset_is_noticed(shared_data: Path) -> None:
    evoked, cov = visual(shared_data, CONDITIONS[0])
    forward = template_forward(evoked.info)
    windows: list[dict[str, Any]] = [dict(tmin=0.08, tmax=0.12), {}]
    for window in windows:
        with pytest.raises(ValueError, match=r"stand off zero by \d+ times.*baseline=\(None, 0\)"):
            observe(evoked, forward, cov, **window)


@pytest.fixture(scope="module")
def own_forward(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ForwardOperator:
    """EEG and MEG of the subject's own head: three shells of 162 vertices, 511 free sources."""
    folder, subjects = shared_data / "sample_subject", tmp_path_factory.mktemp("subjects")
    bem = subjects / "sample" / "bem"
    bem.mkdir(parents=True)
    for shell in ("inner_skull", "outer_skull", "outer_skin"):
        shutil.copy(folder / f"{shell}.surf", bem)
    src = mne.read_source_spaces(folder / "sample-small-src.fif.gz", verbose="error")
    for side in src:  # the file's positions are 1000 times too small
        side["rr"] *= 1000
    model = mne.make_bem_model("sample", ico=2, subjects_dir=subjects, verbose="error")
    forward = mne.make_forward_solution(
        mne.io.read_info(shared_data / "visual_evoked" / "visual-ave.fif", verbose="error"),
        mne.read_trans(folder / "sample-trans.fif"),
        src,
        mne.make_bem_solution(model, solver="mne", verbose="error"),
        verbose="error",
    )
    return ForwardOperator.from_mne(forward)


#: rank: of 60 EEG channels less a reference, of 102 magnetometers less 3 projectors.
RANKS = {"eeg": 59, "mag": 99, "grad": 204}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("kinds", [("eeg",), ("mag",), ("grad",), ("eeg", "mag", "grad")])
def test_eeg_and_meg_of_the_own_head(
    shared_data: Path, own_forward: ForwardOperator, kinds: tuple[str, ...], condition: str
) -> None:
    """Chi-square before: 1.03 to 1.16 of each kind alone, 1.3 to 1.4 of 362 dimensions together.

    Those come from a covariance of 2,904 samples, few of them independent. After: 1.7 to 3.9.
    """
    evoked, cov = visual(shared_data, condition)
    assert own_forward.sensors is not None
    pairs = zip(own_forward.ch_names, own_forward.sensors.kinds, strict=True)
    forward = own_forward.pick([n for n, k in pairs if k in kinds])
    options: dict[str, Any] = dict(baseline=(None, 0))
    quiet = observe(evoked, forward, cov, tmin=-0.1, tmax=0, **options)
    loud = observe(evoked, forward, cov, tmin=0.08, tmax=0.12, **options)
    assert quiet.n_eff == sum(RANKS[kind] for kind in kinds)
    assert set(quiet.sensors.kinds) == set(kinds)
    assert quiet.leadfield.shape == (quiet.n_eff, 511, 3)
    assert 0.8 < chi2(quiet) < (1.3 if len(kinds) == 1 else 1.6)
    assert chi2(loud) > 1.35 * chi2(quiet)


@needs_bank
def test_a_seizure_in_an_unknown_unit(shared_data: Path) -> None:
    """75 channels of which MNE's montages know 72, an assumed covariance, no baseline."""
    raw = seizure(shared_data / "ictal_p2")
    assert {"Nz", "TP11", "TP12"} <= set(raw.ch_names)
    forward = template_forward(raw.info)
    assert forward.sensors is not None
    assert forward.sensors.origin == "measured"
    assert forward.provenance["electrode_to_scalp_mm"] < 5
    options: dict[str, Any] = dict(scale="unknown", tmin=1.0, tmax=2.0)
    obs = observe(raw, forward, "adhoc", **options)
    assert obs.n_eff == 74
    assert not obs.scale_known
    assert obs.provenance["noise_cov"] == "adhoc"
    assert obs.provenance["electrodes"] == "measured"
    assert obs.provenance["autocorrelation"] == "1/f from 1 to 30 Hz"
    assert 0.3 < chi2(obs) < 10
    array = observe(
        raw.get_data(verbose="error"),
        forward,
        "adhoc",
        ch_names=raw.ch_names,
        sfreq=500.0,
        **options,
    )
    np.testing.assert_allclose(array.whitener.matrix, obs.whitener.matrix, rtol=1e-9)
    with pytest.raises(ValueError, match=r"reach .* V, physiology stays below .* scale='unknown'"):
        observe(raw, forward, "adhoc")


@needs_bank
def test_a_seizure_on_nominal_electrodes(shared_data: Path) -> None:
    """By name alone: the three that no montage has are dropped, and the positions are nominal."""
    raw = seizure(shared_data / "ictal_p2")
    raw.drop_channels(["Nz", "TP11", "TP12"]).set_montage(None)
    obs = observe(raw, template_forward(raw.info), "adhoc", scale="unknown", tmin=1.0, tmax=2.0)
    assert obs.n_eff == 71
    assert obs.sensors.origin == "nominal"
    assert obs.provenance["electrodes"] == "nominal"
