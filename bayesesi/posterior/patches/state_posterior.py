"""What draws of states say: amplitudes in closed form, moments on the cortex."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.patches.field import chunks, fields, source_rows, source_weights
from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.states import Amplitudes, PatchStates, log_prior


@dataclass(frozen=True, eq=False)
class StatePosterior(Posterior):
    """A posterior over which sources there are, given as draws; amplitudes follow from each.

    Attributes
    ----------
    problem : what is weighed. states : D draws of (head, sources), alike in weight.
    """

    problem: PatchLikelihood
    states: PatchStates

    @cached_property
    def amplitudes(self) -> Amplitudes:
        """Of each state."""
        return Amplitudes(self.problem, self.states)

    def centre_probability(self) -> NDArray[np.float64]:
        """Count (S,) the expected number of sources with their centre at each."""
        centres = self.problem.atoms.centres[self.states.centre[self.states.used]]
        count = np.bincount(centres, minlength=self.obs.source_space.n_sources)
        return np.asarray(count / len(self.states))

    def explained(self) -> NDArray[np.float64]:
        return self.amplitudes.explained()

    def mean(self) -> NDArray[np.float64]:
        """Average the means given each state."""
        amplitude, rows = self.amplitudes.mean(), source_rows(self.problem, self.states)
        flat = amplitude.reshape(rows.shape[0], -1) / np.sqrt(self.problem.n_axes)
        return self._shaped(np.asarray(rows.T @ flat) / len(self.states))

    def sd(self) -> NDArray[np.float64]:
        """Add the variance of means over states to that given each state, and take the root."""
        first, second = self.mean(), np.zeros(0)
        for rows in chunks(len(self.states)):
            law = Amplitudes(self.problem, self.states[rows])
            means = fields(self.problem, law.states, law.mean())
            part = np.square(means).sum(axis=0) + self._spread(law)
            second = part if not second.size else second + part
        return np.sqrt(np.maximum(second / len(self.states) - first**2, 0.0))

    def _spread(self, law: Amplitudes) -> NDArray[np.float64]:
        """(S[, 3], R) A² m²: variance of moments given each state, summed over states."""
        n, k = law.states.used.shape
        d = self.problem.n_axes
        blocks = law.variance().reshape(n, k, d, k, d, -1)
        same_axis = np.einsum("nkiliR->nkliR", blocks).reshape(n, k * k, -1) / d
        weights = source_weights(self.problem, law.states)
        pairs = (weights[:, :, None] * weights[:, None]).reshape(n, k * k, -1)
        return self._shaped(np.tensordot(pairs, same_axis, axes=((0, 1), (0, 1))))

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        states, amplitude = self.draw(n, seed)
        parts = [fields(self.problem, states[r], amplitude[r]) for r in chunks(n)]
        return np.concatenate(parts)

    def draw_states(self, n: int, seed: int = 0) -> PatchStates:
        """Draw ``n`` of the states by ``seed``, each once before any comes again.

        Raises
        ------
        InputError : no draw.
        """
        if n < 1:
            raise InputError(f"draw at least once, not {n} times")
        rng, times = np.random.default_rng(seed), -(-n // len(self.states))
        order = np.concatenate([rng.permutation(len(self.states)) for _ in range(times)])
        return self.states[order[:n]]

    def draw(self, n: int, seed: int = 0) -> tuple[PatchStates, NDArray[np.float64]]:
        """Draw ``n`` states and their (n, K, d, R) amplitudes in A m, by ``seed``."""
        states, rng = self.draw_states(n, seed), np.random.default_rng([seed, 1])
        parts = [Amplitudes(self.problem, states[rows]).draw(rng) for rows in chunks(n)]
        return states, np.concatenate(parts)

    def latents(self, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Describe ``n`` draws of ``seed``: number of sources, log densities, which head."""
        states = self.draw_states(n, seed)
        parts = [Amplitudes(self.problem, states[r]).log_likelihood for r in chunks(n)]
        known = {
            "count": states.count,
            "log_prior": log_prior(self.problem, states),
            "log_likelihood": np.concatenate(parts),
        }
        return known | {"head": states.head} if self.problem.heads else known

    def _shaped(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, d R) to (S, R) or (S, 3, R)."""
        return flat if self.problem.n_axes == 1 else flat.reshape(len(flat), 3, -1)
