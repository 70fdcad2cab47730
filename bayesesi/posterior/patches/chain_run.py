"""Chains run until they have said enough, and the evidence they give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.posterior.importance import ImportanceWeights
from bayesesi.posterior.patches.chains import Kernel, WeightedStates
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.field import LOBE_NAMES, lobe_energy
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import Amplitudes, PatchStates, log_prior

N_CHAINS = 16
#: Shares of the likelihood's power that chains warm up with.
_SHARES = np.geomspace(0.03, 1.0, 10)
#: Sweeps between looks at the effective sample size.
_N_ROUND = 10
#: Below this probability of two sources or more their chains need not be long.
_HARDLY = 0.02
#: Lobes with less of the energy are not watched; states of each count evidence is taken from.
_LEAST_SHARE, _N_BRIDGE = 0.01, 64


@dataclass(frozen=True, eq=False)
class ChainRun:
    """Chains over events of two sources or more.

    Attributes
    ----------
    states : (chains x sweeps), chain by chain.
    monitored : names and (chains, sweeps) values that were watched.
    log_likelihood : (chains x sweeps,) nats, of each state, its topographies integrated.
    log_evidences : (K + 1,) log p(v~ | K), nats.
    """

    states: PatchStates
    monitored: dict[str, NDArray[np.float64]]
    log_likelihood: NDArray[np.float64]
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
        """Describe the chains: their number, sweeps, effective sample sizes and R-hat."""
        return {
            "chains": N_CHAINS,
            "sweeps": len(self.states) // N_CHAINS,
            "ess": {name: round(value, 1) for name, value in self.ess.items()},
            "r_hat": {name: round(value, 3) for name, value in self.r_hat.items()},
        }

    def draw(
        self, k: int, n: int, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        """Draw ``n`` states of ``k`` sources and their log-likelihoods, by ``rng``.

        There are none where chains held none.
        """
        rows = np.flatnonzero(self.states.count == k)
        if len(rows):
            rows = rng.choice(rows, n, replace=n > len(rows))
        return self.states[rows], self.log_likelihood[rows]


def run_chains(
    scan: Scan,
    table: Enumeration,
    rng: np.random.Generator,
    ess: float,
    most: int,
    start: PatchStates | None = None,
) -> ChainRun:
    """Run chains until each monitored value has ``ess``, or hardly anything speaks for two sources.

    Chains start where ``start`` says, from any number of states with a source, else from the table;
    then their likelihood need not grow from flat.

    Parameters
    ----------
    scan : weighs sources. table : of at most one source. rng : draws.
    ess : effective number of samples that is enough. most : sweeps at most.
    """
    with _one_thread():
        return _run_chains(scan, table, rng, ess, most, start)


@contextmanager
def _one_thread() -> Iterator[None]:
    """What chains compute is small: threads would only wait for each other."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _run_chains(
    scan: Scan,
    table: Enumeration,
    rng: np.random.Generator,
    ess: float,
    most: int,
    start: PatchStates | None,
) -> ChainRun:
    kernel = Kernel(scan, least=2)
    if start is None:
        chains = _warm(scan, table, rng)
    else:
        rows = rng.choice(len(start), N_CHAINS, replace=len(start) < N_CHAINS)
        chains = kernel.filled(start[rows], rng)
    kept: list[WeightedStates] = []
    while True:
        for _ in range(_N_ROUND):
            chains = kernel.sweep(chains, rng)
            kept.append(chains)
        run = _collect(scan, table, kept, rng)
        joint = run.log_evidences + scan.problem.log_count
        hardly = logsumexp(joint[2:]) - logsumexp(joint) < np.log(_HARDLY)
        if hardly or min(run.ess.values()) >= ess or len(kept) + _N_ROUND > most:
            return run


def _warm(scan: Scan, table: Enumeration, rng: np.random.Generator) -> WeightedStates:
    """Chains whose likelihood grows step by step from flat, drawn anew at each by what they gain
    (sequential Monte Carlo; Del Moral et al. 2006, doi:10.1111/j.1467-9868.2006.00553.x): those
    that were left behind in a poor place give way."""
    kernel = Kernel(scan, _SHARES[0], least=2)
    chains = kernel.filled(table.draw(N_CHAINS, rng, 1)[0], rng)
    for share in _SHARES:
        flatter, kernel = chains.log_joint, Kernel(scan, float(share), least=2)
        chains = kernel.weighed(chains.states)
        gained = ImportanceWeights(chains.log_joint - flatter)
        rows = gained.resample(N_CHAINS, rng)
        chains = kernel.sweep(WeightedStates(chains.states[rows], chains.log_joint[rows]), rng)
    return chains


def _collect(
    scan: Scan, table: Enumeration, kept: list[WeightedStates], rng: np.random.Generator
) -> ChainRun:
    """Chain by chain, with what is watched: lobes are left out that hold next to nothing."""
    by_sweep = PatchStates.joined([chains.states for chains in kept])
    order = np.arange(len(by_sweep)).reshape(len(kept), N_CHAINS).T.ravel()
    states, problem = by_sweep[order], scan.problem
    lobes = lobe_energy(problem, states, Amplitudes(problem, states).draw(rng))
    share = lobes / np.maximum(lobes.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    joint = np.concatenate([chains.log_joint for chains in kept])[order]
    likelihood = (joint - log_prior(problem, states)) / problem.zeta
    watched = {"log_likelihood": likelihood}
    watched |= {
        name: lobes[:, k] for k, name in enumerate(LOBE_NAMES) if share[:, k].mean() > _LEAST_SHARE
    }
    shaped = {name: value.reshape(N_CHAINS, -1) for name, value in watched.items()}
    return ChainRun(states, shaped, likelihood, _log_evidences(Kernel(scan), table, states, rng))


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
    """(K + 1,) log p(v~ | K), coarsened: of none and one from the table, of more by bridges.

    With r of a birth from events of K, and of a death from events of K + 1 (``Kernel.deaths``),

        p(v~, K + 1) / p(v~, K) = E_K[r] (slots - K) / (K + 1)
                                = (slots - K) / ((K + 1) E_K+1[1 / r]).

    Where both are known, Bennett's estimate of the ratio (Bennett 1976), which takes of each what
    the other lacks; where no chain has K + 1 sources, the first.
    """
    problem = kernel.problem
    joint = list(table.log_evidences + problem.log_count[:2])
    for k in range(1, problem.n_slots):
        below, above = _of_count(states, k, rng), _of_count(states, k + 1, rng)
        if k == 1:
            below = table.draw(_N_BRIDGE, rng, 1)[0]
        if not len(below):
            # no way up: the chains say that none of this count is worth anything
            joint.append(-np.inf)
            continue
        born = kernel.births(below, rng)
        died = kernel.deaths(above, rng) if len(above) else np.zeros(0)
        joint.append(joint[-1] + np.log((problem.n_slots - k) / (k + 1)) + _bridge(born, died))
    with np.errstate(invalid="ignore"):
        return np.array(joint) - problem.log_count


def _bridge(born: NDArray[np.float64], died: NDArray[np.float64]) -> float:
    """log of the ratio z: sum of f(born - z - l) = sum of f(z - died + l), f(x) = 1 / (1 + e^-x),
    l = log(n born / n died)."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if not len(died):
        return _log_mean(born)
    ends = np.concatenate([born, died])
    ends = ends[np.isfinite(ends)]
    if not len(ends):
        return -np.inf
    lopsided = np.log(len(born) / len(died))

    def off(z: float) -> float:
        up = expit(born - z - lopsided).sum()
        return float(up - expit(z - died + lopsided).sum())

    reach = 50 + abs(lopsided)
    low, high = ends.min() - reach, ends.max() + reach
    return float(brentq(off, low, high)) if off(low) > 0 > off(high) else -np.inf


def _of_count(states: PatchStates, k: int, rng: np.random.Generator) -> PatchStates:
    """Up to some states of k sources."""
    rows = np.flatnonzero(states.count == k)
    return states[rng.permutation(rows)[:_N_BRIDGE]]


def _log_mean(values: NDArray[np.float64]) -> float:
    return float(logsumexp(values) - np.log(len(values))) if len(values) else -np.inf
