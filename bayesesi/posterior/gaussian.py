"""Exact under a Gaussian prior: the minimum norm and its uncertainty.

    v~ = L~ J + e,  e ~ N(0, I),  J_r ~ N(0, s² A A'),  r = 1..R independent

with A the prior's shape (one standard deviation a source, a depth weighting, or smooth fields) and
s its scale; a loose source of normal n and ratio rho has A A' = n n' + rho (I - n n'). With
K = I + s² L~ A A' L~' (n_eff by n_eff) and M = s² A A' L~' K^-1

    mean = M v~,     Cov(J_r) = s² A A' - M L~ s² A A',     log p(v~) = -1/2 sum_r v_r' K^-1 v_r
                                                             - R/2 log det K - n R/2 log 2 pi.

At s² = 1 / lambda² the mean is the minimum norm of Hamalainen & Ilmoniemi (1994,
doi:10.1007/BF02512476); s is where the evidence is largest unless given.

That nothing is active is weighed against every scale of a grid, even in log s, where noise of
unknown size is integrated on both sides: v~ ~ N(0, tau² K_s), tau² ~ nu / chi²_nu, so that with
v_i the rows of v~ turned to the eigenvectors of L~ A A' L~' and g_i its eigenvalues

    log p(v~ | s) = const - R/2 sum_i log(1 + s² g_i)
                    - (nu + n R)/2 log(nu + sum_i |v_i|² / (1 + s² g_i)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from bayesesi.anatomy import template_modes
from bayesesi.errors import InputError, some
from bayesesi.noise import NOISE_DOF
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior

Shape = Literal["identity", "depth", "smooth"]
SHAPES: tuple[Shape, ...] = ("identity", "depth", "smooth")
#: MNE's exponent of the depth weighting, and its bound on the weights' ratio.
_DEPTH, _DEPTH_LIMIT = 0.8, 10.0
#: m: smoothness of the smooth prior, unless given.
_SMOOTHNESS = 0.012
#: Where the scale is looked for: signal over noise, mean over sensors.
_LOG_SNR = (-12.0, 12.0)
#: The same of what would be called an event, in dB of power, where there is one time function; over
#: R of them the power of noise is known better, and less than it by 1 / sqrt(R) is an event too.
_EVENT_DB = (0.0, 40.0)
#: Prior probability that nothing is active.
_NULL = 0.1
#: Draws that are made together.
_AT_ONCE = 20


def gaussian_posterior(
    obs: Observation,
    prior: Shape = "identity",
    scale: float | None = None,
    smoothness: float = _SMOOTHNESS,
) -> GaussianPosterior:
    """Condition on an observation under a Gaussian prior.

    Parameters
    ----------
    obs : the data.
    prior : ``"identity"``: every source alike; ``"depth"``: deep ones as much larger as they are
        fainter, ||L_s||^-0.8 within 10 (MNE's); ``"smooth"``: fields of correlation
        exp(-d² / (2 smoothness²)) on the template's cortex.
    scale : s, in A m (of a source; for ``"depth"`` of the strongest, for ``"smooth"`` of a mean
        one); by the largest evidence if not given. smoothness : m.

    Raises
    ------
    InputError : an unknown prior, a scale that is not positive, smooth fields off the template,
        loose sources without normals.
    """
    if prior not in SHAPES:
        raise InputError(f"prior is one of {', '.join(SHAPES)}, not {some([prior])}")
    shape = _prior_shape(obs, prior, smoothness)
    seen = shape.gather(_flat(obs.leadfield))
    gains, basis = _spectrum(seen)
    if scale is None:
        scale = _largest_evidence(gains, basis.T @ obs.values)
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"scale is a positive size in A m, not {scale!r}")
    return GaussianPosterior(obs, shape, float(scale), seen, gains, basis)


@dataclass(frozen=True, eq=False)
class PriorShape:
    """Hold A of unit scale.

    Attributes
    ----------
    name : of the prior. sd : (F,) of the components. factor : (F, m) instead of it.
    normals : (S, 3) of loose sources, which have ``sd`` along them. loose : ratio of the variance
        across to that; A is then the symmetric root of each source's 3 by 3 covariance.
    """

    name: Shape
    sd: NDArray[np.float64]
    factor: NDArray[np.float64] | None = None
    normals: NDArray[np.float64] | None = None
    loose: float = 1.0

    @property
    def n_coefficients(self) -> int:
        return len(self.sd) if self.factor is None else self.factor.shape[1]

    def spread(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute A z.

        Parameters
        ----------
        coefficients : z, (..., m, R), unitless; the result is (..., F, R).
        """
        if self.factor is not None:
            return np.asarray(self.factor @ coefficients)
        return np.asarray(self.sd[:, None] * self._squeeze(coefficients, np.sqrt(self.loose)))

    def gather(self, leadfield: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute L A, (n, m).

        Parameters
        ----------
        leadfield : L, (n, F).
        """
        if self.factor is not None:
            return np.asarray(leadfield @ self.factor)
        return self.spread(leadfield.T).T

    def standardised(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute A^-1 J, in the shape of J, where A has an inverse.

        Parameters
        ----------
        moments : J, (..., F, R), A m over the scale.
        """
        return np.asarray(self._squeeze(moments, 1 / np.sqrt(self.loose)) / self.sd[:, None])

    @property
    def variance(self) -> NDArray[np.float64]:
        """(F,): the diagonal of A A'."""
        if self.factor is not None:
            return np.asarray((self.factor**2).sum(axis=1))
        if self.normals is None:
            return self.sd**2
        along = self.normals.ravel() ** 2
        return self.sd**2 * (along + self.loose * (1 - along))

    @property
    def log_det(self) -> float:
        """log det A, where A is square: two of three directions are across."""
        across = 0.0 if self.normals is None else len(self.normals) * np.log(self.loose)
        return float(np.log(self.sd).sum() + across)

    def _squeeze(self, values: NDArray[np.float64], across: float) -> NDArray[np.float64]:
        """(..., F, R): the part across the normals times a factor."""
        if self.normals is None:
            return values
        split = values.reshape(*values.shape[:-2], len(self.normals), 3, values.shape[-1])
        along = np.einsum("sk,...skr->...sr", self.normals, split)
        normal = self.normals[:, :, None] * along[..., None, :]
        return np.asarray(across * split + (1 - across) * normal).reshape(values.shape)


@dataclass(frozen=True, eq=False)
class GaussianPosterior(Posterior):
    """Hold the posterior of the module; all but ``scale`` is kept from the making.

    Attributes
    ----------
    shape : A. scale : s, A m. seen : (n_eff, m): L~ A. gains : (n_eff,) and basis : (n_eff,
        n_eff): eigenvalues and vectors of L~ A A' L~'.
    """

    shape: PriorShape
    scale: float
    seen: NDArray[np.float64]
    gains: NDArray[np.float64]
    basis: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"<GaussianPosterior | {self.shape.name}, scale {self.scale * 1e9:.3g} nAm, log "
            f"evidence {self.log_evidence:.1f}>"
        )

    @cached_property
    def log_evidence(self) -> float:
        """log p(v~), nats."""
        turned = self.basis.T @ self.obs.values
        return _log_evidence(np.log(self.scale), self.gains, turned)

    @cached_property
    def null_probability(self) -> float:
        """Probability that nothing is active, whatever ``scale`` is: see the module."""
        power = (self.obs.values**2).sum()
        nothing = -0.5 * (NOISE_DOF + self.obs.values.size) * np.log(NOISE_DOF + power)
        something = np.array([self._log_student(scale) for scale in self._event_scales])
        log_odds = np.log1p(-_NULL) - np.log(_NULL) - np.log(len(something))
        log_odds += logsumexp(something) - nothing
        return float(np.exp(-np.logaddexp(0.0, log_odds)))

    @property
    def _event_scales(self) -> NDArray[np.float64]:
        """A m, even in their logarithm."""
        low, high = _EVENT_DB[0] - 5 * np.log10(self.obs.n_functions), _EVENT_DB[1]
        decibels = np.linspace(low, high, 81)
        return np.asarray(np.sqrt(10 ** (decibels / 10) / self.gains.mean()))

    def _log_student(self, scale: float) -> float:
        """log p(v~ | s) with the noise's scale integrated, up to a constant."""
        turned, variance = self.basis.T @ self.obs.values, 1 + scale**2 * self.gains
        r, count = self.obs.n_functions, turned.size
        power = (turned**2 / variance[:, None]).sum()
        spread = 0.5 * r * np.log(variance).sum()
        return float(-spread - 0.5 * (NOISE_DOF + count) * np.log(NOISE_DOF + power))

    def details(self) -> dict[str, Any]:
        """Describe the computation; ``scale`` in A m where volts are known."""
        return {
            "family": "gaussian",
            "prior": self.shape.name,
            "orientation": self.obs.forward.orientation,
            "loose": self.shape.loose,
            "scale": self.scale,
            "log_evidence": self.log_evidence,
        }

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        """(n_eff, n_eff): K^-1."""
        return (self.basis / (1 + self.scale**2 * self.gains)) @ self.basis.T

    @cached_property
    def _coefficients(self) -> NDArray[np.float64]:
        """(m, n_eff): from data to the mean of z, J = s A z."""
        return self.scale * self.seen.T @ self._inverse

    def mean(self) -> NDArray[np.float64]:
        flat = self.scale * self.shape.spread(self._coefficients @ self.obs.values)
        return _unflat(flat, self.obs)

    def sd(self) -> NDArray[np.float64]:
        prior = self.scale**2 * self.shape.variance
        cross = self.scale**2 * self.shape.spread(self.seen.T).T
        explained = np.einsum("is,ij,js->s", cross, self._inverse, cross, optimize=True)
        sd = np.sqrt(np.maximum(prior - explained, 0.0))
        return _unflat(np.repeat(sd[:, None], self.obs.n_functions, axis=1), self.obs)

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw from the prior and correct what the draws predict wrongly (Matheron's rule)."""
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        rng = np.random.default_rng(seed)
        m, (rows, r) = self.shape.n_coefficients, self.obs.values.shape
        draws = np.empty((n, *self.obs.leadfield.shape[1:], r))
        for first in range(0, n, _AT_ONCE):
            wanted = draws[first : first + _AT_ONCE]
            # always as many, so that to the last bit the first draws of many are those of a few
            random = np.stack([rng.standard_normal((m + rows, r)) for _ in range(_AT_ONCE)], 1)
            z, noise = random[:m].reshape(m, -1), random[m:]
            left = (self.obs.values[:, None] - noise).reshape(rows, -1) - self.scale * self.seen @ z
            flat = self.scale * self.shape.spread(z + self._coefficients @ left)
            parts = flat.reshape(len(flat), _AT_ONCE, r)[:, : len(wanted)]
            wanted[:] = parts.transpose(1, 0, 2).reshape(wanted.shape)
        return draws

    def log_prob(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate log N(J; mean, Cov), by log det Cov = log det(s² A A') - log det K.

        Raises
        ------
        InputError : smooth priors, whose fields fill a subspace only.
        """
        if self.shape.factor is not None:
            raise InputError("smooth fields fill a subspace and have no density on all sources")
        off = draws - self.mean()
        off = off.reshape(len(off), len(self.shape.sd), -1)
        seen = np.einsum("is,dsr->dir", _flat(self.obs.leadfield), off, optimize=True)
        z = self.shape.standardised(off) / self.scale
        quadratic = (z**2).sum(axis=(1, 2)) + (seen**2).sum(axis=(1, 2))
        prior = self.shape.log_det + off.shape[1] * np.log(self.scale)
        half_log_det = prior - 0.5 * np.log1p(self.scale**2 * self.gains).sum()
        count = off.shape[1] * off.shape[2]
        return np.asarray(
            -0.5 * quadratic - off.shape[2] * half_log_det - 0.5 * count * np.log(2 * np.pi)
        )


def _prior_shape(obs: Observation, prior: Shape, smoothness: float) -> PriorShape:
    leadfield, space = obs.leadfield, obs.source_space
    n = leadfield.shape[1]
    axes = 1 if leadfield.ndim == 2 else 3
    if prior == "smooth":
        if axes == 3 or space.ico is None or space.vertices is None:
            raise InputError(
                "smooth fields live on the template's cortex along its normals; use 'identity' or "
                "'depth' for these sources"
            )
        modes = template_modes()
        weights = modes.amplitudes(np.array([smoothness]))[0].astype(np.float32)
        fields = (modes.at(space.vertices) * weights).astype(float)
        relative = space.areas / space.areas.mean()
        return PriorShape(prior, np.ones(n), fields * relative[:, None])
    sd = np.ones(n)
    if prior == "depth":
        norm = np.sqrt((leadfield.reshape(len(leadfield), n, -1) ** 2).sum(axis=(0, 2)))
        sd = np.minimum(norm**-_DEPTH / (norm**-_DEPTH).min(), _DEPTH_LIMIT)
    loose = obs.forward.loose if axes == 3 else 1.0
    normals = space.normals if loose < 1 else None
    if loose < 1 and normals is None:
        raise InputError(
            f"sources of loose {loose:g} need normals, and these have none; give SourceSpace("
            "positions, normals), or free sources with forward.with_loose(1.0)"
        )
    return PriorShape(prior, np.repeat(sd, axes), normals=normals, loose=loose)


def _flat(leadfield: NDArray[np.float64]) -> NDArray[np.float64]:
    return leadfield.reshape(len(leadfield), -1)


def _unflat(flat: NDArray[np.float64], obs: Observation) -> NDArray[np.float64]:
    return flat if obs.leadfield.ndim == 2 else flat.reshape(-1, 3, flat.shape[-1])


def _spectrum(seen: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gains, basis = np.linalg.eigh(seen @ seen.T)
    return np.maximum(gains, 0.0), basis


def _log_evidence(
    log_scale: float, gains: NDArray[np.float64], turned: NDArray[np.float64]
) -> float:
    """log p(v~) with ``turned`` (n_eff, R) the data in the eigenvectors' frame."""
    variance = 1 + np.exp(2 * log_scale) * gains
    r = turned.shape[1]
    quadratic = (turned**2 / variance[:, None]).sum()
    return float(
        -0.5 * quadratic - 0.5 * r * np.log(variance).sum() - 0.5 * turned.size * np.log(2 * np.pi)
    )


def _largest_evidence(gains: NDArray[np.float64], turned: NDArray[np.float64]) -> float:
    """The scale of most evidence, between next to nothing and next to no noise."""
    centre = -0.5 * np.log(gains.mean())
    ends = (centre + _LOG_SNR[0], centre + _LOG_SNR[1])
    grid = np.linspace(*ends, 97)
    best = int(np.argmax([_log_evidence(x, gains, turned) for x in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda x: -_log_evidence(x, gains, turned), bounds=(low, high), method="bounded"
    )
    return float(np.exp(found.x))
