"""Sources that are given already, and what of the data they explain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesesi.features.temporal_groups import TemporalGroups


@dataclass(frozen=True, eq=False)
class PlacedSources:
    """Sources that are given already, the same number of slots for every case.

    Attributes
    ----------
    atom : (B, J) number of each, extent by extent. used : (B, J), used ones first.
    """

    atom: Tensor
    used: Tensor

    @classmethod
    def none(cls, n: int, device: torch.device | str = "cpu") -> PlacedSources:
        """Give ``n`` cases no source, on a ``device``."""
        empty = torch.zeros(n, 0, dtype=torch.long, device=device)
        return cls(empty, empty.bool())

    def __len__(self) -> int:
        return len(self.atom)

    def __getitem__(self, rows: slice) -> PlacedSources:
        return PlacedSources(self.atom[rows], self.used[rows])

    @property
    def count(self) -> Tensor:
        """(B,)"""
        return self.used.sum(1)


@dataclass(frozen=True, eq=False)
class Span:
    """What the sources that are given explain.

    Attributes
    ----------
    basis : (B, J, n_eff) orthonormal rows b_j, 0 where no source is. weight : (B, J, G) w.
    values : (B, n_eff, R) data without it. energy : (B, G) v' A^-1 v kappa. kappa : (B, G).
    """

    basis: Tensor
    weight: Tensor
    values: Tensor
    energy: Tensor
    kappa: Tensor

    @classmethod
    def of(
        cls,
        unit: Tensor,
        values: Tensor,
        window: TemporalGroups,
        prefix: PlacedSources,
        discrepancy: float,
    ) -> Span:
        """Compute what the given sources explain.

        Parameters
        ----------
        unit : (A, n_eff) topographies of all atoms, of length 1.
        values : (B, n_eff, R) turned data.
        window : of the data.
        prefix : of B cases.
        discrepancy : delta of ``features.scan``, a ratio of powers.
        """
        energy = window.sums(values.square().sum(1))
        ones = energy.new_ones(energy.shape)
        if not prefix.atom.shape[1]:
            basis = values.new_zeros(len(values), 0, values.shape[1])
            weight = values.new_zeros(len(values), 0, window.n_groups)
            return cls(basis, weight, values, energy, ones)
        basis = _orthonormal(unit[prefix.atom], prefix.used)
        along = basis @ values  # (B, J, R)
        rho = window.share[window.group]
        excess = ((along.square() / rho).mean(2) - 1).clamp(min=0.0)[..., None]  # (B, J, 1)
        kappa = 1 + excess.sum(1) * window.share * discrepancy / values.shape[1]
        grown = excess * window.share
        weight = grown / (kappa[:, None] + grown)
        shrunk = weight[..., window.group] * along
        left = energy - window.sums((shrunk * along).sum(1))
        return cls(basis, weight, values - basis.transpose(1, 2) @ shrunk, left, kappa)

    def left(self, unit: Tensor) -> Tensor:
        """Compute (B, G, E, N), or (1, 1, 1, 1) of none: share of each gain off the span.

        Parameters
        ----------
        unit : (E, N, n_eff) topographies of length 1.
        """
        if not self.basis.shape[1]:
            return unit.new_ones(1, 1, 1, 1)
        across = torch.einsum("enc,bjc->benj", unit, self.basis).square_()
        return (1 - across @ self.weight[:, None]).clamp_(min=1e-4).movedim(3, 1).contiguous()


def _orthonormal(rows: Tensor, used: Tensor) -> Tensor:
    """(B, J, n) by Gram and Schmidt, rows that are not used 0."""
    basis: list[Tensor] = []
    for j in range(rows.shape[1]):
        row = rows[:, j]
        for other in basis:
            row = row - (row * other).sum(1, keepdim=True) * other
        row = row / row.norm(dim=1, keepdim=True).clamp(min=1e-6)
        basis.append(row * used[:, j, None])
    return torch.stack(basis, dim=1)
