"""Does an answer come from the data or from the prior: each raised to a power, and what changes.

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

from bayesesi.anatomy import ACTIVE_SHARE
from bayesesi.errors import InputError
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.patches.field import chunks
from bayesesi.posterior.patches.state_posterior import StatePosterior
from bayesesi.posterior.patches.states import Amplitudes, log_prior
from bayesesi.posterior.refine import ImportanceWeights

POWER = 1.25
#: A change of a probability, for a doubling of the power, that is worth a word.
NOTABLE = 0.1


@dataclass(frozen=True, eq=False)
class PowerSensitivity:
    """Of P regions, and of whether anything is active.

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
        """What the probabilities of regions move with."""
        moved = [float(np.abs(each).max()) >= NOTABLE for each in (self.prior, self.likelihood)]
        return {
            (False, True): "data",
            (True, False): "prior",
            (True, True): "both",
            (False, False): "neither",
        }[moved[0], moved[1]]  # type: ignore[return-value]


def power_sensitivity(
    posterior: Posterior, n: int = 1000, seed: int = 0, share: float = ACTIVE_SHARE
) -> PowerSensitivity:
    """Of the regions' probabilities among n draws of states of patches.

    Raises
    ------
    InputError : a family whose draws have no prior density and likelihood apart.
    """
    if not isinstance(posterior, StatePosterior):
        raise InputError(
            f"{type(posterior).__name__} keeps no prior and likelihood apart; use the model "
            "'patches', or start its chains from this posterior's draws"
        )
    states, problem = posterior.draw_states(n, seed), posterior.problem
    prior = log_prior(problem, states)
    likelihood = np.concatenate(
        [Amplitudes(problem, states[rows]).log_likelihood for rows in chunks(n)]
    )
    active = _active(posterior, n, seed, share)
    changes, worst = [], 0.0
    for log_density in (prior, likelihood):
        ends = []
        for power in (POWER, 1 / POWER):
            weights = ImportanceWeights((power - 1) * (log_density - log_density.max()))
            ends.append(weights.normalised @ active)
            worst = max(worst, weights.pareto_k)
        changes.append((ends[0] - ends[1]) / (2 * np.log2(POWER)))
    return PowerSensitivity(changes[0], changes[1], worst)


def _active(posterior: StatePosterior, n: int, seed: int, share: float) -> NDArray[np.float64]:
    """(n, P) of the draws of ``sample(n, seed)``, so that they are of the same states."""
    from bayesesi.anatomy import active_regions, region_energy

    energy = posterior.energy(posterior.sample(n, seed))
    return active_regions(region_energy(energy, posterior.parcellation), share).astype(float)
