"""The folds of another cortex: another orientation at the same labelled place.

On the registered sphere of each hemisphere (radius 100 mm), for vertex v of a head,

    n'(v) = normalise(n(v + delta(v)) + s g(v)),

n the template's normals interpolated on the sphere, delta a tangential Gaussian field (folds that
lie elsewhere) and g a Gaussian field of vectors (folds that lean otherwise), each component of
squared-exponential covariance. A field is the sum of 200 random Fourier features (Rahimi & Recht
2007), so that it is evaluated where a patch lies and nowhere else:

    f(x) = sqrt(2 / K) sum_k a_k cos(w_k'x + b_k),   w ~ N(0, I / length²), a ~ N(0, 1), b ~ U.

The constants of ``template-people`` were matched to one person's angles and patches; they say
nothing of where regions lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import template_mesh
from bayesesi.spec import FoldSpec

#: Seeds of the fields are whole numbers below this; features of a field.
SEEDS, _FEATURES = 2**23, 200
#: mm of the registered sphere; vertices between which normals are interpolated.
_RADIUS, _NEAREST = 100.0, 3
#: Vertices that are worked on at once.
_CHUNK = 20_000


@dataclass(frozen=True)
class Folds:
    """Normals of other cortices; see the module.

    Attributes
    ----------
    spec : sizes and lengths of the fields.
    """

    spec: FoldSpec

    def normals(
        self, draws: dict[str, NDArray[Any]], head: NDArray[np.int64], vertices: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Compute (m, 3) unit normals of m vertices, each in one of n heads.

        Parameters
        ----------
        draws : sites ``fold_seed`` (n,) and ``fold_tilt`` (n,). head : (m,) index into them.
        vertices : (m,) of the template's 20,484.
        """
        out = np.empty((len(vertices), 3))
        order = np.argsort(head, kind="stable")
        for first in range(0, len(order), _CHUNK):
            rows = order[first : first + _CHUNK]
            out[rows] = self._some(draws, head[rows], vertices[rows])
        return out

    def change(
        self, moments: sp.csr_array, draws: dict[str, NDArray[Any]], head: NDArray[np.int64]
    ) -> sp.csr_array:
        """Compute (n, 3 S) A m: what other folds add to moments along the template's normals.

        Of each vertex m_v (n'_v - n_v), x, y and z in turn; 0 where folds are the template's.

        Parameters
        ----------
        moments : (n, S) A m on the 20,484 vertices. draws, head : see ``normals``; head is (n,).
        """
        held = sp.csr_array(moments)
        rows = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
        vertices = held.indices.astype(np.int64)
        turned = self.normals(draws, head[rows], vertices) - template_mesh().normals[vertices]
        columns = 3 * vertices[:, None] + np.arange(3)
        values = held.data[:, None] * turned
        place = (np.repeat(rows, 3), columns.ravel())
        return sp.csr_array((values.ravel(), place), (held.shape[0], 3 * held.shape[1]))

    def _some(
        self, draws: dict[str, NDArray[Any]], head: NDArray[np.int64], vertices: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        spec, mesh = self.spec, template_mesh()
        assert mesh.sphere is not None
        place = _RADIUS * mesh.sphere[vertices]
        side = mesh.hemisphere[vertices]
        heads, own = np.unique(head, return_inverse=True)
        fields = np.empty((len(vertices), 6))
        for k, index in enumerate(heads):
            rows = np.flatnonzero(own == k)
            fields[rows] = self._fields(int(draws["fold_seed"][index]), place[rows], side[rows])
        across = spec.shift_mm * fields[:, :3]
        outward = place / _RADIUS
        across -= (across * outward).sum(axis=1, keepdims=True) * outward
        found = self._template_normals(place + across, side)
        found += np.asarray(draws["fold_tilt"], float)[head][:, None] * fields[:, 3:]
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def _fields(
        self, seed: int, place: NDArray[np.float64], side: NDArray[np.int8]
    ) -> NDArray[np.float64]:
        """(m, 6) of unit variance: three components of delta, and three of g."""
        rng, spec = np.random.default_rng([seed, 11]), self.spec
        out = np.empty((len(place), 6))
        # each hemisphere has fields of its own, on a sphere of its own
        apart = place + 1e4 * np.c_[side, np.zeros((len(side), 2))]
        for first, length in ((0, spec.shift_length_mm), (3, spec.tilt_length_mm)):
            waves = rng.standard_normal((3, _FEATURES)) / length
            phase = rng.uniform(0, 2 * np.pi, _FEATURES)
            sizes = rng.standard_normal((_FEATURES, 3)) * np.sqrt(2 / _FEATURES)
            out[:, first : first + 3] = np.cos(apart @ waves + phase) @ sizes
        return out

    def _template_normals(
        self, place: NDArray[np.float64], side: NDArray[np.int8]
    ) -> NDArray[np.float64]:
        """(m, 3) interpolated between the nearest vertices of the same hemisphere's sphere."""
        mesh = template_mesh()
        place = _RADIUS * place / np.linalg.norm(place, axis=1, keepdims=True)
        out = np.empty_like(place)
        for hemisphere, (tree, first) in enumerate(self._trees):
            rows = np.flatnonzero(side == hemisphere)
            distance, nearest = tree.query(place[rows], k=_NEAREST)
            weight = 1 / np.maximum(distance, 1e-6) ** 2
            weight /= weight.sum(axis=1, keepdims=True)
            out[rows] = (weight[..., None] * mesh.normals[first + nearest]).sum(axis=1)
        return out

    @cached_property
    def _trees(self) -> tuple[tuple[KDTree, int], ...]:
        mesh = template_mesh()
        assert mesh.sphere is not None
        sphere = _RADIUS * mesh.sphere
        return (KDTree(sphere[: mesh.n_left]), 0), (KDTree(sphere[mesh.n_left :]), mesh.n_left)
