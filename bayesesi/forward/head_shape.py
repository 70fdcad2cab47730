"""Other heads: the template carried into them by a smooth map of space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces
from bayesesi.anatomy.template import head_centre

#: m; lengths in the polynomial are in units of it, about the radius of the brain.
_UNIT = 0.08
_MONOMIALS = tuple(
    term for degree in (2, 3) for term in combinations_with_replacement(range(3), degree)
)


@dataclass(frozen=True)
class HeadShape:
    """x -> c + s (x - c) + sum over quadratic and cubic monomials of u, with u = (x - c) / 80 mm.

    ``scale`` (3,) stretches right-left, front-back and up-down; ``bend`` (16, 3) in m holds the
    displacement each monomial makes. A map of the whole space carries every surface and source
    along, so nesting and depth order are kept.
    """

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bend: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),) * len(_MONOMIALS)

    @classmethod
    def draw(
        cls, rng: np.random.Generator, scale_sd: float = 0.04, bend_sd: float = 0.0012
    ) -> HeadShape:
        """Draw a head: sizes vary by 4 % an axis (length of British men: mean 195, sd 8 mm).

        The head bends by about 3 mm (median) beyond that. ``scale_sd`` is a share of the size,
        ``bend_sd`` in m; ``rng`` draws.
        """
        scale = 1 + scale_sd * rng.standard_normal(3)
        bend = bend_sd * rng.standard_normal((len(_MONOMIALS), 3))
        return cls(tuple(scale.tolist()), tuple(map(tuple, bend.tolist())))

    def warp(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move ``points`` (n, 3) m of the template to where they are in this head, (n, 3) m."""
        centre = head_centre()
        offset = points - centre
        u = offset / _UNIT
        terms = np.stack([np.prod(u[:, list(term)], axis=1) for term in _MONOMIALS], axis=1)
        return centre + offset * np.asarray(self.scale) + terms @ np.asarray(self.bend)

    def warp_normals(
        self, points: NDArray[np.float64], normals: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Turn ``normals`` (n, 3) of a surface through ``points`` (n, 3) m with the map, (n, 3).

        They become J^-T n, normalised.
        """
        step = 1e-5
        jacobian = np.stack(
            [
                (self.warp(points + e) - self.warp(points - e)) / (2 * step)
                for e in step * np.eye(3)
            ],
            axis=2,
        )
        turned = np.linalg.solve(np.swapaxes(jacobian, 1, 2), normals[..., None])[..., 0]
        return turned / np.linalg.norm(turned, axis=1, keepdims=True)

    def warp_surfaces(self, surfaces: HeadSurfaces) -> HeadSurfaces:
        """Carry ``surfaces`` of the template into this head."""
        return replace(surfaces, vertices=tuple(map(self.warp, surfaces.vertices)))
