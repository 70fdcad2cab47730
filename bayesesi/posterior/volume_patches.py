"""A few blobs of free dipoles in a volume: every centre, extent and size weighed.

    v~ = L~ J + e,  e ~ N(0, I + t Q),     J = sum_j m_j b(c_j, e_j),  j = 1..K
    b(c, e) ~ exp(-d² / (2 e²)) of unit L2 norm around source c,  m_j ~ N(0, s_j² I_3)

K and c are uniform, e is on a grid, all alike. For an amplitude N(0, scale²) along a direction that
is uniform, s is uniform on (0, scale), here at the middles of equal parts, since

    int_0^scale s^-3 exp(-|m|² / 2 s²) ds = exp(-|m|² / 2 scale²) / |m|².

Where the scale is not known, s is uniform in its logarithm, over 60 dB of power about that of
noise.

Q is what blobs look like on average (mean of L~ b b' L~'), scaled to the power of the data less
that of noise: a part t of the power of any recording is taken to be due to what heads show
wrongly. ``heads`` are several that may be the true one, one of them drawn with every state.

States of one blob are enumerated; of more, chains draw them (``blob_chains``); moments are
integrated. The protocol for which this was written is that of 3D-PIUNet (Morik et al. 2024,
arXiv:2411.00143), see ``simulator.volume``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.volume_patch_chains import (
    BlobStates,
    ChainRun,
    VolumePatchLikelihood,
    enumerate_one,
    run_chains,
)

#: mm: extents of the grid, middles of eight equal shares of 5 to 40.
EXTENTS_MM: tuple[float, ...] = tuple(5 + 35 * (k + 0.5) / 8 for k in range(8))
#: Sizes weighed where the scale is known and where not; of one blob of median gain, power over that
#: of noise, mean over components.
_N_SIZES, _N_SIZES_UNKNOWN, _POWER_RANGE = 6, 12, (1e-3, 1e3)
#: Components of the data in which blobs have less power than this, in that of noise, are left out.
_LEAST_POWER = 0.01
#: Of all moments together, the part that the mean may leave out.
_LEAST_SHARE = 1e-3
#: Power of what heads show wrongly, over that of the data. Chosen on 60 cases of "validate" of
#: `piu-61` at 20 dB: nEMD .152, .148, .148, .154 at 0, .003, .01, .03 in the assumed head alone,
#: .133, .134, .139, .151 over seven of skulls from .003 to .03 S/m; at 5 dB it makes no difference.
MISMATCH = 0.01
#: Chains, sweeps of each that warm up, and that count; draws of states from an enumeration.
_N_CHAINS, _WARM, _SWEEPS, _N_STATES = 4, 6, 10, 1000


@dataclass(frozen=True, eq=False)
class BlobAtoms:
    """Blobs exp(-d² / (2 extent²)) of unit L2 norm around every source, as each head shows them.

    Atom ``e S + i`` is source i at extent e.

    Attributes
    ----------
    positions : (S, 3) m. extents_mm : (E,).
    ch_names : of C channels. topographies : H heads, each (C, 3, E S) float32 V/(A m).
    moment : (C, C): mean over atoms and heads of what a blob looks like, squared.
    """

    positions: NDArray[np.float64]
    extents_mm: NDArray[np.float64]
    ch_names: tuple[str, ...]
    topographies: tuple[NDArray[np.float32], ...]
    moment: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<BlobAtoms | {len(self.positions)} centres × {len(self.extents_mm)} extents>"

    @property
    def n_atoms(self) -> int:
        return len(self.positions) * len(self.extents_mm)

    def shapes(self, atoms: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute the blobs of unit norm, (n, S), of the indices ``atoms`` (n,)."""
        extent, centre = np.divmod(atoms, len(self.positions))
        return _shapes(self.positions, centre, self.extents_mm[extent] * 1e-3)

    def spread(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum blobs of ``moments`` (A, 3) A m to a field (S, 3), but for a thousandth."""
        size = np.abs(moments).sum(axis=1)
        order = np.argsort(size)
        faint = order[np.cumsum(size[order]) <= _LEAST_SHARE * size.sum()]
        moments = moments.copy()
        moments[faint] = 0
        field = np.zeros((len(self.positions), 3))
        for e, own in enumerate(moments.reshape(len(self.extents_mm), -1, 3)):
            centres = np.flatnonzero(own.any(axis=1))
            if len(centres):
                atoms = e * len(self.positions) + centres
                field += self.shapes(atoms).T @ own[centres]
        return field


def make_blob_atoms(
    forward: ForwardOperator,
    heads: Sequence[ForwardOperator] = (),
    extents_mm: Sequence[float] = EXTENTS_MM,
) -> BlobAtoms:
    """Make all blobs on the sources of a forward.

    Parameters
    ----------
    forward : with free sources in a volume. heads : that it may be; the forward alone if empty.
    extents_mm : (E,) above 0.

    Raises
    ------
    InputError : fixed or loose sources, a cortex, heads of other sources, extents not positive.
    """
    _check_volume(forward)
    extents = np.asarray(extents_mm, float)
    if not (extents.ndim == 1 and len(extents) and (extents > 0).all()):
        raise InputError(f"extents are positive sizes in mm, not {some(np.ravel(extents))}")
    heads = tuple(heads) or (forward,)
    names = tuple(forward.ch_names)
    positions = forward.source_space.positions
    leadfields = []
    for head in heads:
        _check_volume(head)
        if not np.array_equal(head.source_space.positions, positions):
            raise InputError("heads have the sources of the forward; compute them on its positions")
        leadfields.append(np.asarray(head.pick(names).leadfield, np.float32))
    stacked = np.concatenate([np.moveaxis(own, 1, 2) for own in leadfields])
    every = np.arange(len(positions))
    seen = np.stack([stacked @ _shapes(positions, every, 1e-3 * e).T for e in extents], axis=2)
    seen = seen.reshape(len(heads), len(names), 3, -1)
    flat = seen.reshape(len(heads), len(names), -1)
    moment = np.mean([own @ own.T for own in flat], axis=0) / seen.shape[-1]
    return BlobAtoms(positions, extents, names, tuple(seen), moment.astype(float))


def blob_posterior(
    obs: Observation,
    n_blobs: Sequence[int] = (1,),
    seed: int = 0,
    scale: float | None = None,
    heads: Sequence[ForwardOperator] = (),
    mismatch: float = MISMATCH,
    extents_mm: Sequence[float] = EXTENTS_MM,
    atoms: BlobAtoms | None = None,
    n_chains: int = _N_CHAINS,
    warm: int = _WARM,
    sweeps: int = _SWEEPS,
) -> BlobPosterior:
    """Condition on an observation under a prior of blobs, all of ``n_blobs`` alike; see the module.

    Up to one blob by enumeration, more by ``n_chains`` chains of ``warm`` + ``sweeps`` sweeps.

    Parameters
    ----------
    obs : of one instant. n_blobs : numbers of blobs, one after another; 0 may be one.
    seed : of states and chains. extents_mm : (E,) above 0.
    scale : A m, root mean square of a blob's L2 norm over sources; None where it is not known.
    heads : forwards of the heads the true one may be, all alike; the assumed one if not given.
    mismatch : t, ratio of the power of what every head shows wrongly to that of the data.
    atoms : ``make_blob_atoms(obs.forward, heads, extents_mm)`` kept from before; they are the same
        for every recording, and take seconds a head.

    Raises
    ------
    InputError : fixed or loose sources, a cortex, more than one instant, counts with gaps, numbers
        out of range, a scale where the unit of the data is not known, atoms of other sources.
    """
    _check_volume(obs.forward)
    counts = _counts(n_blobs)
    _check_numbers(obs, scale, mismatch, n_chains, warm, sweeps)
    if atoms is None:
        atoms = make_blob_atoms(obs.forward, heads, extents_mm)
    problem = _problem(obs, atoms, counts, scale, mismatch)
    rng = np.random.default_rng(seed)
    if problem.n_slots > 1:
        run = run_chains(problem, n_chains, warm, sweeps, rng)
    else:
        run = enumerate_one(problem, _N_STATES, rng)
    return BlobPosterior(obs, atoms, problem, run)


@dataclass(frozen=True, eq=False)
class BlobPosterior(Posterior):
    """Hold the posterior of the module: draws of states, moments Gaussian given each.

    Attributes
    ----------
    atoms : the blobs. problem : the likelihood. run : its states.
    """

    atoms: BlobAtoms
    problem: VolumePatchLikelihood
    run: ChainRun

    def __repr__(self) -> str:
        shares = ", ".join(f"{k}: {p:.2g}" for k, p in enumerate(self.count_probability) if p > 0)
        return (
            f"<BlobPosterior | {len(self.problem.seen)} heads × {self.atoms!r}, p(number of blobs) "
            f"{shares}>"
        )

    @property
    def count_probability(self) -> NDArray[np.float64]:
        """(K + 1,) probability of no blob, one, two..."""
        return self.run.count_probability

    @property
    def null_probability(self) -> float:
        return float(self.count_probability[0])

    @property
    def r_hat(self) -> float:
        """Rank-normalised split R-hat (Vehtari et al. 2021, doi:10.1214/20-BA1221) of the
        log-likelihood; 1 where states were enumerated, infinite from one chain of a few sweeps."""
        values = self.run.log_likelihood.T
        if self.problem.n_slots == 1 or np.ptp(values) == 0:
            return 1.0
        if values.shape[1] < 4:
            return np.inf
        import arviz as az

        return float(np.asarray(az.rhat(values, method="rank")))

    @cached_property
    def centre_probability(self) -> NDArray[np.float64]:
        """(S,) expected number of blobs around each source, by all options of every visit."""
        return self.run.atom_probability.reshape(len(self.atoms.extents_mm), -1).sum(axis=0)

    @cached_property
    def _mean(self) -> NDArray[np.float64]:
        return self.atoms.spread(self.run.expected)[:, :, None]

    def mean(self) -> NDArray[np.float64]:
        """Average moments in closed form over all options of every slot, (S, 3, 1) A m."""
        return self._mean

    @cached_property
    def _sd(self) -> NDArray[np.float64]:
        states = self.run.states
        first, second = np.zeros((2, len(self.atoms.positions), 3))
        for row in range(len(states)):
            shapes, mean, root = self._given(states, row)
            field = shapes.T @ mean
            both = np.einsum("kxq,lxq->xkl", root, root)
            spread = np.stack([((own @ shapes) * shapes).sum(axis=0) for own in both], axis=1)
            first += field / len(states)
            second += (field**2 + spread) / len(states)
        return np.sqrt(np.maximum(second - first**2, 0.0))[:, :, None]

    def sd(self) -> NDArray[np.float64]:
        """Compute the standard deviation over states, in closed form given each, (S, 3, 1) A m."""
        return self._sd

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw (n, S, 3, 1) A m.

        Raises
        ------
        InputError : fewer than one.
        """
        rows, rng = self._rows(n, seed)
        draws = np.zeros((n, len(self.atoms.positions), 3, 1))
        for draw, row in zip(draws, rows, strict=True):
            shapes, mean, root = self._given(self.run.states, row)
            moment = mean + root @ rng.standard_normal(root.shape[2])
            draw[:, :, 0] = shapes.T @ moment
        return draws

    def latents(self, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
        """List the ``count`` of blobs and the number of the ``head`` of each draw."""
        states = self.run.states[self._rows(n, seed)[0]]
        return {"count": states.count, "head": states.head}

    def details(self) -> dict[str, Any]:
        return {
            "family": "blobs",
            "heads": len(self.problem.seen),
            "extents_mm": self.atoms.extents_mm.tolist(),
            "components": len(self.problem.data),
            "states": len(self.run.states),
            "r_hat": round(self.r_hat, 3),
            "count_probability": self.count_probability.round(4).tolist(),
        }

    def _rows(self, n: int, seed: int) -> tuple[NDArray[np.int64], np.random.Generator]:
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        rng = np.random.default_rng(seed)
        return rng.integers(len(self.run.states), size=n), rng

    def _given(
        self, states: BlobStates, row: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Of one state (k, S) shapes, (k, 3) mean moments and (k, 3, 3 k) a root of their
        covariance, A m."""
        used = states.used[row]
        mean, covariance = self.problem.moments(states.factor(self.problem, row))
        s = self.problem.sizes[states.size[row, used]]
        root = np.linalg.cholesky(covariance).reshape(len(s), 3, 3 * len(s))
        shapes = self.atoms.shapes(states.atom[row, used])
        return shapes, s[:, None] * mean.reshape(-1, 3), s[:, None, None] * root


def _problem(
    obs: Observation, atoms: BlobAtoms, counts: list[int], scale: float | None, mismatch: float
) -> VolumePatchLikelihood:
    whitener = obs.whitener.matrix
    there = obs.source_space.positions
    if atoms.ch_names != tuple(obs.forward.ch_names) or not np.array_equal(atoms.positions, there):
        raise InputError(
            "these atoms belong to other channels or sources; call make_blob_atoms(obs.forward, "
            "...)"
        )
    v = obs.values[:, 0]
    power, basis = np.linalg.eigh(whitener @ atoms.moment @ whitener.T)
    expected = np.maximum(power, 0) / power.sum() * max(float(v @ v) - len(v), 1.0)
    kept = expected > min(_LEAST_POWER, expected.max() / 2)
    onto = (basis[:, kept] / np.sqrt(1 + mismatch * expected[kept])).T
    turn = (onto @ whitener).astype(np.float32)
    seen = tuple(
        (turn @ own.reshape(len(own), -1)).reshape(len(turn), 3, -1) for own in atoms.topographies
    )
    if scale is None:
        # power of a blob whose three moments have variance 1, mean over components and atoms
        ratio = np.geomspace(*_POWER_RANGE, _N_SIZES_UNKNOWN)
        sizes = np.sqrt(ratio * len(v) / power.sum())
    else:
        sizes = scale * (np.arange(_N_SIZES) + 0.5) / _N_SIZES
    log_count = np.full(counts[-1] + 1, -np.inf)
    log_count[counts] = -np.log(len(counts))
    log_size = np.full(len(sizes), -np.log(len(sizes)))
    return VolumePatchLikelihood(onto @ v, seen, sizes, log_size, log_count)


def _counts(n_blobs: Sequence[int]) -> list[int]:
    counts = sorted({int(k) for k in n_blobs if k == int(k)})
    gaps = not counts or counts != list(range(counts[0], counts[-1] + 1))
    if gaps or counts[0] < 0 or counts[-1] < 1 or len(counts) != len(set(n_blobs)):
        raise InputError(
            f"n_blobs must be consecutive numbers, such as (1, 2, 3), not {some(n_blobs)}"
        )
    return counts


def _check_numbers(
    obs: Observation,
    scale: float | None,
    mismatch: float,
    n_chains: int,
    warm: int,
    sweeps: int,
) -> None:
    if obs.n_functions != 1:
        raise InputError(
            f"blobs need a single sample, and this window has {obs.n_functions} time functions; "
            "observe a single sample (tmin = tmax)"
        )
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise InputError(f"scale is a positive size in A m, not {scale!r}")
    if scale is not None and not obs.scale_known:
        raise InputError(
            "the unit of the data is unknown, so a scale in A m has no meaning; omit it"
        )
    if not (np.isfinite(mismatch) and mismatch >= 0):
        raise InputError(f"mismatch is a ratio of powers, 0 or more, not {mismatch!r}")
    if n_chains < 1 or sweeps < 1 or warm < 1:
        raise InputError(f"chains and sweeps are 1 or more, not {n_chains}, {warm}, {sweeps}")


def _check_volume(forward: ForwardOperator) -> None:
    if forward.orientation != "free" or forward.source_space.mesh is not None:
        raise InputError(
            f"blobs need free dipoles in a volume, and this forward has {forward.orientation} "
            f"sources in {forward.source_space!r}; use patch_posterior on a cortex, or "
            "template_forward(info, source_space='volume')"
        )


def _shapes(
    positions: NDArray[np.float64], centres: NDArray[np.int64], extents: NDArray[np.float64] | float
) -> NDArray[np.float32]:
    """(n, S)."""
    points = np.asarray(positions, np.float32)
    points = points - points.mean(axis=0)
    chosen = points[centres]
    square = (points**2).sum(axis=1) + (chosen**2).sum(axis=1)[:, None] - 2 * chosen @ points.T
    extents = np.broadcast_to(np.asarray(extents, np.float32), len(centres))
    blob = np.exp(-0.5 * np.maximum(square, 0) / extents[:, None] ** 2)
    return np.asarray(blob / np.linalg.norm(blob, axis=1, keepdims=True))
