"""What every posterior can do: be drawn from, be summed up, say which regions are active."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import (
    ACTIVE_SHARE,
    Parcellation,
    active_regions,
    region_energy,
    template_parcellation,
)
from bayesesi.errors import InputError
from bayesesi.observation import Observation

if TYPE_CHECKING:
    import arviz as az
    import mne

#: Draws that are held at once while only sums over them are wanted.
_CHUNK = 50


@dataclass(frozen=True, eq=False)
class Posterior(ABC):
    """q(j | v) for one observation.

    Draws are (D, S, R), or (D, S, 3, R) for free sources, in A m, with J(t) = J_R functions(t)'.
    """

    obs: Observation

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """(n, S[, 3], R) A m; the same for the same seed."""

    @abstractmethod
    def mean(self) -> NDArray[np.float64]:
        """(S[, 3], R) A m."""

    @abstractmethod
    def sd(self) -> NDArray[np.float64]:
        """(S[, 3], R) A m: standard deviation of each coefficient."""

    def log_prob(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D,) log density at draws.

        Raises
        ------
        InputError : a family that has none.
        """
        raise InputError(f"{type(self).__name__} has no density to evaluate; draw from it instead")

    def energy(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D, S) A² m²: squared moments of draws, summed over the samples of the window."""
        functions = self.obs.time_basis.functions
        gram = functions.T @ functions
        flat = draws if draws.ndim == 4 else draws[:, :, None]
        return np.asarray(np.einsum("dsir,rq,dsiq->ds", flat, gram, flat, optimize=True))

    def active(
        self,
        n: int = 1000,
        seed: int = 0,
        share: float = ACTIVE_SHARE,
        parcellation: Parcellation | None = None,
    ) -> NDArray[np.bool_]:
        """(n, P) which regions are active in each draw, by the one definition of that."""
        regions = parcellation or self.parcellation
        parts = []
        for first in range(0, n, _CHUNK):
            draws = self.sample(min(_CHUNK, n - first), seed + first)
            parts.append(active_regions(region_energy(self.energy(draws), regions), share))
        return np.concatenate(parts)

    def region_probability(
        self, n: int = 1000, seed: int = 0, share: float = ACTIVE_SHARE
    ) -> NDArray[np.float64]:
        """(P,) share of draws in which each region is active."""
        return np.asarray(self.active(n, seed, share).mean(axis=0))

    @property
    def parcellation(self) -> Parcellation:
        """The template's regions on this source space."""
        space = self.obs.source_space
        if space.level is not None:
            return template_parcellation(space.level)
        return template_parcellation(5).on(space)

    def source_estimate(self, which: Literal["mean", "sd"] = "mean") -> mne.SourceEstimate:
        """``mne.SourceEstimate`` of the mean, or of the standard deviation of J(t), over time.

        Free sources as the norm over their three axes.

        Raises
        ------
        InputError : another word, or sources that are not on a cortex.
        """
        import mne

        if which not in ("mean", "sd"):
            raise InputError(f"a source estimate is of the 'mean' or the 'sd', not {which!r}")
        functions, space = self.obs.time_basis.functions, self.obs.source_space
        if space.vertices is None or space.mesh is None:
            raise InputError("a source estimate needs sources on a cortex; these are in a volume")
        if which == "mean":
            values = self.mean() @ functions.T
        else:
            values = np.sqrt(self.sd() ** 2 @ (functions**2).T)
        if values.ndim == 3:
            values = np.linalg.norm(values, axis=1)
        left = space.vertices < space.mesh.n_left
        vertices = [space.vertices[left], space.vertices[~left] - space.mesh.n_left]
        times = self.obs.time_basis.times
        step = float(times[1] - times[0]) if len(times) > 1 else 1.0
        return mne.SourceEstimate(values, vertices, float(times[0]), step, space.subject)

    def to_arviz(self, n: int = 200, seed: int = 0) -> az.InferenceData:
        """n draws as an ArviZ group, dims (chain, draw, source[, orient], function)."""
        import arviz as az

        draws = self.sample(n, seed)
        dims = ["source", "orient", "function"] if draws.ndim == 4 else ["source", "function"]
        return az.from_dict(posterior={"j": draws[None]}, dims={"j": dims})
