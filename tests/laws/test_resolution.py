"""Point-spread and cross-talk functions: MNE's measures, theorems, and what is not linear."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest

from bayesesi.benchmark.baselines import estimate, prepare
from bayesesi.benchmark.resolution import (
    point_spreads,
    resolution,
    resolution_matrix,
    single_source,
    width,
)
from bayesesi.errors import InputError
from bayesesi.forward.mne_forward import _mne_source_spaces
from bayesesi.metrics.peaks import peak_error, spatial_dispersion
from bayesesi.observation import Observation
from tests.oracle.recordings import recorded


@pytest.fixture(scope="module")
def obs() -> Observation:
    return recorded(0.0)[3]


@pytest.mark.parametrize("method", ["MNE", "dSPM", "sLORETA", "eLORETA"])
def test_equals_mne(obs: Observation, method: str) -> None:
    """Its resolution matrix of the recording to 1e-6 (eLORETA 1e-4), and its metrics, in cm."""
    evoked, forward, cov, _ = recorded(0.0)
    inverse = mne.minimum_norm.make_inverse_operator(
        evoked.info, forward, cov, fixed=True, depth=None, use_cps=False, verbose="error"
    )
    theirs = mne.minimum_norm.make_inverse_resolution_matrix(
        forward, inverse, method=method, lambda2=1 / 9, verbose="error"
    )
    kernel = prepare(obs, depth=None).kernel(method, 1 / 9)  # type: ignore[arg-type]
    ours = resolution_matrix(kernel, obs.leadfield)
    tolerance = 1e-4 if method == "eLORETA" else 1e-6
    assert np.abs(ours - np.abs(theirs)).max() < tolerance * ours.max()
    found = resolution(kernel, obs.leadfield, obs.source_space.positions)
    src = _mne_source_spaces(obs.source_space)
    for function, own in (("psf", found.psf), ("ctf", found.ctf)):
        for metric, values in (("peak_err", own.peak_error), ("sd_ext", own.spread)):
            want = mne.minimum_norm.resolution_metrics(ours, src, function, metric).data[:, 0]
            assert np.allclose(values, 10 * want, atol=1e-6)


def test_widths_are_those_of_the_metrics() -> None:
    rng = np.random.default_rng(0)
    where, maps = 0.1 * rng.standard_normal((50, 3)), rng.standard_normal((50, 4))
    sources = [3, 9, 9, 40]
    found = width(maps, where, sources)
    for k, s in enumerate(sources):
        assert found.peak_error[k] == pytest.approx(peak_error(maps[:, k], where, where[s]))
        assert found.spread[k] == pytest.approx(spatial_dispersion(maps[:, k], where, where[s]))
    assert np.allclose(width(-1e9 * maps, where, sources).spread, found.spread)
    blurred = np.linalg.norm(where[:, None] - where, axis=2)
    narrow, wide = (width(np.exp(-((blurred / d) ** 2)), where).spread for d in (0.02, 0.05))
    assert (narrow < wide).all()


def test_a_perfect_inverse_has_no_width_and_a_silent_source_none(obs: Observation) -> None:
    where = obs.source_space.positions
    perfect = width(np.eye(len(where)), where)
    assert np.allclose(perfect, 0, atol=1e-6)
    unseen = np.where(np.arange(len(where)) == 7, 0.0, obs.leadfield)
    kernel = prepare(obs).kernel("MNE", 1.0)
    found = resolution(kernel, unseen, where).psf
    assert np.isnan(found).sum() == 2
    assert np.isnan(found.peak_error[7])


def test_standardised_ones_peak_right_and_minimum_norm_is_symmetric(obs: Observation) -> None:
    """sLORETA's and eLORETA's PSF; K L~ of an unweighted minimum norm is symmetric."""
    where, plain = obs.source_space.positions, prepare(obs, depth=None)
    for method in ("sLORETA", "eLORETA"):
        kernel = plain.kernel(method, 1.0)  # type: ignore[arg-type]
        assert (resolution(kernel, obs.leadfield, where).psf.peak_error == 0).all()
    found = resolution(plain.kernel("MNE", 1.0), obs.leadfield, where)
    assert np.allclose(found.psf.spread, found.ctf.spread)
    assert found.psf.peak_error.mean() > 10


@pytest.mark.parametrize("loose", [0.2, 1.0])
def test_three_axes_are_the_root_of_the_mean_over_directions(loose: float) -> None:
    obs = recorded(loose)[3]
    kernel = prepare(obs).kernel("sLORETA", 1.0)
    matrix = resolution_matrix(kernel, obs.leadfield)
    around = np.random.default_rng(1).standard_normal((3, 20_000))
    around /= np.linalg.norm(around, axis=0)
    seen = np.einsum("skc,ci,id->skd", kernel[:9], obs.leadfield[:, 5], around)
    power = (seen**2).sum(axis=1).mean(axis=1)
    assert np.allclose(matrix[:9, 5], np.sqrt(3 * power), rtol=0.03)


def test_point_spreads_of_a_linear_method_are_columns(obs: Observation) -> None:
    """At any size, up to it; twenty time functions, the source in one of them."""

    def solve(seen: Observation) -> np.ndarray:
        return np.linalg.norm(estimate(seen, "dSPM", 1.0), axis=1)

    matrix = resolution_matrix(prepare(obs).kernel("dSPM", 1.0), obs.leadfield)
    sources = np.array([3, 500, 1100])
    for snr_db in (0.0, 20.0):
        maps = point_spreads(solve, obs, sources, snr_db)
        assert np.allclose(maps / maps.max(axis=0), (matrix / matrix.max(axis=0))[:, sources])


def test_point_spreads_of_another_hang_on_size(obs: Observation) -> None:
    def solve(seen: Observation) -> np.ndarray:
        return np.linalg.norm(estimate(seen, "MNE"), axis=1)  # lambda2 by the data

    faint, loud = (
        width(point_spreads(solve, obs, [9, 90], db), obs.source_space.positions, [9, 90])
        for db in (3.0, 30.0)
    )
    assert (faint.spread > loud.spread).all()


@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0])
def test_a_single_source_has_the_power_said_and_volts_that_fit(loose: float) -> None:
    obs = recorded(loose)[3]
    if loose == 1.0:  # no normals: the axis seen best
        space = replace(obs.source_space, normals=None)
        obs = replace(obs, forward=replace(obs.forward, source_space=space))
    seen = single_source(obs, 11, 7.0)
    assert seen.snr_db == pytest.approx(7.0)
    assert np.allclose(
        obs.whitener(seen.recording.values) @ obs.time_basis.projector, seen.values, atol=1e-6
    )
    assert np.linalg.matrix_rank(seen.values) == 1
    assert seen.recording.segments is None
    look = obs.leadfield[:, 11].reshape(obs.n_eff, -1)
    inside = look @ np.linalg.lstsq(look, seen.values, rcond=None)[0]
    assert np.allclose(inside, seen.values)


def test_mistakes_get_a_sentence(obs: Observation) -> None:
    where = obs.source_space.positions
    with pytest.raises(InputError, match="does not invert"):
        resolution_matrix(np.ones((3, 5)), np.ones((6, 3)))
    with pytest.raises(InputError, match="functions have shape"):
        width(np.ones((4, 2)), where[:4])
    with pytest.raises(InputError, match="is none of"):
        single_source(obs, 1284, 3.0)
    silent = replace(obs, leadfield=np.zeros_like(obs.leadfield))
    with pytest.raises(InputError, match="no sensor sees"):
        single_source(silent, 0, 3.0)
