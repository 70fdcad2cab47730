"""Distances and errors between an estimate and the truth.

An estimate is a map (S,) of sizes on one source space: moments, their energy, a statistic or a
probability; signs do not count. The truth is positions (K, 3), or a map on a source space that may
be another. Positions are in m of the head frame, distances come in mm. Errors of moments, courses
and topographies count signs, and take cases along leading axes. Scores of detection are in
``detection``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import CorticalMesh, SourceSpace
from bayesesi.errors import InputError

#: Points of a volume grid within this many spacings are neighbours: all 26 of a cube.
_REACH = 1.8
#: Steps of the network simplex: some 5,000 by 5,000 supports need a million.
_EMD_STEPS = 5_000_000
#: m: longer than any way along a cortex.
_ANYWHERE = 1.0


def peak(estimate: NDArray[np.floating]) -> int:
    """Find the index of the source where a map is largest.

    Parameters
    ----------
    estimate : (S,) map, any unit.

    Raises
    ------
    InputError : a map of zeros, which has no peak, or with values that are not finite.
    """
    size = sizes_of(estimate)
    if not size.any():
        raise InputError("a map of zeros has no peak; leave cases without an estimate out")
    return int(size.argmax())


def peak_error(
    estimate: NDArray[np.floating],
    positions: NDArray[np.float64],
    truth: NDArray[np.float64],
) -> float:
    """Measure mm from the peak of a map to the nearest true position.

    Parameters
    ----------
    estimate : (S,) map, any unit. positions : (S, 3) m. truth : (K, 3) m or (3,).

    Raises
    ------
    InputError : see ``peak``.
    """
    where = np.asarray(positions)[peak(estimate)]
    return float(1e3 * np.linalg.norm(np.atleast_2d(truth) - where, axis=1).min())


def local_maxima(estimate: NDArray[np.floating], space: SourceSpace) -> NDArray[np.int64]:
    """Find the sources above zero that no neighbour exceeds, largest first; of a plateau its first.

    Parameters
    ----------
    estimate : (S,) map, any unit.
    space : its S sources; neighbours are those of the triangles, or of the grid of a volume.

    Raises
    ------
    InputError : a map that is not finite or not (S,).
    """
    import scipy.sparse as sp

    size = sizes_of(estimate)
    pairs = neighbours(space)
    level = size[pairs[:, 0]] == size[pairs[:, 1]]
    flat = sp.coo_array((np.ones(level.sum()), tuple(pairs[level].T)), shape=(len(size),) * 2)
    _, plateau = sp.csgraph.connected_components(flat, directed=False)
    slopes = pairs[~level]
    below = slopes[np.arange(len(slopes)), size[slopes].argmin(axis=1)]
    first = np.unique(plateau, return_index=True)[1]
    top = np.setdiff1d(first, first[plateau[below]])
    top = top[size[top] > 0]
    return np.asarray(top[np.argsort(-size[top], kind="stable")], np.int64)


def neighbours(space: SourceSpace) -> NDArray[np.int64]:
    """List the (E, 2) pairs of neighbouring sources, each once.

    Parameters
    ----------
    space : S sources, on a cortex (edges of its triangles) or a grid (all 26 of a cube).
    """
    if space.mesh is not None:
        a, b, c = space.triangles.T
        pairs = np.vstack([np.c_[a, b], np.c_[b, c], np.c_[c, a]])
        return np.asarray(np.unique(np.sort(pairs, axis=1), axis=0), np.int64)
    from scipy.spatial import cKDTree

    tree = cKDTree(space.positions)
    spacing = np.median(tree.query(space.positions, 2)[0][:, 1])
    return np.asarray(tree.query_pairs(_REACH * spacing, output_type="ndarray"), np.int64)


def matched_peak_errors(
    estimate: NDArray[np.floating], space: SourceSpace, truth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Measure (K,) mm from each true position to the peak that is matched with it.

    The K highest local maxima are matched one to one so that the sum of distances is smallest
    (Kuhn 1955, doi:10.1002/nav.3800020109). Where there are fewer, a true position left without
    one is as far off as the nearest peak.

    Parameters
    ----------
    estimate : (S,) map, any unit. space : its S sources. truth : (K, 3) m.

    Raises
    ------
    InputError : see ``peak``.
    """
    from scipy.optimize import linear_sum_assignment

    truth = np.atleast_2d(truth)
    peak(estimate)  # a map of zeros has none to match
    found = local_maxima(estimate, space)[: len(truth)]
    distance = 1e3 * np.linalg.norm(truth[:, None] - space.positions[found], axis=2)
    errors = distance.min(axis=1)
    rows, columns = linear_sum_assignment(distance)
    errors[rows] = distance[rows, columns]
    return np.asarray(errors)


def emd(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    positions: NDArray[np.float64],
    second_positions: NDArray[np.float64] | None = None,
    distances: NDArray[np.floating] | None = None,
) -> float:
    """Compute the earth mover's distance in mm between two maps, each scaled to the sum 1.

    The least mean distance over which one has to be moved to become the other, straight through
    the head; solved exactly by POT (Rubner et al. 2000, doi:10.1023/A:1026543900054).
    Dense maps of 1,284 sources take .3 s, of 5,124 some 8 s: bring them down with ``carry`` first.

    Parameters
    ----------
    first : (S,) map, any unit. second : (S',) map, any unit. positions : (S, 3) m.
    second_positions : (S', 3) m, where those of the second map differ.
    distances : (S, S') mm, where paths are not straight (``surface_distances``).

    Raises
    ------
    InputError : a map of zeros; distances of another shape or not finite.
    """
    import ot

    a, b = _shares(first), _shares(second)
    where = positions if second_positions is None else second_positions
    here, there = np.flatnonzero(a), np.flatnonzero(b)
    if distances is None:
        cost = 1e3 * np.linalg.norm(
            np.asarray(positions)[here][:, None] - np.asarray(where)[there], axis=2
        )
    else:
        cost = np.ascontiguousarray(_of_shape(distances, (len(a), len(b)))[np.ix_(here, there)])
    return float(ot.emd2(a[here], b[there], cost, numItermax=_EMD_STEPS))


def normalised_emd(
    estimate: NDArray[np.floating],
    truth: NDArray[np.floating],
    positions: NDArray[np.float64],
    distances: NDArray[np.floating] | None = None,
) -> float:
    """Compute nEMD = EMD(|estimate|, |truth|) / EMD(uniform, |truth|): 0 is best, 1 is flat.

    An estimate of zeros is as informative as a flat one: 1. After Morik et al. (arXiv:2411.00143).

    Parameters
    ----------
    estimate, truth : (S,) maps, any unit; each is scaled to the sum 1.
    positions : (S, 3) m. distances : (S, S) mm, see ``emd``.

    Raises
    ------
    InputError : a truth of zeros, or a flat one, which no estimate can be worse than.
    """
    flat = emd(np.ones(len(positions)), truth, positions, distances=distances)
    if not flat > 0:
        raise InputError("the truth is flat, so nEMD is undefined; measure with emd instead")
    if not sizes_of(estimate).any():
        return 1.0
    return emd(estimate, truth, positions, distances=distances) / flat


def surface_distances(space: SourceSpace) -> NDArray[np.float64]:
    """Compute (S, S) mm along the cortex, crossing between hemispheres where they face each other.

    The shortest paths over geodesics (heat method, within a few % of exact) and over straight lines
    between sources of two hemispheres that are each other's nearest, so that it is a distance.
    1,284 sources take 5 s once, kept in the user's cache, and then 3 s.

    Parameters
    ----------
    space : S sources of a cortical surface.

    Raises
    ------
    InputError : sources that are not on a cortex.
    """
    from scipy.sparse.csgraph import floyd_warshall

    along = 1e3 * space.neighbourhood(_ANYWHERE).toarray().astype(float)
    ways = 0.5 * (along + along.T)
    left, right = (np.flatnonzero(space.hemisphere == side) for side in (0, 1))
    if len(left) and len(right):
        apart = 1e3 * np.linalg.norm(
            space.positions[left][:, None] - space.positions[right], axis=2
        )
        there, back = apart.argmin(axis=1), apart.argmin(axis=0)
        facing = np.flatnonzero(back[there] == np.arange(len(left)))
        a, b = left[facing], right[there[facing]]
        ways[a, b] = ways[b, a] = apart[facing, there[facing]]
    return np.asarray(floyd_warshall(ways, directed=False))


def carry(
    values: NDArray[np.floating], space: SourceSpace, coarse: SourceSpace
) -> NDArray[np.float64]:
    """Sum values (..., S) over the nearest sources of a coarser source space, to (..., S').

    Nearest along the surface where both live on one mesh (edge paths), else through space. Moments
    add up and the sum of a map is kept; bring a map of sizes, not of signed moments, for ``emd``.

    Parameters
    ----------
    values : (..., S), any unit. space : their S sources. coarse : S' sources to sum them on.

    Raises
    ------
    InputError : values of another number of sources.
    """
    import scipy.sparse as sp

    values = np.asarray(values, float)
    if values.shape[-1] != space.n_sources:
        raise InputError(
            f"a map of {values.shape[-1]} values does not live on {space.n_sources} sources; give "
            "the source space it was estimated on"
        )
    nearest = nearest_sources(space, coarse)
    shape = (space.n_sources, coarse.n_sources)
    gather = sp.csr_array((np.ones(len(nearest)), (np.arange(len(nearest)), nearest)), shape)
    flat = values.reshape(-1, shape[0])
    return np.asarray(flat @ gather).reshape(*values.shape[:-1], shape[1])


def nearest_sources(space: SourceSpace, coarse: SourceSpace) -> NDArray[np.int64]:
    """Find the source of ``coarse`` (S' of them) nearest to each of the S sources of ``space``.

    Along the surface where both live on one mesh, else through space. Returns (S,) indices.
    """
    if _one_mesh(space.mesh, coarse.mesh):
        assert space.vertices is not None
        cell = coarse.nearest_source[space.vertices]
        if (cell >= 0).all():  # no vertex is cut off from all sources
            return np.asarray(cell, np.int64)
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(coarse.positions).query(space.positions)[1], np.int64)


def _one_mesh(first: CorticalMesh | None, second: CorticalMesh | None) -> bool:
    if first is None or second is None:
        return False
    return first is second or np.array_equal(first.positions, second.positions)


def spatial_dispersion(
    estimate: NDArray[np.floating],
    positions: NDArray[np.float64],
    truth: NDArray[np.float64],
) -> float:
    """Compute the root mean square distance in mm of a map from the truth, weighted by its power.

    sqrt(sum_s d_s² j_s² / sum_s j_s²), d_s from source s to the nearest true position:
    the spatial dispersion of Molins et al. (2008, doi:10.1016/j.neuroimage.2008.05.064).

    Parameters
    ----------
    estimate : (S,) map j, any unit. positions : (S, 3) m. truth : (K, 3) m or (3,).

    Raises
    ------
    InputError : see ``peak``.
    """
    from scipy.spatial import cKDTree

    peak(estimate)  # a map of zeros is nowhere
    power = sizes_of(estimate) ** 2
    distance = 1e3 * cKDTree(np.atleast_2d(truth)).query(positions)[0]
    return float(np.sqrt((power * distance**2).sum() / power.sum()))


def nmse(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute sum_s (j^_s - j_s)² / sum_s j_s² of each case: 0 is best, 1 is no estimate.

    Axes and courses laid out along the last axis sum up, too: Morik et al. (arXiv:2411.00143).

    Parameters
    ----------
    estimate, truth : (..., S) A m.

    Raises
    ------
    InputError : shapes that disagree, values that are not finite, a truth of zeros.
    """
    estimate, truth = _pair(estimate, truth)
    return np.asarray(((estimate - truth) ** 2).sum(axis=-1) / _some((truth**2).sum(axis=-1)))


def cosine_error(
    estimate: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute 1 - sum_s w_s cos(j_s, j^_s), w_s = |j_s| / sum |j|, of each case.

    0 is best, 1 is no estimate, 2 the opposite: 1 - wcos of Morik et al. (arXiv:2411.00143). With
    fixed sources (..., S, 1) it compares signs, with time in place of axes courses.

    Parameters
    ----------
    estimate, truth : (..., S, 3) A m.

    Raises
    ------
    InputError : see ``nmse``.
    """
    estimate, truth = _pair(estimate, truth)
    size = _some(np.linalg.norm(truth, axis=-1).sum(axis=-1))
    own = np.linalg.norm(estimate, axis=-1)
    inner = (estimate * truth).sum(axis=-1)
    along = np.divide(inner, own, out=np.zeros_like(inner), where=own > 0)  # |j_s| cos
    return np.asarray(1 - along.sum(axis=-1) / size)


def temporal_correlation(
    estimate: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute Pearson's correlation of courses over time; 0 where the estimate is constant.

    DeepSIF averages it over the true regions (Sun et al. 2022, doi:10.1073/pnas.2201128119). No
    benchmark task reports it yet: the tables of ``sif-994`` were made without it.

    Parameters
    ----------
    estimate, truth : (..., T), any unit.

    Raises
    ------
    InputError : see ``nmse``; a truth that is constant.
    """
    estimate, truth = _pair(estimate, truth)
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (estimate, truth))
    own, size = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    if not (size > 1e-12 * np.linalg.norm(truth, axis=-1)).all():
        raise InputError("a true course is constant and correlates with nothing; leave it out")
    moved = own > 1e-12 * np.linalg.norm(estimate, axis=-1)
    inner = (a * b).sum(axis=-1) / size
    return np.asarray(np.divide(inner, own, out=np.zeros_like(inner), where=moved))


def rdm(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the relative difference of topographies, |a / |a| - b / |b||, 0 to 2.

    Meijs et al. (1989, doi:10.1109/10.40805).

    Parameters
    ----------
    estimate, truth : (..., C) V or V/(A m), under one reference.

    Raises
    ------
    InputError : see ``nmse``; an estimate of zeros.
    """
    unit = [x / _some(np.linalg.norm(x, axis=-1))[..., None] for x in _pair(estimate, truth)]
    return np.asarray(np.linalg.norm(unit[0] - unit[1], axis=-1))


def mag(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the magnitude of topographies over the true one, |a| / |b|; 1 is best.

    Meijs et al. (1989, doi:10.1109/10.40805).

    Parameters
    ----------
    estimate, truth : (..., C) V or V/(A m), under one reference.

    Raises
    ------
    InputError : see ``nmse``.
    """
    estimate, truth = _pair(estimate, truth)
    return np.asarray(np.linalg.norm(estimate, axis=-1) / _some(np.linalg.norm(truth, axis=-1)))


def area_cm2(chosen: NDArray[np.bool_], space: SourceSpace) -> float:
    """Sum the cm² of cortex that the chosen sources stand for.

    Parameters
    ----------
    chosen : (S,) mask. space : its S sources, of a cortical surface.

    Raises
    ------
    InputError : sources that are not on a cortex.
    """
    return float(1e4 * space.areas[np.asarray(chosen, bool)].sum())


def sizes_of(estimate: NDArray[np.floating]) -> NDArray[np.float64]:
    """Drop the signs of a map.

    Parameters
    ----------
    estimate : (S,) map, any unit.

    Raises
    ------
    InputError : another number of axes, or values that are not finite.
    """
    size = np.abs(np.asarray(estimate, float))
    if size.ndim != 1 or not np.isfinite(size).all():
        raise InputError(
            f"a map has one finite value a source, not shape {size.shape}"
            f"{'' if np.isfinite(size).all() else ' with values that are not finite'}; sum up "
            "axes and time first"
        )
    return np.asarray(size)


def _shares(estimate: NDArray[np.floating]) -> NDArray[np.float64]:
    size = sizes_of(estimate)
    if not size.any():
        raise InputError("a map of zeros has nothing to move; leave cases without a map out")
    return size / size.sum()


def _pair(
    estimate: NDArray[np.floating], truth: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of one shape, finite."""
    first, second = np.asarray(estimate, float), np.asarray(truth, float)
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError(
            f"an estimate of shape {first.shape} is compared with a truth of shape {second.shape}; "
            "give finite values of one shape, on the same sources and samples"
        )
    return first, second


def _some(size: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (size > 0).all():
        raise InputError("there is a case of zeros, which has no size; leave it out")
    return size


def _of_shape(distances: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float64]:
    if np.shape(distances) != shape or not np.isfinite(distances).all():
        raise InputError(
            f"distances have shape {np.shape(distances)}; between maps of {shape[0]} and "
            f"{shape[1]} values they are finite and of shape {shape}, in mm"
        )
    return np.asarray(distances, float)
