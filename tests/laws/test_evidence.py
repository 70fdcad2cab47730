"""Evidence between beliefs: clear cases come out as they are; what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bayesesi
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior import PRIORS, compare_priors
from bayesesi.simulator import Simulation


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return bayesesi.read_simulator("frame-any-field", 4).simulate(64, 3, "validate")


def clear(simulation: Simulation, component: int) -> Observation:
    """The first case of one source of a kind, well above the noise."""
    for k in range(len(simulation)):
        truth = simulation.truth(k)
        kind = int(truth.latents["component"])
        if truth.count == 1 and kind == component and 10 < truth.snr_db < 22:
            return simulation.observation(k)
    raise AssertionError("no such case")


def test_a_patch_is_told_from_a_field_and_both_from_noise(simulation: Simulation) -> None:
    patch, field = (compare_priors(clear(simulation, kind)) for kind in (0, 1))
    assert patch.best == "focal"
    assert patch.log_evidence["focal"] > 5
    gap = [e.log_evidence["distributed"] - e.log_evidence["focal"] for e in (patch, field)]
    assert gap[1] > gap[0]
    silent = next(k for k in range(len(simulation)) if simulation.truth(k).count == 0)
    nothing = compare_priors(simulation.observation(silent))
    assert nothing.log_evidence["focal"] < 3
    assert nothing.probability["nothing"] > 0.1


def test_probabilities_follow_from_evidence_and_prior(simulation: Simulation) -> None:
    obs = clear(simulation, 1)
    even = compare_priors(obs)
    before = {"focal": 0.2, "distributed": 0.1, "nothing": 0.7}
    found = compare_priors(obs, before)
    joint = np.array([np.log(before[name]) + even.log_evidence[name] for name in PRIORS])
    expected = np.exp(joint - np.logaddexp.reduce(joint))
    np.testing.assert_allclose([found.probability[n] for n in PRIORS], expected, atol=1e-9)
    assert sum(even.probability.values()) == pytest.approx(1.0)
    assert even.error >= 0
    assert set(even.to_dict()) == {"log_evidence", "error", "probability"}
    assert compare_priors(obs).log_evidence == even.log_evidence


def test_what_cannot_be_asked_is_refused(simulation: Simulation) -> None:
    obs = simulation.observation(0)
    with pytest.raises(InputError, match="focal, distributed, nothing"):
        compare_priors(obs, {"focal": 1.0})
    own = replace(obs, forward=replace(obs.forward, banked=None))
    with pytest.raises(InputError, match="not from the bank"):
        compare_priors(own)
