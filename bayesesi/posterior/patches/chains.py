"""More than one source: Markov chains over states, amplitudes and noise scale integrated.

Each chain holds a head and K slots, used or not (extent and size of a slot that is not used follow
their prior and mean nothing; Carlin & Chib 1995, doi:10.1111/j.2517-6161.1995.tb02042.x). A sweep:

- a slot (then two, one after the other) emptied and drawn anew, from "not used" and every centre of
  the cortex, by their conditional probabilities given its extent and size: birth, death, a jump;
- a local move: centre and extent of a source together, among centres near by; then its size;
- the head given the sources; then another head with a slot drawn anew in it.

Where topographies spread, a state holds each source's; it is drawn with the source, and anew given
amplitudes in every sweep. Options are weighed in single precision, with an approximate density of
places and by Laplace where topographies spread; what is picked is then accepted or not by the exact
density (Metropolis & Hastings), so that the chains are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.posterior.patches.problem import PatchProblem
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import (
    Amplitudes,
    PatchStates,
    log_prior,
    log_seen,
    log_shape,
)

#: Centres of a local move are a centre's nearest and those it is nearest to.
_N_NEAREST = 6
#: Heads a local move weighs besides the one a state is in.
_N_OTHER_HEADS = 3


@dataclass(frozen=True, eq=False)
class Kernel:
    """The moves of all chains at once; each leaves p(state) p(v~ | state)^beta as it is.

    ``beta`` below 1 flattens the likelihood: chains that warm up so find their way between peaks.
    States have ``least`` sources or more.
    """

    scan: Scan
    beta: float = 1.0
    least: int = 0

    @property
    def problem(self) -> PatchProblem:
        return self.scan.problem

    def score(self, states: PatchStates) -> NDArray[np.float64]:
        """(B,) log p(v~, state), extents and sizes of unused slots included as of their prior."""
        unused = np.where(states.used, 0.0, log_shape(self.problem, states)).sum(axis=1)
        likelihood = self.beta * Amplitudes(self.problem, states).log_likelihood
        enough = np.where(states.count >= self.least, 0.0, -np.inf)
        return likelihood + log_prior(self.problem, states) + unused + enough

    def sweep(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Every move, as often as there are slots; the head's once."""
        for _ in range(self.problem.n_slots):
            states = self.redraw(states, rng)
            states = self.local(states, rng)
            states = self.size(states, rng)
        if self.problem.n_slots > 1:
            states = self.redraw_two(states, rng)
        if self.problem.spread is not None:
            if self.beta == 1:
                states = self.topographies(states, rng)
            if self.problem.n_slots > 1:
                states = self.shear(states, rng)
        if self.problem.n_heads > 1:
            states = self.head(states, rng)
            states = self.other_head(states, rng)
        return states

    def started(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """States of one source at most, as drawn from a table, with what it looks like; and with
        more sources, by their conditional probabilities, until there are as many as there must be.
        """
        slot = np.zeros(len(states), np.int64)
        others = Amplitudes(self.problem, self._without(states, slot))
        states = self.scan.see(others, states, slot, rng, self.beta)[0]
        for k in range(1, self.least):
            states, slot = self._refreshed(states, np.full(len(states), k), rng)
            others = Amplitudes(self.problem, states)
            options = self._options(states, others, slot)
            options[:, 0] = -np.inf
            states, _ = self._filled(states, slot, _pick(options, rng), others, rng)
        return states

    def redraw(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """A slot emptied and filled again or not: birth, death, a jump anywhere."""
        states, slot = self._chosen(states, rng)
        others = Amplitudes(self.problem, self._without(states, slot))
        options = self._options(states, others, slot)
        new, old = _pick(options, rng), _standing(states, slot)
        proposal, seen = self._filled(states, slot, new, others, rng)
        balance = _at(options, old) - _at(options, new)
        balance += self._log_seen(others, states, slot) - seen
        return self._accept(states, proposal, balance, rng)

    def redraw_two(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Two slots emptied and drawn one after the other: one source for two, or two for one.

        The way back draws what they were in the same order.
        """
        states, first = self._chosen(states, rng)
        step = rng.integers(1, self.problem.n_slots, size=len(states))
        states, second = self._refreshed(states, (first + step) % self.problem.n_slots, rng)
        bare = Amplitudes(self.problem, self._without(self._without(states, first), second))
        options = replace(self, least=0)._options(states, bare, first)
        new, old = _pick(options, rng), _standing(states, first)
        half, seen = self._filled(self._without(states, second), first, new, bare, rng)
        balance = _at(options, old) + self._log_seen(bare, states, first)
        balance -= _at(options, new) + seen
        beside = Amplitudes(self.problem, half)
        options = self._options(half, beside, second)
        # after an empty first slot the second may not be enough; what then comes is not accepted
        new = _pick(options, rng)
        proposal, seen = self._filled(half, second, new, beside, rng)
        balance -= _log_share(options, new) + seen
        beside = Amplitudes(self.problem, self._without(states, second))
        options = self._options(states, beside, second)
        balance += _log_share(options, _standing(states, second))
        balance += self._log_seen(beside, states, second)
        return self._accept(states, proposal, balance, rng)

    def other_head(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Another head, a slot drawn anew in it."""
        states, slot = self._chosen(states, rng)
        step = rng.integers(1, self.problem.n_heads, size=len(states))
        there = replace(states, head=(states.head + step) % self.problem.n_heads)
        others = [Amplitudes(self.problem, self._without(s, slot)) for s in (states, there)]
        here_options, there_options = (
            self._options(s, o, slot) for s, o in zip((states, there), others, strict=True)
        )
        new, old = _pick(there_options, rng), _standing(states, slot)
        proposal, seen = self._filled(there, slot, new, others[1], rng)
        balance = _log_share(here_options, old) - _log_share(there_options, new)
        balance += self._log_seen(others[0], states, slot) - seen
        return self._accept(states, proposal, balance, rng)

    def local(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Centre and extent of a source among those about a pivot near its centre, and the head
        where topographies spread.

        The pivot is drawn among the centre's neighbours, so an option weighs by one over its own
        number of them.
        """
        rows, some = np.arange(len(states)), states.count > 0
        slot = _pick(np.where(states.used, 0.0, -np.inf), rng)
        others = Amplitudes(self.problem, self._without(states, slot))
        ring, n_ring = self._neighbours
        centre = states.centre[rows, slot]
        pivot = ring[centre, rng.integers(n_ring[centre])]
        near, heads = ring[pivot], self._heads(states, rng)
        options = self.scan.around(others, heads, near, states.size[rows, slot], self.beta)
        place = self._log_place(others.states)[rows[:, None], near] - np.log(n_ring[near])
        real = np.arange(ring.shape[1]) < n_ring[pivot][:, None]
        options = options + np.where(real, place, -np.inf)[:, None, None]
        options = options + self._log_seen_in(others.states, heads)[:, :, None, None]
        picked = _pick(options.reshape(len(states), -1), rng)
        head, extent, at = np.unravel_index(picked, options.shape[1:])
        moved = _changed(states, slot, centre=near[rows, at], extent=extent)
        moved = _where(some, replace(moved, head=heads[rows, head]), states)
        old_head = (heads == states.head[:, None]).argmax(axis=1)
        old_at = (near == centre[:, None]).argmax(axis=1)
        old = options[rows, old_head, states.extent[rows, slot], old_at]
        balance = np.where(some, old - options[rows, head, extent, at], 0.0)
        ring_sizes = np.log(n_ring[moved.centre[rows, slot]]) - np.log(n_ring[centre])
        balance -= np.where(some, ring_sizes, 0.0)
        there = Amplitudes(self.problem, self._without(moved, slot))
        proposal, seen = self.scan.see(there, moved, slot, rng, self.beta)
        balance += self._log_seen(others, states, slot) - seen
        return self._accept(states, proposal, balance, rng)

    def _heads(self, states: PatchStates, rng: np.random.Generator) -> NDArray[np.int64]:
        """(B, H) heads a local move may go to, the state's first: a few others at random where the
        other sources may go on looking as they do.
        """
        if self.problem.spread is None:
            return states.head[:, None]
        n = self.problem.n_heads
        others = rng.random((len(states), n - 1)).argsort(axis=1)[:, :_N_OTHER_HEADS]
        return np.column_stack([states.head, (states.head[:, None] + 1 + others) % n])

    def _log_seen_in(self, others: PatchStates, heads: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, H) log density of what the other sources look like, in each head."""
        n_heads = heads.shape[1]
        each = others[np.repeat(np.arange(len(others)), n_heads)]
        each = replace(each, head=heads.ravel())
        return log_seen(self.problem, each).reshape(-1, n_heads)

    def size(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """The size of a slot, all else given."""
        n_sizes, rows = len(self.problem.sizes), np.arange(len(states))
        slot = rng.integers(self.problem.n_slots, size=len(states))
        repeated = states[np.repeat(rows, n_sizes)]
        each = _changed(
            repeated, np.repeat(slot, n_sizes), size=np.tile(np.arange(n_sizes), len(states))
        )
        weight = self.beta * Amplitudes(self.problem, each).log_likelihood
        options = weight.reshape(len(states), n_sizes) + self.problem.log_size
        return _changed(states, slot, size=_pick(options, rng))

    def head(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """Any head, the sources given."""
        n_heads = self.problem.n_heads
        rows = np.repeat(np.arange(len(states)), n_heads)
        each = replace(states[rows], head=np.tile(np.arange(n_heads), len(states)))
        weight = log_seen(self.problem, each)
        if self.problem.spread is None:
            weight = self.beta * Amplitudes(self.problem, each).log_likelihood
        return replace(states, head=_pick(weight.reshape(len(states), n_heads), rng))

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
        others = Amplitudes(self.problem, self._without(states, slot))
        options = self._options(states, others, slot)
        return options[:, 0], logsumexp(options[:, 1:], axis=1)

    def topographies(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """What each source looks like, given amplitudes and noise scale drawn for the moment.

        Of the likelihood itself, not a flattened one.
        """
        spread, problem = self.problem.spread, self.problem
        assert spread is not None
        law = Amplitudes(problem, states)
        amplitude, tau2 = law.draw_turned(rng)
        seen = states.seen * states.used[..., None]
        for k in range(problem.n_slots):
            rest = [j for j in range(problem.n_slots) if j != k]
            left = problem.turned - np.swapaxes(seen[:, rest], 1, 2) @ amplitude[:, rest]
            used = states.used[:, k]
            power = np.where(used, (amplitude[:, k] ** 2).sum(axis=1), tau2)
            looked = (left @ amplitude[:, k, :, None])[..., 0] / power[:, None]
            extent, centre = states.extent[:, k], states.centre[:, k]
            prior = spread.law(extent, centre, problem.topographies[states.head, extent, centre, 0])
            drawn = prior.given(looked, tau2 / power).draw(rng)
            seen[:, k] = np.where(used[:, None], drawn, 0.0)
        return replace(states, seen=seen)

    def shear(self, states: PatchStates, rng: np.random.Generator) -> PatchStates:
        """One source's topography by a multiple of another's, which data can hardly tell.

        The multiple is drawn from its prior, a normal law along a line; a shear keeps volume.
        """
        spread, problem, rows = self.problem.spread, self.problem, np.arange(len(states))
        assert spread is not None
        k = rng.integers(problem.n_slots, size=len(states))
        j = (k + rng.integers(1, problem.n_slots, size=len(states))) % problem.n_slots
        both = states.used[rows, k] & states.used[rows, j]
        extent, centre = states.extent[rows, k], states.centre[rows, k]
        prior = spread.law(extent, centre, problem.topographies[states.head, extent, centre, 0])
        step = np.where(both[:, None], states.seen[rows, j], 1.0)
        here, precision = prior.line(states.seen[rows, k], step)
        multiple = here + rng.standard_normal(len(states)) / np.sqrt(precision)
        sheared = states.seen[rows, k] + multiple[:, None] * step
        proposal = _changed(states, k, seen=np.where(both[:, None], sheared, states.seen[rows, k]))
        # forward density over that of the way back, from beta to -beta about the moved origin
        balance = 0.5 * precision * ((multiple - here) ** 2 - here**2)
        gained = self.score(proposal) - self.score(states) + np.where(both, balance, 0.0)
        return _where(np.log(rng.random(len(states))) < gained, proposal, states)

    def _accept(
        self,
        states: PatchStates,
        proposal: PatchStates,
        balance: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> PatchStates:
        """Metropolis & Hastings; ``balance`` is log q(back) - log q(forth)."""
        gained = self.score(proposal) - self.score(states) + balance
        return _where(np.log(rng.random(len(states))) < gained, proposal, states)

    def _filled(
        self,
        states: PatchStates,
        slot: NDArray[np.int64],
        option: NDArray[np.int64],
        others: Amplitudes,
        rng: np.random.Generator,
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        """A slot made what was picked, and (B,) log density of what it was drawn to look like."""
        changed = _changed(states, slot, used=option > 0, centre=np.maximum(option - 1, 0))
        return self.scan.see(others, changed, slot, rng, self.beta)

    def _log_seen(
        self, others: Amplitudes, states: PatchStates, slot: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return self.scan.log_seen(others, states, slot, self.beta)

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
        size = rng.choice(len(self.problem.sizes), size=n, p=np.exp(self.problem.log_size))
        redrawn = _changed(states, slot, extent=extent, size=size)
        return _where(~states.used[rows, slot], redrawn, states), slot

    def _options(
        self, states: PatchStates, others: Amplitudes, slot: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(B, 1 + N): log p(v~, the slot not used), and p(v~, used at each centre), nearly."""
        rows, without = np.arange(len(states)), others.states
        extent, size = states.extent[rows, slot], states.size[rows, slot]
        prior, count = self.problem.log_slots, without.count
        empty = prior[count] + self.beta * others.log_likelihood
        empty = np.where(count >= self.least, empty, -np.inf)
        used = self.scan.anywhere(others, extent, size, self.beta) + self._log_place(without)
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


def _changed(states: PatchStates, slot: NDArray[np.int64], **values: NDArray[Any]) -> PatchStates:
    """The states with other values in one slot of each."""
    fields = {name: getattr(states, name).copy() for name in values}
    for name, value in values.items():
        fields[name][np.arange(len(states)), slot] = value
    return replace(states, **fields)


def _where(chosen: NDArray[np.bool_], new: PatchStates, old: PatchStates) -> PatchStates:
    picked = []
    for field in fields(PatchStates):
        a, b = getattr(new, field.name), getattr(old, field.name)
        picked.append(np.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b))
    return PatchStates(*picked)
