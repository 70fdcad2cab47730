"""The activity of parcels, given the data: a Gaussian in closed form, see ``features.parcels``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesesi.estimator.field import SourceGaussian
from bayesesi.features.field import FieldInputs
from bayesesi.features.parcels import ParcelForward


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
    belief: SourceGaussian, scene: FieldInputs, forward: ParcelForward, floor: float
) -> ParcelGaussian:
    """Compute the Gaussian of B x + floor N(0, I); see the module.

    In double precision where differences are small. ``belief`` is of the sources, ``scene`` and
    ``forward`` are inputs, ``floor`` has the unit of x, none.
    """
    operator, d = forward.field.operator, belief.variance.permute(1, 2, 0)
    with torch.autocast(d.device.type, enabled=False):
        lower = operator.factor(belief.inflation * scene.noise, belief.variance)
        each = operator.rows * (d * forward.weight)[:, :, None]
        both = each.new_zeros(*each.shape[:3], forward.n_parcels)
        both.index_add_(3, forward.label, each)  # A d B'
        own = d.new_zeros(*d.shape[:2], forward.n_parcels)
        own.index_add_(2, forward.label, d * forward.weight**2)
        seen = torch.linalg.solve_triangular(lower, both, upper=False).double()
        covariance = torch.diag_embed(own.double() + floor**2) - seen.transpose(2, 3) @ seen
        left = (scene.values - operator.A(belief.mean)).permute(1, 2, 0)[..., None]
        gain = torch.cholesky_solve(both, lower)
        mean = forward.sums(belief.mean).permute(1, 2, 0) + (gain.transpose(2, 3) @ left)[..., 0]
        return ParcelGaussian(mean, torch.linalg.cholesky(covariance), gain)


def lifted(
    x: Tensor,
    y: Tensor,
    belief: SourceGaussian,
    gaussian: ParcelGaussian,
    forward: ParcelForward,
) -> Tensor:
    """Move fields ``x`` (S, n, Q), drawn for one observation, to parcels ``y`` (P, n, Q).

    x + cov(x, B x) C^-1 (y - B x): for x a draw of p(x | u), y one of p(y | u) less one of floor
    N(0, I), C the covariance of y, it is one of p(x | u, y). ``belief`` is of the sources,
    ``gaussian`` of the parcels of ``forward``.
    """
    d = belief.variance[:, 0]  # (S, Q)
    apart = (y - forward.sums(x)).movedim(2, 0).double()  # (Q, P, n)
    weight = torch.cholesky_solve(apart, gaussian.lower[0])  # (Q, P, n)
    up = forward.spreads(weight.float().permute(1, 2, 0)) * d[:, None]
    seen = (gaussian.gain[0].double() @ weight).float()  # (Q, m, n)
    back = torch.einsum("ms,qmn->snq", forward.field.operator.rows, seen)
    return x + up - d[:, None] * back
