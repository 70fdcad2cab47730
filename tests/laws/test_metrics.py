"""What a measure of error must do, whatever it is applied to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bayesesi.anatomy import SourceSpace, template_source_space
from bayesesi.benchmark.metrics import (
    area_cm2,
    carry,
    emd,
    local_maxima,
    matched_peak_errors,
    nearest_sources,
    neighbours,
    normalised_emd,
    peak_error,
    share_of_cortex,
    spatial_dispersion,
)
from bayesesi.errors import InputError
from bayesesi.forward.mne_forward import _mne_source_spaces

SPACE = template_source_space(2)
N = SPACE.n_sources
RNG = np.random.default_rng(0)
TRUTH = np.where(np.arange(N) % 40 == 7, RNG.standard_normal(N), 0.0)
ESTIMATE = RNG.standard_normal(N)


def one(source: int, n: int = N) -> np.ndarray:
    return np.eye(n)[source]


def bump(*sources: int, width: float = 0.01) -> np.ndarray:
    """A map with a peak at each of some sources, the first the highest."""
    distance = np.linalg.norm(SPACE.positions - SPACE.positions[list(sources), None], axis=2)
    height = 1 - 0.1 * np.arange(len(sources))
    return np.asarray((height[:, None] * np.exp(-(distance**2) / (2 * width**2))).max(axis=0))


def test_zero_at_the_truth() -> None:
    at = SPACE.positions[[5]]
    assert peak_error(one(5), SPACE.positions, at) == 0
    assert spatial_dispersion(one(5), SPACE.positions, at) == 0
    assert emd(TRUTH, TRUTH, SPACE.positions) == pytest.approx(0, abs=1e-9)
    assert normalised_emd(TRUTH, TRUTH, SPACE.positions) == pytest.approx(0, abs=1e-9)
    assert np.allclose(matched_peak_errors(bump(5, 200), SPACE, SPACE.positions[[5, 200]]), 0)


@pytest.mark.parametrize("factor", [1e-9, -3.0, 1e6])
def test_size_and_sign_do_not_count(factor: float) -> None:
    where, at = SPACE.positions, SPACE.positions[[3, 90]]
    for measure in (peak_error, spatial_dispersion):
        assert measure(factor * ESTIMATE, where, at) == pytest.approx(measure(ESTIMATE, where, at))
    scaled = normalised_emd(factor * ESTIMATE, TRUTH, where)
    assert scaled == pytest.approx(normalised_emd(ESTIMATE, TRUTH, where), rel=1e-9)
    assert np.allclose(
        matched_peak_errors(factor * ESTIMATE, SPACE, at), matched_peak_errors(ESTIMATE, SPACE, at)
    )


def test_a_flat_estimate_has_nemd_one() -> None:
    assert normalised_emd(np.full(N, 7.0), TRUTH, SPACE.positions) == pytest.approx(1)
    assert normalised_emd(np.zeros(N), TRUTH, SPACE.positions) == 1


def test_emd_is_a_distance() -> None:
    """Symmetric, the triangle inequality, and between single sources the distance of these."""
    where, third = SPACE.positions, np.abs(RNG.standard_normal(N))
    assert emd(ESTIMATE, third, where) == pytest.approx(emd(third, ESTIMATE, where), rel=1e-9)
    assert emd(ESTIMATE, TRUTH, where) <= emd(ESTIMATE, third, where) + emd(third, TRUTH, where)
    assert emd(one(3), one(80), where) == pytest.approx(
        peak_error(one(3), where, where[80]), rel=1e-9
    )
    assert emd(one(3), one(0, 2), where, where[[80, 81]]) == emd(one(3), one(80), where)


def test_emd_on_a_line_is_the_area_between_cumulated_maps() -> None:
    """The closed form of one dimension, 1,000 mm a unit."""
    x = np.sort(RNG.uniform(0, 1, 30))
    a, b = RNG.uniform(0, 1, (2, 30))
    between = np.abs(np.cumsum(a / a.sum() - b / b.sum()))[:-1] @ np.diff(x)
    assert emd(a, b, np.c_[x, np.zeros((30, 2))]) == pytest.approx(1e3 * between, rel=1e-9)


def test_by_hand() -> None:
    """Four sources 10 mm apart on a line."""
    where = np.c_[0.01 * np.arange(4), np.zeros((4, 2))]
    assert peak_error(np.array([0, 1, -2, 1]), where, where[[0, 3]]) == pytest.approx(10)
    assert emd(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]), where) == pytest.approx(20)
    # flat to the first source: (0 + 10 + 20 + 30) / 4 = 15 mm
    assert normalised_emd(one(1, 4), one(0, 4), where) == pytest.approx(10 / 15)
    assert spatial_dispersion(np.array([1.0, 0, 0, 2]), where, where[:1]) == pytest.approx(
        np.sqrt(4 * 30**2 / 5)
    )


def test_spatial_dispersion_is_mnes() -> None:
    """The weighted sum inside MNE's ``resolution_metrics(metric="sd_ext")``, in cm there."""
    from mne.minimum_norm.spatial_resolution import _spatial_extent

    src = _mne_source_spaces(SPACE)
    theirs = _spatial_extent(np.outer(ESTIMATE, np.ones(N)), src, "psf", "sd_ext")
    for source in (0, 100, 300):
        ours = spatial_dispersion(ESTIMATE, SPACE.positions, SPACE.positions[source])
        assert ours == pytest.approx(10 * theirs[source])


def test_peaks_of_a_map() -> None:
    """Those put in are found, highest first; each is as high as all around it."""
    assert local_maxima(bump(10, 250), SPACE)[:2].tolist() == [10, 250]
    found = local_maxima(ESTIMATE, SPACE)
    size = np.abs(ESTIMATE)
    assert (np.diff(size[found]) <= 0).all()
    around = [neighbours(SPACE)[(neighbours(SPACE) == s).any(axis=1)] for s in range(N)]
    brute = [s for s in range(N) if size[s] == size[around[s]].max()]
    assert sorted(found) == brute
    assert len(local_maxima(np.ones(N), SPACE)) == 2  # a plateau has one on each hemisphere
    assert len(local_maxima(np.zeros(N), SPACE)) == 0


def test_neighbours_in_a_volume_are_those_of_its_grid() -> None:
    grid = np.stack(np.meshgrid(*3 * [np.arange(5)]), axis=-1).reshape(-1, 3)
    volume = SourceSpace(0.007 * grid, spacing=0.007)
    pairs = neighbours(volume)
    assert np.abs(np.diff(grid[pairs], axis=1)).max() == 1
    assert np.bincount(pairs.ravel()).max() == 26


def test_matching_is_the_best_of_all() -> None:
    """Against every permutation; with a peak too few, the one left out takes the nearest."""
    sources = [5, 60, 200]
    truth = SPACE.positions[[12, 70, 210]]
    errors = matched_peak_errors(bump(*sources), SPACE, truth)
    distance = 1e3 * np.linalg.norm(truth[:, None] - SPACE.positions[sources], axis=2)
    best = min(distance[range(3), p].sum() for p in itertools.permutations(range(3)))
    assert errors.sum() == pytest.approx(best)
    alone = matched_peak_errors(one(5), SPACE, truth)
    assert np.allclose(alone, distance[:, 0])


@pytest.mark.parametrize("fine", [3, 5])
def test_carried_maps_keep_their_sum_and_their_sources(fine: int) -> None:
    space = template_source_space(fine)
    values = RNG.uniform(size=(2, space.n_sources))
    carried = carry(values, space, SPACE)
    assert carried.shape == (2, N)
    assert np.allclose(carried.sum(axis=1), values.sum(axis=1))
    kept = SPACE.index_in(space)
    assert np.array_equal(nearest_sources(space, SPACE)[kept], np.arange(N))
    assert np.allclose(carry(space.areas, space, SPACE).sum(), SPACE.areas.sum())


def test_carried_along_the_surface_not_across_a_gyrus() -> None:
    """Hemispheres do not mix; through space, to a mesh of another subject, some sources do move."""
    from dataclasses import replace

    space = template_source_space(3)
    near = nearest_sources(space, SPACE)
    assert np.array_equal(SPACE.hemisphere[near], space.hemisphere)
    assert SPACE.mesh is not None
    other = replace(SPACE, mesh=replace(SPACE.mesh, positions=SPACE.mesh.positions + 1e-9))
    through = nearest_sources(space, other)
    gap = np.linalg.norm(space.positions[:, None] - SPACE.positions, axis=2)
    assert np.array_equal(through, gap.argmin(axis=1))
    assert (through != near).mean() > 0.01


def test_area_of_a_set() -> None:
    every = np.ones(N, bool)
    assert SPACE.mesh is not None
    assert area_cm2(every, SPACE) == pytest.approx(1e4 * SPACE.mesh.areas.sum())
    assert share_of_cortex(every, SPACE) == 1
    left = SPACE.hemisphere == 0
    assert share_of_cortex(left, SPACE) + share_of_cortex(~left, SPACE) == pytest.approx(1)
    assert area_cm2(~every, SPACE) == share_of_cortex(~every, SPACE) == 0


def test_mistakes_get_a_sentence() -> None:
    where = SPACE.positions
    with pytest.raises(InputError, match="no peak"):
        peak_error(np.zeros(N), where, where[:1])
    with pytest.raises(InputError, match="one finite value a source"):
        peak_error(np.full(N, np.nan), where, where[:1])
    with pytest.raises(InputError, match="sum up axes"):
        spatial_dispersion(np.ones((N, 3)), where, where[:1])
    with pytest.raises(InputError, match="nothing to move"):
        normalised_emd(ESTIMATE, np.zeros(N), where)
    with pytest.raises(InputError, match="the truth is flat"):
        normalised_emd(np.ones(1), np.ones(1), where[:1])
    with pytest.raises(InputError, match="does not live on"):
        carry(np.ones(4), SPACE, SPACE)
    with pytest.raises(InputError, match="cortical surface"):
        area_cm2(np.ones(2, bool), SourceSpace(np.eye(3)[:2]))
