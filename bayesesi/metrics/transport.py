"""Maps as mass that is moved: to a coarser source space, and from an estimate to the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import CorticalMesh, SourceSpace
from bayesesi.errors import InputError
from bayesesi.metrics.maps import sizes_of

#: Steps of the network simplex: some 5,000 by 5,000 supports need a million.
_EMD_STEPS = 5_000_000
#: m: longer than any way along a cortex.
_ANYWHERE = 1.0


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
    InputError : a map of zeros; distances of another shape or not finite; POT is missing.
    """
    try:
        import ot
    except ImportError as error:
        raise InputError(
            "this distance needs POT; install it with pip install 'bayesesi[benchmark]'"
        ) from error
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


def _shares(estimate: NDArray[np.floating]) -> NDArray[np.float64]:
    size = sizes_of(estimate)
    if not size.any():
        raise InputError("a map of zeros has nothing to move; leave cases without a map out")
    return size / size.sum()


def _of_shape(distances: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float64]:
    if np.shape(distances) != shape or not np.isfinite(distances).all():
        raise InputError(
            f"distances have shape {np.shape(distances)}; between maps of {shape[0]} and "
            f"{shape[1]} values they are finite and of shape {shape}, in mm"
        )
    return np.asarray(distances, float)
