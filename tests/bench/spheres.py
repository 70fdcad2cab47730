"""Nested spheres with the sizes and source depths of the template: the exact solution is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import TISSUES, HeadSurfaces, template_mesh, template_surfaces
from bayesesi.anatomy.surfaces import icosphere
from bayesesi.forward import Conductivities
from tests.oracle.nested_spheres import sphere_leadfield

Array = NDArray[np.float64]
N_VERTICES, N_ELECTRODES = 642, 64


@dataclass(frozen=True, eq=False)
class Spheres:
    """``radii`` m; ``sources``, ``moments``, ``electrodes`` (n, 3); ``depth`` m below the innermost
    sphere."""

    radii: Array
    depth: Array
    sources: Array
    moments: Array
    electrodes: Array

    @classmethod
    def like_template(cls, n_shells: int, n_dipoles: int, seed: int) -> Spheres:
        """Dipoles as deep as template cortex, anywhere around the sphere, in any orientation."""
        rng = np.random.default_rng(seed)
        radii, depths = template_sizes(n_shells)
        depth = rng.choice(depths, n_dipoles)
        sources = _unit_vectors(rng, n_dipoles) * (radii[0] - depth)[:, None]
        moments, electrodes = _unit_vectors(rng, n_dipoles), radii[-1] * _upper(N_ELECTRODES)
        return cls(radii, depth, sources, moments, electrodes)

    @property
    def surfaces(self) -> HeadSurfaces:
        directions, triangles = icosphere(N_VERTICES)
        vertices = tuple(r * directions for r in self.radii)
        return HeadSurfaces(vertices, (triangles,) * len(self.radii))

    def exact(self, conductivities: Conductivities) -> Array:
        """(C, D) V/(A m)."""
        sigma = [getattr(conductivities, tissue) for tissue in TISSUES[len(self.radii)]]
        free = sphere_leadfield(self.radii, sigma, self.sources, self.electrodes)
        return np.einsum("csk,sk->cs", free, self.moments)


def template_sizes(n_shells: int) -> tuple[Array, Array]:
    """Radii (m) of spheres and depths (m) of cortex.

    The innermost sphere has the volume of the template's innermost surface, the gaps are the
    median distances of its surfaces, and depths are those of all 20,484 vertices below the
    innermost surface.
    """
    surfaces = template_surfaces(n_shells, n_vertices=N_VERTICES)
    inner = (3 * surfaces.innermost.volume / (4 * np.pi)) ** (1 / 3)
    gaps = [
        np.median(trimesh.proximity.closest_point(outer, mesh.vertices)[1])
        for mesh, outer in zip(surfaces.meshes[:-1], surfaces.meshes[1:], strict=True)
    ]
    depths = trimesh.proximity.closest_point(surfaces.innermost, template_mesh().positions)[1]
    return inner + np.r_[0.0, np.cumsum(gaps)], np.asarray(depths)


def _unit_vectors(rng: np.random.Generator, n: int) -> Array:
    directions = rng.standard_normal((n, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _upper(n: int, lowest: float = -0.2) -> Array:
    """(n, 3) unit vectors spread evenly above ``lowest`` on a golden spiral."""
    z = 1 - (1 - lowest) * (np.arange(n) + 0.5) / n
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], axis=1)
