"""What a measure of error must do, whatever it is applied to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bayesesi.anatomy import SourceSpace, template_source_space
from bayesesi.errors import InputError
from bayesesi.forward.mne_forward import _mne_source_spaces
from bayesesi.metrics.detection import (
    auc,
    otsu_threshold,
    precision_recall_f1,
    region_error,
)
from bayesesi.metrics.fields import cosine_error, mag, nmse, rdm, temporal_correlation
from bayesesi.metrics.maps import area_cm2
from bayesesi.metrics.peaks import (
    local_maxima,
    matched_peak_errors,
    neighbours,
    peak_error,
    spatial_dispersion,
)
from bayesesi.metrics.transport import (
    carry,
    emd,
    nearest_sources,
    normalised_emd,
    surface_distances,
)

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
    assert nmse(TRUTH, TRUTH) == 0
    assert rdm(ESTIMATE, ESTIMATE) == 0
    assert mag(ESTIMATE, ESTIMATE) == 1
    assert cosine_error(ESTIMATE[:, None], ESTIMATE[:, None]) == pytest.approx(0)
    assert temporal_correlation(ESTIMATE, ESTIMATE) == pytest.approx(1)
    active = TRUTH != 0
    assert auc(TRUTH, active) == 1
    assert precision_recall_f1(active, active) == (1, 1, 1)
    assert region_error(active, active, SPACE.positions) == 0


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
    active = TRUTH != 0
    assert auc(factor * ESTIMATE, active) == auc(ESTIMATE, active)
    assert otsu_threshold(factor * ESTIMATE) == pytest.approx(
        abs(factor) * otsu_threshold(ESTIMATE)
    )


@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_size_counts_in_nmse_and_mag_alone(factor: float) -> None:
    estimate, truth = RNG.standard_normal((2, 5, N))
    assert np.allclose(rdm(factor * estimate, truth), rdm(estimate, truth))
    assert np.allclose(mag(factor * estimate, truth), factor * mag(estimate, truth))
    assert np.allclose(
        temporal_correlation(factor * estimate + 3 * factor, truth),
        temporal_correlation(estimate, truth),
    )
    vectors = estimate[:, :300].reshape(5, 100, 3), truth[:, :300].reshape(5, 100, 3)
    assert np.allclose(cosine_error(factor * vectors[0], vectors[1]), cosine_error(*vectors))
    assert np.allclose(nmse(factor * estimate, factor * truth), nmse(estimate, truth))
    assert not np.allclose(nmse(factor * estimate, truth), nmse(estimate, truth))


def test_cases_are_taken_along_leading_axes() -> None:
    a, b = RNG.standard_normal((2, 4, 3, 20))
    for measure in (nmse, rdm, mag, temporal_correlation):
        each = [
            [measure(x, y) for x, y in zip(u, v, strict=True)] for u, v in zip(a, b, strict=True)
        ]
        assert np.allclose(measure(a, b), each)
    assert np.allclose(cosine_error(a, b), [cosine_error(x, y) for x, y in zip(a, b, strict=True)])
    found, true = a[..., :10] > 0, b[..., :10] > -1
    every = precision_recall_f1(found, true)
    assert np.allclose(every.f1[1, 2], precision_recall_f1(found[1, 2], true[1, 2]).f1)


def test_the_order_of_sources_does_not_count() -> None:
    mixed, where = RNG.permutation(N), SPACE.positions
    active, at = TRUTH != 0, where[[3, 90]]
    for measure in (peak_error, spatial_dispersion):
        assert measure(ESTIMATE[mixed], where[mixed], at) == pytest.approx(
            measure(ESTIMATE, where, at)
        )
    assert auc(ESTIMATE[mixed], active[mixed]) == pytest.approx(auc(ESTIMATE, active))
    assert nmse(ESTIMATE[mixed], TRUTH[mixed]) == pytest.approx(nmse(ESTIMATE, TRUTH))
    assert otsu_threshold(ESTIMATE[mixed]) == otsu_threshold(ESTIMATE)


def test_the_farther_the_worse() -> None:
    """A bump that is moved away from the truth along the cortex."""
    at, way = SPACE.positions[[5]], surface_distances(SPACE)
    steps = [int(np.abs(way[5] - mm).argmin()) for mm in (0, 15, 40, 80)]
    maps = [bump(s) for s in steps]
    for measure in (peak_error, spatial_dispersion):
        errors = [measure(m, SPACE.positions, at) for m in maps]
        assert errors == sorted(errors)
    for distances in (None, way):
        earth = [normalised_emd(m, maps[0], SPACE.positions, distances) for m in maps]
        assert earth == sorted(earth)
    ranked = [auc(m, bump(5) > 0.5) for m in maps]
    assert ranked == sorted(ranked, reverse=True)


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


def test_distances_along_the_surface() -> None:
    """A metric, no shorter than straight but for the heat method's error; across the fissure."""
    way, where = surface_distances(SPACE), SPACE.positions
    assert np.array_equal(way, way.T)
    assert (np.diag(way) == 0).all()
    for k in RNG.integers(N, size=20):
        assert (way <= way[:, [k]] + way[k] + 1e-9).all()
    straight = 1e3 * np.linalg.norm(where[:, None] - where, axis=2)
    one_side = SPACE.hemisphere[:, None] == SPACE.hemisphere
    assert (way >= 0.9 * straight).all()
    assert np.median((way / np.maximum(straight, 1e-9))[one_side & (straight > 30)]) > 1.2
    along = 1e3 * SPACE.geodesic([3])[0]
    assert np.abs(way[3] - along)[one_side[3]].max() < 15
    assert np.median(way[~one_side] / straight[~one_side]) > 1.3
    facing = straight[~one_side].argmin()
    assert way[~one_side][facing] == pytest.approx(straight[~one_side][facing])
    assert emd(one(3), one(80), where, distances=way) == pytest.approx(way[3, 80])
    assert emd(ESTIMATE, TRUTH, where, distances=straight) == pytest.approx(
        emd(ESTIMATE, TRUTH, where), rel=1e-9
    )


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
    assert nmse(np.array([1.0, 0]), np.array([2.0, 1])) == pytest.approx(2 / 5)
    assert nmse(np.zeros(2), np.array([2.0, 1])) == 1
    truth = np.array([[3.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    turned = np.array([[0, 0, 5.0], [0, 2, 0], [9, 9, 9]])
    assert cosine_error(turned, truth) == pytest.approx(1 - 1 / 4)
    assert cosine_error(-truth, truth) == pytest.approx(2)
    assert cosine_error(0 * truth, truth) == 1
    assert rdm(np.array([1.0, 0]), np.array([0, 7.0])) == pytest.approx(np.sqrt(2))
    assert rdm(np.array([-1.0, 0]), np.array([3.0, 0])) == pytest.approx(2)
    assert mag(np.array([3.0, 4]), np.array([0, 2.0])) == pytest.approx(2.5)
    t = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    assert temporal_correlation(np.cos(t), np.sin(t)) == pytest.approx(0, abs=1e-12)
    assert temporal_correlation(np.sin(t + np.pi / 3) + 5, np.sin(t)) == pytest.approx(0.5)
    assert temporal_correlation(np.full(400, 0.1), np.sin(t)) == 0


def test_an_area_under_the_curve_by_hand_and_by_sklearn() -> None:
    from sklearn.metrics import roc_auc_score

    active = np.array([True, False, True, False])
    assert auc(np.array([3, 1, 2, 2]), active) == pytest.approx(3.5 / 4)
    assert auc(np.ones(4), active) == 0.5
    rounded, chosen = np.abs(ESTIMATE).round(1), TRUTH != 0
    assert auc(rounded, chosen) == pytest.approx(roc_auc_score(chosen, rounded))


def test_otsu_splits_where_classes_are_farthest_apart() -> None:
    """Against every split; two clear classes; nothing stands out of a flat map."""
    sizes = np.abs(RNG.standard_normal(68))
    between = {}
    for level in np.unique(sizes)[:-1]:
        low, high = sizes[sizes <= level], sizes[sizes > level]
        between[level] = len(low) * len(high) * (high.mean() - low.mean()) ** 2
    assert otsu_threshold(sizes) == max(between, key=lambda level: between[level])
    assert otsu_threshold(np.array([1, 9, 2, 10, 1.5])) == 2
    assert not (np.full(5, 3.0) > otsu_threshold(np.full(5, 3.0))).any()


def test_regions_by_hand() -> None:
    """Four regions 10 mm apart on a line, the first two true."""
    where = np.c_[0.01 * np.arange(4), np.zeros((4, 2))]
    found, truth = np.array([0, 1, 1, 1], bool), np.array([1, 1, 0, 0], bool)
    assert precision_recall_f1(found, truth) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert precision_recall_f1(~found & ~truth, truth) == (0, 0, 0)
    assert region_error(found, truth, where) == pytest.approx((0 + 10 + 20) / 3)


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
    left = SPACE.hemisphere == 0
    both = area_cm2(left, SPACE) + area_cm2(~left, SPACE)
    assert both == pytest.approx(area_cm2(every, SPACE))
    assert area_cm2(~every, SPACE) == 0


def test_mistakes_get_a_sentence() -> None:
    where = SPACE.positions
    with pytest.raises(InputError, match="no peak"):
        peak_error(np.zeros(N), where, where[:1])
    with pytest.raises(InputError, match="one finite value per source"):
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
    with pytest.raises(InputError, match="cortical surface"):
        surface_distances(SourceSpace(np.eye(3)))
    with pytest.raises(InputError, match="distances have shape"):
        emd(ESTIMATE, TRUTH, where, distances=np.ones((3, 3)))
    for measure in (nmse, rdm, mag, cosine_error, temporal_correlation):
        with pytest.raises(InputError, match="of one shape"):
            measure(np.ones(3), np.ones(4))
        with pytest.raises(InputError, match="leave it out"):
            measure(np.ones((2, 3)), np.zeros((2, 3)))
    nobody = np.zeros(N, bool)
    with pytest.raises(InputError, match="active and inactive"):
        auc(ESTIMATE, ~nobody)
    with pytest.raises(InputError, match="no recall"):
        precision_recall_f1(nobody, nobody)
    with pytest.raises(InputError, match="there are none"):
        region_error(nobody, ~nobody, where)
