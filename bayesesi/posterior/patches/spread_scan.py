"""Every centre weighed where topographies spread: g ~ N(mean, Sigma) integrated by Laplace.

Given the others (``scan``), amplitudes and noise scale are integrated in the exact l(g). For the
rest, given the source's amplitudes, E[a | g] = a and E|a|² = alpha², data without what the others
make of them say y = sum_r a_r v_r of g, with eps = tau² / alpha² and what U leaves out (``_Law``):

    cov = (Sigma^-1 + (I - U'U) / eps)^-1,    g^ = cov (Sigma^-1 mean + y / (alpha² eps)),
    log p(v~) ~ l(g^) + log N(g^; mean, Sigma) + 1/2 log det(2 pi cov),

a and g^ in turns, from g^ = mean. N(g^, cov) is what topographies are drawn from. Before, each
centre is weighed with Sigma as isotropic, which takes no product over channels; the best are
weighed anew. The chains accept by exact densities, so that what is approximate here costs
acceptance and not exactness; the evidence of one source is as good as the approximation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.posterior.patches.problem import NOISE_DOF
from bayesesi.posterior.patches.scan import Scan, log_sum
from bayesesi.posterior.patches.spread import ROUNDING, HeadSpread, TopographyLaw
from bayesesi.posterior.patches.states import Amplitudes, PatchStates

#: Centres that are weighed anew, and of these again; atoms when there is no other source.
_N_BEST, _N_BEST_AGAIN, _N_BEST_ALONE = 200, 30, 3000
#: Turns of a and g^: at first, and until they stand still but for a fraction of a nat.
_N_FEW_TURNS, _N_TURNS = 2, 4
#: Atoms that are weighed at once.
_CHUNK = 500


@dataclass(frozen=True, eq=False)
class _Frames:
    """The other sources of D states, as tensors: what a source beside them is weighed with.

    ``basis`` (D, J, n), ``shrunk`` (D, J, R); ``left`` (D, n, R) data without what the others alone
    make of them; ``log_determinant``, ``rest`` (D,); ``beta`` the power of the likelihood.
    """

    basis: Tensor
    shrunk: Tensor
    left: Tensor
    log_determinant: Tensor
    rest: Tensor
    beta: float

    def __getitem__(self, d: int) -> _Frames:
        one = slice(d, d + 1)
        basis, shrunk, left = self.basis[one], self.shrunk[one], self.left[one]
        return _Frames(basis, shrunk, left, self.log_determinant[one], self.rest[one], self.beta)


@dataclass(frozen=True, eq=False)
class _Peaks:
    """Where l(g) + log N(g; mean, Sigma) is largest, for (D, A) sources.

    ``at`` (..., n) g^; ``eps`` (...) and ``unseen`` (..., J, n) of its covariance; ``log_weight``
    (...) the log-likelihood with g integrated.
    """

    at: Tensor
    eps: Tensor
    unseen: Tensor
    log_weight: Tensor


@dataclass(frozen=True, eq=False)
class _Law:
    """cov = (Sigma^-1 + (I - U'U) / eps)^-1 of (D, A) topographies.

    U (J, n) is ``unseen``: data say nothing of what a source has in common with the others' look,
    since their amplitudes give way. With C0 = (Sigma^-1 + I / eps)^-1, diagonal in the axes of
    Sigma, cov = C0 + C0 U' (eps I - U C0 U')^-1 U C0.
    """

    axes: Tensor
    mu: Tensor
    rho: Tensor
    eps: Tensor
    unseen: Tensor

    def shrink(self, vectors: Tensor) -> Tensor:
        """C0 / eps times (D, A, J, n) vectors."""
        base = (self.rho / (self.rho + self.eps))[..., None, None]
        more = (self.mu / (self.mu + self.eps[..., None]))[..., None, :] - base
        return base * vectors + (more * (vectors @ self.axes.transpose(2, 3))) @ self.axes

    @cached_property
    def _shrunk(self) -> Tensor:
        """(D, A, J, n): U C0 / eps."""
        return self.shrink(self.unseen)

    @cached_property
    def _left(self) -> Tensor:
        """(D, A, J, J): I - U C0 U' / eps."""
        inner = self._shrunk @ self.unseen.transpose(2, 3)
        return torch.eye(inner.shape[-1], dtype=inner.dtype) * (1 + ROUNDING) - inner

    def corrected(self, at: Tensor) -> Tensor:
        """cov times what C0 was applied to, from its product."""
        said = torch.linalg.solve(self._left, (self.unseen @ at[..., None]))
        return at + (self._shrunk.transpose(2, 3) @ said)[..., 0]

    def log_grown(self) -> Tensor:
        """(D, A): log det(Sigma cov^-1)."""
        n, m = self.unseen.shape[-1], self.mu.shape[-1]
        seen = torch.log1p(self.mu / self.eps[..., None]).sum(-1)
        seen = seen + (n - m) * torch.log1p(self.rho / self.eps)
        return seen + torch.linalg.slogdet(self._left)[1]


def _gain(at: Tensor, basis: Tensor, shrunk: Tensor) -> Tensor:
    """(D, A, R): G."""
    return at.square().sum(-1, keepdim=True) - (at @ basis.transpose(1, 2)).square() @ shrunk


@dataclass(frozen=True, eq=False)
class SpreadScan(Scan):
    """See the module."""

    @property
    def _spread(self) -> HeadSpread:
        assert self.problem.spread is not None
        return self.problem.spread

    @cached_property
    def _directions(self) -> Tensor:
        return torch.from_numpy(self._spread.directions)

    @cached_property
    def _variances(self) -> tuple[Tensor, Tensor]:
        """(F, N, m) mu and (F, N) rho, over the power of what a head shows."""
        return self._tensor(self._spread.variance), self._tensor(self._spread.rest)

    @cached_property
    def _means(self) -> Tensor:
        """(H, E, N, n)."""
        return self._topographies[:, :, :, 0]

    @cached_property
    def _powers(self) -> Tensor:
        """(H, E, N): |mean|²."""
        return self._means.square().sum(-1)

    @cached_property
    def _isotropic(self) -> Tensor:
        """(F, N): mean over directions of the variance over the power."""
        mu, rho = self._variances
        n, m = self._means.shape[-1], mu.shape[-1]
        return (mu.sum(-1) + (n - m) * rho) / n

    def alone(self) -> NDArray[np.float64]:
        problem = self.problem
        shape = (problem.n_heads, problem.atoms.n_extents, problem.atoms.n_centres)
        frame = self._frames(Amplitudes(problem, PatchStates.empty(1, 1, len(problem.turned))))
        table = np.empty((*shape, len(problem.sizes)))
        for h, e, m in np.ndindex(shape[0], shape[1], len(problem.sizes)):
            table[h, e, :, m] = self._roughly(frame, h, e, m)
        n_best = min(_N_BEST_ALONE, table[..., 0].size)
        best = np.argpartition(table.max(axis=3).ravel(), -n_best)[-n_best:]
        for first in range(0, n_best, _CHUNK):
            h, e, i = np.unravel_index(best[first : first + _CHUNK], shape)
            for m in range(len(problem.sizes)):
                peaks = self._peaks(frame, h[None], e[None], i[None], np.array([m]))
                table[h, e, i, m] = peaks.log_weight[0].numpy()
        return table

    def anywhere(
        self,
        others: Amplitudes,
        extent: NDArray[np.int64],
        size: NDArray[np.int64],
        beta: float = 1.0,
    ) -> NDArray[np.float64]:
        frames = self._frames(others, beta)
        kinds = zip(others.states.head, extent, size, strict=True)
        each = [self._roughly(frames[d], *map(int, kind)) for d, kind in enumerate(kinds)]
        weight = np.stack(each)
        for n_best, turns in ((_N_BEST, _N_FEW_TURNS), (_N_BEST_AGAIN, _N_TURNS)):
            n_best = min(n_best, weight.shape[1])
            best = np.argpartition(weight, -n_best, axis=1)[:, -n_best:]
            head, extents = others.states.head[:, None], extent[:, None]
            peaks = self._peaks(frames, head, extents, best, size, turns)
            np.put_along_axis(weight, best, peaks.log_weight.numpy(), axis=1)
        return weight

    def around(
        self,
        others: Amplitudes,
        heads: NDArray[np.int64],
        centres: NDArray[np.int64],
        size: NDArray[np.int64],
        beta: float = 1.0,
    ) -> NDArray[np.float64]:
        (n, n_near), n_heads = centres.shape, heads.shape[1]
        shape = (n, n_heads, self.problem.atoms.n_extents, n_near)
        extents = np.arange(shape[2])[:, None]
        kinds = (heads[:, :, None, None], extents, centres[:, None, None])
        head, extent, centre = (np.broadcast_to(k, shape).reshape(n, -1) for k in kinds)
        frames = self._frames(others, beta)
        peaks = self._peaks(frames, head, extent, centre, size, _N_FEW_TURNS)
        return peaks.log_weight.numpy().reshape(shape)

    def see(
        self,
        others: Amplitudes,
        states: PatchStates,
        slot: NDArray[np.int64],
        rng: np.random.Generator,
        beta: float = 1.0,
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        law = self._law(others, states, slot, beta)
        rows, drawn = np.arange(len(states)), law.draw(rng)
        seen = states.seen.copy()
        seen[rows, slot] = drawn
        used = states.used[rows, slot]
        return replace(states, seen=seen), np.where(used, law.log_density(drawn), 0.0)

    def log_seen(
        self,
        others: Amplitudes,
        states: PatchStates,
        slot: NDArray[np.int64],
        beta: float = 1.0,
    ) -> NDArray[np.float64]:
        rows = np.arange(len(states))
        density = self._law(others, states, slot, beta).log_density(states.seen[rows, slot])
        return np.where(states.used[rows, slot], density, 0.0)

    def _law(
        self, others: Amplitudes, states: PatchStates, slot: NDArray[np.int64], beta: float
    ) -> TopographyLaw:
        """N(g^, cov) of a slot of each state."""
        rows, head = np.arange(len(states)), states.head
        extent, centre = states.extent[rows, slot], states.centre[rows, slot]
        size, frames = states.size[rows, slot], self._frames(others, beta)
        peaks = self._peaks(frames, head[:, None], extent[:, None], centre[:, None], size)
        at, eps, unseen = (
            part[:, 0].double().numpy() for part in (peaks.at, peaks.eps, peaks.unseen)
        )
        seen = self.problem.topographies[head, extent, centre, 0]
        return self._spread.law(extent, centre, seen, at).shrunk(eps, unseen)

    def _frames(self, others: Amplitudes, beta: float = 1.0) -> _Frames:
        made = np.swapaxes(others.basis, 1, 2) @ (others.shrunk * others.match)
        # frames come in order of gain, and at least the slot that is weighed has none
        parts = (others.basis[:, 1:], others.shrunk[:, 1:], self.problem.turned - made)
        basis, shrunk, left = map(self._tensor, parts)
        log_determinant, rest = map(torch.from_numpy, (others.log_determinant, others.rest))
        return _Frames(basis, shrunk, left, log_determinant, rest, beta)

    def _roughly(self, frame: _Frames, head: int, extent: int, size: int) -> NDArray[np.float64]:
        """(N,) one state, Sigma isotropic."""
        basis, shrunk, left = frame.basis[0], frame.shrunk[0], frame.left[0]
        means, power = self._means[head, extent], self._powers[head, extent]
        t = self._isotropic[int(self._spread.source[extent])] * power
        u = self._tensor(self.problem.sizes[size] ** 2 * self.problem.variance)
        match = means @ left
        gain = power[:, None] - (means @ basis.T).square() @ shrunk
        amplitude, alpha2, eps = self._amplitudes(match, gain, u, frame.rest[0])
        eps = eps / frame.beta
        seen = amplitude @ (left.T @ left)  # left' y
        yy, yg = (seen * amplitude).sum(-1) / alpha2**2, (amplitude * match).sum(-1) / alpha2
        share = t / (t + eps)
        match = (1 - share)[:, None] * match + (share / alpha2)[:, None] * seen
        grown = (1 - share) ** 2 * power + 2 * share * (1 - share) * yg + share**2 * yy
        gain = gain + (grown - power)[:, None]
        off = (yy - 2 * yg + power).clamp(min=0.0)
        n = means.shape[-1]
        prior = -0.5 * share**2 * off / t - 0.5 * n * torch.log1p(t / eps)
        found = self._log_likelihood(match, gain, u, frame.log_determinant[0], frame.rest[0])
        weight = frame.beta * found + prior.double()
        return np.asarray(weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf))

    def _peaks(
        self,
        frames: _Frames,
        head: NDArray[np.int64],
        extent: NDArray[np.int64],
        centre: NDArray[np.int64],
        size: NDArray[np.int64],
        turns: int = _N_TURNS,
    ) -> _Peaks:
        """Of (D, A) atoms in (D, A) heads, of (D,) sizes."""
        mean, power = self._means[head, extent, centre], self._powers[head, extent, centre]
        kind = self._spread.source[extent]
        axes = self._directions[kind, centre]
        mu, rho = (part[kind, centre] for part in self._variances)
        mu, rho = mu * power[..., None], rho * power
        u = self._tensor(self.problem.sizes[size][:, None] ** 2 * self.problem.variance)[:, None]
        basis, shrunk, left = frames.basis, frames.shrunk, frames.left
        rest, log_det = frames.rest[:, None], frames.log_determinant[:, None]
        at = mean
        for _ in range(turns):
            amplitude, alpha2, eps = self._amplitudes(at @ left, _gain(at, basis, shrunk), u, rest)
            eps = eps / frames.beta
            off = (amplitude / alpha2[..., None]) @ left.transpose(1, 2) - mean
            unseen = ((amplitude.square() @ shrunk.transpose(1, 2)) / alpha2[..., None]).sqrt()
            law = _Law(axes, mu, rho, eps, unseen[..., None] * basis[:, None])
            at = law.corrected(mean + law.shrink(off[..., None, :])[..., 0, :])
        off = at - mean
        along = (axes @ off[..., None])[..., 0].square()
        across = (off.square().sum(-1) - along.sum(-1)).clamp(min=0.0)
        prior = -0.5 * (across / rho + (along / mu).sum(-1) + law.log_grown())
        gain = _gain(at, basis, shrunk)
        found = self._log_likelihood(at @ left, gain, u, log_det, rest)
        weight = frames.beta * found + prior.double()
        # single precision may fail where a source looks like the others: it is not proposed there
        return _Peaks(at, eps, law.unseen, weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf))

    def _amplitudes(
        self, match: Tensor, gain: Tensor, u: Tensor, rest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(..., R) E[a | g], (...) alpha² and eps."""
        shrunk = u / (1 + u * gain)
        amplitude = shrunk * match
        dof = NOISE_DOF + self.problem.n_numbers
        explained = (amplitude * match).sum(-1).double()
        tau2 = ((rest - explained) / dof).to(match.dtype)
        alpha2 = amplitude.square().sum(-1) + tau2 * shrunk.sum(-1)
        return amplitude, alpha2, tau2 / alpha2.clamp(min=1e-30)

    def _log_likelihood(
        self, match: Tensor, gain: Tensor, u: Tensor, log_det: Tensor, rest: Tensor
    ) -> Tensor:
        determinant = 1 + u * gain
        left = rest - (match.square() * u / determinant).sum(-1).double()
        dof = NOISE_DOF + self.problem.n_numbers
        return (
            -0.5 * (log_det + log_sum(determinant).double())
            - 0.5 * dof * left.clamp(min=NOISE_DOF).log()
        )
