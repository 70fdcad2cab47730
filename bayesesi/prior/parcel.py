"""Patches of whole parcels, grown layer by layer, as DeepSIF has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import cell_neighbours, read_partition, template_partition
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.focal import FocalPrior, rows_that_sum_to_one
from bayesesi.spec import ParcelSpec


@dataclass(frozen=True, eq=False, repr=False)
class ParcelPrior(FocalPrior):
    """The parcel around a centre and its neighbours' neighbours (Sun et al. 2022, PNAS 119).

    A parcel at distance d (straight, between middles) is as strong as 2^(-d / half amplitude), all
    of its cortex alike. Sites of the shape: ``layers``, index into those of the spec, and
    ``half_amplitude_mm``.
    """

    spec: ParcelSpec

    @cached_property
    def cells_of_mesh(self) -> NDArray[np.int64]:
        """(20484,) parcel of each vertex, -1 outside the atlas."""
        if not self.spec.map_file:
            return template_partition(self.spec.n_parcels)
        return read_partition((self.spec.folder or Path()) / self.spec.map_file)

    @property
    def n_parcels(self) -> int:
        return int(self.cells_of_mesh.max()) + 1

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """(S,) parcel of each source, -1 outside the atlas."""
        return self.cells_of_mesh[self.source_space.vertices]

    @cached_property
    def middles(self) -> NDArray[np.float64]:
        """(n_parcels, 3) m: mean position of a parcel's sources."""
        own = self.cells >= 0
        count = np.maximum(np.bincount(self.cells[own], minlength=self.n_parcels), 1)
        sums = [
            np.bincount(self.cells[own], self.source_space.positions[own, i], len(count))
            for i in range(3)
        ]
        return np.column_stack(sums) / count[:, None]

    @cached_property
    def _grown(self) -> list[sp.csr_array]:
        """Of each choice of layers, (n_parcels, n_parcels) which parcels belong to a patch."""
        mesh = self.source_space.mesh
        assert mesh is not None
        step = cell_neighbours(mesh, self.cells_of_mesh).astype(float)
        return [_power(step, layers) for layers in self.spec.layers]

    @cached_property
    def _members(self) -> sp.csr_array:
        """(n_parcels, S) areas of each parcel's sources."""
        own = np.flatnonzero(self.cells >= 0)
        place = (self.cells[own], own)
        shape = (self.n_parcels, self.source_space.n_sources)
        return sp.csr_array((self.source_space.areas[own], place), shape)

    def _draw_shapes(self) -> dict[str, Tensor]:
        choices = torch.ones(len(self.spec.layers))
        return {
            "layers": pyro.sample("layers", dist.Categorical(choices)),
            "half_amplitude_mm": pyro.sample(
                "half_amplitude_mm", distribution_of(self.spec.half_amplitude_mm)
            ),
        }

    def shapes(self, sites: dict[str, NDArray[Any]]) -> sp.csr_array:
        middle = self.cells[sites["centre"].astype(int)]
        layers, half = sites["layers"].astype(int), sites["half_amplitude_mm"] * 1e-3
        parcels = sp.vstack(
            [self._grown[a][[m]] for a, m in zip(layers, middle, strict=True)], format="csr"
        )
        owner = np.repeat(np.arange(len(middle)), np.diff(parcels.indptr))
        apart = self.middles[parcels.indices] - self.middles[middle[owner]]
        strength = 2.0 ** (-np.linalg.norm(apart, axis=1) / half[owner])
        weighted = sp.csr_array((strength, parcels.indices, parcels.indptr), parcels.shape)
        rows = sp.csr_array(weighted @ self._members)
        owner = np.repeat(np.arange(len(middle)), np.diff(rows.indptr))
        return rows_that_sum_to_one(rows.data, owner, rows.indices, rows.shape)


def _power(step: sp.csr_array, layers: int) -> sp.csr_array:
    reached = sp.eye_array(step.shape[0], format="csr")
    for _ in range(layers):
        reached = sp.csr_array((reached @ step) > 0).astype(float)
    return reached
