"""The baselines against MNE on the recording itself, the Gaussian posterior, and their theorems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import mne
import numpy as np
import pytest

from bayesesi.benchmark.baselines import (
    LAMBDA2_GRID,
    METHODS,
    LinearInverse,
    Method,
    best_lambda,
    estimate,
    peak_errors,
    power_map,
    prepare,
    snr_lambda2,
)
from bayesesi.benchmark.metrics import peak_error
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior import gaussian_posterior
from tests.oracle.recordings import recorded


@pytest.fixture(scope="module")
def obs() -> Observation:
    return recorded(0.0)[3]


@pytest.fixture(scope="module")
def inverse(obs: Observation) -> LinearInverse:
    return prepare(obs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0])
def test_equals_mne_on_the_recording(method: Method, loose: float) -> None:
    """To 1e-6 of the largest, without depth weighting: MNE takes it from unwhitened channels.

    eLORETA to 1e-4: its weights are iterated until they change by less than 1e-6.
    """
    evoked, forward, cov, obs = recorded(loose)
    inverse = mne.minimum_norm.make_inverse_operator(
        evoked.info, forward, cov, loose=loose, depth=None, use_cps=False, verbose="error"
    )
    theirs = mne.minimum_norm.apply_inverse(evoked, inverse, 1 / 9, method, verbose="error").data
    ours = estimate(obs, method, 1 / 9, prepare(obs, depth=None))
    tolerance = 1e-4 if method == "eLORETA" else 1e-6
    assert np.abs(np.abs(ours) - np.abs(theirs)).max() < tolerance * np.abs(theirs).max()
    assert (ours >= 0).all() == (loose > 0)


@pytest.mark.parametrize("lambda2", [1.0, 1 / 9, 1e-3])
@pytest.mark.parametrize(("loose", "depth"), [(0.0, None), (0.2, None), (1.0, None), (0.0, 0.8)])
def test_minimum_norm_is_the_gaussian_posteriors_mean(
    lambda2: float, loose: float, depth: float | None
) -> None:
    """To 1e-6 of the largest, in every axis of the head.

    With depth weighting for fixed sources only: of three axes MNE takes the largest singular
    value, the posterior the norm.
    """
    obs = recorded(loose)[3]
    unit = gaussian_posterior(obs, "depth" if depth else "identity", scale=1.0)
    assert unit.shape.sd.max() < 6 * unit.shape.sd.min()  # no weight reaches either bound
    scale = np.sqrt(obs.n_eff / (lambda2 * (unit.seen**2).sum()))
    mean = gaussian_posterior(obs, unit.shape.name, scale).mean()
    ours = prepare(obs, depth).kernel("MNE", lambda2) @ obs.values
    assert ours.shape == mean.shape
    assert np.abs(ours - mean).max() < 1e-6 * np.abs(mean).max()


@pytest.mark.parametrize("method", ["sLORETA", "eLORETA"])
@pytest.mark.parametrize("lambda2", [1.0, 1 / 9, 1e-2])
def test_point_sources_without_noise_are_found(
    obs: Observation, inverse: LinearInverse, method: Method, lambda2: float
) -> None:
    """Zero peak error for every one of 1,284 (Pascual-Marqui 2007); minimum norm and dSPM miss."""
    where, n = obs.source_space.positions, obs.source_space.n_sources
    maps = np.abs(inverse.kernel(method, lambda2) @ obs.leadfield)
    assert np.array_equal(maps.argmax(axis=0), np.arange(n))
    assert peak_error(maps[:, 77], where, where[77]) == 0
    for other in ("MNE", "dSPM"):
        maps = np.abs(inverse.kernel(other, lambda2) @ obs.leadfield)
        assert (maps.argmax(axis=0) != np.arange(n)).mean() > 0.5


def test_dspm_is_the_minimum_norm_over_what_noise_makes_of_it(
    obs: Observation, inverse: LinearInverse
) -> None:
    """Rows of unit length: pure noise has variance 1 at every source."""
    dspm, mne_ = inverse.kernel("dSPM", 0.1), inverse.kernel("MNE", 0.1)
    assert np.allclose(np.linalg.norm(dspm, axis=1), 1)
    assert np.allclose(dspm, mne_ / np.linalg.norm(mne_, axis=1, keepdims=True))


def test_sloreta_is_the_minimum_norm_over_the_spread_of_data(
    obs: Observation, inverse: LinearInverse
) -> None:
    """Data of the covariance that the method assumes have the same variance at every source."""
    kernel = inverse.kernel("sLORETA", 0.1)
    sd = gaussian_posterior(obs, "depth", scale=1.0).shape.sd
    seen = obs.leadfield * sd
    power = (seen**2).sum() / obs.n_eff
    covariance = np.eye(obs.n_eff) + seen @ seen.T / (power * 0.1)
    variance = np.einsum("sc,cd,sd->s", kernel, covariance, kernel)
    assert np.allclose(variance, variance[0], rtol=1e-6)


@pytest.mark.parametrize("loose", [0.0, 0.2])
def test_power_is_summed_over_axes_and_samples(loose: float) -> None:
    """Also where the time functions are not orthonormal."""
    obs = recorded(loose)[3]
    mixed = obs.time_basis.functions @ np.tril(np.ones((20, 20)))
    obs = replace(obs, time_basis=replace(obs.time_basis, functions=mixed))
    moments = prepare(obs).kernel("dSPM", 0.1) @ obs.values
    course = moments @ mixed.T
    want = (course.reshape(len(course), -1) ** 2).sum(axis=1)
    assert np.allclose(power_map(obs, "dSPM", 0.1), want)


def cases(obs: Observation, n: int, snr: float) -> Iterator[tuple[Observation, np.ndarray]]:
    for seed in range(n):
        rng = np.random.default_rng((5, seed))
        source = rng.integers(obs.source_space.n_sources)
        topography = obs.leadfield[:, [source]]
        signal = snr * topography / np.sqrt((topography**2).mean())
        values = signal + rng.standard_normal((obs.n_eff, 1))
        basis = replace(obs.time_basis, functions=np.ones((1, 1)))
        yield (
            replace(obs, values=values, time_basis=basis),
            obs.source_space.positions[[source]],
        )


def test_the_best_lambda_is_the_grids_minimum(obs: Observation) -> None:
    errors = peak_errors(cases(obs, 20, 2.0), "MNE")
    assert errors.shape == (20, len(LAMBDA2_GRID))
    best = best_lambda(cases(obs, 20, 2.0), "MNE")
    assert errors.mean(axis=0)[LAMBDA2_GRID.index(best)] == errors.mean(axis=0).min()
    exact = replace(obs, values=np.tile(obs.leadfield[:, [3]], 20))
    clean = [(exact, obs.source_space.positions[[3]])]
    assert best_lambda(clean, "sLORETA") == max(LAMBDA2_GRID)  # all are right: the smoothest


@pytest.mark.parametrize("snr", [1.0, 3.0, 10.0])
def test_the_rule_of_the_data_finds_the_snr(obs: Observation, snr: float) -> None:
    """Median of 50 within 15 % of 1 / SNR²; noise alone has little signal."""
    found = [snr_lambda2(case) for case, _ in cases(obs, 50, snr)]
    assert np.median(found) == pytest.approx(1 / snr**2, rel=0.15)
    quiet = [snr_lambda2(case) for case, _ in cases(obs, 50, 0.0)]
    assert np.median(quiet) > 5
    assert max(quiet) <= 20


def test_mistakes_get_a_sentence(obs: Observation, inverse: LinearInverse) -> None:
    with pytest.raises(InputError, match="method is one of MNE, dSPM, sLORETA, eLORETA"):
        estimate(obs, "LCMV", 0.1, inverse)  # type: ignore[arg-type]
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="positive ratio"):
            estimate(obs, "MNE", wrong, inverse)
    with pytest.raises(InputError, match="whitened components"):
        estimate(replace(obs, values=obs.values[:-1]), "MNE", 0.1, inverse)
    with pytest.raises(InputError, match="at least one"):
        best_lambda([])


@pytest.mark.slow
def test_mne_fits_a_dipole_where_it_is() -> None:
    """In the assumed head, hardly any noise: between its three shells and our four, millimetres."""
    from bayesesi.benchmark.dipole_fit import fit_dipole
    from tests.laws.test_dipole import PLACE, observation

    place, goodness = fit_dipole(observation(noise_uV=0.05))
    assert np.linalg.norm(place - PLACE) < 0.012
    assert goodness > 0.9
