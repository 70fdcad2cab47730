"""Events of one count: drawn nearly, weighed exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesesi.posterior.importance import ImportanceWeights, importance_weights
from bayesesi.posterior.patches.chain_run import ChainRun
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import PatchStates

#: Draws of each count; how many must weigh something for their mean to be taken.
_N_DRAWS, _LEAST_DRAWS = 1600, 8


@dataclass(frozen=True, eq=False)
class ModelOrderSamples:
    """Draws of events of k sources from the table or from chains.

    Attributes
    ----------
    states : as they came, what sources look like drawn. weights : of each, the exact joint density
        over that by which it was drawn.
    log_evidence : log p(v~ | k), nats; -inf where chains never held as many.
    """

    states: PatchStates
    weights: ImportanceWeights
    log_evidence: float

    @classmethod
    def of(
        cls, scan: Scan, table: Enumeration, run: ChainRun | None, k: int, rng: np.random.Generator
    ) -> ModelOrderSamples:
        """Draw events of ``k`` sources: ``scan`` weighs them, ``rng`` draws.

        They come from ``table`` up to one source, else from ``run``.
        """
        if k < 2 or run is None:
            evidence = table.log_evidences[k]
            states, drawn_by = table.draw(_N_DRAWS if k else 1, rng, k)
        else:
            evidence = run.log_evidences[k]
            states, drawn_by = run.draw(k, _N_DRAWS, rng)
        if not len(states):
            return cls(states, ImportanceWeights(np.zeros(1)), -np.inf)
        states, exact = scan.drawn(states, rng)
        weights = importance_weights(exact, drawn_by)
        stratum = cls(states, weights, float(evidence))
        if not stratum.trusted:
            return stratum
        corrected = evidence + scan.problem.zeta * weights.log_evidence
        return replace(stratum, log_evidence=float(corrected))

    @property
    def trusted(self) -> bool:
        """Whether enough draws weigh anything. Where hardly any does, Laplace's values are worth
        more than a few weights; ``sample_efficiency`` tells."""
        n = len(self.weights.log_weight)
        return n == 1 or self.weights.sample_efficiency * n >= _LEAST_DRAWS

    def draw(self, n: int, rng: np.random.Generator) -> PatchStates:
        """Draw ``n`` of them by ``rng``, as often as they weigh."""
        if n == 0:
            return self.states[:0]
        if not self.trusted:
            return self.states[rng.choice(len(self.states), n)]
        return self.states[rng.permutation(self.weights.resample(n, rng))]
