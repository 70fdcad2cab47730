"""Every centre weighed where topographies spread; for one source and its proposals.

What is drawn is accepted or weighed by the integrals of ``laplace``; here are the many
approximate values that say which centres are worth that. Given what the others look like
(``scan``), the amplitudes E[a | m], alpha² = E|a|² and eps = tau² / alpha², the data without what
the others make of them say y = sum_r a_r v_r / alpha² of g, and with a shrunk Sigma

    g^ = m + Sigma (Sigma + eps I)^-1 (y - m),
    log p(v~) ~ l(g^) - 1/2 (y - m)' S Sigma^-1 S (y - m) - 1/2 log det(I + Sigma / eps),

S = Sigma (Sigma + eps I)^-1: at first with Sigma as isotropic, for every centre or for one of four
in place of those about it, then for the best with its directions. Of time only the functions matter
in which something is left: the rest of the data is noise to all centres alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.noise import NOISE_DOF
from bayesesi.posterior.patches.laplace import drawn, peak, with_one_more
from bayesesi.posterior.patches.scan import Scan
from bayesesi.posterior.patches.states import Amplitudes, PatchStates
from bayesesi.posterior.patches.topography_covariance import SCALES, HeadSpread

#: Functions of time that are kept, of most power.
_N_FUNCTIONS = 6
#: Centres that one may stand for; cells of centre and size that are weighed anew.
_N_ABOUT, _N_BEST = 9, 160
#: Ends and points of the grid of log(s² G).
_LOG_GAINS, _N_GAINS = (-12.0, 14.0), 400
#: Turns of amplitudes and looks.
_N_TURNS = 3
#: Cells of the table of one source that are integrated: at first, and in all scales.
_N_CELLS, _N_FINE = 2400, 800


@dataclass(frozen=True, eq=False)
class _Rest:
    """What the other sources of D states leave, single precision.

    ``basis`` (D, J, n), ``shrunk`` (D, J) their frame; ``left`` (D, n, r) data in the r functions
    w_j of time of most power; ``response`` (D, X, r + 1), on a grid of log(s² G) what a function's
    amplitude is shrunk to, h_j = sum_t w_jt² q_t / (1 + q_t s² G), and sum_t log(1 + q_t s² G);
    ``log_determinant``, ``power`` (D,), double.
    """

    basis: Tensor
    shrunk: Tensor
    left: Tensor
    response: Tensor
    log_determinant: Tensor
    power: Tensor


@dataclass(frozen=True, eq=False)
class _Seen:
    """E[a | g] (..., r) ``amplitude``, (...) alpha² and eps; ``own`` the share of what data say of
    g that is of its size, which amplitudes make up for; ``likelihood`` but for the others' share.
    """

    amplitude: Tensor
    alpha2: Tensor
    eps: Tensor
    own: Tensor
    likelihood: Tensor


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
        return self._tensor(self._spread.directions)

    @cached_property
    def _variances(self) -> tuple[Tensor, Tensor]:
        """(N, m) mu and (N,) rho, over the power of the mean."""
        return self._tensor(self._spread.variance), self._tensor(self._spread.rest)

    def at_mode(self, states: PatchStates) -> tuple[PatchStates, NDArray[np.float64]]:
        found = peak(self.problem, states)
        return states.with_topography(found.at), found.log_weight

    def with_one_more(self, states: PatchStates) -> Amplitudes:
        seen = with_one_more(self.problem, states)
        return Amplitudes(self.problem, states.with_topography(seen))

    def drawn(
        self, states: PatchStates, rng: np.random.Generator
    ) -> tuple[PatchStates, NDArray[np.float64]]:
        seen, weight = drawn(self.problem, states, rng)
        return states.with_topography(seen), weight

    def alone(self) -> NDArray[np.float64]:
        """Weigh every single source: cells that matter are integrated, others keep the approximate
        value, less what it is too high by where both are known."""
        problem = self.problem
        shape = (problem.atoms.n_extents, problem.atoms.n_centres, len(problem.sizes))
        rest = self._rest(Amplitudes(problem, PatchStates.empty(1, 1, len(problem.turned))))
        scale = int(np.argmax(self._spread.log_scale))
        table = np.empty((problem.n_heads, *shape))
        for e in range(shape[0]):
            table[:, e] = self._roughly(rest, 0, scale, e, slice(None))
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

    def at_all_centres(
        self,
        others: Amplitudes,
        extent: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        rest, head = self._rest(others), others.states.head
        some, nearest = self._coarse
        each = [self._roughly(rest, d, int(head[d]), int(e), some) for d, e in enumerate(extent)]
        weight = np.stack(each)[:, nearest]
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

    def at_near_centres(
        self,
        others: Amplitudes,
        centres: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        n_extents = self.problem.atoms.n_extents
        n, n_near = centres.shape
        extent = np.repeat(np.arange(n_extents), n_near)[None]
        centre = np.tile(centres, (1, n_extents))
        rest = self._rest(others)
        finer = self._finer(rest, others.states.head, extent, centre, size[:, None])
        return finer.reshape(n, n_extents, n_near)

    def _rest(self, others: Amplitudes) -> _Rest:
        made = np.swapaxes(others.basis, 1, 2) @ (others.shrunk * others.match)
        left = torch.from_numpy(self.problem.turned - made)
        q = torch.from_numpy(self.problem.variance)
        _, vectors = torch.linalg.eigh(left.transpose(1, 2) @ left)
        turn = vectors[:, :, -min(_N_FUNCTIONS, len(q)) :]
        x = torch.linspace(*_LOG_GAINS, _N_GAINS, dtype=q.dtype).exp()[:, None]
        shrunk = (q / (1 + q * x)) @ turn.square()
        grown = torch.log1p(q * x).sum(1).expand(len(turn), -1)[..., None]
        parts = (
            others.basis,
            others.shrunk.mean(axis=2),
            (left @ turn).numpy(),
            torch.cat([shrunk, grown], dim=2).numpy(),
        )
        exact = map(torch.from_numpy, (others.log_determinant, others.rest))
        return _Rest(*map(self._tensor, parts), *exact)

    @cached_property
    def _coarse(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Centres that stand for those about them, and (N,) which of them is nearest to each."""
        from scipy.spatial import cKDTree

        positions = self.problem.obs.source_space.positions[self.problem.atoms.centres]
        tree, left = cKDTree(positions), np.ones(len(positions), bool)
        near = tree.query(positions, min(_N_ABOUT, len(positions)))[1].reshape(len(positions), -1)
        some = []
        for centre in range(len(positions)):
            if left[centre]:
                some.append(centre)
                left[near[centre]] = False
        return np.array(some), cKDTree(positions[some]).query(positions)[1]

    def _roughly(
        self, rest: _Rest, d: int, scale: int, extent: int, centres: NDArray[np.int64] | slice
    ) -> NDArray[np.float64]:
        """(N, M) of one state, Sigma isotropic."""
        means, power = self._means[extent, centres], self._powers[extent, centres]
        mu, rho = (part[centres] for part in self._variances)
        n, m = means.shape[-1], mu.shape[-1]
        left, total = rest.left[d], rest.power[d]
        t = SCALES[scale] * power * (mu.sum(-1) + (n - m) * rho) / n
        match = means @ left
        gain = power - (means @ rest.basis[d].T).square() @ rest.shrunk[d]
        size2 = self._tensor(self.problem.sizes**2)[:, None]
        response = rest.response[d]
        seen = self._amplitudes(match, gain, size2, response, total)  # (M, N, r), (M, N)
        eps = seen.eps
        mixed = seen.amplitude @ (left.T @ left)  # left' y alpha²
        yy = (mixed * seen.amplitude).sum(-1) / seen.alpha2**2
        ym = (seen.amplitude * match).sum(-1) / seen.alpha2
        # g^ = along m + share y, what data say of the size of m left out
        share, own = t / (t + eps), seen.own
        known = own / power
        inner = (1 - share * (1 + own)) * power + share * ym
        along = 1 - share * (1 + own) + share * known * inner / (1 - share * own)
        match = along[..., None] * match + (share / seen.alpha2)[..., None] * mixed
        grown = along**2 * power + 2 * along * share * ym + share**2 * yy
        off = (grown - 2 * (along * power + share * ym) + power).clamp(min=0.0)
        gain = gain + grown - power
        seen = self._amplitudes(match, gain, size2, response, total)
        eps = seen.eps
        prior = -0.5 * (off / t + n * torch.log1p(t / eps) + torch.log1p(-share * own))
        weight = (seen.likelihood - 0.5 * rest.log_determinant[d] + prior.double()).T
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
        mean, power = self._means[extent, centre], self._powers[extent, centre]
        scale = self._tensor(np.array(SCALES)[head])[:, None]
        axes = self._directions[centre]
        mu, rho = (part[centre] for part in self._variances)
        rho = rho * power * scale
        mu = mu * (power * scale)[..., None]
        left = rest.left
        total, at = rest.power[:, None], mean
        for _ in range(_N_TURNS):
            match, gain = at @ left, self._gain(at, rest)
            seen = self._amplitudes(match, gain, size2, rest.response, total)
            eps = seen.eps
            base = rho / (rho + eps)
            more = mu / (mu + eps[..., None]) - base[..., None]

            def shrink(x: Tensor, base: Tensor = base, more: Tensor = more) -> Tensor:
                along = (axes @ x[..., None])[..., 0]
                return base[..., None] * x + ((more * along)[..., None, :] @ axes)[..., 0, :]

            # data say nothing of a source's own size
            own = (seen.own / at.square().sum(-1)).sqrt()[..., None] * at
            said = (seen.amplitude / seen.alpha2[..., None]) @ left.transpose(1, 2)
            said = said - (own * at).sum(-1, keepdim=True) * own
            at = mean + shrink(said - mean)
            wide = shrink(own)
            left_over = 1 - (own * wide).sum(-1)
            at = at + wide * ((own * at).sum(-1) / left_over)[..., None]
        step = at - mean
        along = (axes @ step[..., None])[..., 0].square()
        across = (step.square().sum(-1) - along.sum(-1)).clamp(min=0.0)
        n, m = mean.shape[-1], mu.shape[-1]
        match, gain = at @ left, self._gain(at, rest)
        seen = self._amplitudes(match, gain, size2, rest.response, total)
        eps = seen.eps
        grown = torch.log1p(mu / eps[..., None]).sum(-1) + (n - m) * torch.log1p(rho / eps)
        prior = -0.5 * (across / rho + (along / mu).sum(-1) + grown + left_over.log())
        found = seen.likelihood - 0.5 * rest.log_determinant[:, None]
        weight = found + prior.double()
        return np.asarray(weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf))

    def _gain(self, at: Tensor, rest: _Rest) -> Tensor:
        """(D, A): G of (D, A, n) looks."""
        across = (at @ rest.basis.transpose(1, 2)).square()
        return at.square().sum(-1) - (across * rest.shrunk[:, None]).sum(-1)

    def _amplitudes(
        self, match: Tensor, gain: Tensor, size2: Tensor, response: Tensor, power: Tensor
    ) -> _Seen:
        """Of (..., r) matches and (...) gains G, of sources of (...) sizes s².

        ``response`` (X, r + 1), or (D, X, r + 1) where the first axis is D.
        """
        low, high = _LOG_GAINS
        # where a look ran away in single precision it is nowhere; its likelihood is not finite
        x = size2 * gain.nan_to_num(0.0, 0.0, 0.0).clamp(min=0.0)
        place = (x.clamp(min=1e-30).log() - low) * ((_N_GAINS - 1) / (high - low))
        place = place.clamp(0.0, _N_GAINS - 1.001)
        first = place.long()
        share = (place - first)[..., None]
        if response.ndim == 3:
            rows = torch.arange(len(response))[:, None]
            here, after = response[rows, first], response[rows, first + 1]
        else:
            here, after = response[first], response[first + 1]
        said = torch.lerp(here, after, share)
        shrunk = size2[..., None] * said[..., :-1]
        amplitude = shrunk * match
        dof = NOISE_DOF + self.problem.n_numbers
        left = (power - (amplitude * match).sum(-1).double()).clamp(min=NOISE_DOF)
        tau2 = (left / dof).to(match.dtype)
        power2 = amplitude.square()
        alpha2 = (power2.sum(-1) + tau2 * shrunk.sum(-1)).clamp(min=1e-30)
        own = (power2 * (x[..., None] * said[..., :-1])).sum(-1) / alpha2
        likelihood = -0.5 * said[..., -1].double() - 0.5 * dof * left.log()
        return _Seen(amplitude, alpha2, tau2 / alpha2, own.clamp(0.0, 1 - 1e-4), likelihood)
