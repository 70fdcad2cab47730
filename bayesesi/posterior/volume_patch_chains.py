"""Blobs weighed against data: one slot's full conditional, and chains over several slots.

With T_j (r, 3) what blob j of unit norm looks like along each axis and moments m_j ~ N(0, s_j² I),

    v | states ~ N(0, Sigma),   Sigma = I + sum_j s_j² T_j T_j'.

Of slot k let P be the inverse of Sigma without it, G = T' P T and h = T' P v; then

    log p(v | k, others) - log p(v | others) = s²/2 h' (I + s² G)^-1 h - 1/2 log det(I + s² G)
    E[m_k | v, states] = s² (I + s² G)^-1 h

where det and adjugate of I + s² G are polynomials in s²: every centre, extent and size of a slot is
weighed at once, and the slot is drawn from its full conditional (Gibbs), "off" among the options.
The moment's mean is averaged over all options instead of the one drawn (Rao & Blackwell; Gelfand &
Smith 1990, doi:10.1080/01621459.1990.10476213).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import expit, logsumexp

#: nats below the best at which options do not count.
_FAINT = 16.0
#: Log odds in place of infinite ones.
_FORCED = 1e6
#: Power of the likelihood in the first sweep that warms up.
_FIRST_SHARE = 0.1
#: Probability below which a head's moments are not worth summing.
_RARE = 1e-7
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, eq=False)
class VolumePatchLikelihood:
    """Weigh states of blobs against data.

    Attributes
    ----------
    data : (r,), noise of unit variance. seen : H heads, each (r, 3, A) float32: every blob of unit
        norm along each axis.
    sizes : (M,) s, A m. log_size : (M,) log prior. log_count : (K + 1,) log prior of 0 to K blobs.
    """

    data: NDArray[np.float64]
    seen: tuple[NDArray[np.float32], ...]
    sizes: NDArray[np.float64]
    log_size: NDArray[np.float64]
    log_count: NDArray[np.float64]

    @property
    def n_atoms(self) -> int:
        return self.seen[0].shape[2]

    @property
    def n_slots(self) -> int:
        return len(self.log_count) - 1

    @cached_property
    def log_odds(self) -> NDArray[np.float64]:
        """(K,) prior log odds of one slot being used, of the number of others that are.

        Below the least number allowed, where chains start, nothing stays off.
        """
        k = np.arange(self.n_slots)
        possible = np.isfinite(self.log_count)
        log = np.where(possible, self.log_count, 0.0)
        odds = np.diff(log) + np.log((k + 1) / (self.n_slots - k))
        return np.where(possible[:-1], odds, _FORCED)

    @cached_property
    def grams(self) -> tuple[NDArray[np.float64], ...]:
        """H of (6, A): T'T."""
        return tuple(_products(seen) for seen in self.seen)

    def factor(
        self, head: int, atoms: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Stack F = [s_j T_j], (r, 3k), of ``atoms`` (k,) with ``sizes`` (k,) in a ``head``."""
        columns = self.seen[head][:, :, atoms].astype(float) * self.sizes[sizes]
        return np.moveaxis(columns, 1, 2).reshape(len(self.data), -1)

    def log_likelihood(self, factor: NDArray[np.float64]) -> float:
        """Evaluate log N(v; 0, I + F F') up to a constant, F the ``factor`` (r, 3k)."""
        root, _ = rooted(factor)
        turned = solve_triangular(root, factor.T @ self.data, lower=True)
        return float(0.5 * turned @ turned - np.log(np.diag(root)).sum())

    def options(
        self, head: int, others: NDArray[np.float64] | None = None, zeta: float = 1.0
    ) -> Candidates:
        """List each blob as one more beside ``others`` (r, 3k) in ``head``; ``zeta`` 0 to 1."""
        seen, gram = self.seen[head], self.grams[head]
        if others is None or not others.shape[1]:
            return Candidates(self, np.tensordot(self.data, seen, axes=1), gram, zeta)
        _, away = rooted(others)
        left = self.data - away.T @ (away @ self.data)
        rows = np.vstack([away, left]).astype(np.float32)
        turned = (rows @ seen.reshape(len(self.data), -1)).reshape(len(rows), 3, -1)
        return Candidates(self, turned[-1].astype(float), gram - _products(turned[:-1]), zeta)

    def moments(
        self, factor: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute mean (3k,) and covariance (3k, 3k) of m over s, given ``factor`` (r, 3k)."""
        precision = np.eye(factor.shape[1]) + factor.T @ factor
        covariance = np.linalg.inv(precision)
        return np.asarray(covariance @ (factor.T @ self.data)), np.asarray(covariance, float)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Weigh one more blob.

    Attributes
    ----------
    problem : the likelihood. h : (3, A). gram : G, (6, A) as (xx, yy, zz, xy, xz, yz).
    zeta : power of the likelihood, 0 to 1.
    """

    problem: VolumePatchLikelihood
    h: NDArray[np.float64]
    gram: NDArray[np.float64]
    zeta: float = 1.0

    @cached_property
    def _adjugate(self) -> NDArray[np.float64]:
        """(6, A) of G."""
        xx, yy, zz, xy, xz, yz = self.gram
        turned = (xz * yz - xy * zz, xy * yz - xz * yy, xy * xz - xx * yz)
        return np.array([yy * zz - yz**2, xx * zz - xz**2, xx * yy - xy**2, *turned])

    @cached_property
    def _invariants(self) -> NDArray[np.float64]:
        """(3, A) of G: trace, sum of minors, determinant."""
        along = np.einsum("ka,ka->a", self.gram[[0, 3, 4]], self._adjugate[[0, 3, 4]])
        return np.array([self.gram[:3].sum(axis=0), self._adjugate[:3].sum(axis=0), along])

    @cached_property
    def log_ratio(self) -> NDArray[np.float64]:
        """(M, A) log of p(v | with it) / p(v | without it)."""
        trace, minors, det = self._invariants
        power = (self.h**2).sum(axis=0)
        middle = trace * power - _form(self.gram, self.h)
        across = _form(self._adjugate, self.h)
        found = np.empty((len(self.problem.sizes), self.h.shape[1]))
        for k, s in enumerate(self.problem.sizes**2):
            whole = 1 + s * (trace + s * (minors + s * det))
            found[k] = 0.5 * (s * (power + s * (middle + s * across)) / whole - np.log(whole))
        return found

    @cached_property
    def log_weight(self) -> NDArray[np.float64]:
        """(M A,) with the prior of size and atom."""
        weighed = self.zeta * self.log_ratio + (
            self.problem.log_size[:, None] - np.log(self.problem.n_atoms)
        )
        return np.asarray(weighed.ravel())

    @cached_property
    def log_evidence(self) -> float:
        """log of the mean over the prior of p(v | with one) / p(v | without)."""
        return float(logsumexp(self.log_weight[self.likely]))

    @cached_property
    def likely(self) -> NDArray[np.int64]:
        """Options that count."""
        return np.flatnonzero(self.log_weight > self.log_weight.max() - _FAINT)

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """Probabilities of the likely options, of sum 1."""
        return np.asarray(np.exp(self.log_weight[self.likely] - self.log_evidence))

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw ``n`` options by ``rng``, numbered ``size A + atom``."""
        share = self.probability / self.probability.sum()
        return rng.choice(self.likely, n, p=share)

    def expected(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """List likely atoms, with repeats, and (n, 3) probability times mean of their moment."""
        size, atom = np.divmod(self.likely, self.problem.n_atoms)
        s, h = self.problem.sizes[size] ** 2, self.h[:, atom]
        trace, minors, det = self._invariants[:, atom]
        whole = 1 + s * (trace + s * (minors + s * det))
        turned = (1 + s * trace) * h - s * _times(self.gram[:, atom], h)
        turned += s**2 * _times(self._adjugate[:, atom], h)
        return atom, (self.probability * s / whole * turned).T


@dataclass(frozen=True, eq=False)
class BlobStates:
    """Hold D states of up to K blobs.

    Attributes
    ----------
    head : (D,). used : (D, K) which slots hold a blob. atom, size : (D, K) indices.
    """

    head: NDArray[np.int64]
    used: NDArray[np.bool_]
    atom: NDArray[np.int64]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.head)

    def __getitem__(self, rows: NDArray[np.int64]) -> BlobStates:
        return BlobStates(self.head[rows], self.used[rows], self.atom[rows], self.size[rows])

    @property
    def count(self) -> NDArray[np.int64]:
        return np.asarray(self.used.sum(axis=1))

    @classmethod
    def joined(cls, parts: Sequence[BlobStates]) -> BlobStates:
        """Join ``parts`` one after the other."""
        names = [one.name for one in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def copy(self) -> BlobStates:
        """Copy the arrays."""
        return BlobStates.joined([self])

    def factor(
        self, problem: VolumePatchLikelihood, row: int, head: int | None = None
    ) -> NDArray[np.float64]:
        """Stack F, (r, 3k), of the state ``row`` of a ``problem``, or in another ``head``."""
        kept = self.used[row]
        where = int(self.head[row]) if head is None else head
        return problem.factor(where, self.atom[row, kept], self.size[row, kept])


@dataclass(frozen=True, eq=False)
class ChainRun:
    """Hold the draws and sums by which the posterior is known.

    Attributes
    ----------
    states : D draws; of N chains sweep by sweep. log_likelihood : (sweeps, N), or (1, D).
    expected : (A, 3) A m: sum over slots of probability times moment of a blob of unit norm, and
        of probability, atom_probability : (A,), over all options of every visit.
    count_probability : (K + 1,) of no blob, one, two...
    """

    states: BlobStates
    log_likelihood: NDArray[np.float64]
    expected: NDArray[np.float64]
    atom_probability: NDArray[np.float64]
    count_probability: NDArray[np.float64]


def enumerate_one(problem: VolumePatchLikelihood, n: int, rng: np.random.Generator) -> ChainRun:
    """Enumerate at most one blob of a ``problem`` exactly; ``n`` states are drawn by ``rng``."""
    each = [problem.options(head) for head in range(len(problem.seen))]
    evidence = np.array([options.log_evidence for options in each])
    share = np.exp(evidence - logsumexp(evidence))
    used = float(expit(problem.log_odds[0] + logsumexp(evidence) - np.log(len(each))))
    tally = _Tally.of(problem)
    for options, p in zip(each, share, strict=True):
        if p > _RARE:
            tally.add(options, used * float(p))
    on = rng.random((n, 1)) < used
    head = np.where(on[:, 0], rng.choice(len(each), n, p=share), rng.integers(len(each), size=n))
    option = np.zeros(n, np.int64)
    for h in np.unique(head):
        option[head == h] = each[h].draw(int((head == h).sum()), rng)
    size, atom = np.divmod(option[:, None], problem.n_atoms)
    ratio = np.array([each[h].log_ratio[m, a] for h, m, a in zip(head, size, atom, strict=True)])
    likelihood = np.where(on, ratio, 0.0).T
    counts = np.array([1 - used, used])
    return ChainRun(BlobStates(head, on, atom, size), likelihood, tally.moment, tally.share, counts)


def run_chains(
    problem: VolumePatchLikelihood, n: int, warm: int, sweeps: int, rng: np.random.Generator
) -> ChainRun:
    """Run ``n`` chains of a ``problem`` by ``rng``: ``warm`` sweeps, then ``sweeps``."""
    heads = rng.permutation(np.arange(n) % len(problem.seen))
    blank = np.zeros((n, problem.n_slots), np.int64)
    states = BlobStates(heads, blank > 0, blank, blank.copy())
    for zeta in np.geomspace(_FIRST_SHARE, 1.0, warm):
        sweep(problem, states, rng, float(zeta))
    kept, likelihood, tally = [], np.zeros((sweeps, n)), _Tally.of(problem)
    for k in range(sweeps):
        likelihood[k] = sweep(problem, states, rng, tally=tally)
        kept.append(states.copy())
    joined = BlobStates.joined(kept)
    counts = np.bincount(joined.count, minlength=problem.n_slots + 1) / len(joined)
    visits = n * sweeps
    return ChainRun(joined, likelihood, tally.moment / visits, tally.share / visits, counts)


@dataclass(frozen=True, eq=False)
class _Tally:
    """Sums over visits: see ``ChainRun.expected`` and ``ChainRun.atom_probability``."""

    moment: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, problem: VolumePatchLikelihood) -> _Tally:
        return cls(np.zeros((problem.n_atoms, 3)), np.zeros(problem.n_atoms))

    def add(self, options: Candidates, used: float) -> None:
        atom, moment = options.expected()
        weights = np.vstack([moment.T, options.probability]) * used
        n = len(self.share)
        sums = np.array([np.bincount(atom, own, n) for own in weights])
        self.moment[:] += sums[:3].T
        self.share[:] += sums[3]


def sweep(
    problem: VolumePatchLikelihood,
    states: BlobStates,
    rng: np.random.Generator,
    zeta: float = 1.0,
    tally: _Tally | None = None,
) -> NDArray[np.float64]:
    """Draw every slot of ``states`` anew by ``rng``, then the head, in place; (D,) log-likelihoods.

    The likelihood of ``problem`` counts to the power of ``zeta``, 0 to 1; ``tally`` sums visits.
    """
    for row in range(len(states)):
        for slot in rng.permutation(problem.n_slots):
            _visit(problem, states, row, int(slot), rng, zeta, tally)
    return np.array([_draw_head(problem, states, row, rng, zeta) for row in range(len(states))])


def _visit(
    problem: VolumePatchLikelihood,
    states: BlobStates,
    row: int,
    slot: int,
    rng: np.random.Generator,
    zeta: float,
    tally: _Tally | None,
) -> None:
    """Chains one by one: a slot's options are large arrays already."""
    states.used[row, slot] = False
    others = states.factor(problem, row)
    options = problem.options(int(states.head[row]), others, zeta)
    log_odds = problem.log_odds[states.used[row].sum()] + options.log_evidence
    used = float(expit(log_odds))
    if tally is not None:
        tally.add(options, used)
    if rng.random() < used:
        picked = options.draw(1, rng)[0]
        states.used[row, slot] = True
        states.size[row, slot], states.atom[row, slot] = np.divmod(picked, problem.n_atoms)


def _draw_head(
    problem: VolumePatchLikelihood,
    states: BlobStates,
    row: int,
    rng: np.random.Generator,
    zeta: float,
) -> float:
    every = range(len(problem.seen))
    each = np.array([problem.log_likelihood(states.factor(problem, row, head)) for head in every])
    weight = np.exp(zeta * (each - each.max()))
    states.head[row] = rng.choice(len(each), p=weight / weight.sum())
    return float(each[states.head[row]])


def rooted(factor: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Decompose I + F'F = R R', ``factor`` F (r, q): root R (q, q), and U = R^-1 F' (q, r).

    The inverse of I + F F' is I - U'U.
    """
    root = np.linalg.cholesky(np.eye(factor.shape[1]) + factor.T @ factor)
    return np.asarray(root, float), np.asarray(solve_triangular(root, factor.T, lower=True))


def _products(seen: NDArray[np.floating]) -> NDArray[np.float64]:
    """(6, A) of (r, 3, A)."""
    return np.array([np.einsum("ra,ra->a", seen[:, i], seen[:, j]) for i, j in _PAIRS], float)


def _times(matrix: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, n): symmetric matrices (6, n) times vectors (3, n)."""
    xx, yy, zz, xy, xz, yz = matrix
    x, y, z = vector
    return np.array([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])


def _form(matrix: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) vector' matrix vector."""
    return np.asarray((vector * _times(matrix, vector)).sum(axis=0))
