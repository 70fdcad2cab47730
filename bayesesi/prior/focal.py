"""One to a few sources of limited extent: points and patches of cortex."""

from __future__ import annotations

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
from bayesesi.errors import InputError
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.placement import Placement, placement_weights
from bayesesi.prior.source import SourcePrior
from bayesesi.spec import DipoleSpec, PatchSpec
from bayesesi.spec.source import Profile

#: A Gaussian patch ends at three standard deviations, a disc at two (its radius).
_REACH = 3.0


@dataclass(frozen=True, eq=False)
class FocalPrior(SourcePrior):
    """p(event) of a focal prior: K of ``count`` slots are used, the rest are drawn and ignored.

    Sites, cases along the last axis: ``count`` (n,); ``correlation`` (n,) of the time courses of
    any source with the first; ``centre_k`` (n,) index of a source, for k = 0, 1...; and (K, n)
    ``moment_nAm``, ``polarity`` (0 or 1), and for patches ``extent_mm``, ``profile`` and ``edge``
    (K, n, 3). Slots at or beyond ``count`` do not enter the density.

    Parameters
    ----------
    spec : of family ``dipole`` or ``patch``.
    parcellation : names the regions of the cortex on which centres are.
    """

    spec: DipoleSpec | PatchSpec
    parcellation: Parcellation

    def __post_init__(self) -> None:
        if self.spec.orientation.family != "fixed":
            raise InputError(
                f"orientation {self.spec.orientation.family!r} is not drawn on a cortex yet; write "
                "family = 'fixed'"
            )

    def __repr__(self) -> str:
        return f"<FocalPrior {self.spec.name!r} | {self.spec.family}, up to {self.n_slots}>"

    @property
    def n_slots(self) -> int:
        return self.spec.count.largest

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
                }
                if isinstance(spec, PatchSpec):
                    shares = torch.tensor([spec.profile.get(p, 0.0) for p in get_args(Profile)])
                    drawn["extent_mm"] = pyro.sample("extent_mm", distribution_of(spec.extent_mm))
                    drawn["profile"] = pyro.sample("profile", dist.Categorical(shares))
                    waves = dist.Normal(0.0, 1.0).expand([3]).to_event(1)
                    drawn["edge"] = pyro.sample("edge", waves)
            cases_first = {name: value.transpose(0, 1) for name, value in drawn.items()}
            return {"count": count, "correlation": together, "centre": centre} | cases_first

        return program

    def patterns(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """(n K, S) A m: the moments of each source of each case, K rows a case.

        A Gaussian falls as exp(-d² / (2 extent²)) with d along the surface, a flat disc ends at
        2 extent, and a ragged one where d (1 + .35 sin(edge . x / extent)) does, x from the
        centre. Each source is weighed by the cortex it stands for, and scaled to
        its moment.
        """
        cases, slot = np.nonzero(np.arange(self.n_slots) < draws["count"][:, None])
        centre = draws["centre"][cases, slot].astype(int)
        sign = 2 * draws["polarity"][cases, slot].astype(float) - 1
        moment = sign * draws["moment_nAm"][cases, slot].astype(float) * 1e-9
        n_rows = len(draws["count"]) * self.n_slots
        row = cases * self.n_slots + slot
        if isinstance(self.spec, DipoleSpec):
            shape = (n_rows, self.source_space.n_sources)
            return sp.csr_array(sp.coo_array((moment, (row, centre)), shape))
        patches = self._patches(
            centre,
            draws["extent_mm"][cases, slot].astype(float) * 1e-3,
            draws["profile"][cases, slot].astype(int),
            draws["edge"][cases, slot].astype(float),
        )
        # rows of unused slots are empty
        filled = np.zeros(n_rows, np.int64)
        filled[row] = np.diff(patches.indptr)
        data = patches.data * np.repeat(moment, np.diff(patches.indptr))
        return sp.csr_array(
            (data, patches.indices, np.r_[0, np.cumsum(filled)]), (n_rows, patches.shape[1])
        )

    @cached_property
    def _distances(self) -> sp.csr_array:
        assert isinstance(self.spec, PatchSpec)
        reach = _REACH * self.spec.extent_mm.bounds[1] * 1e-3
        return self.source_space.neighbourhood(reach, progress=True)

    def _patches(
        self,
        centre: NDArray[np.int64],
        extent: NDArray[np.float64],
        profile: NDArray[np.int64],
        edge: NDArray[np.float64],
    ) -> sp.csr_array:
        """(m, S) weights, each row summing to 1."""
        rows = sp.csr_array(self._distances[centre])
        owner = np.repeat(np.arange(len(centre)), np.diff(rows.indptr))
        near = rows.data <= _REACH * extent[owner]
        owner, source = owner[near], rows.indices[near]
        ratio = rows.data[near] / extent[owner]
        positions = self.source_space.positions
        offset = positions[source] - positions[centre][owner]
        wave = np.sin(np.einsum("ij,ij->i", offset, edge[owner]) / extent[owner])
        kind = profile[owner]
        disc = np.where(kind == 2, ratio * (1 + 0.35 * wave), ratio) <= 2
        height = np.where(kind == 0, np.exp(-0.5 * ratio**2), disc.astype(float))
        height = np.where(ratio == 0, np.maximum(height, 1.0), height)
        weight = height * self.source_space.areas[source]
        total = np.bincount(owner, weight, len(centre))
        indptr = np.r_[0, np.cumsum(np.bincount(owner, minlength=len(centre)))]
        patches = sp.csr_array((weight / total[owner], source, indptr), rows.shape)
        patches.eliminate_zeros()
        return patches


def _mask(used: Tensor) -> Any:
    """Slots that are drawn and not used stay out of the density."""
    return pyro.poutine.mask(mask=used)  # type: ignore[call-overload]
