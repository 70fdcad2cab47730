"""Smooth functions on a cortex: eigenfunctions of its Laplace-Beltrami operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.cache import cached_arrays
from bayesesi.anatomy.mesh import CorticalMesh
from bayesesi.anatomy.template import template_mesh


@dataclass(frozen=True, eq=False)
class SurfaceModes:
    """phi_i with -Laplace phi_i = lambda_i phi_i and integral phi_i phi_j dA = delta_ij.

    A Gaussian field with coefficients N(0, exp(-lambda_i l² / 2)) has on a flat surface the
    correlation exp(-d² / (2 l²)): l is the distance at which it falls to .61. Each mode lives on
    one hemisphere.

    Attributes
    ----------
    eigenvalues : (2, m) 1/m². modes : (2, V / 2, m) 1/m, left hemisphere first.
    """

    eigenvalues: NDArray[np.float64]
    modes: NDArray[np.float32]

    @property
    def n_modes(self) -> int:
        return int(self.eigenvalues.size)

    def amplitudes(self, smoothness: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute (n, 2 m) standard deviations of coefficients that give a field of unit variance.

        ``smoothness`` (n,) is l in m. The variance is 1 on average over the cortex.
        """
        decay = np.exp(-self.eigenvalues.ravel() * np.atleast_1d(smoothness)[:, None] ** 2 / 4)
        return decay * np.sqrt(self.area / (decay**2).sum(axis=1, keepdims=True))

    @property
    def area(self) -> float:
        """m²: the first mode of a hemisphere is constant, 1 / sqrt(area)."""
        return float((self.modes[:, 0, 0].astype(float) ** -2).sum())

    def combine(self, coefficients: NDArray[np.floating]) -> NDArray[np.float32]:
        """Sum the modes to fields (n, V), by ``coefficients`` (n, 2 m) in their unit times m."""
        sides = coefficients.astype(np.float32).reshape(len(coefficients), 2, -1)
        return np.concatenate([sides[:, h] @ self.modes[h].T for h in (0, 1)], axis=1)

    def at(self, vertices: NDArray[np.integer]) -> NDArray[np.float32]:
        """Pick every mode at ``vertices`` (n,): (n, 2 m) in 1/m, 0 off its hemisphere."""
        _, half, m = self.modes.shape
        found = np.zeros((len(vertices), 2, m), np.float32)
        side, row = np.divmod(vertices, half)
        found[np.arange(len(vertices)), side] = self.modes[side, row]
        return found.reshape(len(vertices), 2 * m)


def surface_modes(mesh: CorticalMesh, n_a_side: int) -> SurfaceModes:
    """Compute the ``n_a_side`` smoothest modes of each side of ``mesh``, by cotangent weights.

    Some 20 s a hemisphere for 700 of 10,242 vertices, kept in the user's cache.
    """

    def compute() -> dict[str, NDArray[Any]]:
        sides = [_modes_of(part, n_a_side) for part in _hemispheres(mesh)]
        return {
            "eigenvalues": np.array([values for values, _ in sides]),
            "modes": np.array([modes for _, modes in sides], np.float32),
        }

    key = (mesh.positions, mesh.triangles, np.array([n_a_side]))
    return SurfaceModes(**cached_arrays("modes", key, compute))


def _hemispheres(mesh: CorticalMesh) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    left = (mesh.triangles < mesh.n_left).all(axis=1)
    return [
        (mesh.positions[: mesh.n_left], mesh.triangles[left]),
        (mesh.positions[mesh.n_left :], mesh.triangles[~left] - mesh.n_left),
    ]


def _modes_of(
    part: tuple[NDArray[np.float64], NDArray[np.int64]], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import potpourri3d as pp3d
    from scipy.sparse.linalg import eigsh

    stiffness = sp.csc_array(pp3d.cotan_laplacian(*part))
    mass = sp.diags_array(pp3d.vertex_areas(*part)).tocsc()
    # sigma just below 0 makes the shifted matrix definite; a fixed start makes it repeatable
    start = np.random.default_rng(0).standard_normal(len(part[0]))
    values, vectors = eigsh(stiffness, k=n, M=mass, sigma=-1.0, which="LM", v0=start)
    order = np.argsort(values)
    vectors = vectors[:, order]
    return np.maximum(values[order], 0.0), vectors * np.sign(vectors.sum(axis=0) + 1e-300)


@cache
def template_modes() -> SurfaceModes:
    """Compute 1,400 modes of the template's cortex, enough for smoothness from 8 mm on."""
    return surface_modes(template_mesh(), 700)
