"""How a source's topography varies: a Gaussian for each, from draws of heads and of shapes.

    g ~ N(mean, Q' diag(mu - rho) Q + rho I)

Q holds m orthonormal directions of most variance of head draws' topographies and rho is the variance
in every other direction (probabilistic principal components; Tipping & Bishop 1999,
doi:10.1111/1467-9868.00196). A topography's size is that in the mean head: heads differ in it too,
but amplitudes have the same freedom. Of two sources in one event the deviations are taken as
independent.

An index over head draws cannot do this at high SNR: electrodes and tissues move topographies in
dozens of directions, so that no one of a few dozen heads is near the true one, and chains then
explain the misfit by sources that are not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

#: Directions of most variance.
N_DIRECTIONS = 24
#: Of a topography's power: the least variance in any direction, against rounding.
_LEAST = 1e-6
#: A head in which a source looks like less than this share of its mean is scaled no further.
_LEAST_LIKENESS = 0.3


@dataclass(frozen=True, eq=False)
class HeadSpread:
    """Spreads of every atom, single precision.

    Attributes
    ----------
    source : (E,) which of the F directions an extent has.
    directions : (F, N, m, n_eff) orthonormal rows Q.
    variance : (E, N, m) mu, larger first; rest : (E, N) rho.
    """

    source: NDArray[np.int64]
    directions: NDArray[np.float32]
    variance: NDArray[np.float32]
    rest: NDArray[np.float32]

    def law(
        self, extent: NDArray[np.int64], centre: NDArray[np.int64], mean: NDArray[np.float64]
    ) -> TopographyLaw:
        """Spread of (D,) atoms about (D, n_eff) means that are given."""
        variance, rest = self.variance[extent, centre], self.rest[extent, centre]
        directions = self.directions[self.source[extent], centre]
        blind = np.zeros((len(mean), 0, mean.shape[1]))
        return TopographyLaw(mean, directions, variance.astype(float), rest.astype(float), blind)


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
        left = np.eye(self.blind.shape[1]) * (1 + 1e-6) - spread @ np.swapaxes(self.blind, 1, 2)
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
    seen: NDArray[np.float32], mean: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Directions (N, m, n), variances (N, m) and rest (N,) of (H, N, n) topographies about a mean.

    Each is first scaled to have the mean's size along the mean. Directions come from three draws of
    four and variances from the fourth: of the draws that chose them they would be too large, and
    what is left too small by several times.
    """
    centre, draws = torch.from_numpy(mean), torch.from_numpy(seen).transpose(0, 1).contiguous()
    power = centre.square().sum(-1)
    likeness = (draws @ centre[..., None]) / power[:, None, None]
    draws = draws / likeness.clamp(min=_LEAST_LIKENESS) - centre[:, None]
    kept = torch.arange(draws.shape[1]) % 4 == 0
    chosen, n = draws[:, ~kept], draws.shape[2]
    m = min(N_DIRECTIONS, n - 1)
    _, vectors = torch.linalg.eigh(chosen.transpose(1, 2) @ chosen)
    directions = vectors[:, :, n - m :].transpose(1, 2).flip(1).contiguous()
    held = draws[:, kept]
    along = (held @ directions.transpose(1, 2)).square().mean(1)
    least = (_LEAST * power / n)[:, None]
    rest = (held.square().sum(2).mean(1) - along.sum(1)) / (n - m)
    variance = torch.maximum(along, least)
    return directions.numpy(), variance.numpy(), torch.maximum(rest, least[:, 0]).numpy()
