"""Which belief describes a recording: a few patches, a smooth field, or nothing; by evidence.

Under each prior the data are a mixture of Gaussians, heads that are not known included
(``network.course_view``; P is what an event shows of a moment of size 1, averaged over heads):

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
from bayesesi.forward import BankedHead, template_bank
from bayesesi.network.course_view import CourseScene, SizeBelief
from bayesesi.network.field_view import EXTENTS, template_smoothing
from bayesesi.observation import Observation
from bayesesi.prior import HeadPrior, PatchPrior, SmoothPrior, block_generator, read_prior

#: What a recording may come from.
PRIORS = ("focal", "distributed", "nothing")
#: Level of the centres, coarse ones of pairs, and how far apart a pair is at least, m.
_LEVEL, _N_COARSE, _APART = 3, 120, 0.03
#: Directions of the sensors; fields of each smoothness behind its covariance; heads of each half.
_MOST, _N_FIELDS, N_HEADS = 40, 240, 32
#: Quantiles of the smoothness' prior, all of one share.
_SMOOTHNESS = (1 / 6, 0.5, 5 / 6)
_CHUNK = 4000


@dataclass(frozen=True)
class PriorEvidence:
    """Of one recording.

    Attributes
    ----------
    log_evidence : nats over noise alone, by the names of ``PRIORS``. error : nats, of the log odds
        of the best two: half of what they differ by between two sets of heads. probability : of
        each, from ``prior``.
    """

    log_evidence: Mapping[str, float]
    error: float
    probability: Mapping[str, float]

    @property
    def best(self) -> str:
        """The most probable."""
        return max(self.probability, key=lambda name: self.probability[name])

    def to_dict(self) -> dict[str, object]:
        """Plain text and numbers, for a file."""
        return {
            "log_evidence": {k: round(v, 2) for k, v in self.log_evidence.items()},
            "error": round(self.error, 2),
            "probability": {k: round(v, 4) for k, v in self.probability.items()},
        }


def compare_priors(
    obs: Observation, prior: Mapping[str, float] | None = None, seed: int = 0
) -> PriorEvidence:
    """Evidence for a few patches, a smooth field and nothing.

    Parameters
    ----------
    prior : probabilities of ``PRIORS`` before the data, alike if not given.

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
            "evidence is summed over heads that are drawn, and this forward came from no bank; "
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
    rows = _electrode_rows(banked, obs, seed)
    focal, smooth = _focal_modes(), _smooth_modes()
    seen = np.concatenate([focal[1] @ row.T for row in rows[:4]])
    turn = np.ascontiguousarray(np.linalg.eigh(seen.T @ seen)[1][:, ::-1][:, :_MOST].T, float)
    turned = turn.astype(np.float32) @ rows
    nats = {"nothing": 0.0}
    patches = _Looks.of(turned, focal.reshape(-1, focal.shape[2]), turn)
    scene = patches.scene(obs, _size("focal"))
    nothing = float(scene.log_nothing()[0])
    nats["focal"] = _focal(patches, scene) - nothing
    fields = _Fields.of(turned, smooth, turn)
    scene = fields.scene(obs, _size("distributed"))
    found = scene.log_likelihood(fields.squares)[0]
    nats["distributed"] = float(found.logsumexp(0)) - float(np.log(len(found))) - nothing
    return nats


def _electrode_rows(banked: BankedHead, obs: Observation, seed: int) -> NDArray[np.float32]:
    """(H, n, modes): whitened potentials of unit source modes in heads drawn."""
    measured = obs.sensors.origin == "measured"
    heads = read_prior("template-digitised" if measured else "template-nominal")
    assert isinstance(heads, HeadPrior)
    with block_generator("validate", seed, 7):
        draws = heads.draw(N_HEADS)
        where = heads.electrodes(draws, banked.electrodes).positions
    settings = heads.settings(draws)
    size = draws["size"].astype(float) ** 2
    each = [
        obs.whitener.matrix @ (banked.electrode_modes(settings[k], where[k]) / size[k])
        for k in range(N_HEADS)
    ]
    return np.array(each, np.float32)


@dataclass(frozen=True, eq=False)
class _Looks:
    """Of N sources: (N, m, H) what each looks like in each head, over the root of ``unit``."""

    looks: Tensor
    turn: NDArray[np.float64]
    unit: float

    @classmethod
    def of(
        cls, rows: NDArray[np.float32], modes: NDArray[np.float32], turn: NDArray[np.float64]
    ) -> _Looks:
        seen = np.einsum("hmk,sk->smh", rows, modes, optimize=True)
        unit = float((seen**2).sum(axis=1).mean())
        return cls(torch.from_numpy(seen / np.float32(np.sqrt(unit))), turn, unit)

    def squares(self, rows: Tensor | slice) -> Tensor:
        """(k, m, m) P of some."""
        some_looks = self.looks[rows]
        return some_looks @ some_looks.transpose(1, 2) / some_looks.shape[2]

    def scene(self, obs: Observation, size: SizeBelief) -> CourseScene:
        return _scene(self, obs, size)


@dataclass(frozen=True, eq=False)
class _Fields:
    """Of smooth fields: (K, m, m) P at each smoothness, over ``unit``."""

    squares: Tensor
    turn: NDArray[np.float64]
    unit: float

    @classmethod
    def of(
        cls, rows: NDArray[np.float32], modes: NDArray[np.float32], turn: NDArray[np.float64]
    ) -> _Fields:
        """``modes`` (K, fields, modes)."""
        seen = np.einsum("hmk,cfk->cmhf", rows, modes, optimize=True)
        flat = seen.reshape(*seen.shape[:2], -1)
        squares = flat @ flat.swapaxes(1, 2) / flat.shape[2]
        unit = float(np.trace(squares, axis1=1, axis2=2).mean())
        return cls(torch.from_numpy(squares / np.float32(unit)), turn, unit)

    def scene(self, obs: Observation, size: SizeBelief) -> CourseScene:
        return _scene(self, obs, size)


def _scene(of: _Looks | _Fields, obs: Observation, size: SizeBelief) -> CourseScene:
    known = size if obs.scale_known else SizeBelief(0.0, 0.0)
    return CourseScene.of(obs.values[None], of, known)


def _focal(patches: _Looks, scene: CourseScene) -> float:
    """log p(v | focal)."""
    prior = read_prior("focal", level=_LEVEL)
    assert isinstance(prior, PatchPrior)
    weights = prior.spec.count.weights
    space, n_extents = template_source_space(_LEVEL), len(EXTENTS)
    place = np.log(space.areas / space.areas.sum()) - np.log(n_extents)
    found = [
        scene.log_likelihood(patches.squares(slice(first, first + _CHUNK)))[0]
        for first in range(0, len(patches.looks), _CHUNK)
    ]
    one = torch.cat(found).double().numpy() + np.tile(place, n_extents)
    squares = patches.squares(torch.from_numpy(_coarse() + space.n_sources))  # the middle extent
    first, second = (torch.from_numpy(x) for x in _pairs().T)
    pairs = []
    for start in range(0, len(first), _CHUNK):
        rows = slice(start, start + _CHUNK)
        both = squares[first[rows]] + squares[second[rows]]
        pairs.append(scene.log_likelihood(both)[0])
    two = torch.cat(pairs).double().numpy() - np.log(len(first))
    counts = np.log([weights[0], 1 - weights[0]])
    return float(np.logaddexp(counts[0] + logsumexp(one), counts[1] + logsumexp(two)))


def _size(name: str) -> SizeBelief:
    """Of a moment, by the prior's own spec."""
    prior = read_prior(name)
    assert isinstance(prior, PatchPrior | SmoothPrior)
    median, factor = prior.spec.moment_nAm.numbers
    return SizeBelief(float(np.log(median * 1e-9)), float(np.log(factor)), axes=1)


@cache
def _focal_modes() -> NDArray[np.float32]:
    """(E, S, modes) patches of moment 1 in the bank's source modes."""
    modes = template_bank().cortex_modes(_LEVEL).T
    each = [kernel.astype(np.float32) @ modes for kernel in template_smoothing(_LEVEL)]
    return np.stack(each)


@cache
def _smooth_modes() -> NDArray[np.float32]:
    """(K, fields, modes) fields of each smoothness whose sizes sum to 1 on average."""
    prior = read_prior("distributed")
    assert isinstance(prior, SmoothPrior)
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


@cache
def _coarse() -> NDArray[np.int64]:
    """(P,) centres spread evenly over the cortex: each the farthest from those before."""
    positions = template_source_space(_LEVEL).positions
    chosen, nearest = [0], np.full(len(positions), np.inf)
    while len(chosen) < _N_COARSE:
        nearest = np.minimum(nearest, np.linalg.norm(positions - positions[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


@cache
def _pairs() -> NDArray[np.int64]:
    """(N, 2) of the coarse centres, far enough apart."""
    positions = template_source_space(_LEVEL).positions[_coarse()]
    far = np.linalg.norm(positions[:, None] - positions[None], axis=2) >= _APART
    return np.argwhere(np.triu(far, 1))
