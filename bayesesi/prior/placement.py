"""Where a source's centre is: by weight, and not too near to those before it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, ClassVar

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import constraints

from bayesesi.anatomy import LOBES, Parcellation
from bayesesi.errors import InputError, some
from bayesesi.spec.source import Place

_MAX_ROUNDS = 200


def placement_weights(place: Place, parcellation: Parcellation) -> NDArray[np.float64]:
    """Compute (S,) the probability of each source as a centre; 0 outside the atlas.

    By area, a source weighs the cortex it stands for; by depth, sources are weighed so that the
    distance below the convex hull of the cortex is uniform, before regions are weighed. Regions
    multiply, a region's own weight before its lobe's. ``place`` says which; ``parcellation`` names
    the regions.

    Raises
    ------
    InputError : a name that is no region or lobe, or no cortex left.
    """
    names = [*parcellation.names, *LOBES]
    unknown = [name for name in place.regions if name not in names]
    if unknown:
        near = get_close_matches(unknown[0], names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed are {some(LOBES, 6)} or regions"
        raise InputError(f"place.regions has no {unknown[0]!r}; {hint}")
    space = parcellation.source_space
    weight = space.areas * (parcellation.labels >= 0)
    if place.by == "depth":
        weight = weight * _flat_depth(space.positions, weight)
    of_region = [
        place.regions.get(r.name, place.regions.get(r.lobe, place.other_regions))
        for r in parcellation.regions
    ]
    weight = weight * np.array([*of_region, 0.0])[parcellation.labels]  # label -1: the last
    if not weight.sum() > 0:
        raise InputError("place gives every source weight 0; let a region have more")
    return np.asarray(weight / weight.sum(), float)


def _flat_depth(positions: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S,) factor that makes the distance from the brain's hull uniform under ``weight``."""
    from scipy.spatial import ConvexHull

    planes = ConvexHull(positions).equations
    depth = -(positions @ planes[:, :3].T + planes[:, 3]).max(axis=1)
    edges = np.linspace(0, np.quantile(depth, 0.99), 13)
    cell = np.clip(np.searchsorted(edges, depth, "right") - 1, 0, len(edges) - 2)
    mass = np.bincount(cell, weight, len(edges) - 1)
    return 1 / np.maximum(mass, 1e-12)[cell]


class Placement(dist.TorchDistribution):
    """Categorical over sources, conditioned on a distance from centres already placed.

    p(i | earlier) = w_i [no earlier centre within d of i] / (1 - mass of their neighbourhoods).
    Sampled by drawing from w until the distance holds, scored exactly.

    Parameters
    ----------
    weights : (S,) summing to 1. positions : (S, 3) m.
    earlier : (..., k) indices of centres already placed. min_distance : m, straight.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, weights: Tensor, positions: Tensor, earlier: Tensor, min_distance: float
    ) -> None:
        self.weights, self.positions = weights, positions
        self.earlier, self.min_distance = earlier, min_distance
        self._cumulative = weights.double().cumsum(0)
        super().__init__(earlier.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, len(self.weights) - 1)

    def expand(self, batch_shape: Any, _instance: object = None) -> Placement:
        """Expand to independent draws of ``batch_shape``."""
        earlier = self.earlier.expand(*batch_shape, self.earlier.shape[-1])
        return Placement(self.weights, self.positions, earlier, self.min_distance)

    def _draw(self, shape: Any) -> Tensor:
        share = torch.rand(shape, dtype=torch.float64) * self._cumulative[-1]
        found = torch.searchsorted(self._cumulative, share, right=True)
        return found.clamp(max=len(self.weights) - 1)

    def _near(self, value: Tensor) -> Tensor:
        if self.earlier.shape[-1] == 0:
            return torch.zeros(value.shape, dtype=torch.bool)
        apart = self.positions[value][..., None, :] - self.positions[self.earlier]
        return (apart.norm(dim=-1) < self.min_distance).any(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw sources of ``sample_shape`` and batch.

        Raises
        ------
        InputError : no place far enough from the centres before it.
        """
        value = self._draw((*sample_shape, *self.batch_shape))
        for _ in range(_MAX_ROUNDS):
            near = self._near(value)
            if not near.any():
                return value
            value = torch.where(near, self._draw(value.shape), value)
        raise InputError(
            f"no place is {self.min_distance * 1e3:.0f} mm from the sources before it; lower "
            "count.min_distance_mm or widen place"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Compute the log probability of the sources ``value`` (...)."""
        score = self.weights.log()[value]
        if self.earlier.shape[-1] == 0:
            return score
        apart = torch.cdist(self.positions[self.earlier], self.positions)  # (..., k, S)
        taken = ((apart < self.min_distance).any(dim=-2) * self.weights).sum(dim=-1)
        score = score - torch.log1p(-taken)
        return torch.where(self._near(value), -torch.inf, score)
