"""Every centre weighed where topographies spread; for one source and its proposals.

What is drawn is accepted or weighed by the integrals of ``laplace``; here are the many
approximate values that say which centres are worth that. Given the others as they are likeliest
to look (``scan``), the amplitudes E[a | m], alpha² = E|a|² and eps = tau² / alpha², the data without
what the others make of them say y = sum_r a_r v_r / alpha² of g, and with a shrunk Sigma

    g^ = m + Sigma (Sigma + eps I)^-1 (y - m),
    log p(v~) ~ l(g^) - 1/2 (y - m)' S Sigma^-1 S (y - m) - 1/2 log det(I + Sigma / eps),

S = Sigma (Sigma + eps I)^-1: at first for every centre with Sigma as isotropic, then for the best
with its directions. Of time only the functions matter in which something is left: the rest of the
data is noise to all centres alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.posterior.patches.laplace import drawn, peak
from bayesesi.posterior.patches.problem import NOISE_DOF
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.spread import SCALES, HeadSpread
from bayesesi.posterior.patches.states import Amplitudes, PatchStates

#: Functions of time that are kept, of most power.
_N_FUNCTIONS = 6
#: Centres that are weighed anew with their directions.
_N_BEST = 120
#: Cells of the table of one source that are integrated: at first, and in all scales.
_N_CELLS, _N_FINE = 2400, 800


@dataclass(frozen=True, eq=False)
class _Rest:
    """What the other sources of D states leave, single precision.

    ``basis`` (D, J, n), ``shrunk`` (D, J) their frame; ``left`` (D, n, r) data in the r functions
    of time of most power, ``q`` (D, r) variances there; ``q_noise`` and ``n_noise`` of the others;
    ``log_determinant``, ``power`` (D,), double.
    """

    basis: Tensor
    shrunk: Tensor
    left: Tensor
    q: Tensor
    q_noise: Tensor
    n_noise: int
    log_determinant: Tensor
    power: Tensor
    beta: float


@dataclass(frozen=True, eq=False)
class SpreadScan(Scan):
    """See the module."""

    @property
    def _spread(self) -> HeadSpread:
        assert self.problem.spread is not None
        return self.problem.spread

    @cached_property
    def _means(self) -> Tensor:
        """(E, N, n)."""
        return torch.from_numpy(self.problem.topographies[0, :, :, 0])

    @cached_property
    def _powers(self) -> Tensor:
        """(E, N): |m|²."""
        return self._means.square().sum(-1)

    @cached_property
    def _directions(self) -> Tensor:
        return torch.from_numpy(self._spread.directions)

    @cached_property
    def _variances(self) -> tuple[Tensor, Tensor]:
        """(N, m) mu and (N,) rho, over the power of the mean."""
        return self._tensor(self._spread.variance), self._tensor(self._spread.rest)

    def settled(
        self, states: PatchStates, beta: float = 1.0
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        found = peak(self.problem, states, beta)
        return states.looking(found.at), found.log_weight

    def drawn(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        seen, weight = drawn(self.problem, states, rng)
        return states.looking(seen), weight

    def alone(self) -> NDArray[np.float64]:
        """Cells that matter are integrated; others keep the approximate value, less what it is
        too high by where both are known."""
        problem = self.problem
        shape = (problem.atoms.n_extents, problem.atoms.n_centres, len(problem.sizes))
        rest = self._rest(Amplitudes(problem, PatchStates.empty(1, 1, len(problem.turned))))
        scale = int(np.argmax(self._spread.log_scale))
        table = np.empty((problem.n_heads, *shape))
        for e in range(shape[0]):
            table[:, e] = self._roughly(rest, 0, scale, e)
        cells = np.argsort(-table[scale].ravel())[:_N_CELLS]
        known = self._integrated(scale, cells, shape)
        top = np.argsort(-known)[:_N_FINE]
        rough = table[scale].reshape(-1)[cells]
        table -= np.median((rough - known)[top])
        table.reshape(problem.n_heads, -1)[scale, cells] = known
        for h in range(problem.n_heads):
            flat = table[h].reshape(-1)
            if h != scale:
                # about as far off as the fine cells of this scale are from the usual one
                fine = self._integrated(h, cells[top], shape)
                flat[:] = table[scale].reshape(-1) + np.median(fine - known[top])
                flat[cells[top]] = fine
        return table

    def _integrated(
        self, scale: int, cells: NDArray[np.int64], shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        extent, centre, size = np.unravel_index(cells, shape)
        states = PatchStates.empty(len(cells), 1)
        states.head[:], states.used[:] = scale, True
        states.extent[:, 0], states.centre[:, 0], states.size[:, 0] = extent, centre, size
        return peak(self.problem, states).log_weight

    def anywhere(
        self,
        others: Amplitudes,
        extent: NDArray[np.int64],
        beta: float = 1.0,
    ) -> NDArray[np.float64]:
        rest, head = self._rest(others, beta), others.states.head
        each = [self._roughly(rest, d, int(head[d]), int(e)) for d, e in enumerate(extent)]
        weight = np.stack(each)
        flat = weight.reshape(len(weight), -1)
        n_best = min(_N_BEST, flat.shape[1])
        best = np.argpartition(flat, -n_best, axis=1)[:, -n_best:]
        centre, size = np.divmod(best, weight.shape[2])
        finer = self._finer(rest, head, extent[:, None], centre, size)
        # those that are not weighed anew are as much too high as the best
        old = np.take_along_axis(flat, best, axis=1)
        top = np.argmax(finer, axis=1)[:, None]
        flat -= np.maximum(np.take_along_axis(old - finer, top, axis=1), 0.0)
        np.put_along_axis(flat, best, finer, axis=1)
        return weight

    def around(
        self,
        others: Amplitudes,
        centres: NDArray[np.int64],
        size: NDArray[np.int64],
        beta: float = 1.0,
    ) -> NDArray[np.float64]:
        n_extents = self.problem.atoms.n_extents
        n, n_near = centres.shape
        extent = np.repeat(np.arange(n_extents), n_near)[None]
        centre = np.tile(centres, (1, n_extents))
        rest = self._rest(others, beta)
        finer = self._finer(rest, others.states.head, extent, centre, size[:, None])
        return finer.reshape(n, n_extents, n_near)

    def _rest(self, others: Amplitudes, beta: float = 1.0) -> _Rest:
        made = np.swapaxes(others.basis, 1, 2) @ (others.shrunk * others.match)
        left = torch.from_numpy(self.problem.turned - made)
        q = torch.from_numpy(self.problem.variance)
        kept = min(_N_FUNCTIONS, len(q))
        _, vectors = torch.linalg.eigh(left.transpose(1, 2) @ left)
        turn = vectors[:, :, -kept:]
        own = (turn.square() * q[:, None]).sum(1)
        n_noise = len(q) - kept
        parts = (
            others.basis,
            others.shrunk.mean(axis=2),
            (left @ turn).numpy(),
            own.numpy(),
            ((q.sum() - own.sum(1)) / max(n_noise, 1)).numpy(),
        )
        exact = map(torch.from_numpy, (others.log_determinant, others.rest))
        return _Rest(*map(self._tensor, parts), n_noise, *exact, beta)

    def _roughly(self, rest: _Rest, d: int, scale: int, extent: int) -> NDArray[np.float64]:
        """(N, M) of one state, Sigma isotropic."""
        means, power = self._means[extent], self._powers[extent]
        mu, rho = self._variances
        n, m = means.shape[-1], mu.shape[-1]
        left, basis, shrunk = rest.left[d], rest.basis[d], rest.shrunk[d]
        t = SCALES[scale] * power * (mu.sum(-1) + (n - m) * rho) / n
        match = means @ left
        gain = power - (means @ basis.T).square() @ shrunk
        gram, q, q_noise = left.T @ left, rest.q[d], rest.q_noise[d]
        each = [
            self._rough_size(rest, d, float(size) ** 2, match, gain, power, t, gram, q, q_noise)
            for size in self.problem.sizes
        ]
        return np.stack(each, axis=1)

    def _rough_size(
        self,
        rest: _Rest,
        d: int,
        size2: float,
        match: Tensor,
        gain: Tensor,
        power: Tensor,
        t: Tensor,
        gram: Tensor,
        q: Tensor,
        q_noise: Tensor,
    ) -> NDArray[np.float64]:
        """(N,)"""
        n, u = self._means.shape[-1], size2 * q
        amplitude, alpha2, eps = self._amplitudes(match, gain, u, rest.power[d])
        eps = eps / rest.beta
        seen = amplitude @ gram  # left' y alpha²
        yy, yg = (seen * amplitude).sum(-1) / alpha2**2, (amplitude * match).sum(-1) / alpha2
        share = t / (t + eps)
        match = (1 - share)[:, None] * match + (share / alpha2)[:, None] * seen
        grown = (1 - share) ** 2 * power + 2 * share * (1 - share) * yg + share**2 * yy
        off = (yy - 2 * yg + power).clamp(min=0.0)
        prior = -0.5 * share**2 * off / t - 0.5 * n * torch.log1p(t / eps)
        found = self._log_likelihood(match, gain + grown - power, u, size2 * q_noise, rest, d)
        weight = rest.beta * found + prior.double()
        return np.asarray(weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf))

    def _finer(
        self,
        rest: _Rest,
        head: NDArray[np.int64],
        extent: NDArray[np.int64],
        centre: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """(D, A) of (D, A) atoms, with the directions of Sigma."""
        size2 = self._tensor(self.problem.sizes[size] ** 2)
        u, u_noise = size2[..., None] * rest.q[:, None], size2 * rest.q_noise[:, None]
        mean, power = self._means[extent, centre], self._powers[extent, centre]
        scale = self._tensor(np.array(SCALES)[head])[:, None]
        axes = self._directions[centre]
        mu, rho = (part[centre] for part in self._variances)
        rho = rho * power * scale
        mu = mu * (power * scale)[..., None]
        basis, left = rest.basis, rest.left
        total, at = rest.power[:, None], mean
        for _ in range(2):
            match = at @ left
            seen = (at @ basis.transpose(1, 2)).square()
            gain = at.square().sum(-1) - (seen * rest.shrunk[:, None]).sum(-1)
            amplitude, alpha2, eps = self._amplitudes(match, gain, u, total)
            eps = eps / rest.beta
            off = (amplitude / alpha2[..., None]) @ left.transpose(1, 2) - mean
            base = rho / (rho + eps)
            along = (axes @ off[..., None])[..., 0]
            more = (mu / (mu + eps[..., None]) - base[..., None]) * along
            at = mean + base[..., None] * off + (more[..., None, :] @ axes)[..., 0, :]
        step = at - mean
        along = (axes @ step[..., None])[..., 0].square()
        across = (step.square().sum(-1) - along.sum(-1)).clamp(min=0.0)
        n, m = mean.shape[-1], mu.shape[-1]
        grown = torch.log1p(mu / eps[..., None]).sum(-1) + (n - m) * torch.log1p(rho / eps)
        prior = -0.5 * (across / rho + (along / mu).sum(-1) + grown)
        seen = (at @ basis.transpose(1, 2)).square()
        gain = at.square().sum(-1) - (seen * rest.shrunk[:, None]).sum(-1)
        found = self._log_likelihood(at @ left, gain, u, u_noise, rest, slice(None))
        weight = rest.beta * found + prior.double()
        return np.asarray(weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf))

    def _amplitudes(
        self, match: Tensor, gain: Tensor, u: Tensor, power: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(..., r) E[a | g], (...) alpha² and eps."""
        shrunk = u / (1 + u * gain.clamp(min=0.0)[..., None])
        amplitude = shrunk * match
        dof = NOISE_DOF + self.problem.n_numbers
        explained = (amplitude * match).sum(-1).double()
        tau2 = ((power - explained).clamp(min=NOISE_DOF) / dof).to(match.dtype)
        alpha2 = amplitude.square().sum(-1) + tau2 * shrunk.sum(-1)
        return amplitude, alpha2, tau2 / alpha2.clamp(min=1e-30)

    def _log_likelihood(
        self,
        match: Tensor,
        gain: Tensor,
        u: Tensor,
        u_noise: Tensor,
        rest: _Rest,
        d: int | slice,
    ) -> Tensor:
        gain = gain.clamp(min=0.0)
        determinant = 1 + u * gain[..., None]
        power, log_det = rest.power[d], rest.log_determinant[d]
        if isinstance(d, slice):
            power, log_det = power[:, None], log_det[:, None]
        left = power - (match.square() * u / determinant).sum(-1).double()
        dof = NOISE_DOF + self.problem.n_numbers
        grown = determinant.log().sum(-1) + rest.n_noise * torch.log1p(u_noise * gain)
        return -0.5 * (log_det + grown.double()) - 0.5 * dof * left.clamp(min=NOISE_DOF).log()
