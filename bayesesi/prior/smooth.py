"""A field all over the cortex that varies smoothly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import SurfaceModes
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.source import SourcePrior
from bayesesi.spec import SmoothSpec

_MEAN_SIZE = np.sqrt(2 / np.pi)  # E|x| of a standard normal


@dataclass(frozen=True, eq=False)
class SmoothPrior(SourcePrior):
    """Moment density q = sum_i c_i phi_i, a Gaussian field of correlation exp(-d² / (2 l²)).

    phi are the cortex' Laplace-Beltrami modes (Lindgren, Rue & Lindstrom 2011,
    doi:10.1111/j.1467-9868.2011.00777.x, for fields on surfaces). Its size is such that the sizes
    of all moments sum to ``moment_nAm`` in expectation; outside the atlas it is 0.

    Sites: ``count`` (n,) 0 or 1, ``moment_nAm`` (n,), ``smoothness_mm`` (n,), ``coefficients`` (n,
    m), standard normal.

    Attributes
    ----------
    spec : size and smoothness. modes : m of them, of the mesh of the sources.
    """

    spec: SmoothSpec
    modes: SurfaceModes

    def __repr__(self) -> str:
        return f"<SmoothPrior {self.spec.name!r} | {self.modes.n_modes} modes>"

    @property
    def n_slots(self) -> int:
        return 1

    @property
    def null_probability(self) -> float:
        return self.spec.null

    @cached_property
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        spec, m = self.spec, self.modes.n_modes

        def program(n: int) -> dict[str, Tensor]:
            with pyro.plate("cases", n, dim=-1):
                count = pyro.sample("count", dist.Bernoulli(1 - spec.null))
                with pyro.poutine.mask(mask=count > 0):  # type: ignore[call-overload]
                    drawn = {
                        "moment_nAm": pyro.sample("moment_nAm", distribution_of(spec.moment_nAm)),
                        "smoothness_mm": pyro.sample(
                            "smoothness_mm", distribution_of(spec.smoothness_mm)
                        ),
                        "coefficients": pyro.sample(
                            "coefficients", dist.Normal(torch.zeros(m), 1.0).to_event(1)
                        ),
                    }
            return {"count": count.long(), **drawn}

        return program

    def patterns(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        used = np.flatnonzero(draws["count"])
        inside = self.parcellation.labels >= 0
        areas = self.source_space.areas * inside
        sd = self.modes.amplitudes(draws["smoothness_mm"][used] * 1e-3)
        density = self.modes.combine(draws["coefficients"][used] * sd)[
            :, self.source_space.vertices
        ]
        scale = draws["moment_nAm"][used] * 1e-9 / (_MEAN_SIZE * areas.sum())
        rows = density * areas * scale[:, None]
        columns = np.flatnonzero(inside)
        shape = (len(draws["count"]), self.source_space.n_sources)
        filled = np.where(draws["count"] > 0, len(columns), 0)
        return sp.csr_array(
            (rows[:, columns].ravel(), np.tile(columns, len(used)), np.r_[0, np.cumsum(filled)]),
            shape,
        )
