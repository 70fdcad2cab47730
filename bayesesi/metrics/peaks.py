"""Peaks of maps, and their distances from true places in mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace
from bayesesi.anatomy.graph import edges
from bayesesi.errors import InputError
from bayesesi.metrics.maps import sizes_of

#: Points of a volume grid within this many spacings are neighbours: all 26 of a cube.
_REACH = 1.8


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
        return edges(space.triangles)
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
