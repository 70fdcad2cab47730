"""Compare source priors by evidence: a few patches, a smooth field, or nothing.

Under each prior the data are a mixture of Gaussians, heads that are not known included
(``features.covariance_likelihood``; P is what an event shows of a moment of size 1, averaged over
heads):

    focal        one patch, all centres of 1,284 and three extents, and two, of 120 coarse centres;
    distributed  a Gaussian field of each smoothness, P = E_heads[L K L'];
    nothing      noise alone.

    p(v | prior) = sum of p(v | P) over them, each with its share of the prior.

Evidence is of a power of the likelihood (see there), so that its odds are cautious; its error is
what another set of heads would change, from two halves of those that are drawn. Events of more than
two patches count as two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError, some
from bayesesi.features.covariance_likelihood import CourseInputs
from bayesesi.features.dipole import MOST
from bayesesi.features.field import EXTENTS, template_smoothing
from bayesesi.features.size_prior import SizePrior
from bayesesi.forward import template_bank
from bayesesi.observation import Observation
from bayesesi.operator import principal_axes
from bayesesi.prior import PatchPrior, SmoothPrior, block_generator, heads_around, read_prior

#: What a recording may come from.
PRIORS = ("focal", "distributed", "nothing")
#: Level of the centres, coarse ones of pairs, and how far apart a pair is at least, m.
_LEVEL, _N_COARSE, _APART = 3, 120, 0.03
#: Fields of each smoothness behind its covariance; heads of each half.
_N_FIELDS, N_HEADS = 240, 32
#: Quantiles of the smoothness' prior, all of one share.
_SMOOTHNESS = (1 / 6, 0.5, 5 / 6)


@dataclass(frozen=True)
class PriorEvidence:
    """Hold how probable each prior is, of one recording.

    Attributes
    ----------
    log_evidence : nats over noise alone, by the names of ``PRIORS``. error : nats, of the log odds
        of the best two: half of what they differ by between two sets of heads. probability : of
        each, 0 to 1, from ``prior``.
    """

    log_evidence: Mapping[str, float]
    error: float
    probability: Mapping[str, float]

    @property
    def best(self) -> str:
        """Name of the most probable prior."""
        return max(self.probability, key=lambda name: self.probability[name])

    def to_dict(self) -> dict[str, object]:
        """List plain text and numbers, for a file."""
        return {
            "log_evidence": {k: round(v, 2) for k, v in self.log_evidence.items()},
            "error": round(self.error, 2),
            "probability": {k: round(v, 4) for k, v in self.probability.items()},
        }


def compare_priors(
    obs: Observation, prior: Mapping[str, float] | None = None, seed: int = 0
) -> PriorEvidence:
    """Compare the evidence for a few patches, a smooth field and nothing.

    Parameters
    ----------
    obs : in the template's head.
    prior : probabilities of ``PRIORS`` before the data, alike if not given.
    seed : of the heads that are drawn.

    Raises
    ------
    InputError : a forward whose head cannot be redrawn, or a prior of other names.
    """
    before = prior or dict.fromkeys(PRIORS, 1 / len(PRIORS))
    if set(before) != set(PRIORS) or min(before.values()) < 0 or sum(before.values()) <= 0:
        raise InputError(
            f"prior gives a probability to each of {', '.join(PRIORS)}, not to {some(before)}"
        )
    if obs.forward.banked is None:
        raise InputError(
            "the evidence needs random heads, and this forward is not from the bank; "
            "use template_forward(info)"
        )
    halves = [_halved(obs, 2 * seed + half) for half in (0, 1)]
    mean = {name: float(np.mean([half[name] for half in halves])) for name in PRIORS}
    with np.errstate(divide="ignore"):
        joint = np.array([mean[name] + np.log(before[name]) for name in PRIORS])
    share = np.exp(joint - logsumexp(joint))
    first, second = (PRIORS[i] for i in np.argsort(-joint)[:2])
    odds = [half[first] - half[second] for half in halves]
    probability = dict(zip(PRIORS, (float(p) for p in share), strict=True))
    return PriorEvidence(mean, abs(odds[0] - odds[1]) / 2, probability)


def _halved(obs: Observation, seed: int) -> dict[str, float]:
    """Log evidence over noise alone, by one set of heads."""
    banked = obs.forward.banked
    assert banked is not None
    heads, block = heads_around(obs.sensors.origin), ("validate", seed, 7)
    rows = heads.whitened_rows(banked, obs.whitener.matrix, N_HEADS, block)[1]
    patches, fields = _focal_modes(), _smooth_modes()
    seen = np.concatenate([patches[1] @ row.T for row in rows[:4]])
    turn = principal_axes(seen.T, MOST)
    turned = turn.astype(np.float32) @ rows
    one = _Covariances.of(turned, patches.reshape(-1, 1, patches.shape[2]), turn)
    all_over = _Covariances.of(turned, fields, turn)
    focal, smooth = read_prior("focal", ico=_LEVEL), _smooth_prior()
    assert isinstance(focal, PatchPrior)
    scenes = []
    for held, prior in ((one, focal), (all_over, smooth)):
        known = SizePrior.of_moment(prior.spec.moment_nAm, axes=1)
        size = known if obs.scale_known else SizePrior.unknown()
        scenes.append(CourseInputs.of(obs.values[None], held, size))
    nothing = float(scenes[0].log_nothing()[0])
    return {
        "focal": _focal(one, scenes[0], focal.spec.count.weights[0]) - nothing,
        "distributed": _log_mean(scenes[1], all_over.squares) - nothing,
        "nothing": 0.0,
    }


@dataclass(frozen=True, eq=False)
class _Covariances:
    """(N, m, m) P of N beliefs on where activity is, over ``unit``; see ``Sensing``."""

    squares: Tensor
    turn: NDArray[np.float64]
    unit: float

    @classmethod
    def of(
        cls, rows: NDArray[np.float32], modes: NDArray[np.float32], turn: NDArray[np.float64]
    ) -> _Covariances:
        """From what H heads show, (H, m, modes), of F fields of each belief, (N, F, modes)."""
        seen = np.einsum("hmk,nfk->nmhf", rows, modes, optimize=True)
        flat = torch.from_numpy(seen.reshape(*seen.shape[:2], -1))
        squares = flat @ flat.transpose(1, 2) / flat.shape[2]
        unit = float(squares.diagonal(dim1=1, dim2=2).sum(1).mean())
        return cls(squares / unit, turn, unit)


def _focal(one: _Covariances, scene: CourseInputs, share_of_one: float) -> float:
    """log p(v | focal): one patch anywhere, of any extent, or two of the coarse centres."""
    space = template_source_space(_LEVEL)
    place = torch.from_numpy(np.log(space.areas / space.areas.mean())).repeat(len(EXTENTS))
    coarse = one.squares[torch.from_numpy(_coarse()) + space.n_sources]  # the middle extent
    first, second = torch.from_numpy(_pairs()).T
    each = [
        _log_mean(scene, one.squares, place),
        _log_mean(scene, coarse[first] + coarse[second]),
    ]
    return float(logsumexp(np.array(each) + np.log([share_of_one, 1 - share_of_one])))


def _log_mean(scene: CourseInputs, squares: Tensor, log_weight: Tensor | None = None) -> float:
    """log of the mean of p(v | P), with weights of mean 1."""
    found = scene.log_likelihood(squares)[0].double()
    found = found if log_weight is None else found + log_weight
    return float(found.logsumexp(0)) - float(np.log(len(found)))


@cache
def _focal_modes() -> NDArray[np.float32]:
    """(E, S, modes) patches of moment 1 in the bank's source modes."""
    modes = template_bank().cortex_modes(_LEVEL).T
    each = [kernel.astype(np.float32) @ modes for kernel in template_smoothing(_LEVEL)]
    return np.stack(each)


@cache
def _smooth_modes() -> NDArray[np.float32]:
    """(K, fields, modes) fields of each smoothness whose sizes sum to 1 on average."""
    prior = _smooth_prior()
    low, high = np.log(prior.spec.smoothness_mm.bounds)
    bank = template_bank()
    with block_generator("validate", 0, 8):
        coefficients = torch.randn(_N_FIELDS, prior.modes.n_modes).numpy()
    each = []
    for share in _SMOOTHNESS:
        draws = {
            "count": np.ones(_N_FIELDS, int),
            "moment_nAm": np.full(_N_FIELDS, 1e9),
            "smoothness_mm": np.full(_N_FIELDS, np.exp(low + share * (high - low))),
            "coefficients": coefficients,
        }
        patterns = prior.patterns(draws)
        each.append(bank.to_modes(patterns, slice(0, patterns.shape[1])))
    return np.stack(each)


def _smooth_prior() -> SmoothPrior:
    prior = read_prior("distributed")
    assert isinstance(prior, SmoothPrior)
    return prior


@cache
def _coarse() -> NDArray[np.int64]:
    """(P,) centres."""
    return template_source_space(_LEVEL).spread(_N_COARSE)


@cache
def _pairs() -> NDArray[np.int64]:
    """(N, 2) of the coarse centres, far enough apart."""
    positions = template_source_space(_LEVEL).positions[_coarse()]
    far = np.linalg.norm(positions[:, None] - positions[None], axis=2) >= _APART
    return np.argwhere(np.triu(far, 1))
