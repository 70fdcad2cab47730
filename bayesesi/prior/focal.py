"""One to a few sources of limited extent: points and patches of cortex."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pyro
import pyro.distributions as dist
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import Parcellation
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.placement import Placement, placement_weights
from bayesesi.prior.source import SourcePrior
from bayesesi.spec import FocalSpec, PatchSpec
from bayesesi.spec.source import Profile


@dataclass(frozen=True, eq=False)
class FocalPrior(SourcePrior):
    """p(event) of a focal prior: K of ``count`` slots are used, the rest are drawn and ignored.

    Sites, cases along the last axis: ``count`` (n,); ``correlation`` (n,) of the time courses of
    any source with the first; ``centre_k`` (n,) index of a source, for k = 0, 1...; and (K, n)
    ``moment_nAm``, ``polarity`` (0 or 1), those of the shape, and for sources that are not fixed to
    the normal ``lean`` (K, n, 3). Slots at or beyond ``count`` do not enter the density.

    With n the outward normal a loose source points along n + lean, lean ~ N(0, loose² I), a free
    one along lean, uniform on the sphere; one lean for all of a patch. A loose moment is that along
    the normal, a free one the whole.

    Parameters
    ----------
    spec : of a family of single sources.
    parcellation : names the regions of the cortex on which centres are.
    """

    spec: FocalSpec
    parcellation: Parcellation

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.name!r} | up to {self.n_slots} sources>"

    @abstractmethod
    def _draw_shapes(self) -> dict[str, Tensor]:
        """Sites of the shape of a source, sampled inside the plates of slots and cases."""

    @abstractmethod
    def shapes(self, sites: dict[str, NDArray[Any]]) -> sp.csr_array:
        """Make the shapes (m, S) of m sources, each row summing to 1.

        ``sites`` hold (m, ...) for each site of the shape and ``centre`` (m,).
        """

    @property
    def n_slots(self) -> int:
        return self.spec.count.largest

    @property
    def null_probability(self) -> float:
        return self.spec.count.null

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(S,) probability of each source as a first centre."""
        return placement_weights(self.spec.place, self.parcellation)

    @cached_property
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        """The prior as a Pyro model of n cases; returns its sites with cases first."""
        spec, slots = self.spec, self.n_slots
        counts = torch.tensor(
            [spec.count.null, *((1 - spec.count.null) * w for w in spec.count.weights)]
        )
        weights = torch.tensor(self.weights, dtype=torch.float32)
        positions = torch.tensor(self.source_space.positions, dtype=torch.float32)
        apart = spec.count.min_distance_mm * 1e-3

        def program(n: int) -> dict[str, Tensor]:
            cases = pyro.plate("cases", n, dim=-1)
            with cases:
                count = pyro.sample("count", dist.Categorical(counts))
                together = torch.full((n,), torch.nan)
                if spec.correlation is not None:
                    with _mask(count > 1):
                        together = pyro.sample("correlation", distribution_of(spec.correlation))
                centre = torch.zeros(n, 0, dtype=torch.long)
                for k in range(slots):
                    with _mask(count > k):
                        placed = pyro.sample(
                            f"centre_{k}", Placement(weights, positions, centre, apart)
                        )
                    centre = torch.cat([centre, placed[:, None]], dim=1)
            used = torch.arange(slots)[:, None] < count
            with pyro.plate("slots", slots, dim=-2), cases, _mask(used):
                drawn = {
                    "moment_nAm": pyro.sample("moment_nAm", distribution_of(spec.moment_nAm)),
                    "polarity": pyro.sample("polarity", dist.Bernoulli(0.5)),
                    **self._draw_shapes(),
                    **self._draw_lean(),
                }
            cases_first = {name: value.transpose(0, 1) for name, value in drawn.items()}
            return {"count": count, "correlation": together, "centre": centre} | cases_first

        return program

    def _draw_lean(self) -> dict[str, Tensor]:
        orientation = self.spec.orientation
        if orientation.family == "fixed":
            return {}
        size = orientation.loose if orientation.family == "loose" else 1.0
        around = dist.Normal(0.0, size).expand([3]).to_event(1)
        return {"lean": pyro.sample("lean", around)}

    def patterns(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """Make the moments of each source of each case, (n K, S) A m, unused slots empty.

        ``draws`` map sites to (n, ...).
        """
        weights, lean = self._weights(draws)
        if lean is None:
            return weights
        along = np.einsum("ij,ij->i", lean, self._normals[weights.indices])
        fixed = 1.0 if self.spec.orientation.family == "loose" else 0.0
        data = weights.data * (fixed + along)
        return sp.csr_array((data, weights.indices, weights.indptr), weights.shape)

    def tangents(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array | None:
        weights, lean = self._weights(draws)
        if lean is None:
            return None
        normal = self._normals[weights.indices]
        across = lean - np.einsum("ij,ij->i", lean, normal)[:, None] * normal
        columns = 3 * weights.indices[:, None] + np.arange(3)
        data = weights.data[:, None] * across
        shape = (weights.shape[0], 3 * weights.shape[1])
        return sp.csr_array((data.ravel(), columns.ravel(), 3 * weights.indptr), shape)

    @property
    def _normals(self) -> NDArray[np.float64]:
        normals = self.source_space.normals
        assert normals is not None
        return normals

    def _weights(
        self, draws: dict[str, NDArray[Any]]
    ) -> tuple[sp.csr_array, NDArray[np.float64] | None]:
        """(n K, S) A m sizes of moments, and for each entry where it leans; None if fixed."""
        cases, slot = np.nonzero(np.arange(self.n_slots) < draws["count"][:, None])
        sites = {k: v[cases, slot] for k, v in draws.items() if v.ndim > 1}
        shapes = self.shapes(sites)
        moment = (2.0 * sites["polarity"] - 1) * sites["moment_nAm"].astype(float) * 1e-9
        each = np.diff(shapes.indptr)
        filled = np.zeros(len(draws["count"]) * self.n_slots, np.int64)
        filled[cases * self.n_slots + slot] = each
        data = shapes.data * np.repeat(moment, each)
        weights = sp.csr_array(
            (data, shapes.indices, np.r_[0, np.cumsum(filled)]), (len(filled), shapes.shape[1])
        )
        if self.spec.orientation.family == "fixed":
            return weights, None
        lean = sites["lean"].astype(float)
        if self.spec.orientation.family == "free":
            lean = lean / np.linalg.norm(lean, axis=1, keepdims=True)
        return weights, np.repeat(lean, each, axis=0)


@dataclass(frozen=True, eq=False, repr=False)
class DipolePrior(FocalPrior):
    """Single points."""

    def _draw_shapes(self) -> dict[str, Tensor]:
        return {}

    def shapes(self, sites: dict[str, NDArray[Any]]) -> sp.csr_array:
        centre = sites["centre"].astype(int)
        place = (np.arange(len(centre)), centre)
        shape = (len(centre), self.source_space.n_sources)
        return sp.csr_array((np.ones(len(centre)), place), shape)


#: A Gaussian patch ends at three standard deviations, a disc at two (its radius).
_REACH = 3.0
#: m: how far distances along the cortex are kept at least, so that priors share them.
_SHARED = 0.06


@dataclass(frozen=True, eq=False, repr=False)
class PatchPrior(FocalPrior):
    """Patches by distance along the surface.

    A Gaussian falls as exp(-d² / (2 extent²)), a flat disc ends at 2 extent, and a ragged one where
    d (1 + .35 sin(edge . x / extent)) does, x from the centre. Each source is weighed by the cortex
    it stands for. Sites of the shape: ``extent_mm``, ``profile`` and ``edge`` (K, n, 3).
    """

    spec: PatchSpec

    def _draw_shapes(self) -> dict[str, Tensor]:
        shares = torch.tensor([self.spec.profile.get(p, 0.0) for p in get_args(Profile)])
        waves = dist.Normal(0.0, 1.0).expand([3]).to_event(1)
        return {
            "extent_mm": pyro.sample("extent_mm", distribution_of(self.spec.extent_mm)),
            "profile": pyro.sample("profile", dist.Categorical(shares)),
            "edge": pyro.sample("edge", waves),
        }

    def shapes(self, sites: dict[str, NDArray[Any]]) -> sp.csr_array:
        centre, extent = sites["centre"].astype(int), sites["extent_mm"].astype(float) * 1e-3
        reach = max(_REACH * self.spec.extent_mm.bounds[1] * 1e-3, _SHARED)
        rows = self.source_space.near(centre, reach, progress=True)
        owner = np.repeat(np.arange(len(centre)), np.diff(rows.indptr))
        near = rows.data <= np.repeat(_REACH * extent, np.diff(rows.indptr))
        owner, source = owner[near], rows.indices[near]
        ratio = rows.data[near] / extent[owner]
        profile = sites["profile"].astype(int)
        if not profile.any():  # Gaussian ones alone
            weight = np.exp(-0.5 * ratio**2) * self.source_space.areas[source]
            return rows_that_sum_to_one(weight, owner, source, rows.shape)
        kind = profile[owner]
        ragged = np.flatnonzero(kind == 2)
        positions, whose = self.source_space.positions, owner[ragged]
        offset = positions[source[ragged]] - positions[centre][whose]
        edge = sites["edge"].astype(float)[whose]
        wave = np.sin(np.einsum("ij,ij->i", offset, edge) / extent[whose])
        edge_ratio = ratio.copy()
        edge_ratio[ragged] *= 1 + 0.35 * wave
        height = np.where(kind == 0, np.exp(-0.5 * ratio**2), edge_ratio <= 2)
        height = np.where(ratio == 0, np.maximum(height, 1.0), height)
        weight = height * self.source_space.areas[source]
        return rows_that_sum_to_one(weight, owner, source, rows.shape)


def rows_that_sum_to_one(
    weight: NDArray[np.float64],
    owner: NDArray[np.int64],
    source: NDArray[np.int64],
    shape: tuple[int, int],
) -> sp.csr_array:
    """Make sparse rows of ``shape`` from entries, each row scaled to sum to 1.

    Entry i has the weight ``weight`` (m,) in row ``owner`` (m,), which rises, and column ``source``
    (m,).
    """
    total = np.bincount(owner, weight, shape[0])
    indptr = np.r_[0, np.cumsum(np.bincount(owner, minlength=shape[0]))]
    rows = sp.csr_array((weight / total[owner], source, indptr), shape)
    rows.eliminate_zeros()
    return rows


def _mask(used: Tensor) -> Any:
    """Slots that are drawn and not used stay out of the density."""
    return pyro.poutine.mask(mask=used)  # type: ignore[call-overload]
