"""At most one source, exactly: every head, centre, extent and size is weighed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from bayesesi.noise import NOISE_DOF
from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import PatchStates


@dataclass(frozen=True, eq=False)
class Enumeration:
    """p(state | v~, at most one source).

    Attributes
    ----------
    problem : what is weighed.
    log_likelihood : (H, E, N, M), up to the constant that all states share.
    """

    problem: PatchLikelihood
    log_likelihood: NDArray[np.float64]

    @classmethod
    def of(cls, scan: Scan) -> Enumeration:
        """Enumerate what ``scan`` weighs."""
        return cls(scan.problem, scan.alone())

    @cached_property
    def _log_each(self) -> NDArray[np.float64]:
        """(H, E, N, M) likelihood times prior of a state of one source, given that there is one."""
        place = self.problem.atoms.log_place[:, None] + self.problem.log_size
        head = self.problem.log_head[:, None, None, None]
        prior = head + place - np.log(self.problem.atoms.n_extents)
        return self.problem.zeta * self.log_likelihood + prior

    @cached_property
    def log_evidences(self) -> NDArray[np.float64]:
        """(2,) log p(v~ | K), nats, for no source and for one."""
        n = self.problem.n_numbers
        constant = (
            gammaln((NOISE_DOF + n) / 2)
            - gammaln(NOISE_DOF / 2)
            - 0.5 * n * np.log(np.pi)
            + 0.5 * NOISE_DOF * np.log(NOISE_DOF)
        )
        zeta = self.problem.zeta
        return np.array([zeta * self.log_nothing, logsumexp(self._log_each)]) + zeta * constant

    @cached_property
    def count_probability(self) -> NDArray[np.float64]:
        """(2,) of no source and of one, if there is no more than one."""
        joint = self.log_evidences + self.problem.log_count[:2]
        return np.asarray(np.exp(joint - logsumexp(joint)))

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """(H, E, N, M) of each state of one source; with that of none they sum to 1."""
        of_one = np.exp(self._log_each - logsumexp(self._log_each))
        return np.asarray(self.count_probability[1] * of_one)

    @property
    def log_nothing(self) -> float:
        """Log-likelihood of no source, up to the same constant."""
        return -0.5 * (NOISE_DOF + self.problem.n_numbers) * float(np.log(self.problem.power))

    def draw(
        self, n: int, rng: np.random.Generator, n_sources: int | None = None
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        """Draw ``n`` states and log-likelihoods by ``rng``; of ``n_sources`` 0 or 1 if given."""
        flat = self.probability.ravel()
        chosen = rng.choice(len(flat), n, p=flat / flat.sum())
        head, extent, centre, size = np.unravel_index(chosen, self.probability.shape)
        present = rng.random(n) < (self.count_probability[1] if n_sources is None else n_sources)
        n_seen = 0 if self.problem.spread is None else len(self.problem.turned)
        states = replace(PatchStates.empty(n, self.problem.n_slots, n_seen), head=head)
        states.used[:, 0] = present
        states.centre[:, 0], states.extent[:, 0], states.size[:, 0] = centre, extent, size
        likelihood = self.log_likelihood[head, extent, centre, size]
        return states, np.where(present, likelihood, self.log_nothing)
