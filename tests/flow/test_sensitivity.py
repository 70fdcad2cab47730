"""What would change an answer: re-runs that are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayesesi import infer, load_model, observe, read_result, read_simulator
from bayesesi.errors import InputError
from bayesesi.forward import Conductivities, HeadSetting
from bayesesi.observation import Observation
from bayesesi.report import make_report
from bayesesi.sensitivity import changes
from bayesesi.simulator import Batch


@pytest.fixture(scope="module")
def batch() -> Batch:
    simulation = read_simulator("frame-measured-cap", session=1).simulate(30, 5, "validate")
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
    assert "What would change the answer" in html
    assert "a skull half as conductive" in html
    assert "What would change the answer" not in make_report(infer(obs, "atoms", draws=100)).html


def test_few_channels_are_not_made_fewer(obs: Observation) -> None:
    few = obs.without(obs.recording.ch_names[12:])
    own = replace(few, forward=replace(few.forward, banked=None))
    gaussian = load_model("gaussian")
    kinds = [c.kind for c in changes(own, gaussian, gaussian.posterior(own))]
    assert kinds == ["prior"]
