"""Draws of the field: every number of each, or only those of the sources that it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation
from bayesesi.observation import Observation

#: Draws that scores, ranks and statistics rest on, of simulated cases and of a recording alike.
SCORE_DRAWS = 100
#: (D, S) numbers of draws and sources.
PerSource: TypeAlias = Any  # an array, or a sparse one of scipy, which has no types


@dataclass(frozen=True, eq=False)
class FieldDraws(ABC):
    """Hold D fields J on the sources of one observation, A m, with J(t) = J_R functions(t)'.

    Attributes
    ----------
    obs : the observation.
    """

    obs: Observation

    @abstractmethod
    def __len__(self) -> int:
        """D."""

    @abstractmethod
    def sources(self) -> NDArray[np.int64]:
        """List the (n,) sources, rising, beyond which every draw is 0."""

    @abstractmethod
    def dense(self, sources: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return every number, (D, S[, 3], R) A m, or those of the (n,) ``sources``, rising."""

    @abstractmethod
    def energy(self) -> PerSource:
        """Compute (D, S) A² m²: squared moments, summed over the samples of the window."""

    @abstractmethod
    def size_at(self, sample: int) -> PerSource:
        """Compute (D, S) A m: sizes of moments at one ``sample`` of the window."""

    @abstractmethod
    def explained(self) -> NDArray[np.float64]:
        """Compute (D, n_eff, R), unitless: L~ J in the assumed head."""

    @abstractmethod
    def moments(self, regions: Parcellation | None) -> NDArray[np.float64]:
        """Sum moments, (D, 1 + P[, 3], R) A m: of all sources, then of each region's.

        Parameters
        ----------
        regions : P of them; None for sources that are on no cortex.
        """

    def _along(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., [3,] R) to squares of numbers whose sum over time is that over the samples."""
        functions = self.obs.time_basis.functions
        n_times, r = functions.shape
        # an orthogonal turn keeps squares: R numbers do for T samples
        root = functions if n_times <= r else np.asarray(np.linalg.qr(functions, mode="r"))
        return np.square(values @ root.T)

    def _size(self, values: NDArray[np.float64], sample: int) -> NDArray[np.float64]:
        """(..., [3,] R) to (...) sizes at a sample."""
        now = values @ self.obs.time_basis.functions[sample]
        free = self.obs.leadfield.ndim == 3
        return np.asarray(np.linalg.norm(now, axis=-1) if free else np.abs(now))


@dataclass(frozen=True, eq=False)
class DenseDraws(FieldDraws):
    """All numbers of D fields.

    Attributes
    ----------
    values : (D, S[, 3], R) A m.
    """

    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def sources(self) -> NDArray[np.int64]:
        return np.arange(self.values.shape[1])

    def dense(self, sources: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        return self.values if sources is None else self.values[:, sources]

    def energy(self) -> NDArray[np.float64]:
        along = self._along(self.values)
        return np.asarray(along.reshape(*along.shape[:2], -1).sum(axis=2))

    def size_at(self, sample: int) -> NDArray[np.float64]:
        return self._size(self.values, sample)

    def explained(self) -> NDArray[np.float64]:
        return self._explained

    @cached_property
    def _explained(self) -> NDArray[np.float64]:
        leadfield = self.obs.leadfield.reshape(self.obs.n_eff, -1)
        flat = self.values.reshape(len(self), leadfield.shape[1], -1)
        return np.asarray(leadfield @ flat)

    def moments(self, regions: Parcellation | None) -> NDArray[np.float64]:
        gather = _gather(self.values.shape[1], regions)
        summed = np.empty((len(self), gather.shape[0], *self.values.shape[2:]))
        for k, draw in enumerate(self.values):
            summed[k] = (gather @ draw.reshape(len(draw), -1)).reshape(-1, *draw.shape[1:])
        return summed


@dataclass(frozen=True, eq=False)
class SparseDraws(FieldDraws):
    """D fields that are 0 but on few sources.

    Attributes
    ----------
    first : (D + 1,) where in what follows each draw begins. source : (n,) rising within a draw.
    values : (n[, 3], R) A m.
    whitened : (D, n_eff, R) L~ J.
    """

    first: NDArray[np.int64]
    source: NDArray[np.int64]
    values: NDArray[np.float64]
    whitened: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first) - 1

    @cached_property
    def draw(self) -> NDArray[np.int64]:
        """(n,) which draw each number is of."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def sources(self) -> NDArray[np.int64]:
        return np.unique(self.source)

    def dense(self, sources: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        every = np.arange(self.obs.leadfield.shape[1]) if sources is None else sources
        place = np.searchsorted(every, self.source)
        inside = np.flatnonzero(every[place.clip(max=len(every) - 1)] == self.source)
        out = np.zeros((len(self), len(every), *self.values.shape[1:]))
        out[self.draw[inside], place[inside]] = self.values[inside]
        return out

    def energy(self) -> sp.csr_array:
        along = self._along(self.values)
        return self._per_source(along.sum(axis=tuple(range(1, along.ndim))))

    def size_at(self, sample: int) -> sp.csr_array:
        return self._per_source(self._size(self.values, sample))

    def explained(self) -> NDArray[np.float64]:
        return self.whitened

    def moments(self, regions: Parcellation | None) -> NDArray[np.float64]:
        labels = np.full(self.obs.leadfield.shape[1], -1) if regions is None else regions.labels
        width = 1 + (0 if regions is None else len(regions.regions))
        label = labels[self.source]
        inside = np.flatnonzero(label >= 0)
        rows = np.r_[self.draw * width, self.draw[inside] * width + 1 + label[inside]]
        columns = np.r_[np.arange(len(label)), inside]
        shape = (len(self) * width, len(label))
        gather = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape)
        summed = gather @ self.values.reshape(len(label), int(np.prod(self.values.shape[1:])))
        return np.asarray(summed.reshape(len(self), width, *self.values.shape[1:]))

    def _per_source(self, values: NDArray[np.float64]) -> sp.csr_array:
        shape = (len(self), self.obs.leadfield.shape[1])
        return sp.csr_array((values, self.source, self.first), shape)


def _gather(n_sources: int, regions: Parcellation | None) -> sp.csr_array:
    """(1 + P, S): sums over all sources, and over each region's."""
    labels = np.full(n_sources, -1) if regions is None else regions.labels
    n_regions = 0 if regions is None else len(regions.regions)
    inside, every = np.flatnonzero(labels >= 0), np.arange(n_sources)
    rows, columns = np.r_[0 * every, 1 + labels[inside]], np.r_[every, inside]
    return sp.csr_array((np.ones(len(rows)), (rows, columns)), (1 + n_regions, n_sources))
