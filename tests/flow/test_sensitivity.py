"""What would change an answer: re-runs that are what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from bayesesi import infer, load_model, observe, read_result, read_simulator
from bayesesi.anatomy import template_parcellation
from bayesesi.errors import InputError
from bayesesi.explain.perturbation import perturbations
from bayesesi.forward import Conductivities, HeadSetting, template_forward
from bayesesi.observation import Observation
from bayesesi.observation.observation import project
from bayesesi.report import make_report
from bayesesi.simulator import Batch


@pytest.fixture(scope="module")
def batch() -> Batch:
    simulation = read_simulator("frame-measured-cap", group_size=1).simulate(30, 5, "validate")
    loud = np.flatnonzero((simulation.snr_db > 12) & (simulation.active.sum(axis=1) == 1))
    return simulation.batches[int(loud[0])]


@pytest.fixture(scope="module")
def obs(batch: Batch) -> Observation:
    return batch.observation(0)


def test_leaving_nothing_out_leaves_all_as_it_is(obs: Observation) -> None:
    same = obs.without([])
    assert np.allclose(same.values, obs.values, atol=1e-6 * np.abs(obs.values).max())
    assert np.allclose(same.leadfield, obs.leadfield, rtol=1e-4, atol=1e-6 * obs.leadfield.max())


def test_leaving_channels_out_is_observing_without_them(batch: Batch, obs: Observation) -> None:
    """The power that a field has in the numbers, which does not hang on how they are turned."""
    out = list(obs.recording.ch_names[::5])
    noise = replace(
        batch.session.noise,
        matrix=batch.session.noise.matrix * float(batch.noise_scale[0]) ** 2,
    )
    recording = batch.session.recording(batch.volts[0])
    anew = observe(recording, batch.session.forward, noise, bads=[*batch.session.bads, *out])
    less = obs.without(out)
    assert less.n_eff == anew.n_eff == obs.n_eff - len(out)
    assert (less.values**2).sum() == pytest.approx((anew.values**2).sum(), rel=1e-6)
    gain = [np.linalg.norm(o.leadfield, axis=0) for o in (less, anew)]
    assert np.allclose(*gain, rtol=1e-4)
    assert set(out) <= set(less.recording.bads)


def test_another_head_is_another_forward_of_the_same_data(obs: Observation) -> None:
    thick = obs.in_head(HeadSetting(0, Conductivities(skull=0.005), 1.2))
    assert thick.values is obs.values
    assert np.linalg.norm(thick.leadfield) < np.linalg.norm(obs.leadfield)
    back = thick.in_head(HeadSetting())
    assert np.allclose(back.leadfield, obs.leadfield, rtol=1e-3, atol=1e-4 * obs.leadfield.max())
    own = replace(obs, forward=replace(obs.forward, banked=None))
    with pytest.raises(InputError, match="the user's own"):
        own.in_head(HeadSetting())


def test_a_result_holds_what_would_change_it(
    obs: Observation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    result = infer(obs, "atoms", draws=100, sensitivity=True)
    found = result.about["sensitivity"]
    assert [each["kind"] for each in found].count("channels") == 4
    assert [each["kind"] for each in found].count("head") == 3
    assert found[-1]["kind"] == "prior"
    for each in found:
        assert 0 <= each["of_first"] <= each["probability"] <= 1
    path = result.save(tmp_path_factory.mktemp("x") / "x-post.nc")
    assert read_result(path).to_dict()["sensitivity"] == found
    html = make_report(result).html
    assert "Sensitivity analysis" in html
    assert "a skull half as conductive" in html
    assert "Sensitivity analysis" not in make_report(infer(obs, "atoms", draws=100)).html


def test_few_channels_are_not_made_fewer(obs: Observation) -> None:
    few = obs.without(obs.recording.ch_names[12:])
    own = replace(few, forward=replace(few.forward, banked=None))
    gaussian = load_model("gaussian")
    kinds = [c.kind for c in perturbations(own, gaussian, gaussian.posterior(own))]
    assert kinds == ["prior"]


def epochs_of(n: int, field: bool, seed: int = 0) -> Observation:
    """n trials of 32 channels with white noise of 5 µV, with a source in the left precentral gyrus
    or without."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    forward = template_forward(info, ico=3)
    rng = np.random.default_rng(seed)
    volts = 5e-6 * rng.standard_normal((n, 32, 40))
    source = int(template_parcellation(3).sources_of("precentral-lh")[3])
    if field:
        volts += np.outer(forward.leadfield[:, source], 80e-9 * np.hanning(40))
    epochs = mne.EpochsArray(volts, info, tmin=0.0, verbose="error")
    covariance = mne.Covariance(
        25e-12 * np.eye(32), info.ch_names, [], [], nfree=10_000, verbose="error"
    )
    return observe(epochs, forward, covariance, autocorrelation="white")


def test_halves_of_the_trials_are_the_trials() -> None:
    whole = epochs_of(20, field=True)
    halves = whole.halves()
    assert [half.recording.nave for half in halves] == [10, 10]
    # in units of their own noise they are each weaker by the root of two
    mean = np.mean([half.values for half in halves], axis=0) * np.sqrt(2)
    assert np.allclose(mean, whole.values, atol=1e-6 * np.abs(whole.values).max())
    assert np.allclose(halves[0].leadfield * np.sqrt(2), whole.leadfield)
    assert epochs_of(3, field=True).halves() == ()


def test_noise_of_halves_is_counted_as_what_it_is() -> None:
    """2 x 930 numbers of pure noise: their mean square is 1 within .1 in all but 3 of 1,000 cases;
    a half whitened as if it were the whole has 2."""
    whole = epochs_of(20, field=False)
    for half in whole.halves():
        n = half.values.size
        assert abs((half.values**2).mean() - 1) < 3 * np.sqrt(2 / n)
    wrong = project(whole.halves()[0].recording.values, whole.whitener, whole.time_basis)
    assert abs((wrong**2).mean() - 1) > 0.5


def test_halves_of_the_trials_are_among_the_re_runs() -> None:
    obs = epochs_of(20, field=True)
    gaussian = load_model("gaussian")
    found = perturbations(obs, gaussian, gaussian.posterior(obs))
    trials = [each for each in found if each.kind == "trials"]
    assert [each.words for each in trials] == [
        "every second of 20 trials, starting with the first",
        "every second of 20 trials, starting with the second",
    ]


def test_the_rise_is_half_way_up_to_the_peak() -> None:
    """Of a Hann window of 40 samples: half of its height at sample 10, its peak at 19 or 20."""
    obs = epochs_of(400, field=True)
    assert obs.rise is not None
    onset, peak = obs.rise
    assert abs(onset - 10) <= 1
    assert abs(peak - 19.5) <= 1.5
    from_the_peak_on = replace(obs, values=obs.values @ _turned(obs, 19))
    assert from_the_peak_on.rise is None


def _turned(obs: Observation, samples: int) -> np.ndarray:
    """(R, R) that moves courses to earlier samples."""
    basis = obs.time_basis
    return np.asarray(np.roll(basis.functions, -samples, axis=0).T @ basis.projector)


def test_courses_and_places_on_the_rise_are_those_of_the_draws() -> None:
    """By hand, for a region and a draw."""
    obs = epochs_of(400, field=True)
    posterior = load_model("gaussian").posterior(obs)
    draws = posterior.sample(20, 3)
    summary = posterior.sum_up(draws)
    regions = posterior.parcellation
    k = regions.names.index("precentral-lh")
    by_hand = draws[7][regions.labels == k].sum(axis=0)
    assert np.allclose(summary.region_moment[7, k], by_hand)
    course = by_hand @ obs.time_basis.functions.T
    assert summary.region_peak[7, k] == pytest.approx(np.abs(course).max())
    assert obs.rise is not None
    for when, sample in enumerate(obs.rise):
        density = np.abs(draws[7] @ obs.time_basis.functions[sample]) / obs.source_space.areas
        assert summary.on_rise[7, when] == density.argmax()


def test_a_result_tells_onset_from_peak(tmp_path: Path) -> None:
    result = infer(epochs_of(400, field=True), "gaussian", draws=100)
    rise = result.about["rise"]
    assert rise["rise"]["time_s"] < rise["peak"]["time_s"]
    apart = rise["apart_mm"]
    assert apart["low"] <= apart["median"] <= apart["high"]
    courses = result.inference_data["courses"]
    assert (courses["low"] <= courses["median"]).all()
    assert (courses["median"] <= courses["high"]).all()
    assert "precentral-lh" in courses["region"].values
    assert read_result(result.save(tmp_path / "x-post.nc")).about["rise"] == rise
