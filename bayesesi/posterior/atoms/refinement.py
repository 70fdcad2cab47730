"""Correct a network's draws to the exact posterior of ``patches``."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from bayesesi.errors import InputError
from bayesesi.posterior.atoms.posterior import AtomPosterior
from bayesesi.posterior.importance import ImportanceWeights, importance_weights
from bayesesi.posterior.patches import PatchLikelihood, PatchPosterior, PatchStates, solve
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.prior import PatchPrior


def weighed(post: AtomPosterior, table: Enumeration) -> tuple[PatchStates, ImportanceWeights]:
    """Weigh draws of at most one source by p(v~, which source) / q(which source).

    Size, head and topographies are integrated in ``table``.

    Parameters
    ----------
    post : of the network. table : exact, of the same atoms.

    Raises
    ------
    InputError : a table of other atoms.
    """
    _check(post, table.problem)
    states = post.states[post.states.count <= 1]
    problem = table.problem
    of_one = table.log_likelihood * problem.zeta + problem.log_size
    of_one = of_one + problem.log_head[:, None, None, None]
    place = problem.atoms.log_place - np.log(problem.atoms.n_extents)
    joint = logsumexp(of_one, axis=(0, 3)) + place + problem.log_count[1]
    nothing = problem.zeta * table.log_nothing + problem.log_count[0]
    exact = np.where(states.used[:, 0], joint[states.extent[:, 0], states.centre[:, 0]], nothing)
    return states, importance_weights(exact, post.log_prob_of(states))


def refined(
    post: AtomPosterior,
    problem: PatchLikelihood,
    seed: int = 0,
    ess: float = 200.0,
    most_sweeps: int = 20,
) -> PatchPosterior:
    """Compute the exact posterior of a problem, its chains started from the network's draws.

    Parameters
    ----------
    post : of the network. problem : exact, of the same atoms. seed : of the chains.
    ess : effective sample size, number of draws, at which chains stop. most_sweeps : at most.

    Raises
    ------
    InputError : a problem of other atoms.
    """
    _check(post, problem)
    some = post.states[post.states.count > 0]
    if not len(some):
        return solve(problem, seed, ess, most_sweeps)
    n_seen = 0 if problem.spread is None else len(problem.turned)
    start = PatchStates.empty(len(some), problem.n_slots, n_seen)
    for name in ("used", "centre", "extent", "size"):
        getattr(start, name)[:] = getattr(some, name)
    return solve(problem, seed, ess, most_sweeps, start)


def _check(post: AtomPosterior, problem: PatchLikelihood) -> None:
    ours, theirs = post.problem, problem
    same = (
        np.array_equal(ours.atoms.centres, theirs.atoms.centres)
        and np.array_equal(ours.atoms.extents_mm, theirs.atoms.extents_mm)
        and ours.n_slots == theirs.n_slots
        and isinstance(theirs.prior, PatchPrior)
    )
    if not same:
        raise InputError(
            "the exact posterior is of other places, extents or numbers of sources than the "
            "network's; make its problem with the network's prior and atoms"
        )
