"""Functions of time by their variance: those that differ little are one group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Functions of time whose variances differ by less than this factor are one group; and how many
#: groups there are at most.
_ALIKE, _MOST_GROUPS = 1.5, 2


@dataclass(frozen=True, eq=False)
class TemporalGroups:
    """What of a time basis matters: its functions, turned until they are independent.

    Attributes
    ----------
    turn : (R, R) orthonormal. group : (R,) which group each turned function belongs to.
    share : (G,) rho, variances of a moment of white course over ``variance``, their mean q.
    """

    turn: Tensor
    group: Tensor
    share: Tensor
    variance: float

    @classmethod
    def of(
        cls, projector: NDArray[np.float64], device: torch.device | str = "cpu"
    ) -> TemporalGroups:
        """Group the functions of a time basis.

        Parameters
        ----------
        projector : (T, R) of the time basis.
        device : of the tensors.
        """
        q, turn = np.linalg.eigh(projector.T @ projector)
        q = np.maximum(q, 1e-6 * q[-1])
        span = np.log(q[-1] / q[0])
        n = int(np.clip(np.ceil(span / np.log(_ALIKE)), 1, min(_MOST_GROUPS, len(q))))
        level = np.log(q / q[0]) / max(span, 1e-12) * n
        group = np.unique(np.minimum(level.astype(int), n - 1), return_inverse=True)[1]
        mean = np.array([q[group == g].mean() for g in range(group.max() + 1)])
        return cls(
            torch.tensor(turn, dtype=torch.float32, device=device),
            torch.tensor(group, device=device),
            torch.tensor(mean / q.mean(), dtype=torch.float32, device=device),
            float(q.mean()),
        )

    @property
    def n_groups(self) -> int:
        """G."""
        return len(self.share)

    @property
    def counts(self) -> Tensor:
        """(G,) functions in each group."""
        return torch.bincount(self.group, minlength=self.n_groups).to(self.share)

    def sums(self, values: Tensor) -> Tensor:
        """Add (..., R) ``values`` of functions up by group, to (..., G)."""
        if self.n_groups == 1:
            return values.sum(-1, keepdim=True)
        total = values.new_zeros(*values.shape[:-1], self.n_groups)
        return total.index_add_(-1, self.group, values)
