"""Prior of dipoles, and the exact joint density of all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import template_blobs
from bayesesi.errors import InputError
from bayesesi.estimator.dipole import DipoleStates
from bayesesi.features.covariance_likelihood import CourseInputs
from bayesesi.features.dipole import N_HEADS, DipoleForward, skull_weights
from bayesesi.features.dipole_scan import DipoleScan
from bayesesi.features.size_prior import SizePrior
from bayesesi.forward import ForwardOperator
from bayesesi.prior import NormalScore, heads_around, log_share_apart
from bayesesi.spec import VolumeDipoleSpec

#: Events that are looked at together.
_CHUNK = 2000


@dataclass(frozen=True, eq=False)
class DipoleBelief:
    """Hold a prior of the family volume-dipole, and the heads around the assumed one.

    Attributes
    ----------
    spec : the prior. n_heads : drawn at each node of the skull.
    """

    spec: VolumeDipoleSpec
    n_heads: int = N_HEADS

    @cached_property
    def extent(self) -> NormalScore:
        """Normal score of extents in mm."""
        return NormalScore(self.spec.extent_mm)

    @cached_property
    def skull(self) -> NormalScore:
        """Normal score of the skull's conductivity in S/m."""
        return NormalScore(heads_around("nominal").spec.conductivity.skull_S_per_m)

    @cached_property
    def size(self) -> SizePrior:
        """Prior of the moment's size, A m."""
        return SizePrior.of_moment(self.spec.moment_nAm, axes=3)

    @cached_property
    def apart(self) -> float:
        """m between two dipoles, at least."""
        return self.spec.count.min_distance_mm * 1e-3

    def forward(
        self, assumed: ForwardOperator, whitener: NDArray[np.float64], seed: int = 0
    ) -> DipoleForward:
        """Make the forward in heads around the assumed one, by who measured the electrodes.

        Parameters
        ----------
        assumed : forward of the template's volume. whitener : (n_eff, C). seed : of the heads.

        Raises
        ------
        InputError : a forward that came from no bank.
        """
        if assumed.banked is None or assumed.sensors is None:
            raise InputError(
                "the dipole model needs random heads, and this forward is not from the bank; "
                "use template_forward(info, source_space='volume')"
            )
        heads = heads_around(assumed.sensors.origin)
        return DipoleForward.of(assumed.banked, whitener, heads, seed, self.n_heads)

    def scan(self, forward: DipoleForward) -> DipoleScan:
        """Make the scan of a ``forward``."""
        share = skull_weights(self.skull.quantiles()).mean(axis=0)
        return DipoleScan.of(forward, np.log(share), self.apart)

    def scene(
        self,
        values: NDArray[np.float64],
        forward: DipoleForward,
        scale: NDArray[np.float64] | None = None,
        scale_known: bool = True,
    ) -> CourseInputs:
        """Make the likelihood's inputs.

        Parameters
        ----------
        values : (B, n, R) whitened. forward : of the heads. scale : (B,) factor by which each
            lead field is divided. scale_known : whether moments are in A m.
        """
        size = self.size if scale_known else SizePrior.unknown()
        return CourseInputs.of(values, forward, size, scale)

    def log_prior(self, dipoles: DipoleStates) -> Tensor:
        """Evaluate (D,) log p(x | K): places per m, scores standard normal; -inf outside the brain.

        Parameters
        ----------
        dipoles : D states.
        """
        k = dipoles.count
        cell = template_blobs().cell(dipoles.place.double().numpy())
        inside = torch.from_numpy((cell >= 0).all(axis=1))
        score = -0.5 * (dipoles.extent.square().sum(1) + dipoles.skull.square())
        score = score - 0.5 * (k + 1) * float(np.log(2 * np.pi))
        score = score - k * float(np.log(template_blobs().volume))
        if k == 2:
            far = (dipoles.place[:, 0] - dipoles.place[:, 1]).norm(dim=1) >= self.apart
            inside = inside & far
            # of the two orders of a pair, one stands for both
            score = score - log_share_apart(self.apart) + float(np.log(2))
        return torch.where(inside, score, -torch.inf)

    def squares(self, dipoles: DipoleStates, forward: DipoleForward) -> Tensor:
        """Sum P over dipoles, (D, m, m).

        Parameters
        ----------
        dipoles : D states. forward : of the heads.
        """
        gathered = self._gather(dipoles, forward)
        found = forward.squares(gathered).unflatten(0, (len(dipoles), dipoles.count))
        return found.sum(1)

    def means(self, dipoles: DipoleStates, forward: DipoleForward) -> Tensor:
        """Compute L, (D, 3 K, m), over the root of the forward's unit.

        Parameters
        ----------
        dipoles : D states of K dipoles. forward : of the heads.
        """
        found = forward.means(self._gather(dipoles, forward))
        return found.unflatten(0, (len(dipoles), dipoles.count)).flatten(1, 2)

    def _gather(self, dipoles: DipoleStates, forward: DipoleForward) -> sp.csr_array:
        k = dipoles.count
        extent = self.extent.value(dipoles.extent.double().numpy().ravel()) * 1e-3
        skull = np.repeat(self.skull.value(dipoles.skull.double().numpy()), k)
        return forward.gather(dipoles.place.double().numpy().reshape(-1, 3), extent, skull)

    def log_likelihood(
        self, dipoles: DipoleStates, forward: DipoleForward, scene: CourseInputs
    ) -> Tensor:
        """Evaluate (D,) log p(v | x) of one observation; see ``features.covariance_likelihood``.

        Parameters
        ----------
        dipoles : D states. forward : of the heads. scene : of the observation.
        """
        parts = []
        for first in range(0, len(dipoles), _CHUNK):
            some = dipoles.pick(slice(first, first + _CHUNK))
            parts.append(scene.log_likelihood(self.squares(some, forward))[0])
        return torch.cat(parts)
