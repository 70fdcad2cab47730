"""Combine several posteriors of one observation: their mixture, and how far they disagree.

With q(j | v) = mean_i q_i(j | v) the variance of a moment falls in two (law of total variance),

    var(j) = mean_i var_i(j) + var_i(E_i[j]),

what each member is unsure of itself (aleatoric), and what they differ by (epistemic;
Lakshminarayanan et al. 2017, arXiv:1612.01474, for networks that begin at different weights).
Members may be of different families, as long as they are of one observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesesi.errors import InputError
from bayesesi.posterior.base import Posterior
from bayesesi.spec.source import ACTIVE_SHARE


@dataclass(frozen=True, eq=False)
class EnsemblePosterior(Posterior):
    """Hold the mixture of the module; members count alike.

    Attributes
    ----------
    members : posteriors of one observation.
    """

    members: tuple[Posterior, ...]

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        which, seeds = self._chosen(n, seed)
        draws = np.empty((n, *self.obs.leadfield.shape[1:], self.obs.n_functions))
        for i, member in enumerate(self.members):
            own = np.flatnonzero(which == i)
            if len(own):
                draws[own] = member.sample(len(own), seeds[i])
        return draws

    def _chosen(self, n: int, seed: int) -> tuple[NDArray[np.int64], list[int]]:
        """(n,) member of each draw, as evenly as may be, and a seed a member."""
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        m = len(self.members)
        rng = np.random.default_rng(seed)
        which = np.concatenate([rng.permutation(m) for _ in range(-(-n // m))])[:n]
        seeds = np.random.SeedSequence(seed).generate_state(m)
        return which.astype(np.int64), [int(own) for own in seeds]

    def latents(self, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
        """List which ``member`` each draw of ``sample(n, seed)`` is of."""
        return {"member": self._chosen(n, seed)[0]}

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        return np.stack([member.mean() for member in self.members])

    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self._means.mean(axis=0))

    def aleatoric(self) -> NDArray[np.float64]:
        """Compute the root of the mean of the members' variances, (S[, 3], R) A m."""
        return np.sqrt(np.mean([member.sd() ** 2 for member in self.members], axis=0))

    def epistemic(self) -> NDArray[np.float64]:
        """Compute the standard deviation of the members' means, (S[, 3], R) A m."""
        return np.asarray(self._means.std(axis=0))

    def sd(self) -> NDArray[np.float64]:
        return np.hypot(self.aleatoric(), self.epistemic())

    def log_prob(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        each = [member.log_prob(draws) for member in self.members]
        return np.asarray(logsumexp(each, axis=0) - np.log(len(each)))

    def region_disagreement(
        self, n: int = 1000, seed: int = 0, share: float = ACTIVE_SHARE
    ) -> NDArray[np.float64]:
        """Compute the (P,) standard deviation between members of the probability of each region.

        Parameters
        ----------
        n : number of draws of each member. seed : of them.
        share : of the energy that makes a region active, 0 to 1.
        """
        each = [member.region_probability(n, seed, share) for member in self.members]
        return np.asarray(np.std(each, axis=0))

    @property
    def null_probability(self) -> float:
        return float(np.mean([member.null_probability for member in self.members]))

    @property
    def r_hat(self) -> float:
        return max(member.r_hat for member in self.members)

    @property
    def sample_efficiency(self) -> float:
        return min(member.sample_efficiency for member in self.members)

    @property
    def outside(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for member in self.members for name in member.outside))

    @property
    def caveat(self) -> str:
        return "; ".join(dict.fromkeys(m.caveat for m in self.members if m.caveat))

    def details(self) -> dict[str, Any]:
        return {"family": "ensemble", "members": [member.details() for member in self.members]}


def ensemble_posterior(members: Sequence[Posterior]) -> EnsemblePosterior:
    """Mix posteriors of one observation.

    Parameters
    ----------
    members : two or more.

    Raises
    ------
    InputError : fewer than two, or of different observations.
    """
    if len(members) < 2:
        raise InputError(f"an ensemble has two members or more, not {len(members)}")
    first = members[0].obs
    for other in members[1:]:
        alike = other.obs.leadfield.shape == first.leadfield.shape
        if not (alike and np.array_equal(other.obs.values, first.values)):
            raise InputError("members of an ensemble must be posteriors of the same observation")
    return EnsemblePosterior(first, tuple(members))
