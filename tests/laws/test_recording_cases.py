"""Cases that one recording would show: noise, power and identity; and sets made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import bayesesi
from bayesesi.benchmark.region_scores import sloreta
from bayesesi.calibration import Mixture, run_trials, scores_of
from bayesesi.calibration.recording_card import calibrate_recording
from bayesesi.conformal import conformal_rank
from bayesesi.errors import InputError
from bayesesi.forward import template_bank
from bayesesi.observation import Observation
from bayesesi.simulator import read_simulator
from bayesesi.simulator.recording_cases import BAND_DB, RecordingCases, power_band

SPEC = read_simulator("frame-any-cap").spec


@pytest.fixture(scope="module")
def recordings() -> list[Observation]:
    """A loud and a faint one of other caps."""
    simulation = read_simulator("frame-any-cap", group_size=1).simulate(12, 5, "validate")
    return [simulation.observation(k) for k in (4, 2)]


def whitened(obs: Observation, n: int) -> NDArray[np.float64]:
    """(n, n_eff) noise alone."""
    cases = RecordingCases(obs, SPEC, events=False)
    blocks = [cases.block(block, 1, "validate", 256) for block in range(-(-n // 256))]
    values = [batch.observation(0).values[:, 0] for block in blocks for batch in block]
    return np.array(values[:n])


def test_bands_hold_every_power_once() -> None:
    for power in (-3.0, 0.0, 2.9, 3.0, 11.2, 40.0):
        low, high = power_band(power)
        assert low <= power < high
        assert high % BAND_DB == 0


@pytest.mark.parametrize("scale_known", [True, False])
def test_events_have_the_power_of_the_recording(
    recordings: list[Observation], scale_known: bool
) -> None:
    for obs in recordings:
        own = replace(obs, scale_known=scale_known)
        cases = RecordingCases(own, SPEC)
        low, high = cases.band
        assert low <= obs.snr_db < high
        for batch in cases.block(0, 1, "validate", 40):
            seen = batch.observation(0)
            assert low <= seen.snr_db < high
            assert seen.leadfield is own.leadfield
            assert seen.whitener is own.whitener
            assert batch.active.any()


def test_a_case_shows_its_truth(recordings: list[Observation]) -> None:
    """Through the assumed head, in 40 loud cases: a median correlation above .7, and below .3 with
    what another case shows."""
    batches = RecordingCases(recordings[0], SPEC).block(0, 1, "validate", 40)
    seen = np.array([batch.observation(0).values[:, 0] for batch in batches])
    told = np.array([recordings[0].leadfield @ batch.field(0)[:, 0] for batch in batches])
    found = np.corrcoef(seen, told)[:40, 40:]
    assert np.median(np.diag(found)) > 0.7
    assert np.median(np.diag(np.roll(found, 1, axis=1))) < 0.3


def test_noise_has_the_law_of_a_covariance_that_was_estimated(
    recordings: list[Observation],
) -> None:
    """|e|² / n_eff over 512 draws: mean 1 for a known covariance, nu / (nu - n - 1) for one of nu
    degrees of freedom, within 5 standard errors; the twin, of the other law, is off by more."""
    obs = recordings[0]
    for dof in (None, 4.0 * obs.n_eff):
        own = replace(obs, whitener=replace(obs.whitener, dof=dof))
        power = (whitened(own, 512) ** 2).mean(axis=1)
        error = power.std() / np.sqrt(len(power))
        freedom = 4.0 * obs.n_eff
        known, estimated = 1.0, freedom / (freedom - obs.n_eff - 1)
        right, wrong = (known, estimated) if dof is None else (estimated, known)
        assert abs(power.mean() - right) < 5 * error
        assert abs(power.mean() - wrong) > 5 * error


def test_cases_depend_on_cap_noise_and_power_alone(recordings: list[Observation]) -> None:
    obs = recordings[0]
    cases = RecordingCases(obs, SPEC)
    make, given = cases.__reduce__()  # what a worker process does
    again = make(*given)
    assert again == cases
    assert template_bank().__reduce__() == (template_bank, ())  # and not 90 MB
    louder = replace(obs, values=1.01 * obs.values)
    assert RecordingCases(louder, SPEC) == cases
    one, other = (own.block(0, 3, "validate", 3) for own in (cases, again))
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.volts, b.volts)
    others = (
        replace(obs, values=4 * obs.values),
        replace(obs, scale_known=False),
        replace(obs, whitener=replace(obs.whitener, dof=70.0)),
        recordings[1],
    )
    assert len({RecordingCases(each, SPEC).key for each in (obs, *others)}) == 5


def test_what_cannot_be_simulated_is_refused(recordings: list[Observation]) -> None:
    own = replace(recordings[0], forward=replace(recordings[0].forward, banked=None))
    with pytest.raises(InputError, match="heads that can be redrawn"):
        RecordingCases(own, SPEC)
    with pytest.raises(InputError, match="50 to 100,000 events, not '20'"):
        calibrate_recording(sloreta, recordings[0], 20)


def test_sets_hold_on_new_cases_of_the_recording(
    recordings: list[Observation], tmp_path: Path
) -> None:
    """150 events behind them, 120 new ones: p above 1e-3 by the exact law of a split's coverage;
    the twin, sets of level .7 taken for .9, has p below 1e-4."""
    obs = recordings[0]
    own = calibrate_recording(sloreta, obs, 150, folder=tmp_path)
    assert len(own.split) == 150
    assert [each["share"] for each in own.simulators] == [0.75, 0.25]
    mixture = Mixture((RecordingCases(obs, SPEC),), (1.0,))
    new = run_trials(sloreta, mixture, 120, 7, "bench")
    law = stats.betabinom(len(new), conformal_rank(150, 0.9), 151 - conformal_rank(150, 0.9))
    for level, passes in ((0.9, True), (0.7, False)):
        inside = own.split.rule(level, "every", own.cell).inside(scores_of(new))
        held = int((inside | ~new.active).all(axis=1).sum())
        p = 2 * min(law.cdf(held), law.sf(held - 1))
        assert p > 1e-3 if passes else p < 1e-4


def test_infer_makes_sets_of_the_recordings_own_cases(
    recordings: list[Observation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of unknown unit, of which the model's card says nothing."""
    monkeypatch.setenv("BAYESESI_CACHE", str(tmp_path / "cache"))
    obs, model = replace(recordings[0], scale_known=False), bayesesi.load_model("gaussian")
    assert bayesesi.infer(obs, model, draws=50).region_set is None
    result = bayesesi.infer(obs, model, draws=50, calibrate=50)
    found, about = result.region_set, result.about["calibration"]
    assert found is not None
    assert 40 <= found.n_conformal == about["own"]["n"] <= 50  # of 50, those that are given a map
    assert 0 < result.about["area_set"]["share_of_cortex"] < 1
    assert "this recording's cap, noise, window and power" in found.guarantee
    assert "unit" in about["why_not"]
    again = bayesesi.read_result(result.save(tmp_path / "x-post.nc"))
    assert again.region_set == found
    own = calibrate_recording(model, obs, 50)  # at once: its cases are kept
    assert own.shown == pytest.approx(len(own.split) / 50)
    assert bayesesi.infer(obs, model, draws=50, calibrate=own).region_set == found
    page = bayesesi.make_report(again, "short").html
    assert "These cases were simulated for this recording" in page
    with pytest.raises(InputError, match="of another cap, noise, window or power"):
        bayesesi.infer(recordings[1], model, draws=50, calibrate=own)
