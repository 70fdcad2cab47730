"""The posterior that draws of states give: amplitudes in closed form, moments on the cortex."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.draws import SparseDraws
from bayesesi.posterior.patches.field import chunks
from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.states import Amplitudes, PatchStates, log_prior

#: Sets of draws that are summed up at once, of one function of time.
_TOGETHER = 180


@dataclass(frozen=True, eq=False)
class StatePosterior(Posterior):
    """A posterior over which sources there are, given as draws; amplitudes follow from each.

    Attributes
    ----------
    problem : what is weighed. states : D draws of (head, sources), alike in weight.
    """

    problem: PatchLikelihood
    states: PatchStates

    @cached_property
    def amplitudes(self) -> Amplitudes:
        """Of each state."""
        return Amplitudes(self.problem, self.states)

    def centre_probability(self) -> NDArray[np.float64]:
        """Count (S,) the expected number of sources with their centre at each."""
        centres = self.problem.atoms.centres[self.states.centre[self.states.used]]
        count = np.bincount(centres, minlength=self.obs.source_space.n_sources)
        return np.asarray(count / len(self.states))

    def explained(self) -> NDArray[np.float64]:
        return self.amplitudes.explained()

    def mean(self) -> NDArray[np.float64]:
        """Average the means given each state."""
        used, n = self.states.used, len(self.states)
        flat = self.amplitudes.mean().reshape(*used.shape, -1) / np.sqrt(self.problem.n_axes)
        atoms, where = self._atoms
        total = np.zeros((len(atoms), flat.shape[2]))
        np.add.at(total, where[used], flat[used])
        return self._shaped(np.asarray(self.problem.atoms.weights[atoms].T @ total) / n)

    def sd(self) -> NDArray[np.float64]:
        """Add the variance of means over states to that given each state, and take the root.

        Both are sums over pairs of sources in a state of w_k(s) w_l(s) times a number of the pair,
        which is added up over states for each pair of atoms first.
        """
        pairs, second = self._second_moments
        weights = self.problem.atoms.weights
        both = weights[pairs[:, 0]].multiply(weights[pairs[:, 1]])
        square = np.asarray(sp.csr_array(both).T @ second) / len(self.states)
        return np.sqrt(np.maximum(self._shaped(square) - self.mean() ** 2, 0.0))

    @cached_property
    def _atoms(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(A,) atoms that come up, and (D, K) which of them each slot has; -1 of an unused one."""
        used = self.states.used
        atom = self.states.extent * self.problem.atoms.n_centres + self.states.centre
        atoms, found = np.unique(atom[used], return_inverse=True)
        where = np.full(used.shape, -1)
        where[used] = found
        return atoms, where

    @cached_property
    def _second_moments(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(P, 2) pairs of atoms that are in one state, and (P, d R) A² m²: of their amplitudes on
        the same axis the sum over states of E[a_k a_l]."""
        n, k = self.states.used.shape
        d = self.problem.n_axes
        mean = self.amplitudes.mean()
        law = self.amplitudes.variance().reshape(n, k, d, k, d, -1)
        both = np.einsum("nkiliR->nkliR", law) + mean[:, :, None] * mean[:, None]
        some = self.states.used[:, :, None] & self.states.used[:, None]
        atoms, where = self._atoms
        rows, one, other = np.nonzero(some)
        first, last = where[rows, one], where[rows, other]
        keys, place = np.unique(first * len(atoms) + last, return_inverse=True)
        total = np.zeros((len(keys), both[0, 0, 0].size))
        np.add.at(total, place, both[some].reshape(len(rows), total.shape[1]) / d)
        return np.stack([atoms[keys // len(atoms)], atoms[keys % len(atoms)]], axis=1), total

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        return self.draws(n, seed).dense()

    def draws(self, n: int, seed: int = 0) -> SparseDraws:
        return self._fields(*self._amplitudes_of([n], [seed])[:2])

    @property
    def _together(self) -> int:
        return max(1, _TOGETHER // self.obs.n_functions)

    def _drawn(
        self, counts: list[int], seeds: list[int]
    ) -> tuple[SparseDraws, dict[str, NDArray[Any]]]:
        rows, amplitude, law = self._amplitudes_of(counts, seeds)
        return self._fields(rows, amplitude), self._known(rows, law)

    def _amplitudes_of(
        self, counts: list[int], seeds: list[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], Amplitudes]:
        """(n,) states, their (n, K, d, R) amplitudes and the law of those; ``counts`` of each
        seed."""
        rows = np.concatenate([self._rows(*own) for own in zip(counts, seeds, strict=True)])
        law = self.amplitudes.pick(rows)
        chance = [
            law.noise(rng, part.stop - part.start)
            for n, seed in zip(counts, seeds, strict=True)
            for rng in [np.random.default_rng([seed, 1])]
            for part in chunks(n)
        ]
        return rows, law.drawn(*(np.concatenate(each) for each in zip(*chance, strict=True))), law

    def _fields(self, rows: NDArray[np.int64], amplitude: NDArray[np.float64]) -> SparseDraws:
        """Of states and their (n, K, d, R) amplitudes."""
        used, n_sources = self.states.used[rows], self.obs.leadfield.shape[1]
        amplitude = amplitude / np.sqrt(self.problem.n_axes)  # three axes share its variance
        draw, slot = np.nonzero(used)
        atoms, where = self._atoms
        own = self.problem.atoms.weights[atoms[where[rows][used]]]
        entry = np.repeat(np.arange(len(draw)), np.diff(own.indptr))
        key = draw[entry] * n_sources + own.indices
        order = np.argsort(key, kind="stable")
        key = key[order]
        begins = np.flatnonzero(np.r_[True, key[1:] != key[:-1]][: len(key)])
        flat = amplitude[draw, slot].reshape(len(draw), amplitude[0, 0].size)
        terms = own.data[order, None] * flat[entry[order]]
        values = np.add.reduceat(terms, begins) if len(begins) else terms
        first = np.searchsorted(key[begins], np.arange(len(rows) + 1) * n_sources)
        return SparseDraws(
            self.obs,
            first,
            key[begins] % n_sources,
            self._shaped(values),
            self._whitened(where[rows], amplitude),
        )

    def _whitened(
        self, where: NDArray[np.int64], amplitude: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(n, n_eff, R) what (n, K, d, R) amplitudes make of atoms in the assumed head."""
        seen = self._seen[where]  # (n, K, d, n_eff)
        flat = seen.reshape(len(where), seen.shape[1] * seen.shape[2], seen.shape[3])
        return np.asarray(np.swapaxes(flat, 1, 2) @ amplitude.reshape(*flat.shape[:2], -1))

    @cached_property
    def _seen(self) -> NDArray[np.float64]:
        """(A, d, n_eff) topographies of the atoms that come up, in the assumed head."""
        weights, leadfield = self.problem.atoms.weights[self._atoms[0]], self.obs.leadfield
        free = leadfield[..., None] if leadfield.ndim == 2 else leadfield
        each = [np.asarray(weights @ own.T) for own in np.moveaxis(free, 2, 0)]
        # slots that are not used take the last row
        return np.concatenate([np.stack(each, axis=1), np.zeros((1, len(each), len(leadfield)))])

    def draw_states(self, n: int, seed: int = 0) -> PatchStates:
        """Draw ``n`` of the states by ``seed``, each once before any comes again.

        Raises
        ------
        InputError : no draw.
        """
        return self.states[self._rows(n, seed)]

    def _rows(self, n: int, seed: int) -> NDArray[np.int64]:
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        rng, times = np.random.default_rng(seed), -(-n // len(self.states))
        order = np.concatenate([rng.permutation(len(self.states)) for _ in range(times)])
        return np.asarray(order[:n])

    def draw(self, n: int, seed: int = 0) -> tuple[PatchStates, NDArray[np.float64]]:
        """Draw ``n`` states and their (n, K, d, R) amplitudes in A m, by ``seed``."""
        rows, rng = self._rows(n, seed), np.random.default_rng([seed, 1])
        parts = [self.amplitudes.pick(rows[part]).draw(rng) for part in chunks(n)]
        return self.states[rows], np.concatenate(parts)

    def latents(self, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Describe ``n`` draws of ``seed``: number of sources, log densities, which head."""
        rows = self._rows(n, seed)
        return self._known(rows, self.amplitudes.pick(rows))

    def _known(self, rows: NDArray[np.int64], law: Amplitudes) -> dict[str, NDArray[Any]]:
        known = {
            "count": law.states.count,
            "log_prior": self._log_prior[rows],
            "log_likelihood": law.log_likelihood,
        }
        return known | {"head": law.states.head} if self.problem.heads else known

    @cached_property
    def _log_prior(self) -> NDArray[np.float64]:
        """(D,)"""
        return log_prior(self.problem, self.states)

    def _shaped(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, d R) to (S, R) or (S, 3, R)."""
        return flat if self.problem.n_axes == 1 else flat.reshape(len(flat), 3, -1)
