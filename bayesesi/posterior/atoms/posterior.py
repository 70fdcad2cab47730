"""The posterior that a network gives: sources one after the other, the rest in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.features import (
    PlacedSources,
    PreparedForward,
    ScanInputs,
    SizePrior,
    TemporalGroups,
    TrainingRange,
)
from bayesesi.noise import NOISE_DOF
from bayesesi.observation import Observation
from bayesesi.posterior.atoms.forward import AtomForward
from bayesesi.posterior.patches import (
    Amplitudes,
    Atoms,
    PatchLikelihood,
    PatchStates,
    StatePosterior,
    make_problem,
)
from bayesesi.prior import PatchPrior

#: States that are given out; and sources so far of which a network looks at what comes next, drawn
#: evenly from all that were drawn.
_N_STATES, _N_LOOKS = 1600, 32
#: Scenes a network looks at at once.
_CHUNK = 8
#: Rounds in which sizes are drawn, each given the others'.
_N_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class AtomInputs:
    """Hold one observation as a network sees it, whatever is given.

    Attributes
    ----------
    estimator : the network. atoms : its sources. forward : prepared. window : groups of time
        functions. size : prior of moments. values : (1, n_eff, R) whitened.
    """

    estimator: AtomEstimator
    atoms: Atoms
    forward: PreparedForward
    values: Tensor
    window: TemporalGroups
    size: SizePrior

    @classmethod
    def of(
        cls, problem: PatchLikelihood, estimator: AtomEstimator, forward: PreparedForward
    ) -> AtomInputs:
        """Prepare an observation for a network.

        Parameters
        ----------
        problem : with the observation, its atoms and sizes. estimator : the network.
        forward : of the observation's lead field.
        """
        obs, atoms = problem.obs, problem.atoms
        known = SizePrior.of_grid(problem.sizes, problem.log_size)
        return cls(
            estimator.eval(),
            atoms,
            forward,
            torch.from_numpy(obs.values).float()[None],
            TemporalGroups.of(obs.time_basis.projector),
            known if obs.scale_known else SizePrior.unknown(),
        )

    @cached_property
    def alone(self) -> ScanInputs:
        """The observation, no source given."""
        with torch.inference_mode():
            return self.scene(np.zeros((1, 0), np.int64))

    @cached_property
    def first(self) -> NDArray[np.float64]:
        """(1 + E N,) log q(none or an atom | no source)."""
        with torch.inference_mode():
            return self._read(self.alone, 0)[0]

    def next(self, events: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Compute rows, and (rows, 1 + E N) log q(none or an atom | the atoms of each row).

        Parameters
        ----------
        events : (U, J) atoms that are given.
        """
        if not events.shape[1]:
            yield slice(0, 1), self.first[None]
            return
        with torch.inference_mode():
            for first in range(0, len(events), _CHUNK):
                rows = slice(first, min(first + _CHUNK, len(events)))
                yield rows, self._read(self.scene(events[rows]), events.shape[1])

    def scene(self, events: NDArray[np.int64]) -> ScanInputs:
        """Make U scenes of the observation, with the atoms of each row given.

        Parameters
        ----------
        events : (U, J) atoms.
        """
        atom = torch.from_numpy(events)
        prefix = PlacedSources(atom, torch.ones_like(atom, dtype=torch.bool))
        values = self.values.expand(len(events), -1, -1)
        return self.forward.scene(values, self.window, self.size, prefix)

    def _read(self, scene: ScanInputs, n_given: int) -> NDArray[np.float64]:
        """(U, 1 + E N) log q of scenes that are given as many atoms each."""
        given = torch.full((len(scene.nothing),), n_given)
        place = self.forward.log_place
        log_q = self.estimator(scene, torch.from_numpy(self.atoms.centres), place, given)
        return np.asarray(log_q.double().log_softmax(1).numpy())


def atom_posterior(
    obs: Observation,
    prior: PatchPrior,
    estimator: AtomEstimator,
    atoms: Atoms,
    seed: int = 0,
    support: TrainingRange | None = None,
    forward: AtomForward | None = None,
) -> AtomPosterior:
    """Condition the network on one observation.

    Parameters
    ----------
    obs : of sources fixed to the normal. estimator : the network. seed : of the draws.
    prior, atoms : those the network was trained with, on its sources.
    support : which contexts it met.
    forward : of the observation's lead field, kept from before.

    Raises
    ------
    InputError : another source space, sources that are not fixed to the normal.
    """
    forward = forward or AtomForward.of(obs, atoms)
    problem = make_problem(obs, prior, None, atoms=atoms, assumed=forward.topographies)
    sight = AtomInputs.of(problem, estimator, forward.scan)
    rng = np.random.default_rng(seed)
    events = _draw_events(sight, _N_STATES, rng)
    states = _draw_sizes(problem, _states_of(problem, events), rng)
    return AtomPosterior(obs, problem, states, sight, support)


@dataclass(frozen=True, eq=False)
class AtomPosterior(StatePosterior):
    """Hold the posterior; see ``estimator`` for the density of an event.

    Heads are marginalised by training.

    Attributes
    ----------
    sight : what the network sees. support : which contexts it met in training, if known.
    """

    sight: AtomInputs = field(repr=False)
    support: TrainingRange | None = None

    @cached_property
    def outside(self) -> tuple[str, ...]:
        if self.support is None:
            return ()
        return self.support.outside(self.sight.alone.context[0])

    @property
    def first(self) -> NDArray[np.float64]:
        """(1 + E N,) log probabilities of nothing and of each atom as the strongest source."""
        return self.sight.first

    @property
    def null_probability(self) -> float:
        return float(np.exp(self.first[0]))

    @property
    def count_probability(self) -> NDArray[np.float64]:
        """(K + 1,) of no source, one, two...: shares of the draws, of none exactly."""
        count = np.bincount(self.states.count, minlength=self.problem.n_slots + 1).astype(float)
        some = count[1:].sum()
        share = count[1:] / some if some else np.full(len(count) - 1, 1 / (len(count) - 1))
        null = self.null_probability
        return np.r_[null, (1 - null) * share]

    def log_prob_of(self, states: PatchStates) -> NDArray[np.float64]:
        """Evaluate (D,) log q of which atoms there are, in whatever order; exact.

        Parameters
        ----------
        states : D of them; their sizes do not count.
        """
        atoms = _atoms_of(self.problem, states)
        out = np.empty(len(states))
        for k in range(self.problem.n_slots + 1):
            rows = np.flatnonzero(states.count == k)
            if len(rows):
                out[rows] = self._log_events(np.sort(atoms[rows, :k], axis=1))
        return out

    def _log_events(self, events: NDArray[np.int64]) -> NDArray[np.float64]:
        """(D,) of (D, k) atoms."""
        unique, where = np.unique(events, axis=0, return_inverse=True)
        k = events.shape[1]
        orders = list(permutations(range(k)))
        each = np.stack([self._log_order(unique[:, list(order)]) for order in orders])
        return np.asarray(np.logaddexp.reduce(each, axis=0)[where.ravel()])

    def _log_order(self, events: NDArray[np.int64]) -> NDArray[np.float64]:
        """(U,) log density of naming the atoms in this order and then no more."""
        n, k = events.shape
        total = np.zeros(n)
        for deep in range(min(k + 1, self.problem.n_slots)):
            prefixes, where = np.unique(events[:, :deep], axis=0, return_inverse=True)
            where = where.ravel() if deep else np.zeros(n, np.int64)
            prefixes = prefixes if deep else np.zeros((1, 0), np.int64)
            column = events[:, deep] + 1 if deep < k else np.zeros(n, np.int64)
            for rows, log_q in self.sight.next(prefixes):
                inside = (where >= rows.start) & (where < rows.stop)
                total[inside] += log_q[where[inside] - rows.start, column[inside]]
        return total

    def details(self) -> dict[str, Any]:
        spec = self.problem.prior.spec
        return {
            "family": "atoms",
            "prior": spec.name,
            "heads": "marginalised by training",
            "centres": self.problem.atoms.n_centres,
            "extents_mm": [round(float(e), 1) for e in self.problem.atoms.extents_mm],
            "count_probability": [float(p) for p in self.count_probability],
        }


def _draw_events(sight: AtomInputs, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n, K) atoms, -1 after the last.

    At each step at most ``_N_LOOKS`` of the events so far are looked at, an even choice of all that
    go on; the others take what comes next from the one that is chosen for them, sources included.
    Each draw has the right law; draws that share sources are not independent.
    """
    slots = sight.estimator.most
    events = np.full((n, slots), -1)
    going = np.arange(n)
    for deep in range(slots):
        going = _even(events[:, :deep], going, rng)
        prefixes, where = np.unique(events[going, :deep], axis=0, return_inverse=True)
        if not deep:
            prefixes, where = np.zeros((1, 0), np.int64), np.zeros(len(going), np.int64)
        for rows, log_q in sight.next(prefixes):
            for row in range(rows.start, rows.stop):
                children = going[where.ravel() == row]
                events[children, deep] = _pick(log_q[row - rows.start], len(children), rng) - 1
        going = going[events[going, deep] >= 0]
        if not len(going):
            break
    return events


def _even(
    events: NDArray[np.int64], going: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Gives all that go on the sources of a few of them, in place."""
    if events.shape[1] and len(going) > _N_LOOKS:
        order = going[np.lexsort(events[going].T)]
        place = ((np.arange(_N_LOOKS) + rng.random()) * len(order) / _N_LOOKS).astype(int)
        chosen = events[order[place.clip(max=len(order) - 1)]]
        events[order] = chosen[np.arange(len(order)) * _N_LOOKS // len(order)]
    return going


def _pick(log_q: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """n independent draws."""
    share = np.exp(log_q)
    return rng.choice(len(share), n, p=share / share.sum())


def _states_of(problem: PatchLikelihood, events: NDArray[np.int64]) -> PatchStates:
    """Of (D, K) atoms; sizes in the middle of their grid."""
    states = PatchStates.empty(len(events), problem.n_slots)
    used = events >= 0
    extent, centre = np.divmod(np.where(used, events, 0), problem.atoms.n_centres)
    states.used[:], states.centre[:], states.extent[:] = used, centre, extent
    states.size[:] = len(problem.sizes) // 2
    return states


def _atoms_of(problem: PatchLikelihood, states: PatchStates) -> NDArray[np.int64]:
    """(D, K) atoms, those of used slots first."""
    atom = states.extent * problem.atoms.n_centres + states.centre
    order = np.argsort(~states.used, axis=1, kind="stable")
    return np.take_along_axis(np.where(states.used, atom, -1), order, axis=1)


def _draw_sizes(
    problem: PatchLikelihood, states: PatchStates, rng: np.random.Generator
) -> PatchStates:
    """The states with the size of each source drawn given the others', in the assumed head."""
    n_sizes = len(problem.sizes)
    for _ in range(_N_ROUNDS if states.used[:, 1:].any() else 1):
        for slot in range(states.used.shape[1]):
            rows = np.flatnonzero(states.used[:, slot])
            if not len(rows):
                continue
            keys = np.c_[states.centre[rows], states.extent[rows], states.size[rows]]
            keys[:, 2 * states.used.shape[1] + slot] = 0
            keys[:, : 3 * states.used.shape[1]] += 1
            keys *= np.tile(states.used[rows], (1, 3))
            unique, where = np.unique(keys, axis=0, return_index=True, return_inverse=True)[1:]
            log_size = _log_sizes(problem, states[rows[unique]], slot) + problem.log_size
            gumbel = rng.gumbel(size=(len(rows), n_sizes))
            states.size[rows, slot] = (log_size[where.ravel()] + gumbel).argmax(axis=1)
    return states


def _log_sizes(problem: PatchLikelihood, states: PatchStates, slot: int) -> NDArray[np.float64]:
    """(D, M) log-likelihood of each size of a slot's source, in the frame of the others; see
    ``patches.scan``."""
    used = states.used.copy()
    used[:, slot] = False
    others = Amplitudes(problem, replace(states, used=used))
    seen = problem.topographies[states.head, states.extent[:, slot], states.centre[:, slot], 0]
    across = (others.basis @ seen[:, :, None])[..., 0]  # (D, J)
    gain = (seen**2).sum(axis=1)[:, None] - ((across**2)[:, None] @ others.shrunk)[:, 0]  # (D, R)
    spoken = (across[:, None] @ (others.shrunk * others.match))[:, 0]
    match = seen @ problem.turned - spoken
    u = problem.sizes[:, None] ** 2 * problem.variance  # (M, R)
    grown = 1 + u * gain[:, None]  # (D, M, R)
    det = others.log_determinant[:, None] + np.log(grown).sum(axis=2)
    rest = others.rest[:, None] - (u * match[:, None] ** 2 / grown).sum(axis=2)
    dof = NOISE_DOF + problem.n_numbers
    return np.asarray(-0.5 * det - 0.5 * dof * np.log(rest))
