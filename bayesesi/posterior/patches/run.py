"""Chains run until they have said enough, and the evidence they give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.posterior.patches.chains import Kernel
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.field import LOBE_NAMES, lobe_energy
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import Amplitudes, PatchStates

N_CHAINS = 8
#: Powers of the likelihood that chains warm up with, and sweeps in each, thrown away.
_BETAS, _N_WARM = (0.03, 0.1, 0.25, 0.5, 1.0), 3
#: Sweeps between looks at the effective sample size.
_N_ROUND = 25
#: Below this probability of two sources or more their chains need not be long.
_HARDLY = 0.02
#: Lobes with less of the energy are not watched; states of each count that evidence is taken from;
#: states that are given out.
_LEAST_SHARE, _N_BRIDGE, _N_STATES = 0.01, 64, 1600


@dataclass(frozen=True, eq=False)
class Run:
    """Chains over events of two sources or more.

    Attributes
    ----------
    states : (chains x sweeps), chain by chain.
    monitored : names and (chains, sweeps) values that were watched.
    log_evidences : (K + 1,) log p(v~ | K), nats.
    """

    states: PatchStates
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
            "chains": N_CHAINS,
            "sweeps": len(self.states) // N_CHAINS,
            "ess": {name: round(value, 1) for name, value in self.ess.items()},
            "r_hat": {name: round(value, 3) for name, value in self.r_hat.items()},
        }

    def mixed(self, scan: Scan, table: Enumeration, rng: np.random.Generator) -> PatchStates:
        """States of any count, by their probabilities: of one source from the table."""
        joint = self.log_evidences + scan.problem.log_count
        share = np.exp(joint - logsumexp(joint))
        counts = rng.multinomial(_N_STATES, share / share.sum())
        few = table.draw(counts[:2].sum(), rng, 1)
        few.used[: counts[0]] = False
        parts = [Kernel(scan).started(few, rng)] if len(few) else []
        for k in range(2, len(counts)):
            rows = np.flatnonzero(self.states.count == k)
            if counts[k] and len(rows):
                parts.append(
                    self.states[rng.choice(rows, counts[k], replace=counts[k] > len(rows))]
                )
        return PatchStates.joined(parts)


def run_chains(
    scan: Scan, table: Enumeration, rng: np.random.Generator, ess: float, most: int
) -> Run:
    """Until each monitored value has ``ess``, or hardly anything speaks for two sources."""
    states = table.draw(N_CHAINS, rng, 1)
    for beta in _BETAS:
        kernel = Kernel(scan, beta, least=2)
        states = kernel.started(states, rng) if beta == _BETAS[0] else states
        for _ in range(_N_WARM):
            states = kernel.sweep(states, rng)
    kept: list[PatchStates] = []
    while True:
        for _ in range(_N_ROUND):
            states = kernel.sweep(states, rng)
            kept.append(states)
        run = _collect(scan, table, kept, rng)
        joint = run.log_evidences + scan.problem.log_count
        hardly = logsumexp(joint[2:]) - logsumexp(joint) < np.log(_HARDLY)
        if hardly or min(run.ess.values()) >= ess or len(kept) + _N_ROUND > most:
            return run


def _collect(
    scan: Scan, table: Enumeration, kept: list[PatchStates], rng: np.random.Generator
) -> Run:
    """Chain by chain, with what is watched: lobes are left out that hold next to nothing."""
    by_sweep = PatchStates.joined(kept)
    order = np.arange(len(by_sweep)).reshape(len(kept), N_CHAINS).T.ravel()
    states = by_sweep[order]
    law = Amplitudes(scan.problem, states)
    lobes = lobe_energy(scan.problem, states, law.draw(rng))
    share = lobes / np.maximum(lobes.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    watched = {"log_likelihood": law.log_likelihood}
    watched |= {
        name: lobes[:, k] for k, name in enumerate(LOBE_NAMES) if share[:, k].mean() > _LEAST_SHARE
    }
    shaped = {name: value.reshape(N_CHAINS, -1) for name, value in watched.items()}
    return Run(states, shaped, _log_evidences(Kernel(scan), table, states, rng))


def _diagnose(which: str, values: NDArray[np.float64]) -> float:
    """A chain that never moves from one value says all there is to say."""
    import arviz as az

    if np.ptp(values) == 0:
        return 1.0 if which == "rhat" else float(values.size)
    method = {"method": "bulk"} if which == "ess" else {"method": "rank"}
    return float(np.asarray(getattr(az, which)(values, **method)))


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
