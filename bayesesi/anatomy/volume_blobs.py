"""Blobs in the brain volume: where a moment at any place, of any extent, lies on the grid.

A blob of extent s at r is, on grid points r_i that are h apart,

    w(r, s) = sum_i T_i(r) [(1 - a) K(s_n) + a K(s_n+1)]_i.,   a = (s² - s_n²) / (s_n+1² - s_n²),

T trilinear between the corners around r that are in the brain, K(s)_ij ~ exp(-|r_i - r_j|² / 2 s²)
with rows that sum to 1. It is continuous in r and s, and its moment is 1. The place belongs to the
cell of the nearest grid point; cells of all points together are the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy.source_space import SourceSpace
from bayesesi.anatomy.template import template_volume

#: m: extents s_n, and how far a Gaussian reaches in extents.
EXTENT_NODES, _ENDS = (0.004, 0.009, 0.016), 2.5
_CORNERS = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class VolumeBlobs:
    """See the module.

    Attributes
    ----------
    source_space : a grid of V points, ``spacing`` apart along x, y, z.
    """

    source_space: SourceSpace

    @property
    def n_points(self) -> int:
        return self.source_space.n_sources

    @property
    def spacing(self) -> float:
        """m."""
        spacing = self.source_space.spacing
        assert spacing is not None
        return float(spacing)

    @property
    def volume(self) -> float:
        """m³ of all cells."""
        return float(self.n_points * self.spacing**3)

    @cached_property
    def _low(self) -> NDArray[np.float64]:
        return self.source_space.positions.min(axis=0)

    @cached_property
    def _index(self) -> NDArray[np.int64]:
        """(I, J, K) number of the point at a place of the grid, -1 for none; a rim of -1 around."""
        place = np.rint((self.source_space.positions - self._low) / self.spacing).astype(int) + 1
        index = np.full(place.max(axis=0) + 2, -1)
        index[tuple(place.T)] = np.arange(len(place))
        return index

    def cell(self, places: NDArray[np.float64]) -> NDArray[np.int64]:
        """Find (n,) the point in whose cell ``places`` (n, 3) m lie, -1 outside of the brain."""
        return self._at(np.rint((places - self._low) / self.spacing).astype(int) + 1)

    def _at(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        kept = np.clip(place, 0, np.array(self._index.shape) - 1)
        return self._index[tuple(np.moveaxis(kept, -1, 0))]

    def corners(self, places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find (n, 8) points and weights of T at ``places`` (n, 3) m, outside the nearest."""
        along = (places - self._low) / self.spacing + 1
        base = np.floor(along).astype(int)
        part = (along - base)[:, None]
        weight = np.prod(np.where(_CORNERS, part, 1 - part), axis=2)
        point = self._at(base[:, None] + _CORNERS)
        weight = np.where(point >= 0, weight, 0.0)
        outside = weight.sum(axis=1) <= 0
        if outside.any():
            nearest = self._tree.query(places[outside])[1]
            point[outside], weight[outside] = nearest[:, None], 0.125
        return np.maximum(point, 0), weight / weight.sum(axis=1, keepdims=True)

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.source_space.positions)

    def extent_weights(self, extents: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute (n, N) weights of the extents' nodes for ``extents`` (n,) in m; ends are held."""
        return node_weights(np.square(extents), np.square(EXTENT_NODES))

    @cached_property
    def kernels(self) -> tuple[sp.csr_array, ...]:
        """K at each node, (V, V) sparse."""
        positions = self.source_space.positions
        return tuple(_kernel(positions, self._tree, extent) for extent in EXTENT_NODES)

    def weights(self, places: NDArray[np.float64], extents: NDArray[np.float64]) -> sp.csr_array:
        """Compute (n, V) w, sparse, for ``places`` (n, 3) m and ``extents`` (n,) m."""
        point, share = self.corners(places)
        rows = np.repeat(np.arange(len(point)), 8)
        near = sp.csr_array((share.ravel(), (rows, point.ravel())), (len(point), self.n_points))
        nodes = self.extent_weights(extents)
        parts = (
            sp.diags_array(nodes[:, n]) @ near @ kernel for n, kernel in enumerate(self.kernels)
        )
        total = sum(parts, sp.csr_array(near.shape))
        return sp.csr_array(total)


def node_weights(values: NDArray[np.float64], nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute (n, N) weights that interpolate ``values`` (n,) between rising ``nodes`` (N,).

    Both have one unit; values beyond the ends get the weights of the end.
    """
    return np.stack([np.interp(values, nodes, unit) for unit in np.eye(len(nodes))], axis=1)


def _kernel(positions: NDArray[np.float64], tree: KDTree, extent: float) -> sp.csr_array:
    apart = sp.csr_array(tree.sparse_distance_matrix(tree, _ENDS * extent))
    apart = sp.csr_array(apart + sp.csr_array((len(positions),) * 2)).tocoo()
    height = np.exp(-0.5 * (apart.data / extent) ** 2)
    found = sp.csr_array((height, (apart.row, apart.col)), apart.shape)
    found = sp.csr_array(found + sp.eye_array(len(positions)) - sp.diags_array(found.diagonal()))
    return sp.csr_array(sp.diags_array(1 / found.sum(axis=1)) @ found)


@cache
def template_blobs() -> VolumeBlobs:
    """Make the blobs of the template's volume, for which the bank holds lead fields."""
    return VolumeBlobs(template_volume())
