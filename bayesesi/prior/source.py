"""Source priors compiled to Pyro programs, and the fields their draws stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyro
import pyro.distributions as dist
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import Parcellation, SourceSpace
from bayesesi.errors import InputError
from bayesesi.prior.blocks import block_generator, blocks_of
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.placement import Placement, placement_weights
from bayesesi.spec import DipoleSpec, PatchSpec
from bayesesi.spec.source import Profile

if TYPE_CHECKING:
    import arviz as az

#: A Gaussian patch ends at three standard deviations, a disc at two (its radius).
_REACH = 3.0


@dataclass(frozen=True, eq=False)
class SourcePrior:
    """p(event) of a focal prior: K of ``count`` slots are used, the rest are drawn and ignored.

    Sites, cases along the last axis: ``count`` (n,); ``centre_k`` (n,) index of a source, for
    k = 0, 1...; and (K, n) ``moment_nAm``, ``polarity`` (0 or 1), and for patches ``extent_mm``,
    ``profile`` and ``edge`` (K, n, 3). Slots at or beyond ``count`` do not enter the density.

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
        return f"<SourcePrior {self.spec.name!r} | {self.spec.family}, up to {self.n_slots}>"

    @property
    def source_space(self) -> SourceSpace:
        return self.parcellation.source_space

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
            return {"count": count, "centre": centre} | cases_first

        return program

    def draw(
        self, n: int, seed: int = 0, namespace: str = "train", start: int = 0
    ) -> dict[str, NDArray[Any]]:
        """Cases ``start`` to ``start + n`` of a seed: sites with cases first.

        Case k depends on seed, namespace and k alone.
        """
        parts = []
        for block, rows in blocks_of(start, start + n):
            with block_generator(namespace, seed, block):
                whole = self.pyro_program(256)
            parts.append({name: value[rows].numpy() for name, value in whole.items()})
        if not parts:
            raise InputError("draw at least one case")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def fields(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """(n, S) A m: the moment of every source of the cortex, summed over a case's sources.

        A Gaussian falls as exp(-d² / (2 extent²)) with d along the surface, a flat disc ends at
        2 extent, and a ragged one where d (1 + .35 sin(edge . x / extent)) does, x from the
        centre. Each source is weighed by the cortex it stands for, and scaled to
        its moment.
        """
        cases, slot = np.nonzero(np.arange(self.n_slots) < draws["count"][:, None])
        centre = draws["centre"][cases, slot].astype(int)
        sign = 2 * draws["polarity"][cases, slot].astype(float) - 1
        moment = sign * draws["moment_nAm"][cases, slot].astype(float) * 1e-9
        shape = (len(draws["count"]), self.source_space.n_sources)
        if isinstance(self.spec, DipoleSpec):
            return sp.csr_array(sp.coo_array((moment, (cases, centre)), shape))
        patches = self._patches(
            centre,
            draws["extent_mm"][cases, slot].astype(float) * 1e-3,
            draws["profile"][cases, slot].astype(int),
            draws["edge"][cases, slot].astype(float),
        )
        scaled = sp.diags_array(moment) @ patches
        ones, every = np.ones(len(cases)), np.arange(len(cases))
        gather = sp.coo_array((ones, (cases, every)), (shape[0], len(cases)))
        return sp.csr_array(gather @ scaled)

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
        ratio = rows.data / extent[owner]
        positions = self.source_space.positions
        offset = positions[rows.indices] - positions[centre][owner]
        wave = np.sin(np.einsum("ij,ij->i", offset, edge[owner]) / extent[owner])
        kind = profile[owner]
        disc = np.where(kind == 2, ratio * (1 + 0.35 * wave), ratio) <= 2
        height = np.where(
            kind == 0, np.exp(-0.5 * ratio**2) * (ratio <= _REACH), disc.astype(float)
        )
        height = np.where(rows.data == 0, np.maximum(height, 1.0), height)
        weight = height * self.source_space.areas[rows.indices]
        total = np.bincount(owner, weight, len(centre))
        return sp.csr_array((weight / total[owner], rows.indices, rows.indptr), rows.shape)

    def to_arviz(self, n: int, seed: int = 0) -> az.InferenceData:
        """n prior draws as an ArviZ ``prior`` group, dims draw and slot."""
        import arviz as az

        draws = {name: value[None] for name, value in self.draw(n, seed).items()}
        dims = {name: ["slot"] for name, value in draws.items() if value.ndim == 3}
        return az.from_dict(prior=draws, dims=dims)


def _mask(used: Tensor) -> Any:
    """Slots that are drawn and not used stay out of the density."""
    return pyro.poutine.mask(mask=used)  # type: ignore[call-overload]
