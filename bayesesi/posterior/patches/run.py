"""Chains run until they have said enough, and the evidence they give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.posterior.patches.chains import Kernel
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.field import LOBE_NAMES, lobe_energy
from bayesesi.posterior.patches.problem import PatchProblem
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import Amplitudes, PatchStates

N_CHAINS = 8
#: Powers of the likelihood that chains warm up with, and sweeps in each, thrown away.
_BETAS, _N_WARM = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0), 4
#: Sweeps between looks at the effective sample size, and at most.
_N_ROUND, _N_MOST = 25, 400
#: Lobes with less of the energy are not watched; states of each count that evidence is taken from.
_LEAST_SHARE, _N_BRIDGE = 0.01, 64


@dataclass(frozen=True, eq=False)
class Run:
    """What ``run_chains`` kept.

    Attributes
    ----------
    states : (chains x sweeps), chain by chain. n_chains.
    monitored : names and (chains, sweeps) values that were watched.
    log_evidences : (K + 1,) log p(v~ | K), nats.
    """

    states: PatchStates
    n_chains: int
    monitored: dict[str, NDArray[np.float64]]
    log_evidences: NDArray[np.float64]

    @cached_property
    def ess(self) -> dict[str, float]:
        """Bulk effective sample size (Vehtari et al. 2021, doi:10.1214/20-BA1221), by ArviZ."""
        return {name: _diagnose("ess", value) for name, value in self.monitored.items()}

    @cached_property
    def r_hat(self) -> dict[str, float]:
        """Rank-normalised split R-hat (the same paper), by ArviZ."""
        return {name: _diagnose("rhat", value) for name, value in self.monitored.items()}

    def details(self) -> dict[str, Any]:
        return {
            "chains": self.n_chains,
            "sweeps": len(self.states) // self.n_chains,
            "ess": {name: round(value, 1) for name, value in self.ess.items()},
            "r_hat": {name: round(value, 3) for name, value in self.r_hat.items()},
        }


def run_chains(
    scan: Scan, table: Enumeration, rng: np.random.Generator, ess: float, most: int = _N_MOST
) -> Run:
    """Chains from the posterior of at most one source, until each monitored value has ``ess``."""
    states = table.draw(N_CHAINS, rng)
    for beta in _BETAS:
        kernel = Kernel(scan, beta)
        states = kernel.started(states, rng) if beta == _BETAS[0] else states
        for _ in range(_N_WARM):
            states = kernel.sweep(states, rng)
    kept: list[PatchStates] = []
    while True:
        for _ in range(_N_ROUND):
            states = kernel.sweep(states, rng)
            kept.append(states)
        run = _collect(scan.problem, kept, rng)
        if min(run.ess.values()) >= ess or len(kept) + _N_ROUND > most:
            break
    return replace(run, log_evidences=_log_evidences(kernel, table, run.states, rng))


def _collect(problem: PatchProblem, kept: list[PatchStates], rng: np.random.Generator) -> Run:
    """Chain by chain, with what is watched: lobes are left out that hold next to nothing."""
    by_sweep = PatchStates.joined(kept)
    order = np.arange(len(by_sweep)).reshape(len(kept), N_CHAINS).T.ravel()
    states = by_sweep[order]
    law = Amplitudes(problem, states)
    lobes = lobe_energy(problem, states, law.draw(rng))
    share = lobes / np.maximum(lobes.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    watched = {"log_likelihood": law.log_likelihood}
    watched |= {
        name: lobes[:, k] for k, name in enumerate(LOBE_NAMES) if share[:, k].mean() > _LEAST_SHARE
    }
    shaped = {name: value.reshape(N_CHAINS, -1) for name, value in watched.items()}
    return Run(states, N_CHAINS, shaped, np.zeros(0))


def _diagnose(which: str, values: NDArray[np.float64]) -> float:
    """A chain that never moves from one value says all there is to say."""
    import arviz as az

    if np.ptp(values) == 0:
        return 1.0 if which == "rhat" else float(values.size)
    method = {"method": "bulk"} if which == "ess" else {"method": "rank"}
    found = getattr(az, which)(values, **method)
    return float(np.asarray(found))


def _log_evidences(
    kernel: Kernel, table: Enumeration, states: PatchStates, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(K + 1,) log p(v~ | K): of none and one exactly, of more by the balance of births and deaths.

    In equilibrium as many chains go from K to K + 1 sources as back,

        p(K) E_K[(slots - K) p(birth)] = p(K + 1) E_{K+1}[(K + 1) p(death)],

    p(birth), p(death) the shares of used and of "not used" when a slot is redrawn. Where no chain
    has K + 1 sources, E_K[odds of a birth] is the ratio of evidences.
    """
    problem = kernel.problem
    joint = list(table.log_evidences + problem.log_count[:2])
    for k in range(1, problem.n_slots):
        below = _of_count(states, k, rng)
        if k == 1:
            below = kernel.started(table.draw(_N_BRIDGE, rng, 1), rng)
        above = _of_count(states, k + 1, rng)
        empty, full = kernel.births(below, rng)
        slots = np.log((problem.n_slots - k) / (k + 1))
        if len(above):
            birth = _log_mean(full - np.logaddexp(empty, full))
            empty, full = kernel.deaths(above, rng)
            ratio = birth - _log_mean(empty - np.logaddexp(empty, full))
        else:
            ratio = _log_mean(full - empty)
        joint.append(joint[-1] + slots + ratio)
    with np.errstate(invalid="ignore"):
        return np.array(joint) - problem.log_count


def _of_count(states: PatchStates, k: int, rng: np.random.Generator) -> PatchStates:
    """Up to some states of k sources."""
    rows = np.flatnonzero(states.count == k)
    return states[rng.permutation(rows)[:_N_BRIDGE]]


def _log_mean(values: NDArray[np.float64]) -> float:
    return float(logsumexp(values) - np.log(len(values))) if len(values) else -np.inf
