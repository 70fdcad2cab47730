"""The activity of parcels of cortex: which numbers they are, and a Gaussian for them.

A parcel's activity is the sum of its moments along one way, y_p = sum_s f_s j_s with f_s = +1 or -1
(``anatomy.template_parcels``). In the coordinates of ``field_view``, course by course,

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
from bayesesi.network.field_denoiser import Belief, seen_factor
from bayesesi.network.field_view import FieldForward, FieldScene


@dataclass(frozen=True, eq=False)
class ParcelForward:
    """What all observations of one forward and noise share.

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
        """On the device of the field."""
        device = field.gain.device
        label = torch.from_numpy(np.maximum(parcels.labels, 0)).to(device)
        sign = torch.from_numpy(np.where(parcels.labels >= 0, parcels.signs, 0)).float()
        plain = sign.to(device) / field.gain
        size = plain.new_zeros(len(parcels)).index_add_(0, label, plain.square()).sqrt()
        return cls(field, label, plain / size[label], size)

    @property
    def n_parcels(self) -> int:
        return len(self.size)

    def sums(self, x: Tensor) -> Tensor:
        """B x: (S, ...) to (P, ...)."""
        weight = self.weight.view(-1, *[1] * (x.ndim - 1))
        return x.new_zeros(self.n_parcels, *x.shape[1:]).index_add_(0, self.label, weight * x)

    def spreads(self, y: Tensor) -> Tensor:
        """B' y: (P, ...) to (S, ...)."""
        return self.weight.view(-1, *[1] * (y.ndim - 1)) * y[self.label]

    def moments(self, y: Tensor, scene: FieldScene) -> Tensor:
        """(P, B, R) A m of (P, B, Q)."""
        return torch.einsum("pbq,brq->pbr", y * scene.size * self.size[:, None, None], scene.turn)


@dataclass(frozen=True, eq=False)
class ParcelGaussian:
    """Of B observations, Q courses each.

    Attributes
    ----------
    mean : (B, Q, P). lower : (B, Q, P, P) of the covariance, lower @ lower'. gain : (B, Q, m, P)
        G^-1 A d B'.
    """

    mean: Tensor
    lower: Tensor
    gain: Tensor


def parcel_gaussian(
    belief: Belief, scene: FieldScene, forward: ParcelForward, floor: float
) -> ParcelGaussian:
    """Of B x + floor N(0, I); see the module. In double precision where differences are small."""
    field, d = forward.field, belief.variance.permute(1, 2, 0)
    with torch.autocast(d.device.type, enabled=False):
        lower = seen_factor(belief.variance, belief.inflation * scene.noise, field)
        each = field.rows * (d * forward.weight)[:, :, None]
        both = each.new_zeros(*each.shape[:3], forward.n_parcels)
        both.index_add_(3, forward.label, each)  # A d B'
        own = d.new_zeros(*d.shape[:2], forward.n_parcels)
        own.index_add_(2, forward.label, d * forward.weight**2)
        seen = torch.linalg.solve_triangular(lower, both, upper=False).double()
        covariance = torch.diag_embed(own.double() + floor**2) - seen.transpose(2, 3) @ seen
        left = (scene.values - field.sees(belief.mean)).permute(1, 2, 0)[..., None]
        gain = torch.cholesky_solve(both, lower)
        mean = forward.sums(belief.mean).permute(1, 2, 0) + (gain.transpose(2, 3) @ left)[..., 0]
        return ParcelGaussian(mean, torch.linalg.cholesky(covariance), gain)


def lifted(
    x: Tensor,
    y: Tensor,
    belief: Belief,
    gaussian: ParcelGaussian,
    forward: ParcelForward,
) -> Tensor:
    """(S, n, Q): fields x (S, n, Q), drawn for one observation, moved to parcels y (P, n, Q).

    x + cov(x, B x) C^-1 (y - B x): for x a draw of p(x | u), y one of p(y | u) less one of
    floor N(0, I), C the covariance of y, it is one of p(x | u, y).
    """
    d = belief.variance[:, 0]  # (S, Q)
    apart = (y - forward.sums(x)).movedim(2, 0).double()  # (Q, P, n)
    weight = torch.cholesky_solve(apart, gaussian.lower[0])  # (Q, P, n)
    up = forward.spreads(weight.float().permute(1, 2, 0)) * d[:, None]
    seen = (gaussian.gain[0].double() @ weight).float()  # (Q, m, n)
    back = torch.einsum("ms,qmn->snq", forward.field.rows, seen)
    return x + up - d[:, None] * back
