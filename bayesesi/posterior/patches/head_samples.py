"""Heads drawn from a prior, and what sources look like in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.prior import HeadPrior


@dataclass(frozen=True, eq=False)
class HeadSamples:
    """Heads drawn from a prior, each with a cap of its own, and what atoms look like in them.

    Atoms are brought into the bank's source modes once: a head is then one small product.

    Attributes
    ----------
    draws : sites (H, ...) of the heads. electrodes : (H, n_eff, B), whitened. to_modes : (B, S).
    """

    draws: Mapping[str, NDArray[Any]]
    electrodes: NDArray[np.float32]
    to_modes: NDArray[np.float32]

    @classmethod
    def drawn(cls, obs: Observation, heads: HeadPrior, n: int, seed: int) -> HeadSamples:
        """Draw ``n`` of ``heads`` around the head of ``obs``, by ``seed``.

        Raises
        ------
        InputError : free sources, a forward from no bank, no head.
        """
        if obs.leadfield.ndim != 2:
            raise InputError(
                "random heads need sources along the cortical normal; use forward.fixed(), or "
                "heads=None for free ones"
            )
        banked = obs.forward.banked
        if banked is None:
            raise InputError(
                "the head of this forward cannot be varied, as it is not from the bank; assume it "
                "exact with heads=None, or use template_forward(info)"
            )
        if n < 1:
            raise InputError(f"at least one head, not {n}")
        block = ("validate", seed, 2)
        draws, rows = heads.whitened_rows(banked, obs.whitener.matrix, n, block)
        modes = np.asarray(banked.bank.cortex_modes(banked.ico), np.float32)
        return cls(draws, rows, modes)

    def modes(self, weights: sp.csr_array) -> NDArray[np.float32]:
        """Bring m sources, ``weights`` (m, S), into the bank's modes, (m, B)."""
        return np.asarray(weights @ self.to_modes.T, np.float32)

    def each(self, modes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute (H, m, n_eff): sources ``modes`` (V, m, B) in every head, kind after kind."""
        return np.stack([modes[h % len(modes)] @ e.T for h, e in enumerate(self.electrodes)])
