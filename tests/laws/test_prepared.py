"""A prepared model answers as one that is not: the same numbers, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import bayesesi
from bayesesi import InputError
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from tests.golden import answers

#: Models of which the law is tested.
MODELS = ("atoms", "gaussian", pytest.param("dipole", marks=pytest.mark.slow))


def case() -> tuple[answers.Recorded, NoiseCovariance]:
    """One window, with noise whose course in time is known."""
    recorded = answers.recorded("moment")
    return recorded, replace(recorded.noise, autocorrelation=np.array([1.0, 0.4, 0.1]))


def numbers(posterior: Posterior) -> list[NDArray[np.float64]]:
    null = np.array([posterior.null_probability])
    return [posterior.obs.values, null, posterior.mean(), posterior.sample(20, 3)]


def same(one: Posterior, other: Posterior) -> bool:
    return all(np.array_equal(*pair) for pair in zip(numbers(one), numbers(other), strict=True))


def observed(name: str, values: NDArray[np.float64], noise: NoiseCovariance) -> Observation:
    recorded = case()[0]
    forward = bayesesi.load_model(name).oriented(recorded.forward)
    data = replace(recorded.data, values=values)
    return bayesesi.observe(data, forward, noise, **recorded.options)


@pytest.mark.parametrize("name", MODELS)
def test_a_prepared_model_answers_as_one_that_is_not(name: str) -> None:
    recorded, noise = case()
    model, plain = bayesesi.load_model(name), bayesesi.load_model(name)
    prepared = model.prepare(recorded.forward, noise, recorded.data, **recorded.options)
    first = recorded.data.values
    for values in (first, -0.7 * np.roll(first, 3, axis=0), first):
        expected = plain.posterior(observed(name, values, noise), 5)
        assert same(prepared.posterior(values, 5), expected)


def test_a_prepared_model_of_other_noise_answers_otherwise() -> None:
    """The twin: the noise of one channel is a little larger."""
    recorded, noise = case()
    matrix = noise.matrix.copy()
    matrix[0, 0] *= 1.01
    model = bayesesi.load_model("atoms")
    other = replace(noise, matrix=matrix)
    prepared = model.prepare(recorded.forward, other, recorded.data, **recorded.options)
    values = recorded.data.values
    assert not same(prepared.posterior(values), model.posterior(observed("atoms", values, noise)))


def test_what_does_not_depend_on_the_data_is_worked_out_once() -> None:
    recorded, noise = case()
    model = bayesesi.load_model("atoms")
    prepared = model.prepare(recorded.forward, noise, recorded.data, **recorded.options)
    one, other = (prepared.posterior(scale * recorded.data.values) for scale in (1.0, 0.5))
    assert one.obs.leadfield is other.obs.leadfield
    assert one.sight.forward is other.sight.forward  # type: ignore[attr-defined]


def test_noise_that_is_taken_from_each_recording_is_refused() -> None:
    recorded, noise = case()
    model = bayesesi.load_model("gaussian")
    with pytest.raises(InputError, match="use observe"):
        model.prepare(recorded.forward, "baseline", recorded.data)  # type: ignore[arg-type]
    unknown = replace(noise, autocorrelation=None)
    with pytest.raises(InputError, match="has no autocorrelation"):
        model.prepare(recorded.forward, unknown, recorded.data)
    prepared = model.prepare(recorded.forward, noise, recorded.data, **recorded.options)
    with pytest.raises(InputError, match="channels"):
        prepared.posterior(recorded.data.values[:-1])
