"""What a network sees that denoises a whole field of moments: the data in a few directions.

Of a window an event fills few directions of time. The data v~ (n, R) are turned to their own: T
(R, Q) holds the ``COURSES`` right singular vectors that show most; whitened noise is alike in every
direction, and which sources there are does not depend on how functions are turned. With unit
topographies a_s / |a_s| of the assumed, whitened lead field and the size of the data along each
course, s_q = .3 |v~ T_q| / sqrt(S), a field of moments J (S, R) is carried as

    x_sq = (J T)_sq |a_s| / s_q,     u_q = U' v~ T_q / s_q = A x_q + e,  e ~ N(0, nu_q I),
                                     nu_q = 1 / s_q²,

A (m, S) being what unit topographies show along the ``MOST`` directions U of the sensors in which
they show most (``operator.WhitenedOperator``); its rows are orthogonal. Fields are then about one
in size whatever the unit, the gain and the noise, and one network serves them all, for any R.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import template_source_space
from bayesesi.features.covariance_likelihood import COURSES
from bayesesi.features.scan import PreparedForward, TemporalGroups
from bayesesi.features.size_prior import SizePrior
from bayesesi.operator import WhitenedOperator

#: Of the size of the data: fields of events, most of them near 0, are then about one in size.
_SHARE = 0.3
#: Directions of the sensors that are kept.
MOST = 48
#: m: extents of the Gaussians by which fields are smoothed, and how far any reaches; the reach is
#: that of the patches that ship, whose distances are known already.
EXTENTS, _REACH, _ENDS = (0.005, 0.009, 0.016), 0.06, 3.0


@cache
def template_smoothing(level: int) -> tuple[sp.csr_array, ...]:
    """Make (S, S) means over Gaussian neighbourhoods along the cortex, one for each extent.

    Rows sum to 1.

    Parameters
    ----------
    level : of the template's cortex.
    """
    space = template_source_space(level)
    near = space.neighbourhood(_REACH)
    return tuple(_smoothed(near, space.areas, extent) for extent in EXTENTS)


def _smoothed(near: sp.csr_array, areas: NDArray[np.float64], extent: float) -> sp.csr_array:
    reach = near.tocoo()
    inside = reach.data <= _ENDS * extent
    row, column, apart = reach.row[inside], reach.col[inside], reach.data[inside]
    weight = np.exp(-0.5 * (apart / extent) ** 2) * areas[column]
    total = np.bincount(row, weight, near.shape[0])
    return sp.csr_array((weight / total[row], (row, column)), near.shape)


@dataclass(frozen=True, eq=False)
class FieldForward:
    """Hold what all observations of one forward and noise share.

    Attributes
    ----------
    scan : of single patches. operator : A (m, S), U' (m, n_eff) and the gain (S,), 1/(A m).
    power : (m,) squared lengths of the rows of A. smooth : (S, S) sparse, one an extent.
    left : share that each leaves of the variance of white noise, the mean over sources.
    """

    scan: PreparedForward
    operator: WhitenedOperator
    power: Tensor
    smooth: tuple[Tensor, ...]
    left: tuple[float, ...]

    @classmethod
    def of(cls, leadfield: NDArray[np.float64], level: int) -> FieldForward:
        """Prepare a whitened lead field.

        Parameters
        ----------
        leadfield : (n_eff, S), whitened, 1/(A m). level : of the template's cortex.
        """
        kernels, space = template_smoothing(level), template_source_space(level)
        operator = WhitenedOperator.of(leadfield).principal(MOST)
        power = operator.rows.square().sum(1)
        seen = np.concatenate([kernel @ leadfield.T for kernel in kernels])
        place = np.log(space.areas / space.areas.sum())
        return cls(
            PreparedForward.of(seen, leadfield, place, space.positions),
            operator.float(),
            power.clamp(min=1e-9).float(),
            tuple(_sparse(kernel) for kernel in kernels),
            tuple(float((kernel**2).sum(axis=1).mean()) for kernel in kernels),
        )

    @property
    def n_sources(self) -> int:
        return self.operator.n_sources

    def to(self, device: torch.device | str) -> FieldForward:
        """Move all to a ``device``."""
        return replace(
            self,
            scan=self.scan.to(device),
            operator=self.operator.copied_to(device),
            power=self.power.to(device),
            smooth=tuple(kernel.to(device) for kernel in self.smooth),
        )

    def smoothed(self, x: Tensor, extent: int) -> Tensor:
        """Smooth a field over neighbours, (S, B, Q).

        Parameters
        ----------
        x : (S, B, Q). extent : its index.
        """
        return (self.smooth[extent] @ x.flatten(1)).unflatten(1, x.shape[1:])

    def scene(
        self, values: Tensor, window: TemporalGroups, log_scale: Tensor | None = None
    ) -> FieldInputs:
        """Make a network's inputs.

        Parameters
        ----------
        values : (B, n_eff, R), whitened. window : groups of time functions.
        log_scale : (B,) log of the factor that the lead field of each case is divided by.
        """
        seen = self.scan.scene(values, window, SizePrior.unknown(), log_scale=log_scale)
        gram = (values.transpose(1, 2) @ values).double()
        turn = torch.linalg.eigh(gram)[1].flip(2)[:, :, :COURSES].float()
        own = values @ turn
        size = (own.square().sum(1) / self.n_sources).sqrt()
        size = _SHARE * size.clamp(min=1e-6)
        return FieldInputs(
            self.operator.turned(own) / size, size, turn, seen.features, seen.context
        )

    def moments(self, x: Tensor, scene: FieldInputs) -> Tensor:
        """Convert x to (S, B, R) A m, of observations whose leadfield is this one.

        Parameters
        ----------
        x : (S, B, Q), no unit. scene : of the B observations.
        """
        along = self.operator.moments(x * scene.size)
        return torch.einsum("sbq,brq->sbr", along, scene.turn)

    def standardised(self, moments: Tensor, scene: FieldInputs) -> Tensor:
        """Convert moments to x, (S, B, Q).

        Parameters
        ----------
        moments : (S, B, R) A m. scene : of the B observations.
        """
        along = torch.einsum("sbr,brq->sbq", moments, scene.turn)
        return self.operator.standardised(along) / scene.size


@dataclass(frozen=True, eq=False)
class FieldInputs:
    """Hold B observations as a network sees them.

    Attributes
    ----------
    values : (m, B, Q) u. size : (B, Q) s. turn : (B, R, Q) T. features : (B, S, F), context :
        (B, C): see ``features.scan``.
    """

    values: Tensor
    size: Tensor
    turn: Tensor
    features: Tensor
    context: Tensor

    @property
    def noise(self) -> Tensor:
        """(B, Q) nu."""
        return self.size**-2

    @property
    def share(self) -> Tensor:
        """(B, Q) of the size of the data, over the courses that are kept."""
        return self.size / self.size.norm(dim=1, keepdim=True)

    def __len__(self) -> int:
        return len(self.size)

    def to(self, device: torch.device | str) -> FieldInputs:
        """Move all to a ``device``."""
        return FieldInputs(*(getattr(self, f.name).to(device) for f in fields(self)))

    def pick(self, rows: Tensor | slice) -> FieldInputs:
        """Pick the observations in ``rows``, indices (k,) or a slice."""
        rest = (getattr(self, f.name)[rows] for f in fields(self)[1:])
        return FieldInputs(self.values[:, rows], *rest)

    def scaled(self, factor: Tensor) -> FieldInputs:
        """Divide the lead field of each case by a ``factor`` (B,)."""
        return replace(self, size=self.size * factor[:, None])

    def flat(self) -> Tensor:
        """Lay all side by side, (B, d), as sbi takes a condition."""
        rest = (getattr(self, f.name) for f in fields(self)[1:])
        return torch.cat([part.flatten(1) for part in (self.values.movedim(1, 0), *rest)], dim=1)

    @classmethod
    def of_flat(cls, flat: Tensor, like: FieldInputs) -> FieldInputs:
        """Invert ``flat``.

        Parameters
        ----------
        flat : (B, d). like : another scene, whose shapes are taken.
        """
        shapes = [like.values.movedim(1, 0).shape[1:]]
        shapes += [getattr(like, f.name).shape[1:] for f in fields(like)[1:]]
        parts = flat.split([shape.numel() for shape in shapes], dim=1)
        values, *rest = (
            part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)
        )
        return cls(values.movedim(0, 1), *rest)


def _single(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _sparse(kernel: sp.csr_array) -> Tensor:
    import warnings

    with warnings.catch_warnings():  # that sparse tensors are new
        warnings.simplefilter("ignore")
        return torch.sparse_csr_tensor(
            torch.from_numpy(kernel.indptr.astype(np.int64)),
            torch.from_numpy(kernel.indices.astype(np.int64)),
            _single(kernel.data),
            kernel.shape,
        )
