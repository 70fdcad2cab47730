"""How topographies differ from those in the nearest head drawn: a Gaussian for each source.

A source in the true head looks like it does in one of H heads, and a little different:

    g = m + |m| d,    d ~ N(0, Q' diag(mu - rho) Q + rho I)

m its topography in that head; Q holds the directions in which d varies most and rho is the variance
in every other (probabilistic principal components; Tipping & Bishop 1999,
doi:10.1111/1467-9868.00196). d is learned from further draws of heads and of shapes, each against
the one of the H heads that it is most like, scaled to its size along it: heads differ in size, too,
but amplitudes have the same freedom. Of two sources in one event d is taken as independent.

H heads alone cannot do this at high SNR: electrodes and tissues move topographies in dozens of
directions, so that none of a few dozen heads is near the true one, and chains explain the misfit by
sources that are not there. One Gaussian alone cannot either: heads differ too much to be linear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Directions of most variance.
N_DIRECTIONS = 24
#: Power of d that is spread over all directions alike, besides. Heads are no Gaussians: where most
#: hardly differ a few differ much, and without this the posterior is sure of the wrong place.
#: Chosen on simulated heads that no report uses.
DISCREPANCY = 0.25
#: By which data are held to say a little even of what they say nothing of, against rounding.
ROUNDING = 1e-4
#: A draw that is less alike to every head than this is scaled no further.
_LEAST_LIKENESS = 0.3


@dataclass(frozen=True, eq=False)
class HeadSpread:
    """Spreads of every atom, single precision.

    Attributes
    ----------
    source : (E,) which of the F spreads an extent has.
    directions : (F, N, m, n_eff) orthonormal rows Q.
    variance : (F, N, m) mu; rest : (F, N) rho.
    """

    source: NDArray[np.int64]
    directions: NDArray[np.float32]
    variance: NDArray[np.float32]
    rest: NDArray[np.float32]

    def law(
        self,
        extent: NDArray[np.int64],
        centre: NDArray[np.int64],
        seen: NDArray[np.floating],
        mean: NDArray[np.float64] | None = None,
    ) -> TopographyLaw:
        """Of (D,) atoms that a head shows as ``seen`` (D, n_eff); about other means if given."""
        kind = self.source[extent]
        power = (seen.astype(float) ** 2).sum(axis=-1)
        variance, rest = self.variance[kind, centre], self.rest[kind, centre]
        return TopographyLaw(
            seen.astype(float) if mean is None else mean,
            self.directions[kind, centre],
            variance * power[:, None],
            rest * power,
            np.zeros((len(seen), 0, seen.shape[1])),
        )


@dataclass(frozen=True, eq=False)
class TopographyLaw:
    """N(mean, cov) of each of (D,) topographies.

    cov^-1 = (Q' diag(variance - rest) Q + rest I)^-1 - B'B, with B (D, J, n_eff) ``blind``.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float32]
    variance: NDArray[np.float64]
    rest: NDArray[np.float64]
    blind: NDArray[np.float64]

    def shrunk(
        self, eps: NDArray[np.float64], unseen: NDArray[np.float64] | None = None
    ) -> TopographyLaw:
        """The same mean; what spread data of variance eps leave, less in ``unseen`` directions."""
        blind = self.blind if unseen is None else unseen / np.sqrt(eps)[:, None, None]
        return replace(
            self,
            variance=self.variance / (1 + self.variance / eps[:, None]),
            rest=self.rest / (1 + self.rest / eps),
            blind=blind,
        )

    def given(self, seen: NDArray[np.float64], eps: NDArray[np.float64]) -> TopographyLaw:
        """After a topography was seen with noise of variance eps in every direction."""
        off = seen - self.mean
        base = (self.rest / (self.rest + eps))[:, None]
        more = self.variance / (self.variance + eps[:, None]) - base
        mean = self.mean + base * off + self._back(more * self._along(off))
        return replace(self.shrunk(eps), mean=mean)

    @cached_property
    def _widening(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D, J, n) B C and (D, J, J) I - B C B', C the covariance without B."""
        along = np.einsum("dmn,djn->djm", self.directions, self.blind, optimize=True)
        more = (self.variance - self.rest[:, None])[:, None] * along
        spread = self.rest[:, None, None] * self.blind
        spread = spread + np.einsum("dmn,djm->djn", self.directions, more, optimize=True)
        left = np.eye(self.blind.shape[1]) * (1 + ROUNDING) - spread @ np.swapaxes(self.blind, 1, 2)
        return spread, left

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(D, n_eff)."""
        white = rng.standard_normal(self.mean.shape)
        base = np.sqrt(self.rest)[:, None]
        more = (np.sqrt(self.variance) - base) * self._along(white)
        spread, left = self._widening
        z = rng.standard_normal((*self.blind.shape[:2], 1))
        root = np.linalg.cholesky(np.linalg.inv(left))
        wide = (np.swapaxes(spread, 1, 2) @ (root @ z))[..., 0]
        return np.asarray(self.mean + base * white + self._back(more) + wide)

    def log_density(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D,)"""
        off = seen - self.mean
        along = self._along(off)
        n, m = off.shape[-1], along.shape[-1]
        across = np.maximum((off**2).sum(-1) - (along**2).sum(-1), 0.0)
        unseen = ((self.blind @ off[..., None])[..., 0] ** 2).sum(-1)
        quadratic = across / self.rest + (along**2 / self.variance).sum(-1) - unseen
        log_det = np.log(self.variance).sum(-1) + (n - m) * np.log(self.rest)
        log_det = log_det - np.linalg.slogdet(self._widening[1])[1]
        return np.asarray(-0.5 * (quadratic + log_det + n * np.log(2 * np.pi)))

    def line(
        self, start: NDArray[np.float64], step: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D,) where on start + t step the density is largest, and its precision in t."""
        forth, off = self._weighed(step), start - self.mean
        precision = (forth * step).sum(-1)
        return -(forth * off).sum(-1) / precision, precision

    def _weighed(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """cov^-1 without B times (D, n) vectors."""
        more = (1 / self.variance - 1 / self.rest[:, None]) * self._along(vectors)
        return vectors / self.rest[:, None] + self._back(more)

    def _along(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("dmn,dn->dm", self.directions, vectors, optimize=True)

    def _back(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("dmn,dm->dn", self.directions, along, optimize=True)


def spread_of(
    seen: NDArray[np.float32], heads: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Directions (N, m, n), variances (N, m) and rest (N,) of (J, N, n) draws about (H, N, n).

    Directions come from three draws of four and variances from the fourth: of the draws that chose
    them they would be too large, and what is left too small by several times.
    """
    off = _off_nearest(torch.from_numpy(seen), torch.from_numpy(heads))
    kept = torch.arange(off.shape[1]) % 4 == 0
    chosen, held, n = off[:, ~kept], off[:, kept], off.shape[2]
    m = min(N_DIRECTIONS, n - 1)
    _, vectors = torch.linalg.eigh(chosen.transpose(1, 2) @ chosen)
    directions = vectors[:, :, n - m :].transpose(1, 2).flip(1).contiguous()
    along = (held @ directions.transpose(1, 2)).square().mean(1)
    rest = (held.square().sum(2).mean(1) - along.sum(1)) / (n - m)
    along, rest = along.clamp(min=0.0), rest.clamp(min=0.0)
    white = DISCREPANCY / n
    return directions.numpy(), (along + white).numpy(), (rest + white).numpy()


def _off_nearest(seen: Tensor, heads: Tensor) -> Tensor:
    """(N, J, n) d of each draw from the head in which the source looks most like it."""
    draws, heads = seen.transpose(0, 1).contiguous(), heads.transpose(0, 1).contiguous()
    unit = heads / heads.norm(dim=2, keepdim=True)
    along = draws @ unit.transpose(1, 2)
    best = (along / draws.norm(dim=2, keepdim=True)).argmax(dim=2)
    size = along.gather(2, best[..., None])
    nearest = unit.gather(1, best[..., None].expand(-1, -1, unit.shape[2]))
    size = torch.maximum(size, _LEAST_LIKENESS * draws.norm(dim=2, keepdim=True))
    return draws / size - nearest
