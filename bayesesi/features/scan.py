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

from bayesesi.features.size_prior import SizePrior

#: Prior degrees of freedom nu of the noise's scale, as ``patches`` has it.
NOISE_DOF = 12.0
#: Power of a topography by which it may differ in the true head; see the module.
DISCREPANCY = 0.25
#: t of the grid: first, last, and how many for windows of few functions of time and of many.
_RANGE, _N_FEW, _N_MANY, _FEW = (0.1, 1e5), 12, 18, 4
#: Functions of time whose variances differ by less than this factor are one group; and how many
#: groups there are at most.
_ALIKE, _MOST_GROUPS = 1.5, 2
#: Noise over signal power at which the minimum norms are taken.
_LAMBDAS = (0.05, 1.0)
#: Numbers that are held at once.
_CHUNK = 1_000_000
#: m: how far from a source that is given its neighbourhood reaches.
_BESIDE = 0.03

FEATURES = (
    "log-likelihood of small sources",
    "of middling ones",
    "of large ones",
    "the same, not compressed",
    "of large against small ones",
    "fit of the topography, over the best",
    "minimum norm, weakly regularised",
    "minimum norm, strongly regularised",
    "gain",
    "gain of large against small sources",
    "share of the gain that is not yet explained",
    "nearness of the sources that are given",
)
CONTEXT = (
    "power of the data, dB",
    "numbers",
    "sensors",
    "functions of time",
    "best log-likelihood over that of nothing",
    "mean likelihood over that of nothing",
    "best fit",
    "residual power a number",
    "no source is given",
    "one is",
    "two are",
)
#: Numbers of the context that are measured on the data; how far beyond their range, as a share of
#: it and at the least, an observation may lie.
N_MEASURED, _MARGIN, _LEAST_MARGIN = 8, 0.1, 0.02


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
        empty = torch.zeros(n, 0, dtype=torch.long, device=device)
        return cls(empty, empty.bool())

    @property
    def count(self) -> Tensor:
        """(B,)"""
        return self.used.sum(1)


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
class TrainingRange:
    """Which contexts a network met: the range of each number that is none of a count of sources."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...] = CONTEXT[:N_MEASURED]

    @classmethod
    def of(cls, contexts: Tensor, names: tuple[str, ...] = CONTEXT[:N_MEASURED]) -> TrainingRange:
        """From (n, C) contexts of scenes of which nothing was given, the first of them named."""
        kept = contexts[:, : len(names)].double()
        rounded = kept.amin(0).tolist(), kept.amax(0).tolist()
        low, high = (tuple(round(value, 4) for value in end) for end in rounded)
        return cls(low, high, names)

    def outside(self, context: Tensor) -> tuple[str, ...]:
        """Names of what in a context (C,) lies beyond the range by a tenth of it or more."""
        beyond = []
        for name, value, low, high in zip(
            self.names, context.tolist(), self.low, self.high, strict=False
        ):
            margin = _MARGIN * (high - low) + _LEAST_MARGIN
            if not low - margin <= value <= high + margin:
                beyond.append(name)
        return tuple(beyond)


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
        """From the (T, R) projector of a time basis."""
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
        return len(self.share)

    @property
    def counts(self) -> Tensor:
        """(G,) functions in each group."""
        return torch.bincount(self.group, minlength=self.n_groups).to(self.share)

    def sums(self, values: Tensor) -> Tensor:
        """(..., R) to (..., G)."""
        if self.n_groups == 1:
            return values.sum(-1, keepdim=True)
        total = values.new_zeros(*values.shape[:-1], self.n_groups)
        return total.index_add_(-1, self.group, values)


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
        """From what atoms look like, (E N, n_eff), and the whitened lead field at the centres,
        (n_eff, N)."""
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
        return self.unit.shape[0]

    @property
    def n_centres(self) -> int:
        return self.unit.shape[1]

    def to(self, device: torch.device | str) -> PreparedForward:
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
        """(B, n_eff, R) observations, each beside the sources that are given for it.

        ``log_scale`` (B,): log of what the lead field of each case is to be divided by.
        """
        prefix = prefix or PlacedSources.none(len(values), values.device)
        turned = values @ window.turn
        parts = [
            self._part(
                turned[rows],
                window,
                size,
                _rows(prefix, rows),
                None if log_scale is None else log_scale[rows],
                discrepancy,
            )
            for rows in self._chunks(turned)
        ]
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
        size: SizePrior,
        prefix: PlacedSources,
        log_scale: Tensor | None,
        discrepancy: float,
    ) -> ScanInputs:
        span = _Span.of(self, values, window, prefix, discrepancy)
        fit = window.sums(_squares(self.unit, span.values)).movedim(2, 0)  # (B, E, N, G)
        left = self._left(span)
        likelihood = self._likelihood(fit, left, span, window, size, log_scale, discrepancy)
        dof = NOISE_DOF + values[0].numel()
        n = values.shape[1]
        power = (span.energy / span.kappa).sum(-1)
        nothing = -0.5 * n * (window.counts * span.kappa.log()).sum(-1)
        nothing = nothing - 0.5 * dof * (NOISE_DOF + power).log()
        features = self._features(values, span, fit, left, likelihood, prefix)
        context = self._context(values, fit, likelihood, nothing, power, prefix)
        return ScanInputs(likelihood, nothing, features, context)

    def _left(self, span: _Span) -> Tensor:
        """(B or 1, E, N, G) share of each source's gain off the span of those given."""
        if not span.basis.shape[1]:
            return self.unit.new_ones(1, 1, 1, 1)
        across = torch.einsum("enc,bjc->benj", self.unit, span.basis).square()
        return (1 - across @ span.weight[:, None]).clamp(min=1e-4)

    def _likelihood(
        self,
        fit: Tensor,
        left: Tensor,
        span: _Span,
        window: TemporalGroups,
        size: SizePrior,
        log_scale: Tensor | None,
        discrepancy: float,
    ) -> Tensor:
        """(B, E, N): log p(v | t), t integrated."""
        n, r = span.values.shape[1:]
        steps = _N_FEW if r <= _FEW else _N_MANY
        first, last = (float(np.log(t)) for t in _RANGE)
        log_t = torch.linspace(first, last, steps, device=fit.device)
        prior = self._log_size(log_t, window, size, log_scale)
        dof, counts = NOISE_DOF + n * r, window.counts.tolist()
        # a group at a time, each in one piece of memory: passes over it are what takes the time
        fits = [part.contiguous() for part in fit.unbind(-1)]
        lefts = [p.contiguous() for p in left.expand(-1, -1, -1, fit.shape[-1]).unbind(-1)]
        each = fit.new_empty(steps, *fit.shape[:-1])
        for t in range(steps):
            grown = log_t[t].exp() * window.share  # (G,)
            kappa = span.kappa + grown * discrepancy / n  # (B, G)
            shared = window.counts * (grown.log() + (n - 2) * kappa.log())
            det = shared.sum(-1)[:, None, None]
            power = (NOISE_DOF + (span.energy / kappa).sum(-1))[:, None, None]
            for g, (own, part) in enumerate(zip(fits, lefts, strict=True)):
                # kappa (kappa + grown left) / grown
                k = kappa[:, g, None, None]
                whole = torch.addcmul(k.square() / grown[g], k, part)
                power = power.addcdiv(own, whole, value=-1)
                det = det.add(whole.log_(), alpha=counts[g])
            sized = torch.add(prior[t], det, alpha=-0.5)
            torch.add(sized, power.log_(), alpha=-0.5 * dof, out=each[t])
        return each.logsumexp(0)

    def _log_size(
        self, log_t: Tensor, window: TemporalGroups, size: SizePrior, log_scale: Tensor | None
    ) -> Tensor:
        """(M, B, E, N), or what spreads to it: log share of each t of the grid."""
        step = float(log_t[1] - log_t[0])
        if size.sd == 0:
            return log_t.new_full((len(log_t), 1, 1, 1), -float(np.log(len(log_t))))
        gain = self.log_gain + float(np.log(window.variance))
        gain = gain[None] if log_scale is None else gain - 2 * log_scale[:, None, None]
        z = (0.5 * (log_t[:, None, None, None] - gain) - size.mean) / size.sd
        return -0.5 * z**2 - 0.5 * float(np.log(2 * np.pi)) + float(np.log(0.5 * step / size.sd))

    def _features(
        self,
        values: Tensor,
        span: _Span,
        fit: Tensor,
        left: Tensor,
        likelihood: Tensor,
        prefix: PlacedSources,
    ) -> Tensor:
        below = likelihood - likelihood.amax((1, 2), keepdim=True)
        small, middle, large = below[:, 0], below[:, self.n_extents // 2], below[:, -1]
        best = fit[:, self.n_extents // 2].sum(-1)
        maps = _squares(self.inverses, span.values).sum(-1).movedim(2, 0)  # (B, 2, N)
        maps = maps / maps.amax(2, keepdim=True).clamp(min=1e-20)
        gain = self.log_gain - self.log_gain.median()
        spread = torch.ones_like(best)
        columns = [
            *(-(-part).log1p() / 2 for part in (small, middle, large)),
            (below.amax(1) / 10).clamp(min=-1),
            ((large - small) / 5).tanh(),
            (best / best.amax(1, keepdim=True).clamp(min=1e-20)).sqrt(),
            maps[:, 0].sqrt(),
            maps[:, 1].sqrt(),
            gain[0] / 2 * spread,
            (gain[-1] - gain[0]) / 2 * spread,
            left[:, min(self.n_extents // 2, left.shape[1] - 1)].mean(-1) * spread,
            self._nearness(prefix) * spread,
        ]
        return torch.stack(columns, dim=2)

    def _nearness(self, prefix: PlacedSources) -> Tensor:
        """(B, N) 1 at a source that is given, falling off with distance."""
        if not prefix.atom.shape[1]:
            return self.positions.new_zeros(len(prefix.atom), 1)
        given = self.positions[prefix.atom % self.n_centres]  # (B, J, 3)
        apart = torch.cdist(self.positions.expand(len(given), -1, -1), given)
        near = (-apart / _BESIDE).exp() * prefix.used[:, None]
        return near.amax(2)

    def _context(
        self,
        values: Tensor,
        fit: Tensor,
        likelihood: Tensor,
        nothing: Tensor,
        power: Tensor,
        prefix: PlacedSources,
    ) -> Tensor:
        n, r = values.shape[1:]
        energy = values.square().sum((1, 2)).clamp(min=1e-12)
        whole = values.new_ones(len(values))
        mean = likelihood + self.log_place - float(np.log(self.n_extents))
        step = prefix.count[:, None] == torch.arange(3, device=values.device)
        columns = [
            (energy / (n * r)).log10(),
            whole * float(np.log(n * r)) / 5,
            whole * float(np.log(n)) / 5,
            whole * float(np.log(r)) / 5,
            _squashed(likelihood.amax((1, 2)) - nothing),
            _squashed(mean.flatten(1).logsumexp(1) - nothing),
            fit.sum(-1).amax((1, 2)) / energy,
            ((power / (n * r)).clamp(min=1e-12)).log10(),
            *step.to(values).unbind(1),
        ]
        return torch.stack(columns, dim=1)


@dataclass(frozen=True, eq=False)
class _Span:
    """What the sources that are given explain.

    Attributes
    ----------
    basis : (B, J, n_eff) orthonormal rows, 0 where no source is. weight : (B, J, G) w.
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
        forward: PreparedForward,
        values: Tensor,
        window: TemporalGroups,
        prefix: PlacedSources,
        discrepancy: float,
    ) -> _Span:
        energy = window.sums(values.square().sum(1))
        ones = energy.new_ones(energy.shape)
        if not prefix.atom.shape[1]:
            basis = values.new_zeros(len(values), 0, values.shape[1])
            weight = values.new_zeros(len(values), 0, window.n_groups)
            return cls(basis, weight, values, energy, ones)
        rows = forward.unit.flatten(0, 1)[prefix.atom]
        basis = _orthonormal(rows, prefix.used)
        along = basis @ values  # (B, J, R)
        rho = window.share[window.group]
        excess = ((along.square() / rho).mean(2) - 1).clamp(min=0.0)[..., None]  # (B, J, 1)
        kappa = 1 + excess.sum(1) * window.share * discrepancy / values.shape[1]
        grown = excess * window.share
        weight = grown / (kappa[:, None] + grown)
        shrunk = weight[..., window.group] * along
        left = energy - window.sums((shrunk * along).sum(1))
        return cls(basis, weight, values - basis.transpose(1, 2) @ shrunk, left, kappa)


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


def _standardised(leadfield: NDArray[np.float64]) -> NDArray[np.float32]:
    """(2, N, n_eff) K_s / sqrt(K_s l_s), K = L' (L L' + lambda tr(L L') / n I)^-1, of a lead field
    (n_eff, N)."""
    gram = leadfield @ leadfield.T
    n = len(gram)
    each = []
    for power in _LAMBDAS:
        regular = gram + power * np.trace(gram) / n * np.eye(n)
        kernel = np.linalg.solve(regular, leadfield).T
        resolution = np.einsum("sc,cs->s", kernel, leadfield)
        each.append(kernel / np.sqrt(resolution)[:, None])
    return np.array(each, np.float32)


def _squares(rows: Tensor, values: Tensor) -> Tensor:
    """(K, N, B, R): squares of what (K, N, n) rows make of (B, n, R) data."""
    found = rows @ values.transpose(0, 1).flatten(1)
    return found.square().unflatten(-1, (len(values), -1))


def _rows(prefix: PlacedSources, rows: slice) -> PlacedSources:
    return PlacedSources(prefix.atom[rows], prefix.used[rows])


def _squashed(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p() / 3
