"""Every centre weighed at once, the other sources given.

With the others' frame (``states``: basis B of gains lambda, matches c, shrinkage f) and a source of
size s seen as g at a centre, p = B g,

    G_r = g'g - p' diag(f_r) p,    b_r = g'v_r - p' (f_r c_r),    u_r = s² q_r,
    log p(v~ | others and this) = const - 1/2 (others + sum_r log det(I + u_r G_r))
                         - (nu + n R)/2 log(rest of others - sum_r u_r b_r' (I + u_r G_r)^-1 b_r).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.noise import NOISE_DOF
from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.states import Amplitudes, PatchStates


@dataclass(frozen=True, eq=False)
class Scan(ABC):
    """Log-likelihoods of one more source of ``problem``, integrated over topographies."""

    problem: PatchLikelihood

    @abstractmethod
    def alone(self) -> NDArray[np.float64]:
        """Weigh one source of each kind, and no other: (H, E, N, M)."""

    @abstractmethod
    def at_all_centres(
        self,
        others: Amplitudes,
        extent: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Weigh one more source beside ``others``, of each state's ``extent`` (D,): (D, N, M)."""

    @abstractmethod
    def at_near_centres(
        self,
        others: Amplitudes,
        centres: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Weigh one more source at ``centres`` (D, n), of each extent: (D, E, n).

        ``others`` are D states' other sources, ``size`` (D,) is that of the new one; centres and
        sizes are indices.
        """

    @abstractmethod
    def at_mode(self, states: PatchStates) -> tuple[PatchStates, NDArray[np.float64]]:
        """Find how sources of D ``states`` likeliest look, and (D,) log p(v~ | state)."""

    @abstractmethod
    def with_one_more(self, states: PatchStates) -> Amplitudes:
        """Find how sources of ``states`` likely look if there is one more."""

    @abstractmethod
    def drawn(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        """Draw what sources of D ``states`` look like, by ``rng``.

        Beside the states (D,) log p(v~, looks | state) less log density of drawing them so: on
        average over draws p(v~ | state).
        """

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        """In the precision of the topographies: single where heads are drawn."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._topographies.dtype)

    @cached_property
    def _topographies(self) -> Tensor:
        return torch.from_numpy(self.problem.topographies)


@dataclass(frozen=True, eq=False)
class DrawScan(Scan):
    """Heads as an index over draws, or one head."""

    @cached_property
    def match(self) -> Tensor:
        """(H, E, N, d, R): g'v."""
        return self._topographies @ self._tensor(self.problem.turned)

    @cached_property
    def gain(self) -> Tensor:
        """(H, E, N, pairs of axes): g'g, the pairs of ``_pairs``."""
        seen = self._topographies
        return torch.stack(
            [(seen[..., i, :] * seen[..., j, :]).sum(-1) for i, j in _pairs(seen.shape[3])], dim=-1
        )

    def alone(self) -> NDArray[np.float64]:
        heads, extents = self.problem.n_heads, self.problem.atoms.n_extents
        each = [[self._alone(h, e) for e in range(extents)] for h in range(heads)]
        return np.array(each)

    def _alone(self, head: int, extent: int) -> NDArray[np.float64]:
        """(N, M)."""
        gains = list(self.gain[head, extent, :, :, None].unbind(1))
        match = list(self.match[head, extent].unbind(1))
        sizes = range(len(self.problem.sizes))
        each = [self._weigh(gains, match, m, 0.0, self.problem.power) for m in sizes]
        return np.stack(each, axis=1)

    def at_all_centres(
        self,
        others: Amplitudes,
        extent: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        everywhere, sizes = slice(None), range(len(self.problem.sizes))
        each = [
            np.stack([self._beside(others, d, e, everywhere, m) for m in sizes], axis=1)
            for d, e in enumerate(extent)
        ]
        return np.stack(each)

    def at_near_centres(
        self,
        others: Amplitudes,
        centres: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        extents = np.arange(self.problem.atoms.n_extents)[:, None]
        each = [self._beside(others, d, extents, near, size[d]) for d, near in enumerate(centres)]
        return np.stack(each)

    def at_mode(self, states: PatchStates) -> tuple[PatchStates, NDArray[np.float64]]:
        return states, Amplitudes(self.problem, states).log_likelihood

    def with_one_more(self, states: PatchStates) -> Amplitudes:
        return Amplitudes(self.problem, states)

    def drawn(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        return self.at_mode(states)

    def _beside(
        self,
        others: Amplitudes,
        d: int,
        extent: int | NDArray[np.int64],
        centre: slice | NDArray[np.int64],
        size: int,
    ) -> NDArray[np.float64]:
        """One state: the shape of topographies[extent, centre]."""
        head, some = int(others.states.head[d]), others.gains[d] > 0
        seen = self._topographies[head, extent, centre]
        across = seen @ self._tensor(others.basis[d, some].T)  # (..., d, J)
        shrunk = self._tensor(others.shrunk[d, some])
        spoken = self._tensor(others.shrunk[d, some] * others.match[d, some])
        gain, match = self.gain[head, extent, centre], self.match[head, extent, centre]
        gains = [
            gain[..., k, None] - (across[..., i, :] * across[..., j, :]) @ shrunk
            for k, (i, j) in enumerate(_pairs(self.problem.n_axes))
        ]
        matches = list((match - across @ spoken).unbind(-2))
        log_det, rest = float(others.log_determinant[d]), float(others.rest[d])
        return self._weigh(gains, matches, size, log_det, rest)

    def _weigh(
        self,
        gains: list[Tensor],
        match: list[Tensor],
        size: int,
        log_det: float,
        rest: float,
    ) -> NDArray[np.float64]:
        u = self._tensor(self.problem.sizes[size] ** 2 * self.problem.variance)
        determinant, explained = _fit(gains, match, u)
        left = rest - explained.sum(-1).double()
        dof = NOISE_DOF + self.problem.n_numbers
        grown = log_det + log_sum(determinant).double()
        return np.asarray(-0.5 * grown - 0.5 * dof * left.clamp(min=NOISE_DOF).log())


def _pairs(n_axes: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n_axes) for j in range(i, n_axes)]


def _fit(gains: list[Tensor], match: list[Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """(N, R) each: det(I + u G) and u b' (I + u G)^-1 b; G 1 by 1, or 3 by 3 by its cofactors."""
    if len(match) == 1:
        determinant = 1 + u * gains[0]
        return determinant, match[0].square() * u / determinant
    xx, xy, xz, yy, yz, zz = (u * g for g in gains)
    xx, yy, zz = xx + 1, yy + 1, zz + 1
    cofactors = [
        yy * zz - yz**2,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xx * zz - xz**2,
        xy * xz - xx * yz,
        xx * yy - xy**2,
    ]
    determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2]
    form = sum(
        (1 if i == j else 2) * match[i] * match[j] * cofactors[k]
        for k, (i, j) in enumerate(_pairs(3))
    )
    return determinant, u * form / determinant


def log_sum(factors: Tensor) -> Tensor:
    """Sum the logs of ``factors`` (..., R) from 1 on, (...): of products of four, fewer logs.

    Four determinants below 1e9 stay within single precision.
    """
    whole = factors.shape[-1] // 4
    if not whole or float(factors.max()) > 1e9:
        return factors.log().sum(-1)
    a, b, c, d = (factors[..., k * whole : (k + 1) * whole] for k in range(4))
    return ((a * b) * (c * d)).log().sum(-1) + factors[..., 4 * whole :].log().sum(-1)
