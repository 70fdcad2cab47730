"""CaliBrain and SESAME against closed forms, and that they are shown and answer what is said.

`pip install 'bayesesi[rivals]'`, or --no-deps the two packages alone: the tests of solvers are
skipped without them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from bayesesi.anatomy import SourceSpace
from bayesesi.benchmark.rivals import (
    RIVALS,
    DipoleCloud,
    GaussianRival,
    bayesian_minimum_norm,
    sesame,
    sflex_gamma_map,
)
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from tests.oracle.recordings import recorded


def needs(package: str) -> pytest.MarkDecorator:
    absent = find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} of the extra 'rivals' is not installed")


def seen(loose: float, n: int = 300, source: int = 40, snr: float = 4.0) -> Observation:
    """A source in noise, of some 300 of the 1,284, in two functions of time."""
    whole = recorded(loose)[3]
    kept = np.linspace(0, 1283, n).astype(int)
    leadfield = whole.leadfield[:, kept]
    space = SourceSpace(whole.source_space.positions[kept])
    forward = replace(
        whole.forward, leadfield=whole.forward.leadfield[:, kept], source_space=space, loose=1.0
    )
    topography = leadfield[:, source].reshape(whole.n_eff, -1)[:, 0]
    course = np.array([1.0, -0.5])
    values = snr * np.outer(topography / np.sqrt((topography**2).mean()), course)
    values = values + np.random.default_rng(2).standard_normal(values.shape)
    basis = replace(whole.time_basis, functions=np.eye(2), projector=np.eye(2))
    return replace(whole, values=values, leadfield=leadfield, forward=forward, time_basis=basis)


def most_probable_variance(obs: Observation) -> float:
    """Of moments j ~ N(0, gamma I), A² m²."""
    flat = obs.leadfield.reshape(obs.n_eff, -1)
    power, vectors = np.linalg.eigh(flat @ flat.T)
    turned = ((vectors.T @ obs.values) ** 2).sum(axis=1)

    def misfit(log_gamma: float) -> float:
        variance = 1 + np.exp(log_gamma) * power
        return float((obs.n_functions * np.log(variance) + turned / variance).sum())

    centre = np.log(1 / power.max())
    grid = centre + np.linspace(-10, 10, 81)
    best = grid[int(np.argmin([misfit(x) for x in grid]))]
    found = minimize_scalar(
        misfit, bounds=(best - 1, best + 1), method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))


def test_draws_have_the_mean_and_the_sd_said() -> None:
    """n = 4,000 draws of 36 and 30 numbers, within 5 standard errors: false alarm 1 in 10,000."""
    rng, n = np.random.default_rng(0), 4000
    gauss = GaussianRival(rng.standard_normal((6, 3, 2)), rng.standard_normal((18, 7)))
    cloud = DipoleCloud(
        np.array([0.2, 0.5, 0.3]),
        (np.array([1]), np.array([1, 4]), np.zeros(0, int)),
        tuple(rng.standard_normal((k, 2)) for k in (3, 6, 0)),
        tuple(rng.standard_normal((k, k)) for k in (3, 6, 0)),
        (5, 3, 2),
    )
    for law in (gauss, cloud):
        draws = law.draws(n, seed=1)
        assert draws.shape == (n, *law.mean.shape)
        assert law.sd.shape == law.mean.shape
        assert (np.abs(draws.mean(axis=0) - law.mean) <= 5 * law.sd / np.sqrt(n)).all()
        assert np.allclose(draws.std(axis=0), law.sd, rtol=0.15)
        assert np.array_equal(draws, law.draws(n, seed=1))
    assert np.allclose(cloud.probability, [0, 0.7, 0, 0, 0.5])
    assert np.allclose(cloud.counts, [0.3, 0.2, 0.5])


@needs("calibrain")
@pytest.mark.parametrize("loose", [0.0, 1.0])
def test_bayesian_minimum_norm_is_the_posterior_of_the_most_probable_variance(loose: float) -> None:
    """Mean, sd and shapes, in A m and in head axes, to 1e-3 of the largest."""
    obs = seen(loose)
    found, gamma = bayesian_minimum_norm(obs), most_probable_variance(obs)
    flat = obs.leadfield.reshape(obs.n_eff, -1)
    gain = gamma * np.linalg.solve(gamma * flat @ flat.T + np.eye(obs.n_eff), flat).T
    mean = (gain @ obs.values).reshape(*obs.leadfield.shape[1:], 2)
    variance = gamma - gamma * np.einsum("fc,cf->f", gain, flat)
    assert found.mean.shape == found.sd.shape == mean.shape
    assert np.abs(found.mean - mean).max() < 1e-3 * np.abs(mean).max()
    assert np.allclose(found.sd[..., 0].ravel(), np.sqrt(variance), rtol=1e-3)
    released = bayesian_minimum_norm(obs, released=True)
    assert (released.sd > found.sd).all()  # 1.0.3 is not there


@needs("calibrain")
@pytest.mark.parametrize("loose", [0.0, 1.0])
def test_standardised_variances_are_the_most_probable_over_its_weights(loose: float) -> None:
    from calibrain.source_estimation import compute_W

    obs = seen(loose)
    flat = 1e-9 * obs.leadfield.reshape(obs.n_eff, -1)
    weights = compute_W(flat, 3 if loose else 1)
    gain = flat @ weights
    gamma = most_probable_variance(replace(obs, leadfield=gain))
    data = np.linalg.solve(gamma * gain @ gain.T + np.eye(obs.n_eff), obs.values)
    mean = (1e-9 * gamma * weights @ gain.T @ data).reshape(*obs.leadfield.shape[1:], 2)
    found = bayesian_minimum_norm(obs, standardised=True)
    assert np.abs(found.mean - mean).max() < 1e-3 * np.abs(mean).max()


@needs("calibrain")
@pytest.mark.parametrize("loose", [0.0, 1.0])
def test_sflex_is_gaussian_given_its_patches(loose: float) -> None:
    """Explains a source of SNR 4 about where it is; its covariance is that of few patches."""
    obs = seen(loose)
    found = sflex_gamma_map(obs)
    size = np.abs(found.mean).reshape(len(found.mean), -1).max(axis=1)
    where = obs.source_space.positions
    assert np.linalg.norm(where[size.argmax()] - where[40]) < 0.025
    flat = found.mean.reshape(-1, 2)
    left = obs.values - obs.leadfield.reshape(obs.n_eff, -1) @ flat
    assert (left**2).mean() < 0.2 * (obs.values**2).mean()
    assert 0 < found.factor.shape[1] < 60
    assert (found.sd >= 0).all()


@needs("calibrain")
def test_units_do_not_count_for_calibrain() -> None:
    """A leadfield in other units: the same moments in those."""
    obs = seen(0.0)
    other = replace(obs, leadfield=1e3 * obs.leadfield)
    for solve in (bayesian_minimum_norm, sflex_gamma_map):
        assert np.allclose(1e3 * solve(other).mean, solve(obs).mean, rtol=1e-4, atol=1e-13)


def exact_places(obs: Observation, sd: float) -> np.ndarray:
    """(S,) of one dipole, fixed, its size's prior log-uniform from sd / 35 to 1,000 sd / 35."""
    sizes = sd / 35 * 10 ** np.linspace(0, 3, 400)
    power = (obs.leadfield**2).sum(axis=0)
    match = ((obs.leadfield.T @ obs.values) ** 2).sum(axis=1)
    gain = sizes[:, None] ** 2
    log = 0.5 * gain * match / (1 + gain * power) - 0.5 * obs.n_functions * np.log1p(gain * power)
    log = logsumexp(log, axis=0)
    return np.asarray(np.exp(log - logsumexp(log)))


@pytest.mark.slow
@needs("sesameeg")
def test_sesame_finds_the_places_of_the_exact_posterior() -> None:
    """Of one dipole: four clouds of 100 particles share .75 of the probability with the exact
    posterior, none of eight seeds tried less than .7 alone, and less with that of twice the noise.
    """
    obs, shared = seen(0.0, snr=1.5), []
    scale = 1.5 * np.abs(obs.values).max() / np.abs(obs.leadfield).max()
    clouds = [sesame(obs, seed=k) for k in range(4)]
    assert np.mean([cloud.counts[1] for cloud in clouds]) > 0.8
    found = np.mean([cloud.probability for cloud in clouds], axis=0)
    for noise in (1, 2):
        louder = replace(obs, values=obs.values / noise, leadfield=obs.leadfield / noise)
        exact = exact_places(louder, float(scale))
        shared.append(np.minimum(found / found.sum(), exact).sum())
    assert shared[0] > 0.75
    assert shared[1] < 0.65


@pytest.mark.slow
@needs("sesameeg")
@pytest.mark.parametrize("loose", [0.0, 1.0])
def test_sesame_answers_moments(loose: float) -> None:
    """Least squares at the place, shrunk a little, in A m; the same for a seed; nothing leaks."""
    obs, environment = seen(loose, snr=6.0), dict(os.environ)
    state = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
    cloud = sesame(obs, seed=3, n_particles=40)
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]  # noqa: NPY002
    assert dict(os.environ) == environment
    assert cloud.mean.shape == cloud.sd.shape == (*obs.leadfield.shape[1:], 2)
    where = obs.source_space.positions
    place = int(cloud.probability.argmax())
    assert np.linalg.norm(where[place] - where[40]) < 0.02
    p = next(k for k, s in enumerate(cloud.sources) if s.tolist() == [place])
    look = obs.leadfield[:, place].reshape(obs.n_eff, -1)
    fit = np.linalg.lstsq(look, obs.values, rcond=1e-6)[0]
    explained, best = look @ cloud.means[p], look @ fit
    assert np.linalg.norm(explained - best) < 0.1 * np.linalg.norm(best)
    assert np.array_equal(cloud.mean, sesame(obs, seed=3, n_particles=40).mean)
    assert not np.array_equal(cloud.mean, sesame(obs, seed=4, n_particles=40).mean)


@needs("calibrain")
@needs("sesameeg")
def test_every_rival_by_name() -> None:
    obs = seen(0.0, n=80)
    for name, solve in RIVALS.items():
        found = solve(obs, 1)
        assert found.mean.shape == (80, 2), name
        assert found.draws(3, seed=0).shape == (3, 80, 2)


def test_mistakes_get_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("calibrain", "calibrain.source_estimation", "sesameeg"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    for solve in (bayesian_minimum_norm, sflex_gamma_map, sesame):
        with pytest.raises(InputError, match=r"pip install 'bayesesi\[rivals\]'"):
            solve(seen(0.0))  # type: ignore[operator]
    with pytest.raises(InputError, match="width of a patch"):
        sflex_gamma_map(seen(0.0), sigma=0.0)
