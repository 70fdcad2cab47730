"""The activity of parcels of cortex: which numbers they are, and a Gaussian for them.

A parcel's activity is the sum of its moments along one way, y_p = sum_s f_s j_s with f_s = +1 or -1
(``anatomy.template_parcels``). In the coordinates of ``features.field``, course by course,

    y_pq = s_q g_p (B x)_pq,   B_ps = f_s / (|a_s| g_p) for s in p, else 0,   g_p² = sum_s |a_s|^-2,

rows of B of unit length. For x ~ N(m, diag d) before the data, u = A x + e, e ~ N(0, kappa nu I),

    E[B x | u] = B m + B d A' G^-1 (u - A m),          G = A d A' + kappa nu I,
    cov[B x | u] = diag(sum_s B_ps² d_s) - B d A' G^-1 A d B'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesesi.anatomy import Parcels
from bayesesi.features.field import FieldForward, FieldInputs


@dataclass(frozen=True, eq=False)
class ParcelForward:
    """Hold what all observations of one forward and noise share.

    Attributes
    ----------
    field : of all sources. label : (S,) parcel of each, 0 outside. weight : (S,) the number of each
        source in its row of B, 0 outside. size : (P,) g, A m.
    """

    field: FieldForward
    label: Tensor
    weight: Tensor
    size: Tensor

    @classmethod
    def on(cls, field: FieldForward, parcels: Parcels) -> ParcelForward:
        """Lay parcels over the sources of a ``field``, on its device.

        Parameters
        ----------
        parcels : P of them, on the same sources.
        """
        gain = field.operator.gain
        label = torch.from_numpy(np.maximum(parcels.labels, 0)).to(gain.device)
        sign = torch.from_numpy(np.where(parcels.labels >= 0, parcels.signs, 0)).float()
        plain = sign.to(gain.device) / gain
        size = plain.new_zeros(len(parcels)).index_add_(0, label, plain.square()).sqrt()
        return cls(field, label, plain / size[label], size)

    @property
    def n_parcels(self) -> int:
        return len(self.size)

    def sums(self, x: Tensor) -> Tensor:
        """Compute B x: (S, ...) to (P, ...).

        Parameters
        ----------
        x : (S, ...).
        """
        weight = self.weight.view(-1, *[1] * (x.ndim - 1))
        return x.new_zeros(self.n_parcels, *x.shape[1:]).index_add_(0, self.label, weight * x)

    def spreads(self, y: Tensor) -> Tensor:
        """Compute B' y: (P, ...) to (S, ...).

        Parameters
        ----------
        y : (P, ...).
        """
        return self.weight.view(-1, *[1] * (y.ndim - 1)) * y[self.label]

    def moments(self, y: Tensor, scene: FieldInputs) -> Tensor:
        """Convert activity to (P, B, R) A m.

        Parameters
        ----------
        y : (P, B, Q), no unit. scene : of the B observations.
        """
        return torch.einsum("pbq,brq->pbr", y * scene.size * self.size[:, None, None], scene.turn)
