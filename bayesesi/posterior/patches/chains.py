"""More than one source: Markov chains over states, amplitudes and noise scale integrated.

Each chain holds a head and K slots, used or not (extent and size of a slot that is not used follow
their prior and mean nothing; Carlin & Chib 1995, doi:10.1111/j.2517-6161.1995.tb02042.x). A sweep:

- a slot emptied and drawn anew, from "not used" and every centre of the cortex, by their
  conditional probabilities given its extent and size: birth, death, a jump anywhere;
- a local move: centre, extent and size of a source together, among centres near by;
- the head given the sources; then another head with a slot drawn anew in it.

Options are weighed in the precision of the scan and with an approximate density of places; what is
picked is then accepted or not by the exact density (Metropolis & Hastings), so the chains are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.posterior.patches.problem import PatchProblem
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import Amplitudes, PatchStates, log_prior

#: Centres of a local move are a centre's nearest and those it is nearest to.
_N_NEAREST = 6


@dataclass(frozen=True, eq=False)
class Kernel:
    """The moves of all chains at once; each leaves p(state | v~) as it is."""

    scan: Scan

    @property
    def problem(self) -> PatchProblem:
        return self.scan.problem

    def score(self, states: PatchStates) -> NDArray[np.float64]:
        """(B,) log p(v~, state), extents and sizes of unused slots included as of their prior."""
        grids = np.log(self.problem.atoms.n_extents * len(self.problem.sizes))
        likelihood = Amplitudes(self.problem, states).log_likelihood
        return likelihood + log_prior(self.problem, states) + states.count * grids

    def sweep(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Every move, as often as there are slots; the head's once."""
        for _ in range(self.problem.n_slots):
            states = self.redraw(states, rng)
            states = self.local(states, rng)
        if self.problem.n_heads > 1:
            states = self.head(states, rng)
            states = self.other_head(states, rng)
        return states

    def redraw(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """A slot emptied and filled again or not: birth, death, a jump anywhere."""
        states, slot = self._chosen(states, rng)
        options = self._options(states, slot)
        new, old = _pick(options, rng), _standing(states, slot)
        proposal = _filled(states, slot, new)
        return self._accept(states, proposal, _at(options, old) - _at(options, new), rng)

    def other_head(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Another head, a slot drawn anew in it."""
        states, slot = self._chosen(states, rng)
        step = rng.integers(1, self.problem.n_heads, size=len(states))
        there = replace(states, head=(states.head + step) % self.problem.n_heads)
        here_options, there_options = self._options(states, slot), self._options(there, slot)
        new, old = _pick(there_options, rng), _standing(states, slot)
        proposal = _filled(there, slot, new)
        balance = _log_share(here_options, old) - _log_share(there_options, new)
        return self._accept(states, proposal, balance, rng)

    def local(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Centre, extent and size of a source among those about a pivot near its centre.

        The pivot is drawn among the centre's neighbours, so an option weighs by one over its own
        number of them.
        """
        slot = _pick(np.where(states.used, 0.0, -np.inf), rng)
        some = states.used.any(axis=1)
        rows = np.arange(len(states))
        centre = states.centre[rows, slot]
        ring, n_ring = self._neighbours
        pivot = ring[centre, rng.integers(n_ring[centre])]
        near = ring[pivot]
        others = self._without(states, slot)
        options = self.scan.around(Amplitudes(self.problem, others), near)
        place = self._log_place(others)[rows[:, None], near] - np.log(n_ring[near])
        real = np.arange(ring.shape[1]) < n_ring[pivot][:, None]
        options = options + np.where(real, place, -np.inf)[:, None, None]
        new = _pick(options.reshape(len(states), -1), rng)
        size, extent, at = np.unravel_index(new, options.shape[1:])
        proposal = _changed(states, slot, centre=near[rows, at], extent=extent, size=size)
        proposal = _where(some, proposal, states)
        old_at = (near == centre[:, None]).argmax(axis=1)
        old = options[rows, states.size[rows, slot], states.extent[rows, slot], old_at]
        balance = np.where(some, old - options[rows, size, extent, at], 0.0)
        ring_sizes = np.log(n_ring[proposal.centre[rows, slot]]) - np.log(n_ring[centre])
        return self._accept(states, proposal, balance - np.where(some, ring_sizes, 0.0), rng)

    def head(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Any head, the sources given."""
        n_heads = self.problem.n_heads
        rows = np.repeat(np.arange(len(states)), n_heads)
        each = replace(states[rows], head=np.tile(np.arange(n_heads), len(states)))
        weight = Amplitudes(self.problem, each).log_likelihood.reshape(len(states), n_heads)
        return replace(states, head=_pick(weight, rng))

    def births(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D,) log weights of leaving an unused slot of each state empty, and of filling it."""
        return self._empty_or_full(states, ~states.used, rng)

    def deaths(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D,) log weights of emptying a used slot of each state, and of filling it again."""
        return self._empty_or_full(states, states.used, rng)

    def _empty_or_full(
        self, states: PatchStates, which: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if not len(states):
            return np.zeros(0), np.zeros(0)
        states, slot = self._refreshed(states, _pick(np.where(which, 0.0, -np.inf), rng), rng)
        options = self._options(states, slot)
        return options[:, 0], logsumexp(options[:, 1:], axis=1)

    def _accept(
        self,
        states: PatchStates,
        proposal: PatchStates,
        balance: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> PatchStates:
        """Metropolis & Hastings; ``balance`` is log q(state | proposal) - log q(proposal | state)."""
        gained = self.score(proposal) - self.score(states) + balance
        return _where(np.log(rng.random(len(states))) < gained, proposal, states)

    def _chosen(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.int64]]:
        slot = rng.integers(self.problem.n_slots, size=len(states))
        return self._refreshed(states, slot, rng)

    def _refreshed(
        self, states: PatchStates, slot: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.int64]]:
        """Extent and size of a slot of each chain from their prior if it is not used."""
        n, rows = len(states), np.arange(len(states))
        extent = rng.integers(self.problem.atoms.n_extents, size=n)
        size = rng.integers(len(self.problem.sizes), size=n)
        redrawn = _changed(states, slot, extent=extent, size=size)
        return _where(~states.used[rows, slot], redrawn, states), slot

    def _options(self, states: PatchStates, slot: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, 1 + N): log p(v~, the slot not used), and p(v~, it is used at each centre), nearly."""
        rows = np.arange(len(states))
        without = self._without(states, slot)
        others = Amplitudes(self.problem, without)
        extent, size = states.extent[rows, slot], states.size[rows, slot]
        prior, count = self.problem.log_slots, without.count
        empty = prior[count] + others.log_likelihood
        used = self.scan.anywhere(others, extent, size) + self._log_place(without)
        return np.column_stack([empty, prior[count + 1][:, None] + used])

    def _log_place(self, others: PatchStates) -> NDArray[np.float64]:
        """(B, N) log density of one more centre after the others."""
        taken = (self.problem.near[others.centre] & others.used[..., None]).any(axis=1)
        free = np.log1p(-(taken @ self.problem.place))
        return np.where(taken, -np.inf, self.problem.atoms.log_place - free[:, None])

    def _without(self, states: PatchStates, slot: NDArray[np.int64]) -> PatchStates:
        used = states.used.copy()
        used[np.arange(len(states)), slot] = False
        return replace(states, used=used)

    @cached_property
    def _neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N, most) centres near each, itself first, padded; (N,) how many there are."""
        from scipy.spatial import cKDTree

        positions = self.problem.obs.source_space.positions[self.problem.atoms.centres]
        n = len(positions)
        k = min(_N_NEAREST + 1, n)
        nearest = cKDTree(positions).query(positions, k)[1].reshape(n, k)
        joined = np.zeros((n, n), bool)
        joined[np.arange(n)[:, None], nearest] = True
        joined |= joined.T
        counts = joined.sum(axis=1)
        ring = np.zeros((n, counts.max()), np.int64)
        owner, member = np.nonzero(joined)
        ring[owner, np.arange(len(owner)) - np.r_[0, np.cumsum(counts)[:-1]][owner]] = member
        return ring, counts


def _pick(log_weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(B,) one column of each row, by its weight; the first where a row has none."""
    top = log_weights.max(axis=1, keepdims=True)
    share = np.exp(log_weights - np.where(np.isfinite(top), top, 0.0))
    cumulative = np.cumsum(share, axis=1)
    level = rng.random((len(log_weights), 1)) * cumulative[:, -1:]
    return np.asarray((cumulative <= level).sum(axis=1).clip(max=share.shape[1] - 1))


def _at(options: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    return options[np.arange(len(options)), chosen]


def _log_share(options: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(_at(options, chosen) - logsumexp(options, axis=1))


def _standing(states: PatchStates, slot: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B,) the option that a slot now is."""
    rows = np.arange(len(states))
    return np.where(states.used[rows, slot], 1 + states.centre[rows, slot], 0)


def _filled(states: PatchStates, slot: NDArray[np.int64], option: NDArray[np.int64]) -> PatchStates:
    return _changed(states, slot, used=option > 0, centre=np.maximum(option - 1, 0))


def _changed(
    states: PatchStates, slot: NDArray[np.int64], **values: NDArray[np.int64] | NDArray[np.bool_]
) -> PatchStates:
    """The states with other values in one slot of each."""
    fields = {name: getattr(states, name).copy() for name in values}
    for name, value in values.items():
        fields[name][np.arange(len(states)), slot] = value
    return replace(states, **fields)


def _where(chosen: NDArray[np.bool_], new: PatchStates, old: PatchStates) -> PatchStates:
    names = ("head", "used", "centre", "extent", "size")
    picked = {}
    for name in names:
        a, b = getattr(new, name), getattr(old, name)
        picked[name] = np.where(chosen[:, None] if a.ndim > 1 else chosen, a, b)
    return PatchStates(**picked)
