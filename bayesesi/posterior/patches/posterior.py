"""The posterior over up to K sources: states drawn, the rest in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.observation import Observation
from bayesesi.posterior.patches.atoms import Atoms
from bayesesi.posterior.patches.chain_run import ChainRun, run_chains
from bayesesi.posterior.patches.covariance_scan import SpreadScan
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.likelihood import HeadModel, PatchLikelihood, make_problem
from bayesesi.posterior.patches.model_order_samples import ModelOrderSamples
from bayesesi.posterior.patches.scan import DrawScan, Scan
from bayesesi.posterior.patches.state_posterior import StatePosterior
from bayesesi.posterior.patches.states import PatchStates
from bayesesi.prior import DipolePrior, HeadPrior, PatchPrior

#: States that are given out.
_N_STATES = 1600
#: Probability of the answers that chains gave from which their agreement matters.
_LEAST_CHAINED = 0.05


def patch_posterior(
    obs: Observation,
    prior: PatchPrior | DipolePrior,
    heads: HeadPrior | None = None,
    head_model: HeadModel = "spread",
    n_heads: int | None = None,
    seed: int = 0,
    atoms: Atoms | None = None,
    ess: float = 200.0,
    most_sweeps: int = 20,
) -> PatchPosterior:
    """Compute the posterior over sources, and over the head where ``heads`` is given.

    Where the prior allows one source at most, states are drawn from an enumeration; else by chains
    that start from it, until the bulk effective sample size of the log-likelihood and of the energy
    of each lobe is ``ess``, or ``most_sweeps`` were made (``details`` has the outcome).

    Parameters
    ----------
    obs : the data. prior : of patches or points on the source space of the observation.
    heads : what the true head may be; None takes the assumed head for the true one.
    head_model : ``"spread"``: sources look as in a typical head and spread about it (``spread``);
        ``"draws"``: as in one of the heads drawn, all alike before the data.
    n_heads : drawn from ``heads``: 192 to learn a spread from, 32 to be an index over.
    seed : of heads and draws. atoms : ``make_atoms(prior)`` kept from before.
    ess : effective number of samples that is enough. most_sweeps : after which chains stop.

    Raises
    ------
    InputError : another source space or family, a forward whose head cannot be redrawn.
    """
    problem = make_problem(obs, prior, heads, head_model, n_heads, seed, atoms)
    return solve(problem, seed, ess, most_sweeps)


def scan_of(problem: PatchLikelihood) -> Scan:
    """Choose how sources of ``problem`` are weighed.

    They look as one of the heads shows them, or spread about a typical one.
    """
    return DrawScan(problem) if problem.spread is None else SpreadScan(problem)


def solve(
    problem: PatchLikelihood,
    seed: int = 0,
    ess: float = 200.0,
    most_sweeps: int = 20,
    start: PatchStates | None = None,
) -> PatchPosterior:
    """Compute the posterior of a ``problem`` that is stated.

    ``seed``, ``ess`` (a number of samples) and ``most_sweeps`` as in ``patch_posterior``; ``start``
    are states with one source or more that chains start from.
    """
    scan = scan_of(problem)
    table, rng = Enumeration.of(scan), np.random.default_rng(seed)
    run = None
    if problem.n_slots > 1:
        run = run_chains(scan, table, rng, ess, most_sweeps, start)
    strata = [ModelOrderSamples.of(scan, table, run, k, rng) for k in range(problem.n_slots + 1)]
    joint = np.array([stratum.log_evidence for stratum in strata]) + problem.log_count
    counts = rng.multinomial(_N_STATES, np.exp(joint - logsumexp(joint)))
    states = [stratum.draw(n, rng) for stratum, n in zip(strata, counts, strict=True)]
    return PatchPosterior(
        problem.obs, problem, PatchStates.joined(states), table, run, tuple(strata)
    )


@dataclass(frozen=True, eq=False)
class PatchPosterior(StatePosterior):
    """See ``problem`` for the model.

    Attributes
    ----------
    table : the exact posterior of at most one source.
    states : D draws of (head, sources). run : the chains they came from, if any.
    strata : of none, one, two... sources: what the draws were drawn from.
    """

    table: Enumeration
    run: ChainRun | None
    strata: tuple[ModelOrderSamples, ...]

    def __repr__(self) -> str:
        p = self.count_probability
        counts = ", ".join(f"{k}: {p[k]:.2g}" for k in range(len(p)))
        return (
            f"<PatchPosterior | {self.problem.n_heads} heads × {self.problem.atoms}, "
            f"p(number of sources) {counts}>"
        )

    @property
    def count_probability(self) -> NDArray[np.float64]:
        """(K + 1,) of no source, one, two..."""
        return np.exp(self.log_evidences + self.problem.log_count - self.log_evidence)

    @property
    def log_evidences(self) -> NDArray[np.float64]:
        """(K + 1,) log p(v~ | number of sources), nats."""
        return np.array([stratum.log_evidence for stratum in self.strata])

    @property
    def log_evidence(self) -> float:
        """log p(v~), nats."""
        return float(np.logaddexp.reduce(self.log_evidences + self.problem.log_count))

    @property
    def null_probability(self) -> float:
        return float(self.count_probability[0])

    @property
    def sample_efficiency(self) -> float:
        """Of the draws, mean over counts by their probability: 1 where nothing is approximate."""
        each = [stratum.weights.sample_efficiency for stratum in self.strata]
        return float(self.count_probability @ each)

    @property
    def r_hat(self) -> float:
        """1 where two sources or more have hardly any probability."""
        if self.run is None or self.count_probability[2:].sum() < _LEAST_CHAINED:
            return 1.0
        found = [value for value in self.run.r_hat.values() if np.isfinite(value)]
        return max([1.0, *found])

    def details(self) -> dict[str, Any]:
        """Describe prior, heads, grids, probabilities of counts and chains."""
        spec = self.problem.prior.spec
        known: dict[str, Any] = {
            "family": "patches",
            "prior": spec.name,
            "heads": self._heads_said,
            "centres": self.problem.atoms.n_centres,
            "extents_mm": [round(float(e), 1) for e in self.problem.atoms.extents_mm],
            "count_probability": [float(p) for p in self.count_probability],
            "log_evidences": [float(e) for e in self.log_evidences],
        }
        if self.problem.spread is not None:
            known["sample_efficiency"] = round(self.sample_efficiency, 3)
            known["likelihood_power"] = round(self.problem.zeta, 3)
        return known if self.run is None else known | self.run.details()

    @property
    def _heads_said(self) -> int | str:
        if self.problem.spread is not None:
            return "a spread about a typical one"
        return self.problem.n_heads if self.problem.heads else "the assumed one"
