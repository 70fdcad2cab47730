"""Exact for at most one patch of cortex: every centre and extent is weighed.

    v~ = L~_h w_ce a' + tau e,   e ~ N(0, I),   a_r ~ N(0, tau² s² q_r),   tau² ~ nu / chi²_nu

h a head, w_ce the weights of a Gaussian patch of extent e about c (sum 1), s the size of its moment
on a grid, q the variances that a moment of white course would have in the time functions (turned so
that they are independent). Amplitudes and noise scale are integrated; with g = L~_h w_ce, G = |g|²,
b_r = g . v_r and u_r = s² q_r

    log p(v~ | h, c, e, s) = const - 1/2 sum_r log(1 + u_r G)
                             - (nu + n R)/2 log(nu + |v~|² - sum_r b_r² u_r / (1 + u_r G)),

and with nothing active the same without the sums over r.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior
from bayesesi.prior import HeadPrior, PatchPrior, block_generator

#: Degrees of freedom of the noise's scale: its logarithm has an sd of about .2.
NOISE_DOF = 12.0
#: Sizes of a moment that are weighed, and extents.
_N_SIZES, _N_EXTENTS = 8, 6
#: Of a source's moment at its peak, its root mean square over a window.
_RMS_OF_PEAK = 0.35


@dataclass(frozen=True, eq=False)
class Atoms:
    """What a patch may be.

    Attributes
    ----------
    weights : (A, S) sparse, rows summing to 1. log_prior : (A,), of a patch.
    centre : (A,) source. extent_mm : (A,).
    """

    weights: sp.csr_array
    log_prior: NDArray[np.float64]
    centre: NDArray[np.int64]
    extent_mm: NDArray[np.float64]


def make_atoms(prior: PatchPrior, n_extents: int = _N_EXTENTS) -> Atoms:
    """Every centre the prior allows, at the middles of ``n_extents`` equal shares of its extents.

    Patches are Gaussian whatever the prior's profiles: on 5,124 sources discs look alike.
    """
    from bayesesi.prior import distribution_of

    with block_generator("validate", 0, 0):
        drawn = np.sort(distribution_of(prior.spec.extent_mm).sample((4096,)).double().numpy())
    extents = np.quantile(drawn, (np.arange(n_extents) + 0.5) / n_extents)
    allowed = np.flatnonzero(prior.weights > 0)
    centre = np.repeat(allowed, n_extents)
    extent = np.tile(extents, len(allowed))
    n = len(centre)
    weights = prior.shapes(
        {
            "centre": centre,
            "extent_mm": extent,
            "profile": np.zeros(n, np.int64),
            "edge": np.zeros((n, 3)),
        }
    )
    log_prior = np.log(prior.weights[centre]) - np.log(n_extents)
    return Atoms(weights, log_prior, centre, extent)


def patch_posterior(
    obs: Observation,
    prior: PatchPrior,
    heads: HeadPrior | None = None,
    n_heads: int = 32,
    seed: int = 0,
    atoms: Atoms | None = None,
) -> PatchPosterior:
    """The posterior over at most one patch, and over the head where ``heads`` is given.

    Parameters
    ----------
    prior : of patches on the source space of the observation (``read_prior("focal", level=4)``);
        of its counts only the probability of nothing is used.
    heads : what the true head may be; ``n_heads`` are drawn from it, all alike before the data.
        None takes the assumed head for the true one.
    atoms : ``make_atoms(prior)`` kept from before.

    Raises
    ------
    InputError : free sources, another source space, a forward whose head cannot be redrawn.
    """
    if obs.leadfield.ndim != 2:
        raise InputError("patches are of sources along the cortex' normal; use forward.fixed()")
    if obs.source_space.n_sources != prior.source_space.n_sources:
        raise InputError(
            f"the prior lives on {prior.source_space.n_sources} sources, the observation on "
            f"{obs.source_space.n_sources}; read the prior at the level of the forward"
        )
    atoms = atoms or make_atoms(prior)
    seen = (
        [np.asarray(atoms.weights @ obs.leadfield.T)]
        if heads is None
        else _topographies(obs, atoms, heads, n_heads, seed)
    )
    time = _time_axes(obs)
    sizes, log_size = _sizes(prior)
    turned = obs.values @ time.turn
    tables = [_weigh(topographies, turned, time.variance, sizes) for topographies in seen]
    return PatchPosterior(
        obs,
        atoms,
        prior.spec.count.null,
        np.array([table.log_likelihood for table in tables]),
        np.array([table.gain for table in tables]),
        np.array([table.match for table in tables]),
        sizes,
        log_size,
        time,
    )


@dataclass(frozen=True, eq=False)
class TimeAxes:
    """Turned time functions in which a moment's coefficients are independent.

    ``turn`` (R, R) orthonormal; ``variance`` (R,) of a moment whose course is white with unit
    variance a sample.
    """

    turn: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PatchPosterior(Posterior):
    """See the module.

    Attributes
    ----------
    null : prior probability of no patch.
    log_likelihood : (H, A, M) log p(v~ | head, atom, size), up to the constant that all share.
    gain : (H, A) G. match : (H, A, R) b, in turned time.
    sizes : (M,) A m; log_size : (M,) their log prior.
    """

    atoms: Atoms
    null: float
    log_likelihood: NDArray[np.float64]
    gain: NDArray[np.float64]
    match: NDArray[np.float64]
    sizes: NDArray[np.float64]
    log_size: NDArray[np.float64]
    time: TimeAxes

    def __repr__(self) -> str:
        return (
            f"<PatchPosterior | {self.n_heads} heads × {len(self.atoms.centre)} patches, nothing "
            f"there with probability {self.null_probability:.2g}>"
        )

    @property
    def n_heads(self) -> int:
        return len(self.gain)

    @cached_property
    def _log_joint(self) -> NDArray[np.float64]:
        """(H, A, M), of one patch: prior times likelihood."""
        prior = self.atoms.log_prior[None, :, None] + self.log_size
        with np.errstate(divide="ignore"):
            one = np.log1p(-self.null)
        return self.log_likelihood + prior + one - np.log(self.n_heads)

    @cached_property
    def _log_null(self) -> float:
        n = self.obs.values.size
        with np.errstate(divide="ignore"):
            return float(
                np.log(self.null) - 0.5 * (NOISE_DOF + n) * np.log(NOISE_DOF + self._power)
            )

    @property
    def _power(self) -> float:
        return float((self.obs.values**2).sum())

    @cached_property
    def log_evidence(self) -> float:
        """log p(v~), nats, the Student constant included."""
        n = self.obs.values.size
        constant = (
            gammaln((NOISE_DOF + n) / 2)
            - gammaln(NOISE_DOF / 2)
            - 0.5 * n * np.log(np.pi)
            + 0.5 * NOISE_DOF * np.log(NOISE_DOF)
        )
        return float(logsumexp([self._log_null, logsumexp(self._log_joint)]) + constant)

    @cached_property
    def null_probability(self) -> float:
        """That nothing is active."""
        total = np.logaddexp(self._log_null, logsumexp(self._log_joint))
        return float(np.exp(self._log_null - total))

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """(H, A, M): of each head, patch and size; with ``null_probability`` they sum to 1."""
        total = np.logaddexp(self._log_null, logsumexp(self._log_joint))
        return np.asarray(np.exp(self._log_joint - total))

    @property
    def head_probability(self) -> NDArray[np.float64]:
        """(H,) of each head, given that something is active."""
        share = self.probability.sum(axis=(1, 2))
        return np.asarray(share / share.sum())

    def centre_probability(self) -> NDArray[np.float64]:
        """(S,) that a patch has its centre at each source."""
        of_atom = self.probability.sum(axis=(0, 2))
        n_sources = self.obs.source_space.n_sources
        return np.asarray(np.bincount(self.atoms.centre, of_atom, n_sources), float)

    def _shrunk(self, size: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., R): variance of amplitudes over tau², u / (1 + u G)."""
        u = size[..., None] ** 2 * self.time.variance
        return np.asarray(u / (1 + u * gain[..., None]))

    def _rest(self) -> NDArray[np.float64]:
        """(H, A, M): nu + |v~|² - what the patch explains."""
        power = NOISE_DOF + self._power
        rest = np.empty(self.log_likelihood.shape)
        for m, size in enumerate(self.sizes):
            shrunk = self._shrunk(np.full(self.gain.shape, size), self.gain)
            rest[:, :, m] = power - (self.match**2 * shrunk).sum(axis=2)
        return rest

    def mean(self) -> NDArray[np.float64]:
        turned = np.zeros((len(self.atoms.centre), self.match.shape[2]))
        for m, size in enumerate(self.sizes):
            shrunk = self._shrunk(np.full(self.gain.shape, size), self.gain)
            turned += np.einsum("ha,har->ar", self.probability[:, :, m], self.match * shrunk)
        return np.asarray(self.atoms.weights.T @ turned @ self.time.turn.T)

    def sd(self) -> NDArray[np.float64]:
        """By second moments: of amplitudes, E[tau²] shrunk + (b shrunk)², in turned time."""
        r = self.match.shape[2]
        n = self.obs.values.size
        rest = self._rest()
        second = np.zeros((len(self.atoms.centre), r, r))
        for m, size in enumerate(self.sizes):
            shrunk = self._shrunk(np.full(self.gain.shape, size), self.gain)
            mean = self.match * shrunk
            share = self.probability[:, :, m]
            tau = share * rest[:, :, m] / (NOISE_DOF + n - 2)
            second += np.einsum("ha,har,haq->arq", share, mean, mean, optimize=True)
            spread = np.einsum("ha,har->ar", tau, shrunk)
            second[:, np.arange(r), np.arange(r)] += spread
        turned = np.einsum("kr,arq,kq->ak", self.time.turn, second, self.time.turn, optimize=True)
        squared = self.atoms.weights.power(2).T @ turned
        return np.sqrt(np.maximum(squared - self.mean() ** 2, 0.0))

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        if n < 1:
            raise InputError(f"draw at least once, not {n} times")
        rng = np.random.default_rng(seed)
        flat = np.r_[self.null_probability, self.probability.ravel()]
        chosen = rng.choice(len(flat), size=n, p=flat / flat.sum())
        draws = np.zeros((n, self.obs.source_space.n_sources, self.match.shape[2]))
        normal = rng.standard_normal((n, self.match.shape[2]))
        gamma = rng.gamma((NOISE_DOF + self.obs.values.size) / 2, size=n)
        active = np.flatnonzero(chosen > 0)
        if not len(active):
            return draws
        h, a, m = np.unravel_index(chosen[active] - 1, self.probability.shape)
        shrunk = self._shrunk(self.sizes[m], self.gain[h, a])
        mean = self.match[h, a] * shrunk
        rest = NOISE_DOF + self._power - (self.match[h, a] * mean).sum(axis=1)
        tau = np.sqrt(rest / 2 / gamma[active])
        amplitude = (mean + tau[:, None] * np.sqrt(shrunk) * normal[active]) @ self.time.turn.T
        rows = self.atoms.weights[a].toarray()
        draws[active] = rows[:, :, None] * amplitude[:, None]
        return draws


@dataclass(frozen=True, eq=False)
class _Table:
    log_likelihood: NDArray[np.float64]
    gain: NDArray[np.float64]
    match: NDArray[np.float64]


def _weigh(
    topographies: NDArray[np.float64],
    turned: NDArray[np.float64],
    variance: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> _Table:
    """One head: (A, M) log-likelihoods, (A,) gains and (A, R) matches of (A, n_eff) patches."""
    gain = (topographies**2).sum(axis=1)
    match = topographies @ turned
    squares, power, n = match**2, NOISE_DOF + float((turned**2).sum()), turned.size
    table = np.empty((len(gain), len(sizes)))
    for m, size in enumerate(sizes):
        u = size**2 * variance
        grown = 1 + u * gain[:, None]
        explained = (squares * (u / grown)).sum(axis=1)
        table[:, m] = -0.5 * _log_products(grown) - 0.5 * (NOISE_DOF + n) * np.log(
            power - explained
        )
    return _Table(table, gain, match)


def _log_products(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(A,) sum of the logs of (A, R) numbers from 1 on, few logs: 16 below 1e19 do not overflow."""
    total = np.zeros(len(factors))
    for first in range(0, factors.shape[1], 16):
        total += np.log(factors[:, first : first + 16].prod(axis=1))
    return total


def _time_axes(obs: Observation) -> TimeAxes:
    projector = obs.time_basis.projector
    variance, turn = np.linalg.eigh(projector.T @ projector)
    return TimeAxes(turn, np.maximum(variance, 0.0))


def _sizes(prior: PatchPrior) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Root mean squares of a moment over the window, A m, each standing for an equal share."""
    from bayesesi.prior import distribution_of

    with block_generator("validate", 0, 1):
        drawn = distribution_of(prior.spec.moment_nAm).sample((4096,)).double().numpy()
    shares = (np.arange(_N_SIZES) + 0.5) / _N_SIZES
    sizes = np.quantile(drawn, shares) * 1e-9 * _RMS_OF_PEAK
    return sizes, np.full(_N_SIZES, -np.log(_N_SIZES))


def _topographies(
    obs: Observation, atoms: Atoms, heads: HeadPrior, n: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """(A, n_eff) of each patch in heads drawn from the prior, each with a cap of its own.

    Patches are brought into the bank's source modes once: a head is then one small product.
    """
    banked = obs.forward.banked
    if banked is None:
        raise InputError(
            "the forward model's head cannot be redrawn, it came from no bank; take it for the "
            "true one with heads=None, or use template_forward(info)"
        )
    if n < 1:
        raise InputError(f"at least one head, not {n}")
    with block_generator("validate", seed, 2):
        draws = heads.draw(n)
        where = heads.electrodes(draws, banked.electrodes).positions
    settings = heads.settings(draws)
    modes = np.asarray(atoms.weights @ banked.bank.cortex_modes(banked.level).T, np.float32)
    for k in range(n):
        size = banked.scale * float(draws["size"][k])
        electrodes = banked.bank.electrode_modes(settings[k], where[k]) / size**2
        whitened = (obs.whitener.matrix @ electrodes).astype(np.float32)
        yield np.asarray(modes @ whitened.T, float)
