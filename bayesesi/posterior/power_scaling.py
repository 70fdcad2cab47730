"""Measure whether an answer comes from the data or the prior, by raising each to a power.

For draws x_d of p(x | v) ~ p(x) p(v | x), those of p(x)^a p(v | x)^b have the weights

    w_d = p(x_d)^(a - 1) p(v | x_d)^(b - 1)

(power-scaling; Kallioinen et al. 2023, arXiv:2107.14054), so that without a second inference we see
how probabilities move with either. With P(a) that of a region under a prior to the power of a,

    sensitivity = (P(a) - P(1 / a)) / (2 log2 a),   a = 1.25,

the change a doubling of the power would make. An answer that moves with the prior and not with the
likelihood is the prior's; one that moves with both is a conflict of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.importance import ImportanceWeights
from bayesesi.posterior.patches import PatchPosterior
from bayesesi.spec.source import ACTIVE_SHARE

POWER = 1.25
#: A change of a probability, for a doubling of the power, that is worth a word.
NOTABLE = 0.1


@dataclass(frozen=True, eq=False)
class PowerSensitivity:
    """Hold how the probabilities of P regions move with prior and likelihood.

    Attributes
    ----------
    prior, likelihood : (P,) change of a region's probability for a doubling of the power.
    pareto_k : the largest of the weights; above .7 the numbers cannot be trusted.
    """

    prior: NDArray[np.float64]
    likelihood: NDArray[np.float64]
    pareto_k: float

    @property
    def source(self) -> Literal["data", "prior", "both", "neither"]:
        """The part that the probabilities of regions depend on."""
        by_prior, by_data = (np.abs(c).max() >= NOTABLE for c in (self.prior, self.likelihood))
        if by_prior and by_data:
            return "both"
        return "prior" if by_prior else "data" if by_data else "neither"


def power_sensitivity(
    posterior: Posterior, n: int = 1000, seed: int = 0, share: float = ACTIVE_SHARE
) -> PowerSensitivity:
    """Compute the sensitivity of the regions' probabilities among draws of ``patches``.

    The likelihood is that which the posterior used, a power below 1 included
    (``PatchLikelihood.zeta``); where the head is unknown, of the data given how sources look in it.

    Parameters
    ----------
    posterior : of the model ``patches``. n : number of draws. seed : of them.
    share : of the energy that makes a region active, 0 to 1.

    Raises
    ------
    InputError : another family: its draws have no prior and likelihood apart.
    """
    if not isinstance(posterior, PatchPosterior):
        raise InputError(
            f"{type(posterior).__name__} keeps no prior and likelihood apart; use the model "
            "'patches', or start its chains from this posterior's draws"
        )
    summary = posterior.summarise(n, seed, share)
    active, known = summary.active.astype(float), summary.latents
    prior, of_prior = _change(known["log_prior"], active)
    likelihood, of_data = _change(posterior.problem.zeta * known["log_likelihood"], active)
    return PowerSensitivity(prior, likelihood, max(of_prior, of_data))


def _change(
    log_density: NDArray[np.float64], active: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """(P,) for a doubling of the power, and the larger Pareto k."""
    up, down = (ImportanceWeights((power - 1) * log_density) for power in (POWER, 1 / POWER))
    change = (up.normalised - down.normalised) @ active / (2 * np.log2(POWER))
    return np.asarray(change), max(up.pareto_k, down.pareto_k)
