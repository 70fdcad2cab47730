"""Cortex cut into many small cells of about one size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.cache import cached_arrays
from bayesesi.anatomy.mesh import CorticalMesh
from bayesesi.anatomy.template import (
    template_mesh,
    template_parcellation,
    template_source_space,
)
from bayesesi.errors import InputError


@cache
def template_partition(n_cells: int) -> NDArray[np.int64]:
    """Cut the template's cortex into ``n_cells`` cells: (20484,) cell of each vertex, -1 outside.

    Half of the cells on each side, by farthest points: each next middle is the vertex farthest
    along the surface from those before it, and a vertex belongs to the nearest middle (Gonzalez
    1985, doi:10.1016/0304-3975(85)90224-5: no cell more than twice as wide as it could be). Some 15
    s for 994 cells, kept in the user's cache.
    """
    mesh, inside = template_mesh(), template_parcellation(5).labels >= 0

    def compute() -> dict[str, NDArray[Any]]:
        middles = [m for side in (0, 1) for m in _middles(mesh, inside, side, n_cells // 2)]
        return {"middles": np.array(middles)}

    key = (mesh.positions, mesh.triangles, inside, np.array([n_cells]))
    middles = cached_arrays("partition", key, compute)["middles"]
    return np.where(inside, mesh.nearest_seed(middles), -1)


@dataclass(frozen=True, eq=False)
class Parcels:
    """Pieces of the regions of a parcellation, and which way a source of each counts.

    Attributes
    ----------
    labels : (S,) piece of each source, -1 outside the atlas. signs : (S,) +1 or -1.
    region : (P,) which region each piece is of.
    """

    labels: NDArray[np.int64]
    signs: NDArray[np.int64]
    region: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.region)


@cache
def template_parcels(n: int, ico: int = 4) -> Parcels:
    """Cut the template's regions into about ``n`` pieces of about equal area, each region into one
    at least; sources are those of the template at ``ico`` 1 to 5.

    Pieces are clusters by straight distance, weighted by area (k-means). A source counts against
    its region if its normal points against the direction along which those of the region point most
    (the first singular vector, as ``mean_flip`` of MNE-Python has it): the summed moment of a
    region, and of its pieces, is then that of current one way.
    """
    from sklearn.cluster import KMeans

    space, regions = template_source_space(ico), template_parcellation(ico)
    assert space.normals is not None
    labels = np.full(space.n_sources, -1)
    signs = np.ones(space.n_sources, np.int64)
    of_region: list[int] = []
    for r, area in enumerate(regions.areas):
        own = np.flatnonzero(regions.labels == r)
        if not len(own):  # of a coarse level
            continue
        axis = np.linalg.svd(space.normals[own], full_matrices=False)[2][0]
        along = np.sign(space.normals[own] @ axis).astype(np.int64)
        signs[own] = np.where(along == 0, 1, along) * (1 if along.sum() >= 0 else -1)
        k = int(np.clip(round(n * area / regions.areas.sum()), 1, len(own)))
        cluster = KMeans(k, n_init=4, random_state=0).fit(
            space.positions[own], sample_weight=space.areas[own]
        )
        labels[own] = len(of_region) + cluster.labels_
        of_region += [r] * k
    return Parcels(labels, signs, np.array(of_region))


def read_partition(path: str | Path) -> NDArray[np.int64]:
    """Read (20484,) the cell of each vertex of fsaverage5, -1 outside the atlas.

    ``path`` is a .mat file with one whole number from 0 for each vertex, as ``rm``.

    Raises
    ------
    InputError : a file that cannot be read, or other numbers in it.
    """
    from scipy.io import loadmat

    path = Path(path)
    try:
        cells = np.asarray(loadmat(path, variable_names=["rm"])["rm"]).ravel()
    except Exception as error:  # scipy raises many kinds for foreign files
        raise InputError(
            f"{path.name} is not a partition; give a .mat file with one parcel per vertex, as rm"
        ) from error
    n_vertices = template_mesh().n_vertices
    whole = cells.dtype.kind in "iuf" and len(cells) == n_vertices
    if not (whole and (cells == np.round(cells)).all() and cells.min() >= 0):
        raise InputError(
            f"{path.name}: rm must contain an integer from 0 for each of {n_vertices} vertices"
        )
    outside = template_parcellation(5).labels < 0
    return np.where(outside, -1, cells.astype(np.int64))


def _middles(mesh: CorticalMesh, inside: NDArray[np.bool_], side: int, n: int) -> list[int]:
    from scipy.sparse.csgraph import dijkstra

    candidates = inside & (mesh.hemisphere == side)
    chosen = [int(np.flatnonzero(candidates)[0])]
    distance = np.full(mesh.n_vertices, np.inf)
    for _ in range(n - 1):
        # only what is nearer to the newest than to all before it changes
        reach = float(distance[candidates].max())
        new = dijkstra(mesh.edges, directed=False, indices=chosen[-1], limit=reach)
        distance = np.minimum(distance, new)
        chosen.append(int(np.where(candidates, distance, -1).argmax()))
    return chosen


def cell_neighbours(mesh: CorticalMesh, cells: NDArray[np.int64]) -> sp.csr_array:
    """Find which cells share an edge: (n, n) sparse, each cell beside itself included.

    ``cells`` (V,) is the cell of each vertex of ``mesh``, from 0, or -1 for none.
    """
    n = int(cells.max()) + 1
    edges = sp.coo_array(mesh.edges)
    a, b = cells[edges.coords[0]], cells[edges.coords[1]]
    both = (a >= 0) & (b >= 0)
    shared = sp.coo_array((np.ones(both.sum()), (a[both], b[both])), (n, n))
    return sp.csr_array(sp.csr_array(shared) + sp.eye_array(n) > 0)
