"""The baselines against MNE on the recording itself, the Gaussian posterior, and their theorems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pytest

from bayesesi import observe, template_forward
from bayesesi.benchmark import adaptive
from bayesesi.benchmark.baselines import (
    BASELINES,
    LAMBDA2_GRID,
    METHODS,
    LinearInverse,
    Method,
    best_setting,
    estimate,
    peak_errors,
    power_map,
    prepare,
    setting_errors,
    snr_lambda2,
)
from bayesesi.errors import InputError
from bayesesi.metrics.peaks import peak_error
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
    best = best_setting(cases(obs, 20, 2.0), "MNE")
    assert errors.mean(axis=0)[LAMBDA2_GRID.index(best)] == errors.mean(axis=0).min()
    exact = replace(obs, values=np.tile(obs.leadfield[:, [3]], 20))
    clean = [(exact, obs.source_space.positions[[3]])]
    assert best_setting(clean, "sLORETA") == max(LAMBDA2_GRID)  # all are right: the smoothest


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
        best_setting([], "sLORETA")


def windows(
    obs: Observation, n: int, snr: float, sources: int = 1
) -> Iterator[tuple[Observation, np.ndarray]]:
    """Sources with courses over all time functions, in noise."""
    for seed in range(n):
        rng = np.random.default_rng((6, seed))
        chosen = rng.integers(obs.source_space.n_sources, size=sources)
        courses = rng.standard_normal((sources, obs.n_functions))
        topographies = obs.leadfield[:, chosen]
        topographies = topographies / np.sqrt((topographies**2).mean(axis=0))
        values = snr * topographies @ courses + rng.standard_normal(obs.values.shape)
        yield replace(obs, values=values), obs.source_space.positions[chosen]


def mne_sparse(name: str, problem: tuple[Any, ...], alpha: float, loose: float) -> Any:
    evoked, forward, cov, _ = problem
    depth = {"exp": None, "allow_fixed_depth": True}
    options: dict[str, Any] = dict(loose=loose, depth=depth, verbose="error")
    if loose:
        options["pick_ori"] = "vector"
    if name == "gamma-MAP":
        return mne.inverse_sparse.gamma_map(evoked, forward, cov, alpha, **options)
    count = 10 if name == "irMxNE" else 1
    return mne.inverse_sparse.mixed_norm(evoked, forward, cov, alpha, n_mxne_iter=count, **options)


SPARSE = {
    "gamma-MAP": (adaptive.gamma_map, 0.2),
    "MxNE": (adaptive.mixed_norm, 30.0),
    "irMxNE": (adaptive.reweighted_mixed_norm, 30.0),
}


def volume() -> tuple[mne.Evoked, mne.Forward, mne.Covariance, Observation]:
    """The recording with free sources in the volume."""
    evoked, _, cov, _ = recorded(0.0)
    forward = template_forward(evoked.info, source_space="volume")
    obs = observe(evoked, forward, cov, time_basis="samples", autocorrelation="white")
    return evoked, forward.to_mne(), cov, obs


def everywhere(stc: Any, forward: mne.Forward) -> np.ndarray:
    """(S[, 3], R) with zeros where MNE finds nothing."""
    out = np.zeros((forward["nsource"], *stc.data.shape[1:]))
    first = 0
    rows = []
    for space, vertices in zip(forward["src"], stc.vertices, strict=True):
        rows.append(first + np.searchsorted(space["vertno"], vertices))
        first += space["nuse"]
    out[np.concatenate(rows)] = stc.data
    return out


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0, pytest.param("volume", marks=pytest.mark.slow)])
def test_sparse_ones_equal_mne_on_the_recording(name: str, loose: float | str) -> None:
    """The same sources, moments to 1e-4 of the largest, without depth weighting; in a volume, whose
    axes are those of the head in MNE, too, with their directions and signs."""
    problem = volume() if isinstance(loose, str) else recorded(loose)
    solve, alpha = SPARSE[name]
    found = mne_sparse(name, problem, alpha, 1.0 if isinstance(loose, str) else loose)
    theirs, ours = everywhere(found, problem[1]), solve(problem[3], alpha, depth=None)
    assert 0 < len(found.data) < 150
    if loose in (0.2, 1.0):
        theirs, ours = (np.linalg.norm(x, axis=1) for x in (theirs, ours))
    assert ours.shape == theirs.shape
    assert np.array_equal(ours != 0, theirs != 0)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("kind", ["cortex", "volume"])
def test_the_beamformer_equals_mne_on_the_recording(kind: str) -> None:
    """To 1e-9, of 200 samples: of fewer than channels MNE leaves out a direction by chance. MNE
    loads by the mean over 64 channels, this by that over their 63 dimensions."""
    short, _, cov, _ = recorded(0.0)
    mixing = np.linalg.cholesky(cov.data + 1e-18 * np.eye(64))
    volts = mixing @ np.random.default_rng(1).standard_normal((64, 200))
    evoked = mne.EvokedArray(volts, short.info, nave=1, verbose="error")
    evoked.apply_proj(verbose="error")
    level = {"cortex": {"ico": 3}, "volume": {"source_space": "volume"}}[kind]
    forward = template_forward(evoked.info, **level)
    obs = observe(evoked, forward, cov, time_basis="samples", autocorrelation="white")
    data = mne.Covariance(
        evoked.data @ evoked.data.T / 200, evoked.ch_names, [], evoked.info["projs"], 200
    )
    filters = mne.beamformer.make_lcmv(
        evoked.info,
        forward.to_mne(),
        data,
        0.05 * 64 / 63,
        cov,
        pick_ori=None if kind == "cortex" else "vector",
        rank={"eeg": 63},
        verbose="error",
    )
    theirs = mne.beamformer.apply_lcmv(evoked, filters, verbose="error").data
    ours = adaptive.lcmv(obs)
    assert np.abs(ours - theirs).max() < 1e-9 * np.abs(theirs).max()


def test_the_beamformer_is_what_it_says(obs: Observation) -> None:
    seen = obs.values @ obs.values.T / obs.n_functions
    seen += 0.3 * np.trace(seen) / obs.n_eff * np.eye(obs.n_eff)
    weights = np.linalg.solve(seen, obs.leadfield)
    want = (weights / np.linalg.norm(weights, axis=0)).T @ obs.values
    assert np.allclose(adaptive.lcmv(obs, 0.3), want)


@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0])
def test_music_equals_mne_on_the_recording(loose: float) -> None:
    """Three places, and the moments along the axes of the head, to 1e-6."""
    evoked, forward, cov, obs = recorded(loose)
    ours = adaptive.rap_music(obs, 3)
    dipoles = mne.beamformer.rap_music(evoked, forward, cov, 3, verbose="error")
    where = obs.source_space.positions
    assert (ours.reshape(len(ours), -1) != 0).any(axis=1).sum() == 3
    for dipole in dipoles:
        source = int(np.linalg.norm(where - dipole.pos[0], axis=1).argmin())
        moment = dipole.amplitude * dipole.ori.T
        normals = obs.source_space.normals
        assert normals is not None
        own = ours[source] if loose else np.outer(normals[source], ours[source])
        assert np.abs(own - moment).max() < 1e-6 * np.abs(moment).max()


def test_music_of_one_function_is_a_scan(obs: Observation) -> None:
    """The source whose topography is most like the data; signals are counted above the noise."""
    unit = obs.leadfield / np.linalg.norm(obs.leadfield, axis=0)
    for case, _ in cases(obs, 5, 1.0):
        found = adaptive.rap_music(case)
        assert np.flatnonzero(found).tolist() == [np.abs(unit.T @ case.values[:, 0]).argmax()]
    assert [adaptive.signal_rank(case) for case, _ in windows(obs, 5, 3.0)] == [1] * 5
    assert adaptive.signal_rank(next(cases(obs, 1, 9.0))[0]) == 1
    two = windows(obs, 5, 3.0, sources=2)
    assert [adaptive.signal_rank(case) for case, _ in two] == [2] * 5


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "dipole fit"])
def test_every_classic_finds_a_loud_source(obs: Observation, name: str) -> None:
    """An SNR of 20 in each of 20 functions: the median of 5 within 5 mm, but for the two that are
    known to miss; the same each time, and shaped as said."""
    baseline = BASELINES[name]
    found = list(windows(obs, 5, 20.0))
    errors = [peak_error(baseline.power(o), o.source_space.positions, at) for o, at in found]
    assert np.median(errors) < (60 if name in ("MNE", "dSPM") else 5)
    moments = baseline(found[0][0])
    assert moments.shape == (1284, 20)
    assert np.array_equal(moments, baseline(found[0][0]))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BASELINES if name != "dipole fit"])
def test_every_classic_answers_in_a_volume_or_says_what_it_needs(name: str) -> None:
    obs, baseline = volume()[3], BASELINES[name]
    setting = 80.0 if "MxNE" in name else None  # Stein's estimate takes half a minute here
    assert baseline(obs, setting).shape == (obs.source_space.n_sources, 3, 20)
    one = replace(
        obs,
        values=20 * obs.leadfield[:, 5, :1] / np.linalg.norm(obs.leadfield[:, 5, 0]),
        time_basis=replace(obs.time_basis, functions=np.ones((1, 1))),
    )
    if baseline.least > 1:
        with pytest.raises(InputError, match="observe a longer window"):
            baseline(one)
    else:
        assert baseline.power(one, setting).shape == (obs.source_space.n_sources,)


def test_what_finds_nothing_answers_zeros(obs: Observation) -> None:
    """MNE raises, or breaks."""
    for each in (volume()[3], obs):
        quiet = replace(each, values=1e-3 * each.values)
        assert not adaptive.gamma_map(quiet, 100.0).any()
    free = adaptive.reweighted_mixed_norm(volume()[3], 95.0)
    assert free.shape == (volume()[3].source_space.n_sources, 3, 20)
    assert not free.any()


def test_power_of_linear_ones_is_their_power_map(obs: Observation) -> None:
    for method in METHODS:
        assert np.allclose(BASELINES[method].power(obs, 0.3), power_map(obs, method, 0.3))
        assert np.allclose(BASELINES[method](obs), estimate(obs, method))


@pytest.mark.slow
def test_the_best_setting_is_the_grids_minimum(obs: Observation) -> None:
    """Of equal ones the last; a map of zeros is as good as a guess."""
    found = list(windows(obs, 4, 1.0))
    for name in ("LCMV", "MxNE", "RAP-MUSIC"):
        grid = BASELINES[name].grid
        errors = setting_errors(found, name)
        assert errors.shape == (4, len(grid))
        mean = errors.mean(axis=0)
        best = best_setting(found, name)
        assert mean[grid.index(best)] == mean.min()
        assert (mean[grid.index(best) + 1 :] > mean.min()).all()
    quiet = [(replace(o, values=1e-3 * o.values), at) for o, at in found[:1]]
    where, at = obs.source_space.positions, quiet[0][1]
    assert not BASELINES["gamma-MAP"](quiet[0][0], 100.0).any()
    assert setting_errors(quiet, "gamma-MAP", [100.0])[0, 0] == pytest.approx(
        1e3 * np.linalg.norm(where - at, axis=1).mean()
    )


def test_mistakes_with_settings_get_a_sentence(obs: Observation) -> None:
    with pytest.raises(InputError, match="one of MNE, dSPM"):
        setting_errors([], "LORETA")
    for name in ("LCMV", "dipole fit"):
        with pytest.raises(InputError, match="at least one"):
            setting_errors([], name)
    for name, wrong in (("LCMV", 0.0), ("gamma-MAP", -1.0), ("MxNE", 100.0), ("RAP-MUSIC", 0.0)):
        with pytest.raises(InputError, match="not"):
            BASELINES[name](obs, wrong)
    with pytest.raises(InputError, match="time functions"):
        adaptive.rap_music(obs, 21)
    with pytest.raises(InputError, match="nothing to regularise"):
        BASELINES["dipole fit"](obs, 1.0)


@pytest.mark.slow
def test_mne_fits_a_dipole_where_it_is() -> None:
    """In the assumed head, hardly any noise: between its three shells and our four, millimetres."""
    from bayesesi.benchmark.dipole_fit import fit_dipole
    from tests.laws.test_dipole import PLACE, observation

    place, goodness = fit_dipole(observation(noise_uV=0.05))
    assert np.linalg.norm(place - PLACE) < 0.012
    assert goodness > 0.9


@pytest.mark.slow
def test_a_fitted_dipole_is_a_map_at_the_nearest_source() -> None:
    """Its moments over time within 15 % of the true course, direction within 10 degrees."""
    from tests.laws.test_dipole import MOMENT, PLACE, observation

    obs = observation(noise_uV=0.05)
    found = BASELINES["dipole fit"](obs)
    sources = np.flatnonzero((found != 0).any(axis=(1, 2)))
    assert len(sources) == 1
    assert np.linalg.norm(obs.source_space.positions[sources[0]] - PLACE) < 0.016
    cosine = found[sources[0]][:, 0] @ MOMENT / np.linalg.norm(MOMENT)
    assert cosine / np.linalg.norm(found[sources[0]][:, 0]) > 0.98
