"""Everything a network sees: an observation brought from its sensors to the cortex.

Of a whitened recording v~ = L~ j + e a network gets what the assumed forward says of each source,
and never a sensor, so that one set of weights serves every montage, noise and head.

Its backbone is the likelihood of one more source, that of a unit topography g / |g| with
|g|² = G, of a moment s that is Gaussian in time with variances q_r = q rho_r. With t = s² q G,
N sensors, E_r = |v_r|² and the fit c_r = (g'v_r)² / G,

    v_r ~ tau N(0, kappa_r I + t rho_r g g' / G),        kappa_r = 1 + t rho_r delta / N,
    log p(v | t) = -1/2 sum_r [N log kappa_r + log(1 + t rho_r / kappa_r)]
                   -1/2 (nu + N R) log(nu + sum_r [E_r - c_r t rho_r / (kappa_r + t rho_r)]
                                                  / kappa_r),

tau² ~ nu / chi²_nu, and t summed over a grid with the density of log s that the prior gives it.
delta is the power, over a topography's own, by which it may look otherwise in the true head: in
every direction alike, so that at high SNR no place is sure. delta = 0 gives the likelihood of an
exactly known head.

Where sources are given already (the ``prefix``), what the data show along the span of their
topographies is taken out as far as it stands above the noise: with orthonormal rows b_j of that
span, y_j = mean_r (b_j'v_r)² / rho_r and lambda_j = max(y_j - kappa, 0),

    v_r - sum_j w_j b_j (b_j'v_r),   G (1 - sum_j w_j (b_j'g)² / G),
    w_j = lambda_j rho_r / (kappa_r + lambda_j rho_r).

Beside it stand two minimum norms, standardised as in sLORETA (Pascual-Marqui 2002), and what the
lead field says by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.features.context import (
    CONTEXT,
    FEATURES,
    N_MEASURED,
    TrainingRange,
    log_sum,
    nearness,
    observation_context,
    source_features,
)
from bayesesi.features.placed_sources import PlacedSources, Span
from bayesesi.features.size_prior import SizePrior
from bayesesi.features.temporal_groups import TemporalGroups
from bayesesi.noise import NOISE_DOF

__all__ = [
    "CONTEXT",
    "FEATURES",
    "N_MEASURED",
    "PlacedSources",
    "PreparedForward",
    "ScanInputs",
    "SizePrior",
    "TemporalGroups",
    "TrainingRange",
]

#: Power of a topography by which it may differ in the true head; see the module.
DISCREPANCY = 0.25
#: t of the grid: first, last, and how many for windows of few functions of time and of many.
_RANGE, _N_FEW, _N_MANY, _FEW = (0.1, 1e5), 12, 18, 4
#: Noise over signal power at which the minimum norms are taken.
_LAMBDAS = (0.05, 1.0)
#: Numbers that are held at once.
_CHUNK = 1_000_000


@dataclass(frozen=True, eq=False)
class ScanInputs:
    """B observations as a network sees them.

    Attributes
    ----------
    log_likelihood : (B, E, N) nats, of one more source of each extent at each centre, its size
        integrated. nothing : (B,) of none; both up to one constant a case.
    features : (B, N, F), see ``FEATURES``. context : (B, C), see ``CONTEXT``.
    """

    log_likelihood: Tensor
    nothing: Tensor
    features: Tensor
    context: Tensor


@dataclass(frozen=True)
class _Grid:
    """t on its grid, for a window, a prior of sizes and a forward.

    Attributes
    ----------
    log_t : (M,). log_share : (M, B or 1, E, N), or (M, 1, 1, 1) where all are alike.
    """

    log_t: Tensor
    log_share: Tensor


@dataclass(frozen=True, eq=False)
class PreparedForward:
    """What all observations of one forward and noise share.

    Attributes
    ----------
    unit : (E, N, n_eff) topographies of length 1. log_gain : (E, N) log |g|², 1/(A m)².
    log_place : (N,) log probability of each centre. positions : (N, 3) m.
    inverses : (2, N, n_eff) standardised minimum norms.
    """

    unit: Tensor
    log_gain: Tensor
    log_place: Tensor
    positions: Tensor
    inverses: Tensor

    @classmethod
    def of(
        cls,
        seen: NDArray[np.floating],
        leadfield: NDArray[np.floating],
        log_place: NDArray[np.float64],
        positions: NDArray[np.float64],
    ) -> PreparedForward:
        """Prepare a forward.

        Parameters
        ----------
        seen : (E N, n_eff) what atoms look like, 1/(A m).
        leadfield : (n_eff, N) whitened, at the centres, 1/(A m).
        log_place : (N,) log probability of each centre.
        positions : (N, 3) m.
        """
        seen = np.asarray(seen, np.float32).reshape(-1, len(log_place), len(leadfield))
        length = np.linalg.norm(seen, axis=2)
        return cls(
            torch.from_numpy(seen / length[:, :, None]),
            2 * torch.from_numpy(np.log(length)),
            torch.from_numpy(np.asarray(log_place, np.float32)),
            torch.from_numpy(np.asarray(positions, np.float32)),
            torch.from_numpy(_standardised(np.asarray(leadfield, float))),
        )

    @property
    def n_extents(self) -> int:
        """E."""
        return self.unit.shape[0]

    @property
    def n_centres(self) -> int:
        """N."""
        return self.unit.shape[1]

    def to(self, device: torch.device | str) -> PreparedForward:
        """Move all to a ``device``."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def scene(
        self,
        values: Tensor,
        window: TemporalGroups,
        size: SizePrior,
        prefix: PlacedSources | None = None,
        log_scale: Tensor | None = None,
        discrepancy: float = DISCREPANCY,
    ) -> ScanInputs:
        """Scan B observations, each beside the sources that are given for it.

        Parameters
        ----------
        values : (B, n_eff, R) whitened data.
        window : of the data. size : prior of a source's.
        prefix : sources given, of B cases; none if not given.
        log_scale : (B,) log of what the lead field of each case is to be divided by.
        discrepancy : delta, a ratio of powers, see the module.
        """
        prefix = prefix or PlacedSources.none(len(values), values.device)
        turned = values @ window.turn
        grid = self._grid(window, size, log_scale, values.shape[2])
        parts = []
        for rows in self._chunks(turned):
            alike = grid.log_share.shape[1] == 1  # of an unknown unit, whatever the scale
            log_share = grid.log_share if alike else grid.log_share[:, rows]
            own = _Grid(grid.log_t, log_share)
            parts.append(self._part(turned[rows], window, own, prefix[rows], discrepancy))
        return ScanInputs(
            *(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(ScanInputs))
        )

    def _chunks(self, values: Tensor) -> Iterator[slice]:
        """Rows whose matches, or whose grid of sizes, are few enough numbers."""
        wide = max(values.shape[-1], _N_MANY if values.shape[-1] > _FEW else _N_FEW)
        n = max(1, _CHUNK // (self.n_extents * self.n_centres * wide))
        for first in range(0, len(values), n):
            yield slice(first, first + n)

    def _part(
        self,
        values: Tensor,
        window: TemporalGroups,
        grid: _Grid,
        prefix: PlacedSources,
        discrepancy: float,
    ) -> ScanInputs:
        span = Span.of(self.unit.flatten(0, 1), values, window, prefix, discrepancy)
        fit = window.sums(_squares(self.unit, span.values)).permute(2, 3, 0, 1).contiguous()
        left = span.left(self.unit)
        likelihood = _likelihood(fit, left, span, window, grid, discrepancy)
        n, r = values.shape[1:]
        power = (span.energy / span.kappa).sum(-1)
        nothing = -0.5 * n * (window.counts * span.kappa.log()).sum(-1)
        nothing = nothing - 0.5 * (NOISE_DOF + n * r) * (NOISE_DOF + power).log()
        total = fit.sum(1)
        maps = _squares(self.inverses, span.values).sum(-1).movedim(2, 0)  # (B, 2, N)
        features = source_features(
            likelihood,
            total[:, self.n_extents // 2],
            maps,
            self.log_gain,
            left.mean(1),
            nearness(self.positions, prefix),
        )
        context = observation_context(
            values, total.amax((1, 2)), likelihood, nothing, power, self.log_place, prefix.count
        )
        return ScanInputs(likelihood, nothing, features, context)

    def _grid(
        self, window: TemporalGroups, size: SizePrior, log_scale: Tensor | None, n_functions: int
    ) -> _Grid:
        """Log share of each t of the grid."""
        first, last = (float(np.log(t)) for t in _RANGE)
        steps = _N_FEW if n_functions <= _FEW else _N_MANY
        log_t = torch.linspace(first, last, steps, device=self.unit.device)
        step = float(log_t[1] - log_t[0])
        if size.sd == 0:
            return _Grid(log_t, log_t.new_full((steps, 1, 1, 1), -float(np.log(steps))))
        gain = self.log_gain + float(np.log(window.variance))
        gain = gain[None] if log_scale is None else gain - 2 * log_scale[:, None, None]
        z = (0.5 * (log_t[:, None, None, None] - gain) - size.mean) / size.sd
        share = -0.5 * z**2 - 0.5 * float(np.log(2 * np.pi)) + float(np.log(0.5 * step / size.sd))
        return _Grid(log_t, share)


def _likelihood(
    fit: Tensor,
    left: Tensor,
    span: Span,
    window: TemporalGroups,
    grid: _Grid,
    discrepancy: float,
) -> Tensor:
    """(B, E, N): log p(v | t), t integrated; of fits (B, G, E, N) and shares alike, or of ones.

    A case at a time, all of its grid at once: what is worked on then stays in the cache.
    """
    n, r = span.values.shape[1:]
    dof, counts = NOISE_DOF + n * r, window.counts
    grown = grid.log_t.exp()[:, None] * window.share  # (M, G)
    kappa = span.kappa[:, None] + grown * discrepancy / n  # (B, M, G)
    shared = (counts * (grown.log() + (n - 2) * kappa.log())).sum(-1)  # (B, M)
    power = NOISE_DOF + (span.energy[:, None] / kappa).sum(-1)
    base = kappa.square() / grown
    left = left.expand(len(fit), fit.shape[1], *left.shape[2:])
    alike = grid.log_share.shape[1] == 1
    out = torch.empty_like(fit[:, 0])
    for b in range(len(fit)):
        own, det = power[b, :, None, None], shared[b, :, None, None]
        for g in range(fit.shape[1]):
            # kappa (kappa + grown left) / grown
            k, first = kappa[b, :, g, None, None], base[b, :, g, None, None]
            whole = torch.addcmul(first, k, left[b, g])
            own = torch.addcdiv(own, fit[b, g], whole, value=-1)
            det = det.add(whole.log_(), alpha=float(counts[g]))
        sized = torch.add(grid.log_share[:, 0 if alike else b], det, alpha=-0.5)
        out[b] = log_sum(sized.add(own.log_(), alpha=-0.5 * dof), 0)
    return out


def _standardised(leadfield: NDArray[np.float64]) -> NDArray[np.float32]:
    """(2, N, n_eff) K_s / sqrt(K_s l_s), K = L' (L L' + lambda tr(L L') / n I)^-1, of a lead field
    (n_eff, N)."""
    gram = leadfield @ leadfield.T
    n = len(gram)
    each = []
    for power in _LAMBDAS:
        # lambda bounds the condition number, and an inverse is ten times as fast as many solutions
        inverse = np.linalg.inv(gram + power * np.trace(gram) / n * np.eye(n))
        kernel = leadfield.T @ inverse
        resolution = np.einsum("sc,cs->s", kernel, leadfield)
        each.append(kernel / np.sqrt(resolution)[:, None])
    return np.array(each, np.float32)


def _squares(rows: Tensor, values: Tensor) -> Tensor:
    """(K, N, B, R): squares of what (K, N, n) rows make of (B, n, R) data."""
    found = rows @ values.transpose(0, 1).flatten(1)
    return found.square().unflatten(-1, (len(values), -1))
