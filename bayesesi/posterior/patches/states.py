"""Which sources there are, in which head; and what their amplitudes then are.

Given a state the posterior of the rest is in closed form. With columns g_j = s_k L~_h w_k, one for
each axis of each source, and Gamma = G' G = U diag(lambda) U', c_r = U' G' v_r, f_jr = q_r / (1 +
q_r lambda_j), the time turned,

    log p(v~ | state) = const - 1/2 sum_jr log(1 + q_r lambda_j) - (nu + n R)/2 log rest,
    rest = nu + |v~|² - sum_jr f_jr c_jr²,
    tau² ~ rest / chi²_(nu + n R),     a_r = S U (f_r c_r + tau f_r^1/2 z),  z ~ N(0, I),

S = diag(s_k): the Student law of a linear model with conjugate priors (Bernardo & Smith 1994).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayesesi.noise import NOISE_DOF
from bayesesi.posterior.patches.likelihood import PatchLikelihood


@dataclass(frozen=True)
class PatchStates:
    """D states. A slot that is not used keeps an extent, which means nothing.

    Attributes
    ----------
    head : (D,). used : (D, K). centre, extent, size : (D, K) indices into the grids.
    seen : (D, K, n_eff) topographies of the sources, where they spread; else (D, K, 0). Chains,
        which integrate them, keep the likeliest ones here; states that are given out, drawn ones.
    """

    head: NDArray[np.int64]
    used: NDArray[np.bool_]
    centre: NDArray[np.int64]
    extent: NDArray[np.int64]
    size: NDArray[np.int64]
    seen: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.head)

    @property
    def count(self) -> NDArray[np.int64]:
        """(D,) sources."""
        return np.asarray(self.used.sum(axis=1))

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> PatchStates:
        return PatchStates(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: list[PatchStates]) -> PatchStates:
        """Join ``parts`` one behind the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def empty(cls, n: int, n_slots: int, n_seen: int = 0) -> PatchStates:
        """Make ``n`` states of ``n_slots`` without a source; ``n_seen`` values of topographies."""
        centre, extent, size = (np.zeros((n, n_slots), np.int64) for _ in range(3))
        used, seen = np.zeros((n, n_slots), bool), np.zeros((n, n_slots, n_seen))
        return cls(np.zeros(n, np.int64), used, centre, extent, size, seen)

    def with_topography(self, seen: NDArray[np.float64]) -> PatchStates:
        """Give the same sources the topographies ``seen`` (D, K, n_eff)."""
        return replace(self, seen=seen)


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """The law of amplitudes and noise scale given each of D ``states`` of ``problem``."""

    problem: PatchLikelihood
    states: PatchStates

    @cached_property
    def _columns(self) -> NDArray[np.float64]:
        """(D, K d, n_eff): G', columns of unused slots 0."""
        states = self.states
        rows: NDArray[np.floating] = states.seen[:, :, None]
        if self.problem.spread is None:
            rows = self.problem.topographies[states.head[:, None], states.extent, states.centre]
        scaled = rows.astype(float) * self._scale[..., None, None]
        return scaled.reshape(len(states), -1, rows.shape[-1])

    @property
    def _scale(self) -> NDArray[np.float64]:
        """(D, K) s_k, 0 of unused slots."""
        return np.where(self.states.used, self.problem.sizes[self.states.size], 0.0)

    @cached_property
    def _frame(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D, J) lambda and (D, J, J) U."""
        values, vectors = np.linalg.eigh(self._columns @ np.swapaxes(self._columns, 1, 2))
        return np.maximum(values, 0.0), vectors

    @cached_property
    def basis(self) -> NDArray[np.float64]:
        """(D, J, n_eff): U' G', orthogonal rows of squared norm lambda."""
        return np.asarray(np.swapaxes(self._frame[1], 1, 2) @ self._columns)

    @property
    def gains(self) -> NDArray[np.float64]:
        """(D, J) lambda."""
        return self._frame[0]

    @cached_property
    def match(self) -> NDArray[np.float64]:
        """(D, J, R) c."""
        return np.asarray(self.basis @ self.problem.turned)

    @cached_property
    def shrunk(self) -> NDArray[np.float64]:
        """(D, J, R) f."""
        q = self.problem.variance
        return np.asarray(q / (1 + q * self.gains[..., None]))

    @cached_property
    def rest(self) -> NDArray[np.float64]:
        """(D,)."""
        return np.asarray(self.problem.power - (self.shrunk * self.match**2).sum(axis=(1, 2)))

    @cached_property
    def log_determinant(self) -> NDArray[np.float64]:
        """(D,) sum_jr log(1 + q_r lambda_j)."""
        return np.log1p(self.problem.variance * self.gains[..., None]).sum(axis=(1, 2))

    @cached_property
    def log_likelihood(self) -> NDArray[np.float64]:
        """(D,) nats, up to the constant that all states share."""
        dof = NOISE_DOF + self.problem.n_numbers
        return np.asarray(-0.5 * self.log_determinant - 0.5 * dof * np.log(self.rest))

    def mean(self) -> NDArray[np.float64]:
        """Compute E[a] in the observation's time functions, (D, K, d, R) A m."""
        turned = self._out(self.shrunk * self.match) @ self.problem.turn.T
        return turned.reshape(*self.states.used.shape, self.problem.n_axes, -1)

    def variance(self) -> NDArray[np.float64]:
        """Compute the covariance of amplitudes in each time function, (D, K d, K d, R) A² m²."""
        factor = self._axes_scale[:, :, None] * self._frame[1]
        tau2 = self.rest / (NOISE_DOF + self.problem.n_numbers - 2)
        spread = tau2[:, None, None] * self.shrunk @ (self.problem.turn**2).T
        return np.einsum("dij,dkj,djr->dikr", factor, factor, spread, optimize=True)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw amplitudes in the observation's time functions by ``rng``, (D, K, d, R) A m."""
        return self.drawn(*self.noise(rng))

    def noise(
        self, rng: np.random.Generator, n: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw by ``rng`` what ``drawn`` needs of chance: (n,) chi² and (n, J, R) normal numbers.

        ``n`` states, as many as there are if not given.
        """
        n = len(self.rest) if n is None else n
        chi2 = rng.chisquare(NOISE_DOF + self.problem.n_numbers, n)
        return chi2, rng.standard_normal((n, *self.match.shape[1:]))

    def drawn(self, chi2: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute (D, K, d, R) A m: the amplitudes of (D,) ``chi2`` and (D, J, R) ``normal``."""
        z = np.sqrt(self.rest / chi2)[:, None, None] * normal
        turned = self._out(self.shrunk * self.match + np.sqrt(self.shrunk) * z)
        return (turned @ self.problem.turn.T).reshape(
            *self.states.used.shape, self.problem.n_axes, -1
        )

    def pick(self, rows: NDArray[np.int64]) -> Amplitudes:
        """Take the law of the states ``rows`` (n,), without working it out again."""
        picked = Amplitudes(self.problem, self.states[rows])
        values, vectors = self._frame
        known = {"_frame": (values[rows], vectors[rows])}
        for name in ("match", "shrunk", "rest", "log_determinant", "log_likelihood"):
            known[name] = getattr(self, name)[rows]
        vars(picked).update(known)  # where a cached property keeps what it found
        return picked

    @property
    def _axes_scale(self) -> NDArray[np.float64]:
        return np.repeat(self._scale, self.problem.n_axes, axis=1)

    def _out(self, inner: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D, K d, R): S U times (D, J, R)."""
        return np.asarray(self._axes_scale[..., None] * (self._frame[1] @ inner))

    def explained(self) -> NDArray[np.float64]:
        """Average over states what the sources make at the sensors, (n_eff, R)."""
        turned = np.einsum("djn,djr->nr", self.basis, self.shrunk * self.match, optimize=True)
        return np.asarray(turned @ self.problem.turn.T / len(self.states))


def log_prior(problem: PatchLikelihood, states: PatchStates) -> NDArray[np.float64]:
    """Compute (D,) log p(state) of ``states`` of ``problem``.

    Of heads, slots, places, sizes; and extents, of unused slots as well.
    """
    place = problem.log_place(states.centre, states.used)
    size = np.where(states.used, problem.log_size[states.size], 0.0).sum(axis=1)
    extent = -states.used.shape[1] * np.log(problem.atoms.n_extents)
    known = problem.log_slots[states.count] + place + size + extent
    return np.asarray(known + problem.log_head[states.head])
