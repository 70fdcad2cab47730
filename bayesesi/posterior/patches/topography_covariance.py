"""How topographies differ from head to head: a Gaussian for each source.

    g = m + |m| d,    d ~ N(0, lambda (Q' diag(mu - rho) Q + rho I))

m is what a source looks like in a typical head; Q holds the directions in which d varies most and
rho is the variance in every other (probabilistic principal components; Tipping & Bishop 1999,
doi:10.1111/1467-9868.00196). d is learned from heads and shapes drawn from their priors, each
scaled to its size along m: heads differ in size, too, but amplitudes have the same freedom.

Heads are no Gaussians: most differ little and a few much. So lambda, which all sources of an event
share, is one of a few scales; how often each comes is learned as well. Given it, d of two sources
is taken as independent.

An index over a few dozen heads cannot do this at high SNR: electrodes and tissues move topographies
in dozens of directions, none of the heads is near the true one, and chains explain the misfit by
sources that are not there. (Of 1,500 heads behind a nominal cap of 64, a source differed from its
mean look by .24 of its power and from the most alike of 16 heads by .15; 24 directions left .006.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

from bayesesi.posterior.patches.head_samples import HeadSamples

#: Directions of most variance.
N_DIRECTIONS = 16
#: Power of d that is spread over all directions alike, besides: what a posterior should not trust
#: its own model for. Chosen on simulated heads that no report uses.
DISCREPANCY = 0.02
#: Scales of the variance that heads may have.
SCALES = (0.4, 0.8, 1.6, 3.2)
#: A draw that is less alike to the mean than this is scaled no further.
_LEAST_LIKENESS = 0.3
#: Centres that are learned at once, turns of their directions; forms and turns for the scales.
_CHUNK, _N_TURNS, _N_FORMS, _N_STEPS = 512, 4, 20_000, 50


@dataclass(frozen=True, eq=False)
class HeadSpread:
    """Spreads of every centre, single precision; the same for each extent.

    Attributes
    ----------
    directions : (N, m, n_eff) orthonormal rows Q.
    variance : (N, m) mu; rest : (N,) rho.
    log_scale : (H,) log probabilities of ``SCALES``.
    """

    directions: NDArray[np.float32]
    variance: NDArray[np.float32]
    rest: NDArray[np.float32]
    log_scale: NDArray[np.float64]


def typical(views: HeadSamples, weights: sp.csr_array) -> NDArray[np.float32]:
    """Average what sources look like over heads, (m, n_eff), each brought to the median one's size.

    ``views`` are the heads; ``weights`` (m, S) the sources.
    """
    size = np.linalg.norm(views.electrodes, axis=(1, 2))
    mean = (views.electrodes / size[:, None, None]).mean(axis=0) * np.median(size)
    return np.asarray(views.modes(weights) @ mean.T, np.float32)


def spread_about(
    means: NDArray[np.float32], views: HeadSamples, variants: NDArray[np.float32]
) -> HeadSpread:
    """Learn how sources look about ``means`` (N, n_eff), from heads and shapes that are drawn.

    Directions come from three heads of four and variances from the fourth: of the heads that chose
    them they would be too large, and what is left too small by several times. ``views`` are the
    heads; ``variants`` (V, N, B) sources of several kinds, in the bank's modes.
    """
    parts = []
    for first in range(0, len(means), _CHUNK):
        rows = slice(first, first + _CHUNK)
        seen = views.each(variants[:, rows])
        parts.append(_learn(_off(torch.from_numpy(seen), torch.from_numpy(means[rows]))))
    directions, variance, rest, strange = (torch.cat(part) for part in zip(*parts, strict=True))
    white = DISCREPANCY / means.shape[1]
    return HeadSpread(
        directions.numpy(),
        (variance + white).numpy(),
        (rest + white).numpy(),
        _log_scales(strange.double().numpy().ravel(), directions.shape[1]),
    )


def _off(seen: Tensor, means: Tensor) -> Tensor:
    """(N, J, n) d of (J, N, n) draws. A source upside down is the same with amplitudes reversed."""
    draws = seen.transpose(0, 1).contiguous()
    unit = (means / means.norm(dim=1, keepdim=True))[:, None]
    along = (draws * unit).sum(2, keepdim=True)
    least = _LEAST_LIKENESS * draws.norm(dim=2, keepdim=True)
    size = torch.where(along < 0, -1.0, 1.0) * torch.maximum(along.abs(), least)
    return draws / size - unit


def _learn(off: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Q (N, m, n), mu (N, m), rho (N,), and (N, J') d' Q' diag(mu)^-1 Q d of the heads held out."""
    kept = torch.arange(off.shape[1]) % 4 == 0
    chosen, held, n = off[:, ~kept], off[:, kept], off.shape[2]
    m = min(N_DIRECTIONS, n - 1)
    # the draws of most variance span nearly what is sought; a few turns of the power method do
    start = chosen[:, :: max(1, chosen.shape[1] // m)][:, :m].transpose(1, 2)
    axes = torch.linalg.qr(start)[0]
    for _ in range(_N_TURNS):
        axes = torch.linalg.qr(chosen.transpose(1, 2) @ (chosen @ axes))[0]
    along = (held @ axes).square()
    mu = along.mean(1)
    rho = ((held.square().sum(2) - along.sum(2)).mean(1) / (n - m)).clamp(min=0.0)
    mu = torch.maximum(mu, rho[:, None])
    strange = (along / mu.clamp(min=torch.finfo(mu.dtype).tiny)[:, None]).sum(2)
    return axes.transpose(1, 2).contiguous(), mu, rho, strange


def _log_scales(strange: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """(H,) by expectation and maximisation, of quadratic forms over m directions."""
    scales, strange = np.array(SCALES), strange[:: 1 + len(strange) // _N_FORMS]
    fit = -0.5 * (strange[:, None] / scales + m * np.log(scales))
    log_share = np.full(len(scales), -np.log(len(scales)))
    for _ in range(_N_STEPS):
        joint = fit + log_share
        each = joint - logsumexp(joint, axis=1, keepdims=True)
        log_share = logsumexp(each, axis=0) - np.log(len(strange))
    return np.asarray(np.logaddexp(log_share, np.log(1e-3)) - np.log1p(len(scales) * 1e-3))
