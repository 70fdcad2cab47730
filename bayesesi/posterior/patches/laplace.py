"""Topographies of all sources of a state integrated together, by Laplace.

With G (K, n) what the sources look like, N(m_k, Sigma_k) before the data (``spread``), amplitudes
and noise scale integrated in the exact l(G) of ``states``, a_r and tau F_r tau their mean and
covariance given G, W = sum_r a_r a_r' / tau²,

    grad l = sum_r (a_r (v_r - G' a_r)' / tau² - F_r G)
    -hess l ~ W (x) I - sum_r (a_r a_r' / tau²) (x) (G' F_r G)                    (Louis 1982)
    H = blockdiag(Sigma_k^-1) - hess l
    log p(v~ | state) ~ l(G^) + sum_k log N(g^_k; m_k, Sigma_k) + 1/2 log det(2 pi H^-1)

G^ by steps H^-1 grad from the means: what data say nothing of (how large a source looks, what it
has in common with another's look) is left out of H, so that the steps are near Newton's. H is a
Kronecker product less a form of low rank, B (x) I - U'U: nothing is as large as K n.

Data tell a source's direction, whatever its size: were it larger, it could lie off by more. So the
integral is taken over x, with t_k the part of x_k along g^_k over |g^_k|, x'_k the part across,

    g_k = (1 + t_k) g^_k + (1 + c_k t_k) x'_k,    |dG / dx| = prod_k (1 + c_k t_k)^(n - 1),

c_k the share of what is known of x' that data tell; to first order the Jacobian is exp(b'x), which
moves the peak by H^-1 b and adds b' H^-1 b / 2. (n - 1 is large: without it draws weigh unequally.)

Topographies drawn so weigh by the exact density over their own (``drawn``): that is what makes
draws of the posterior exact, and says how good the approximation was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.noise import NOISE_DOF
from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.states import Amplitudes, PatchStates
from bayesesi.posterior.patches.topography_covariance import SCALES

#: Steps towards the peak, and states that are weighed at once.
N_STEPS, _CHUNK = 4, 512
#: t that the Jacobian may add at most, where it is taken to first order.
_MOST_GROWN = 0.15
#: By which data are held to say a little even of what they say nothing of, against rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Mode:
    """The likeliest topographies of D states.

    Attributes
    ----------
    at : (D, K, n) G^. log_weight : (D,) log-likelihood with topographies integrated, nats.
    """

    at: NDArray[np.float64]
    log_weight: NDArray[np.float64]


def peak(problem: PatchLikelihood, states: PatchStates) -> Mode:
    """Find the mode of D ``states`` of ``problem``, see the module.

    Unused slots look like their means and say nothing.
    """
    parts = [
        _climbed(_Field.of(problem, states[first : first + _CHUNK]), N_STEPS)
        for first in range(0, len(states), _CHUNK)
    ]
    return Mode(
        np.concatenate([at.numpy() for _, at, _ in parts]),
        np.concatenate([weight.numpy() for *_, weight in parts]),
    )


def with_one_more(problem: PatchLikelihood, states: PatchStates) -> NDArray[np.float64]:
    """Find how sources of ``problem`` likely look if there is one more, somewhere: (D, K, n).

    ``states`` look as they are likeliest to alone. The other one may look like anything; the search
    begins with what they leave, and with most of the data. Without it the sources would have to
    look like all that it makes.
    """
    alone = Amplitudes(problem, states)
    left = problem.turned - np.swapaxes(alone.basis, 1, 2) @ (alone.shrunk * alone.match)
    whole = np.broadcast_to(problem.turned, left.shape)
    looks = [_strongest(left), _strongest(whole)]
    twice = PatchStates.joined([states, states])
    field = _Field.of(problem, twice).with_another(torch.from_numpy(np.concatenate(looks)))
    start = field.means.clone()
    start[: len(states), :-1] = torch.from_numpy(states.seen)
    _, at, weight = _climbed(field, N_STEPS, start)
    (first, second), (better, other) = at[:, :-1].chunk(2), weight.chunk(2)
    return torch.where((better >= other)[:, None, None], first, second).numpy()


def _strongest(data: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, n) direction of most power of (D, n, R)."""
    return np.asarray(np.linalg.eigh(data @ np.swapaxes(data, 1, 2))[1][..., -1])


def drawn(
    problem: PatchLikelihood, states: PatchStates, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw topographies (D, K, n) of D ``states`` of ``problem``, by ``rng``.

    Beside them (D,) log p(v~, them | state) less log density of the draw. Those of unused slots are
    as likely as they are drawn.
    """
    seen, weights = [], []
    for first in range(0, len(states), _CHUNK):
        field = _Field.of(problem, states[first : first + _CHUNK])
        curvature, _, _ = _climbed(field, N_STEPS)
        looks, log_density = curvature.drawn(rng)
        seen.append(looks)
        weights.append(field.log_joint(looks) - log_density)
    return torch.cat(seen).numpy(), torch.cat(weights).numpy()


def _climbed(
    field: _Field, n_steps: int, start: Tensor | None = None
) -> tuple[_Curvature, Tensor, Tensor]:
    at = field.means if start is None else start
    for _ in range(n_steps):
        slope, curvature = field.expanded(at)
        at = at + curvature.solve(slope)
    _, curvature = field.expanded(at)
    n_numbers = at.shape[1] * at.shape[2]
    volume = 0.5 * (n_numbers * np.log(2 * np.pi) - curvature.log_determinant)
    weight = field.log_joint(at) + volume + curvature.gained
    # where rounding fails nothing is proposed
    return curvature, at, weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf)


@dataclass(frozen=True, eq=False)
class _Field:
    """The joint density of data and topographies of D states, double precision.

    ``means`` (D, K, n); ``axes`` (D, K, m, n), ``mu`` (D, K, m), ``rho`` (D, K) of Sigma; ``sizes``
    (D, K), 0 of unused slots.
    """

    problem: PatchLikelihood
    means: Tensor
    axes: Tensor
    mu: Tensor
    rho: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, problem: PatchLikelihood, states: PatchStates) -> _Field:
        spread = problem.spread
        assert spread is not None
        means = problem.topographies[0, states.extent, states.centre, 0].astype(float)
        power = (means**2).sum(axis=2) * np.array(SCALES)[states.head][:, None]
        mu = spread.variance[states.centre] * power[..., None]
        parts = (
            means,
            spread.directions[states.centre].astype(float),
            mu,
            spread.rest[states.centre] * power,
            np.where(states.used, problem.sizes[states.size], 0.0),
        )
        return cls(problem, *map(torch.from_numpy, parts))

    def with_another(self, look: Tensor) -> _Field:
        """And a source in every state that may look like anything, most likely (D, n) ``look``."""
        d, _, m, n = self.axes.shape
        power = self.problem.median_power
        mean = np.sqrt(power) * look[:, None]
        every = torch.full((d, 1), power / n, dtype=mean.dtype)
        size = torch.full((d, 1), float(np.median(self.problem.sizes)), dtype=mean.dtype)
        return replace(
            self,
            means=torch.cat([self.means, mean], dim=1),
            axes=torch.cat([self.axes, torch.zeros(d, 1, m, n, dtype=mean.dtype)], dim=1),
            mu=torch.cat([self.mu, every[..., None].expand(d, 1, m)], dim=1),
            rho=torch.cat([self.rho, every], dim=1),
            sizes=torch.cat([self.sizes, size], dim=1),
        )

    @cached_property
    def _data(self) -> tuple[Tensor, Tensor]:
        """(n, R) v~ and (R,) q."""
        return torch.from_numpy(self.problem.turned), torch.from_numpy(self.problem.variance)

    @cached_property
    def _more(self) -> Tensor:
        """(D, K, m): 1 / rho - 1 / mu."""
        return (1 / self.rho[..., None] - 1 / self.mu).clamp(min=0.0)

    @cached_property
    def _root_more(self) -> Tensor:
        return self._more.sqrt()

    @cached_property
    def _axes_together(self) -> Tensor:
        """(D, K, m, K, m): Q_k Q_l'."""
        return torch.einsum("dkmn,dlpn->dkmlp", self.axes, self.axes)

    @cached_property
    def _log_normal(self) -> Tensor:
        """(D,) -1/2 log det(2 pi Sigma), all slots."""
        n, m = self.means.shape[2], self.mu.shape[2]
        log_det = self.mu.log().sum((1, 2)) + (n - m) * self.rho.log().sum(1)
        return -0.5 * (log_det + self.rho.shape[1] * n * np.log(2 * np.pi))

    def _weighed(self, off: Tensor) -> Tensor:
        """Sigma^-1 times (D, K, n)."""
        along = torch.einsum("dkmn,dkn->dkm", self.axes, off) * self._more
        return off / self.rho[..., None] - torch.einsum("dkmn,dkm->dkn", self.axes, along)

    def _frame(self, at: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """X (D, K, J) with F_r = X diag(f_r) X', f (D, J, R), X'G v_r f_r (D, J, R), rest (D,)."""
        data, q = self._data
        scaled = self.sizes[..., None] * at
        gains, vectors = torch.linalg.eigh(scaled @ scaled.transpose(1, 2))
        turned = vectors.transpose(1, 2) @ scaled
        match = turned @ data
        shrunk = q / (1 + q * gains.clamp(min=0.0)[..., None])
        spoken = shrunk * match
        rest = self.problem.power - (spoken * match).sum((1, 2))
        return self.sizes[..., None] * vectors, shrunk, spoken, rest

    def log_joint(self, at: Tensor) -> Tensor:
        """(D,) l(G) + sum_k log N(g_k; m_k, Sigma_k)."""
        _, shrunk, _, rest = self._frame(at)
        q = self._data[1]
        off = at - self.means
        prior = self._log_normal - 0.5 * (off * self._weighed(off)).sum((1, 2))
        # sum log(1 + q lambda) is that of log(q / f)
        log_det = torch.where(q > 0, (q / shrunk).log(), 0.0).sum((1, 2))
        dof = NOISE_DOF + self.problem.n_numbers
        return prior - 0.5 * log_det - 0.5 * dof * rest.log()

    def expanded(self, at: Tensor) -> tuple[Tensor, _Curvature]:
        """(D, K, n) gradient of ``log_joint`` and H."""
        data, _ = self._data
        x, shrunk, spoken, rest = self._frame(at)
        tau2 = (rest / (NOISE_DOF + self.problem.n_numbers))[:, None, None]
        amplitude = x @ spoken
        told = amplitude @ (data.T - amplitude.transpose(1, 2) @ at) / tau2
        told = told - (x * shrunk.sum(2)[:, None]) @ (x.transpose(1, 2) @ at)
        slope = told - self._weighed(at - self.means)
        power = amplitude @ amplitude.transpose(1, 2) / tau2
        # of sum_r a_r a_r' f_jr / tau², for each j, a root
        each = amplitude[:, None] * shrunk[:, :, None] @ amplitude.transpose(1, 2)[:, None]
        each = each / tau2[..., None]
        values, vectors = torch.linalg.eigh(each)
        root = vectors * values.clamp(min=0.0).sqrt()[:, :, None]
        unseen = torch.einsum("djkc,daj->dkajc", root, x).flatten(3)
        return slope, _Curvature.of(self, at, power, unseen)


@dataclass(frozen=True, eq=False)
class _Curvature:
    """H = B (x) I - U'U of (D, K n) numbers.

    U has K m rows sqrt(1 / rho - 1 / mu) Q_k, each in its slot, and rows c, sum_a L_kac g_a in
    slot k: ``unseen`` L (D, K, K, c).
    """

    field: _Field
    at: Tensor
    base: Tensor
    inverse: Tensor
    unseen: Tensor
    root: Tensor

    @classmethod
    def of(cls, field: _Field, at: Tensor, power: Tensor, unseen: Tensor) -> _Curvature:
        base = torch.diag_embed(1 / field.rho) + power
        inverse = torch.linalg.inv(base)
        d, k, m = field.mu.shape
        scale = field._root_more
        axes = scale[..., None, None] * inverse[:, :, None, :, None] * field._axes_together
        axes = (axes * scale[:, None, None]).reshape(d, k * m, k * m)
        looks = torch.einsum("dkac,dan->dkcn", unseen, at)
        spread = torch.einsum("dkl,dlcn->dkcn", inverse, looks)
        across = (scale[..., None] * (field.axes @ spread.transpose(2, 3))).flatten(1, 2)
        among = torch.einsum("dkcn,dkpn->dcp", looks, spread)
        inner = torch.cat(
            [
                torch.cat([axes, across], dim=2),
                torch.cat([across.transpose(1, 2), among], dim=2),
            ],
            dim=1,
        )
        left = torch.eye(inner.shape[1], dtype=inner.dtype) * (1 + _ROUNDING) - inner
        return cls(field, at, base, inverse, unseen, torch.linalg.cholesky_ex(left)[0])

    @cached_property
    def log_determinant(self) -> Tensor:
        """(D,)"""
        inner = 2 * self.root.diagonal(dim1=1, dim2=2).log().sum(1)
        return self.at.shape[2] * torch.linalg.slogdet(self.base)[1] + inner

    def solve(self, vectors: Tensor) -> Tensor:
        """H^-1 times (D, K, n)."""
        spread = self.inverse @ vectors
        inner = torch.cholesky_solve(self._across(spread)[..., None], self.root)[..., 0]
        return spread + self.inverse @ self._back(inner)

    @cached_property
    def _told(self) -> Tensor:
        """(D, K) c: the share of what is known across a source's look that data tell; less where
        its size is so free that the first order would move it far."""
        told = 1 - self.inverse.diagonal(dim1=1, dim2=2) / self.field.rho
        moved = self.solve(self._tilt_of(told))
        power = self.at.square().sum(2)
        grown = (moved * self.at).sum(2) / power
        return told * (_MOST_GROWN / grown.clamp(min=_MOST_GROWN))

    def _tilt_of(self, told: Tensor) -> Tensor:
        """(D, K, n) b."""
        power = self.at.square().sum(2, keepdim=True)
        return (self.at.shape[2] - 1) * told[..., None] * self.at / power

    @cached_property
    def _tilt(self) -> tuple[Tensor, Tensor]:
        """b (D, K, n) and H^-1 b."""
        tilt = self._tilt_of(self._told)
        return tilt, self.solve(tilt)

    @property
    def gained(self) -> Tensor:
        """(D,) b' H^-1 b / 2."""
        tilt, moved = self._tilt
        return 0.5 * (tilt * moved).sum((1, 2))

    def drawn(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(D, K, n) topographies, and their (D,) log density."""
        white = torch.from_numpy(rng.standard_normal(self.at.shape))
        inner = torch.from_numpy(rng.standard_normal(self.root.shape[:2]))
        wide = torch.linalg.solve_triangular(
            self.root.transpose(1, 2), inner[..., None], upper=True
        )
        x = torch.linalg.cholesky(self.inverse) @ white
        x = x + self.inverse @ self._back(wide[..., 0])
        square = (x * (self.base @ x)).sum((1, 2)) - self._across(x).square().sum(1)
        n = x.shape[2]
        density = 0.5 * (self.log_determinant - x.shape[1] * n * np.log(2 * np.pi) - square)
        x = x + self._tilt[1]
        along = (x * self.at).sum(2, keepdim=True) / self.at.square().sum(2, keepdim=True)
        wider = 1 + self._told[..., None] * along
        looks = (1 + along) * self.at + wider * (x - along * self.at)
        return looks, density - (n - 1) * wider.abs().log().sum((1, 2))

    def _across(self, vectors: Tensor) -> Tensor:
        """(D, rows): U times (D, K, n)."""
        axes = torch.einsum("dkmn,dkn->dkm", self.field.axes, vectors) * self.field._root_more
        along = vectors @ self.at.transpose(1, 2)
        looks = torch.einsum("dkac,dka->dc", self.unseen, along)
        return torch.cat([axes.flatten(1), looks], dim=1)

    def _back(self, inner: Tensor) -> Tensor:
        """(D, K, n): U' times (D, rows)."""
        d, k, m = self.field.mu.shape
        axes = inner[:, : k * m].reshape(d, k, m) * self.field._root_more
        looks = torch.einsum("dkac,dc->dka", self.unseen, inner[:, k * m :]) @ self.at
        return torch.einsum("dkmn,dkm->dkn", self.field.axes, axes) + looks
