"""Neural masses as time courses of sources: shape, scale, independence, and what a spec refuses."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from bayesesi.dynamics import ACTIVITIES, integrate
from bayesesi.prior import block_generator
from bayesesi.simulator import read_simulator
from bayesesi.simulator.time_course import draw_courses
from bayesesi.spec.simulator import MASS_ACTIVITIES, NeuralMass

EVERY = [(model, activity) for model, names in MASS_ACTIVITIES.items() for activity in names]
TIMES = np.arange(-50, 200) / 250


def draw(seed: int = 0, n: int = 16, **keys: str) -> np.ndarray:
    spec = NeuralMass.model_validate({"family": "neural-mass", **keys})
    with block_generator("train", seed, 0):
        return draw_courses(spec, n, 2, TIMES)[0]


def test_the_spec_names_the_activities_that_there_are() -> None:
    assert {m: tuple(names) for m, names in ACTIVITIES.items()} == MASS_ACTIVITIES


@pytest.mark.parametrize(("model", "activity"), EVERY)
def test_courses_have_no_mean_and_a_largest_size_of_one(model: str, activity: str) -> None:
    courses = draw(model=model, activity=activity)
    assert courses.shape == (16, 2, len(TIMES))
    np.testing.assert_allclose(courses.mean(axis=2), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(courses).max(axis=2), 1)


def test_rhythms_of_different_sources_are_out_of_step() -> None:
    """128 pairs of one rhythm: correlations of uniform phases have mean 0 and sd 0.7 / √128.

    Four sd, a false alarm of 6e-5; the twin, masses that start together and are cut at one moment,
    lies far outside.
    """

    def mean_correlation(x: np.ndarray) -> float:
        unit = x - x.mean(axis=2, keepdims=True)
        unit /= np.linalg.norm(unit, axis=2, keepdims=True)
        return float((unit[:, 0] * unit[:, 1]).sum(axis=1).mean())

    bound = 4 * 0.71 / np.sqrt(128)
    assert abs(mean_correlation(draw(n=128, activity="ictal"))) < bound
    with block_generator("train", 0, 0):
        together = integrate(ACTIVITIES["wendling"]["ictal"], 128, 2, 1.0, 2000.0)
    assert mean_correlation(together.numpy()) > bound


def test_any_sampling_frequency_cuts_the_same_rhythm() -> None:
    """8 masses at 100, 256 and 2,500 Hz: the median peak over 4 s is at 4.5 Hz."""
    spec = NeuralMass(family="neural-mass", activity="spikes")
    for sfreq in (100.0, 256.0, 2500.0):
        with block_generator("train", 1, 0):
            courses, _ = draw_courses(spec, 8, 1, np.arange(int(4 * sfreq)) / sfreq)
        power = np.abs(np.fft.rfft(courses[:, 0], axis=1)) ** 2
        assert np.median(power.argmax(axis=1)) / 4 == pytest.approx(4.5, abs=0.26)


def test_an_activity_of_the_other_model_is_one_sentence() -> None:
    with pytest.raises(ValidationError, match="one of alpha, spikes"):
        NeuralMass(family="neural-mass", model="jansen-rit", activity="ictal")


def test_the_shipped_simulator_draws_its_discharges() -> None:
    simulator = read_simulator("spike-train-75")
    with block_generator("train", 0, 0):
        courses, sites = draw_courses(simulator.spec.time_course, 32, 1, simulator.times)
    crossings = (courses[..., 1:] > 0.5) & (courses[..., :-1] <= 0.5)
    assert 3 < crossings.sum(axis=2).mean() / 2 < 10
    assert sites["onset"].shape == (32, 1)
