"""More than one source: Markov chains over states, all else integrated.

Each chain holds a head and K slots, used or not (the extent of a slot that is not used follows its
prior and means nothing; Carlin & Chib 1995, doi:10.1111/j.2517-6161.1995.tb02042.x). A sweep:

- a slot emptied and drawn anew, from "not used" and every centre of the cortex at every size,
  nearly by their probabilities given its extent: birth, death, a jump;
- local moves of it: centre and extent together, among centres near by; then its size;
- the head given the sources; where heads are an index, another one with a slot drawn anew in it.

Options are weighed in single precision, with an approximate density of places and, where
topographies spread, with the others as they likely look beside any other source. What is picked is
accepted or not by ``Scan.at_mode`` (Metropolis & Hastings): exact, or the integral over
topographies by Laplace, whose error the draws' weights then take back (``stratum``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import Amplitudes, PatchStates, log_prior

#: Centres of a local move are a centre's nearest and those it is nearest to; moves of a visit.
_N_NEAREST, _N_LOCAL = 6, 2
#: In place of -inf, where two of them would be compared.
_LEAST = -1e30
#: Options that are drawn for a slot, to be one of them.
_N_TRIES = 8


@dataclass(frozen=True, eq=False)
class WeightedStates:
    """B ``states`` at their modes; ``log_joint`` (B,) log of p(state) p(v~ | state)^zeta."""

    states: PatchStates
    log_joint: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.states)


@dataclass(frozen=True, eq=False)
class _Beside:
    """A slot taken away: ``others`` as they likely look beside another source; (B,) log-likelihood
    without one; (B, N) log density of where one more may be."""

    others: Amplitudes
    log_likelihood: NDArray[np.float64]
    log_place: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kernel:
    """The moves of all chains at once; each leaves p(state) p(v~ | state)^zeta as it is.

    Of zeta, the problem's, ``share``, 0 to 1, is taken: chains that warm up on a flattened
    likelihood find their way between peaks. States of ``scan`` have ``least`` sources or more.
    """

    scan: Scan
    share: float = 1.0
    least: int = 0

    @property
    def zeta(self) -> float:
        return self.share * self.problem.zeta

    @property
    def problem(self) -> PatchLikelihood:
        return self.scan.problem

    def weighed(self, states: PatchStates) -> WeightedStates:
        """Weigh ``states``: their sources as they likeliest look, and the joint density."""
        at_mode, likelihood = self.scan.at_mode(states)
        enough = np.where(states.count >= self.least, 0.0, -np.inf)
        return WeightedStates(
            at_mode, self.zeta * likelihood + log_prior(self.problem, states) + enough
        )

    def sweep(self, chains: WeightedStates, rng: np.random.Generator) -> WeightedStates:
        """Let every slot of ``chains`` be visited, then draw the head, by ``rng``."""
        for _ in range(self.problem.n_slots):
            chains = self.visit(chains, rng)
        if self.problem.n_heads > 1:
            chains = self.head(chains, rng)
            if self.problem.spread is None:
                chains = self.other_head(chains, rng)
        return chains

    def visit(self, chains: WeightedStates, rng: np.random.Generator) -> WeightedStates:
        """Draw a slot of ``chains`` anew by ``rng``, then move and size it; others stay."""
        states, slot = self._chosen(chains.states, rng)
        beside = self._beside(states, slot)
        chains = self.redraw(replace(chains, states=states), slot, beside, rng)
        for _ in range(_N_LOCAL):
            chains = self.local(chains, slot, beside, rng)
        return self.size(chains, slot, rng)

    def filled(self, states: PatchStates, rng: np.random.Generator) -> WeightedStates:
        """Fill ``states`` of one source at most with more by ``rng``, until there are enough."""
        for k in range(1, self.least):
            slot = np.full(len(states), k)
            states = self._refreshed(states, slot, rng)
            options = self._options(states, slot)
            options[:, 0] = -np.inf
            states = _with(states, slot, _pick(options, rng), self._n_sizes)
        return self.weighed(states)

    def redraw(
        self,
        chains: WeightedStates,
        slot: NDArray[np.int64],
        beside: _Beside,
        rng: np.random.Generator,
    ) -> WeightedStates:
        """Draw ``slot`` (B,) of ``chains`` empty or filled: birth, death, a jump anywhere.

        One of what is there and some that ``rng`` draws, by what each weighs ``beside`` the others
        over how it was drawn (iterated sampling importance resampling; Andrieu, Lee & Vihola 2018,
        doi:10.3150/15-BEJ785).
        """
        states, n = chains.states, len(chains)
        options = self._options(states, slot, beside)
        picks = _picks(options, _N_TRIES, rng)
        rows = np.repeat(np.arange(n), _N_TRIES)
        tried = self.weighed(_with(states[rows], slot[rows], picks.ravel(), self._n_sizes))
        own = _at(options, _standing(states, slot, self._n_sizes))
        weight = tried.log_joint.reshape(n, -1) - np.take_along_axis(options, picks, axis=1)
        chosen = _pick(np.column_stack([chains.log_joint - own, weight]), rng)
        new = np.arange(n) * _N_TRIES + np.maximum(chosen - 1, 0)
        moved = WeightedStates(tried.states[new], tried.log_joint[new])
        return _taken(chosen > 0, moved, chains)

    def other_head(self, chains: WeightedStates, rng: np.random.Generator) -> WeightedStates:
        """Move ``chains`` to another head, a slot drawn anew in it, by ``rng``."""
        states, slot = self._chosen(chains.states, rng)
        step = rng.integers(1, self.problem.n_heads, size=len(states))
        there = replace(states, head=(states.head + step) % self.problem.n_heads)
        options = self._options(there, slot)
        new = _pick(options, rng)
        balance = -_log_share(options, new)
        options = self._options(states, slot)
        balance += _log_share(options, _standing(states, slot, self._n_sizes))
        return self._accepted(chains, _with(there, slot, new, self._n_sizes), balance, rng)

    def local(
        self,
        chains: WeightedStates,
        slot: NDArray[np.int64],
        beside: _Beside,
        rng: np.random.Generator,
    ) -> WeightedStates:
        """Move the source in ``slot`` (B,) of ``chains``, centre and extent, near its centre.

        The pivot is drawn by ``rng`` among the centre's neighbours, so an option weighs, ``beside``
        the others, by one over its own number of them.
        """
        states = chains.states
        rows, some = np.arange(len(states)), states.used[np.arange(len(states)), slot]
        ring, n_ring = self._neighbours
        centre = states.centre[rows, slot]
        pivot = ring[centre, rng.integers(n_ring[centre])]
        near = ring[pivot]
        options = self.zeta * self.scan.at_near_centres(
            beside.others, near, states.size[rows, slot]
        )
        place = beside.log_place[rows[:, None], near] - np.log(n_ring[near])
        real = np.arange(ring.shape[1]) < n_ring[pivot][:, None]
        options = options + np.where(real, place, -np.inf)[:, None]
        extent, at = np.unravel_index(
            _pick(options.reshape(len(states), -1), rng), options.shape[1:]
        )
        moved = _changed(states, slot, centre=near[rows, at], extent=extent)
        old_at = (near == centre[:, None]).argmax(axis=1)
        options = np.maximum(options, _LEAST)
        balance = options[rows, states.extent[rows, slot], old_at] - options[rows, extent, at]
        balance -= np.log(n_ring[moved.centre[rows, slot]]) - np.log(n_ring[centre])
        balance = np.where(some, balance, 0.0)
        return self._accepted(chains, _where(some, moved, states), balance, rng)

    def size(
        self, chains: WeightedStates, slot: NDArray[np.int64], rng: np.random.Generator
    ) -> WeightedStates:
        """Draw sizes in ``slot`` (B,) of ``chains`` by ``rng``, as if topographies stayed."""
        states, rows = chains.states, np.arange(len(chains))
        options = self._sizes(states, slot)
        new, old = _pick(options, rng), states.size[rows, slot]
        moved = self.weighed(_changed(states, slot, size=new))
        balance = _log_share(self._sizes(moved.states, slot), old) - _log_share(options, new)
        return self._chosen_between(chains, moved, balance, rng)

    def _sizes(self, states: PatchStates, slot: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, M) log-likelihood times prior of each size of a slot."""
        n, n_sizes = len(states), len(self.problem.sizes)
        each = _changed(
            states[np.repeat(np.arange(n), n_sizes)],
            np.repeat(slot, n_sizes),
            size=np.tile(np.arange(n_sizes), n),
        )
        weight = self.zeta * Amplitudes(self.problem, each).log_likelihood
        return weight.reshape(n, n_sizes) + self.problem.log_size

    def head(self, chains: WeightedStates, rng: np.random.Generator) -> WeightedStates:
        """Draw any head for ``chains``, the sources given, by ``rng``."""
        n, n_heads = len(chains), self.problem.n_heads
        each = chains.states[np.repeat(np.arange(n), n_heads)]
        weighed = self.weighed(replace(each, head=np.tile(np.arange(n_heads), n)))
        picked = _pick(weighed.log_joint.reshape(n, n_heads), rng) + n_heads * np.arange(n)
        return WeightedStates(weighed.states[picked], weighed.log_joint[picked])

    def births(self, states: PatchStates, rng: np.random.Generator) -> NDArray[np.float64]:
        """Fill an unused slot of each of D ``states`` by ``rng``: (D,) log r, see ``deaths``."""
        slot = _pick(np.where(states.used, -np.inf, 0.0), rng)
        states = self._refreshed(states, slot, rng)
        options = self._options(states, slot)
        options[:, 0] = -np.inf
        full = _with(states, slot, _pick(options, rng), self._n_sizes)
        return self._log_ratio(full, slot, options)

    def deaths(self, states: PatchStates, rng: np.random.Generator) -> NDArray[np.float64]:
        """Drop a used slot of each of D ``states`` by ``rng``: (D,) log r, of filling's density q

        r = p(v~, state) / (p(v~, the slot not used) q(the slot | the others)).
        """
        slot = _pick(np.where(states.used, 0.0, -np.inf), rng)
        options = self._options(states, slot)
        options[:, 0] = -np.inf
        return self._log_ratio(states, slot, options)

    def _log_ratio(
        self, full: PatchStates, slot: NDArray[np.int64], options: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        kernel = replace(self, least=0)
        both = PatchStates.joined([full, _without(full, slot)])
        more, less = kernel.weighed(both).log_joint.reshape(2, -1)
        return more - less - _log_share(options, _standing(full, slot, self._n_sizes))

    def _accepted(
        self,
        chains: WeightedStates,
        proposal: PatchStates,
        balance: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> WeightedStates:
        return self._chosen_between(chains, self.weighed(proposal), balance, rng)

    def _chosen_between(
        self,
        old: WeightedStates,
        new: WeightedStates,
        balance: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> WeightedStates:
        """Metropolis & Hastings; ``balance`` is log q(back) - log q(forth)."""
        gained = new.log_joint - old.log_joint + balance
        return _taken(np.log(rng.random(len(old))) < gained, new, old)

    def _chosen(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.int64]]:
        """A slot of each state, refreshed."""
        slot = rng.integers(self.problem.n_slots, size=len(states))
        return self._refreshed(states, slot, rng), slot

    def _refreshed(
        self, states: PatchStates, slot: NDArray[np.int64], rng: np.random.Generator
    ) -> PatchStates:
        """The extent of a slot of each state from its prior if it is not used."""
        extent = rng.integers(self.problem.atoms.n_extents, size=len(states))
        used = states.used[np.arange(len(states)), slot]
        return _where(~used, _changed(states, slot, extent=extent), states)

    def _beside(self, states: PatchStates, slot: NDArray[np.int64]) -> _Beside:
        without, alone = self.scan.at_mode(_without(states, slot))
        others = self.scan.with_one_more(without)
        return _Beside(others, alone, self._log_place(without))

    def _options(
        self, states: PatchStates, slot: NDArray[np.int64], beside: _Beside | None = None
    ) -> NDArray[np.float64]:
        """(B, 1 + N M): nearly log p(v~, the slot not used), and p(v~, used at each centre, of each
        size)."""
        rows = np.arange(len(states))
        beside = beside or self._beside(states, slot)
        prior, count = self.problem.log_slots, beside.others.states.count
        alone = prior[count] + self.zeta * beside.log_likelihood
        empty = np.where(count >= self.least, alone, -np.inf)
        where = (beside.log_place[..., None] + self.problem.log_size).reshape(len(states), -1)
        found = self.scan.at_all_centres(beside.others, states.extent[rows, slot])
        used = self.zeta * found.reshape(len(states), -1) + where
        # the others are taken as they likely look beside any other source; what that is off by is
        # nearly the same for all options
        best = used.argmax(axis=1)
        full = _with(states, slot, 1 + best, self._n_sizes)
        exact = self.zeta * self.scan.at_mode(full)[1] + prior[count + 1] + _at(where, best)
        used += (exact - _at(used, best))[:, None]
        return np.column_stack([empty, used])

    @property
    def _n_sizes(self) -> int:
        return len(self.problem.sizes)

    def _log_place(self, others: PatchStates) -> NDArray[np.float64]:
        """(B, N) log density of one more centre after the others."""
        taken = (self.problem.near[others.centre] & others.used[..., None]).any(axis=1)
        free = np.log1p(-(taken @ self.problem.place))
        return np.where(taken, -np.inf, self.problem.atoms.log_place - free[:, None])

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


def _taken(which: NDArray[np.bool_], new: WeightedStates, old: WeightedStates) -> WeightedStates:
    joint = np.where(which, new.log_joint, old.log_joint)
    return WeightedStates(_where(which, new.states, old.states), joint)


def _pick(log_weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(B,) one column of each row, by its weight; the first where a row has none."""
    return _picks(log_weights, 1, rng)[:, 0]


def _picks(log_weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(B, n) columns of each row."""
    top = log_weights.max(axis=1, keepdims=True)
    share = np.exp(log_weights - np.where(np.isfinite(top), top, 0.0))
    cumulative = np.cumsum(share, axis=1)
    levels = rng.random((len(log_weights), n)) * cumulative[:, -1:]
    rows = zip(cumulative, levels, strict=True)
    found = np.stack([np.searchsorted(row, level, "right") for row, level in rows])
    return np.asarray(found.clip(max=share.shape[1] - 1))


def _at(options: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    return options[np.arange(len(options)), chosen]


def _log_share(options: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(_at(options, chosen) - logsumexp(options, axis=1))


def _standing(states: PatchStates, slot: NDArray[np.int64], n_sizes: int) -> NDArray[np.int64]:
    """(B,) the option that a slot now is."""
    rows = np.arange(len(states))
    cell = states.centre[rows, slot] * n_sizes + states.size[rows, slot]
    return np.where(states.used[rows, slot], 1 + cell, 0)


def _changed(states: PatchStates, slot: NDArray[np.int64], **values: NDArray[Any]) -> PatchStates:
    """The states with other values in one slot of each."""
    fields = {name: getattr(states, name).copy() for name in values}
    for name, value in values.items():
        fields[name][np.arange(len(states)), slot] = value
    return replace(states, **fields)


def _without(states: PatchStates, slot: NDArray[np.int64]) -> PatchStates:
    used = states.used.copy()
    used[np.arange(len(states)), slot] = False
    return replace(states, used=used)


def _with(
    states: PatchStates, slot: NDArray[np.int64], option: NDArray[np.int64], n_sizes: int
) -> PatchStates:
    """A slot of each state made what was picked: not used, or a centre and a size."""
    centre, size = np.divmod(np.maximum(option - 1, 0), n_sizes)
    return _changed(states, slot, used=option > 0, centre=centre, size=size)


def _where(chosen: NDArray[np.bool_], new: PatchStates, old: PatchStates) -> PatchStates:
    picked = []
    for field in fields(PatchStates):
        a, b = getattr(new, field.name), getattr(old, field.name)
        picked.append(np.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b))
    return PatchStates(*picked)
