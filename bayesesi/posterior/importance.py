"""Weigh a proposal's draws for the exact posterior.

For states x_d drawn from any q with a density, over the states of a joint density p(v~, x),

    w_d = p(v~, x_d) / q(x_d),    p(v~) ~ mean w,    E[f | v~] ~ sum w f / sum w

(self-normalised importance sampling; Owen 2013, chapter 9). The sample efficiency (sum w)² /
(D sum w²) is the share of the draws that would do as well were they drawn from the posterior (Kong
1992; a red flag a case, Dax et al. 2023, doi:10.1103/PhysRevLett.130.171403). The largest weights
are smoothed by their generalised Pareto fit, whose shape k shows from .7 on that averages cannot be
trusted (Vehtari et al. 2024, arXiv:1507.02646).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.errors import InputError

#: Fewer draws, or log weights that differ by less, have no tail to smooth.
_LEAST_DRAWS, _LEAST_RANGE = 25, 0.1


@dataclass(frozen=True, eq=False)
class ImportanceWeights:
    """Weigh D draws.

    Attributes
    ----------
    log_weight : (D,) log p(v~, x_d) - log q(x_d), nats; -inf of what the posterior excludes.
    """

    log_weight: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"<ImportanceWeights | {len(self.log_weight)} draws, sample efficiency "
            f"{self.sample_efficiency:.3f}>"
        )

    @property
    def log_evidence(self) -> float:
        """log p(v~), nats; its standard error is about ((1 / efficiency - 1) / D)^1/2."""
        return float(logsumexp(self.log_weight) - np.log(len(self.log_weight)))

    @property
    def sample_efficiency(self) -> float:
        """(sum w)² / (D sum w²), of the weights as they are."""
        log = 2 * logsumexp(self.log_weight) - logsumexp(2 * self.log_weight)
        return float(np.exp(log) / len(self.log_weight))

    @cached_property
    def _smoothed(self) -> tuple[NDArray[np.float64], float]:
        import arviz as az

        finite = np.isfinite(self.log_weight)
        log = np.where(finite, self.log_weight, -np.inf)
        raw = log - logsumexp(log)
        if finite.sum() < _LEAST_DRAWS or np.ptp(self.log_weight[finite]) < _LEAST_RANGE:
            return raw, 0.0
        with np.errstate(all="ignore"):
            smooth, k = az.psislw(self.log_weight[finite])
        if not (np.isfinite(smooth).all() and np.isfinite(k)):  # a tail of ties has no shape
            return raw, 0.0
        log[finite] = smooth
        return log - logsumexp(log), float(k)

    @property
    def pareto_k(self) -> float:
        """Shape of the largest weights' tail; above .7 the weighted answer is not to be trusted."""
        return self._smoothed[1]

    @property
    def normalised(self) -> NDArray[np.float64]:
        """(D,) smoothed weights, summing to 1."""
        return np.asarray(np.exp(self._smoothed[0]))

    def resample(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw (n,) indices by the weights, in order: each comes floor or ceil of n w times
        (systematic; Kitagawa 1996, doi:10.1080/10618600.1996.10474692).

        Parameters
        ----------
        n : number of indices. rng : of the one random offset.
        """
        levels = (rng.random() + np.arange(n)) / n
        cumulative = np.cumsum(self.normalised)
        return np.searchsorted(cumulative / cumulative[-1], levels).clip(max=len(cumulative) - 1)


def importance_weights(
    log_joint: NDArray[np.floating], log_proposal: NDArray[np.floating]
) -> ImportanceWeights:
    """Compute the weights of D draws.

    Parameters
    ----------
    log_joint : (D,) log p(v~, x), nats. log_proposal : (D,) log density of its proposal, nats.

    Raises
    ------
    InputError : shapes that do not fit, no draws, values that are NaN, or a posterior that
        excludes all that was proposed.
    """
    joint, proposal = np.asarray(log_joint, float), np.asarray(log_proposal, float)
    if joint.ndim != 1 or joint.shape != proposal.shape or not joint.size:
        raise InputError(
            f"weights are of D draws: (D,) log_joint and log_proposal, not {joint.shape} and "
            f"{proposal.shape}"
        )
    weight = joint - proposal
    if np.isnan(weight).any() or np.isposinf(weight).any() or not np.isfinite(weight).any():
        raise InputError(
            "some draw has no finite density under its proposal, or the posterior excludes every "
            "one; give draws with the density they were drawn with"
        )
    return ImportanceWeights(weight)
