"""Whether a result should be believed: a verdict, with the reasons for it.

Guarantees are of recordings like those that were simulated. ``Usual`` knows how the signs of those
are distributed (``posterior.signs``), and says of a recording what share of them is as unusual.
Thresholds are a spec, ``reports/verdicts/standard.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy.special import logsumexp

from bayesesi.posterior.signs import SIGNS
from bayesesi.spec import VerdictSpec, read_spec
from bayesesi.spec.base import Table


class Verdict(StrEnum):
    """What a reader should do with a result."""

    RELIABLE = "reliable"
    CAUTION = "caution"
    ABSTAIN = "abstain"


class ReasonCode(StrEnum):
    """Why a result is doubted."""

    NOTHING_THERE = "nothing_there"
    UNUSUAL = "unusual"
    WIDE_SET = "wide_set"
    FEW_CHANNELS = "few_channels"
    NOT_EEG = "not_eeg"
    CHAINS_DISAGREE = "chains_disagree"
    FEW_WEIGH = "few_weigh"
    OUTSIDE_TRAINING = "outside_training"
    MODEL_LIMIT = "model_limit"


@dataclass(frozen=True)
class Reason:
    """One doubt, in a sentence, with the number behind it."""

    code: ReasonCode
    sentence: str
    value: float


@dataclass(frozen=True)
class Trust:
    """The verdict, and one reason or more where it is not "reliable".

    "reliable" says that no check raised a doubt; how often that is right is on the model's card.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain text and numbers, for a file."""
        reasons = [
            {"code": str(r.code), "sentence": r.sentence, "value": r.value} for r in self.reasons
        ]
        return {"verdict": str(self.verdict), "reasons": reasons}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Trust:
        reasons = tuple(
            Reason(ReasonCode(r["code"]), str(r["sentence"]), float(r["value"]))
            for r in table["reasons"]
        )
        return cls(Verdict(table["verdict"]), reasons)


@cache
def standard_verdict() -> VerdictSpec:
    """The thresholds that are used."""
    spec = read_spec("standard")
    assert isinstance(spec, VerdictSpec)
    return spec


#: What it means that a sign is far from usual, by the side on which it is.
_ODD = {
    ("surprise", 1): "channels are not as their neighbours foresee",
    ("worst_channel", 1): "one channel is not at all as the others foresee",
    ("foreseen", -1): "channels do not foresee each other",
    ("residual", 1): "far more is left over than noise leaves",
    ("held_out", -1): "what the sources foresee of channels that are left out is wrong",
    ("held_out_score", -1): "what the sources foresee of channels that are left out is wrong",
    ("smooth", -1): "the topography is rougher than sources in a head make it",
    ("smoother", -1): "the topography is rougher than sources in a head make it",
    ("one_channel", 1): "one channel carries nearly all",
    ("artifact", 1): "it looks more like eyes, a muscle, the heart or one electrode than a source",
    ("power", 1): "it is far stronger than the noise it was given",
    ("fast", 1): "it is faster than what sources were simulated with",
}
#: Components of the law of signs, and the floor of their variances (of signs of unit variance).
_COMPONENTS, _FLOOR = 8, 1e-2
#: Share beyond which one sign is called odd.
_ODD_SHARE = 0.005
_ARTIFACT = SIGNS.index("artifact")


class Usual(Table):
    """The law of the signs of recordings that were simulated: a mixture of Gaussians, by scikit.

    Attributes
    ----------
    names : of signs, as ``posterior.signs`` had them. centre, size : to unit variance.
    weight, mean, precision : of the components; the last are Cholesky factors of precisions.
    surprise, artifact : minus the log density, and the sign of that name, of cases that the law
        was not fitted to, each sorted.
    low, high : of each sign, beyond which it is odd.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    size: tuple[float, ...]
    weight: tuple[float, ...]
    mean: tuple[tuple[float, ...], ...]
    precision: tuple[tuple[tuple[float, ...], ...], ...]
    surprise: tuple[float, ...]
    artifact: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Usual:
        f, k = len(self.names), len(self.weight)
        if self.names != SIGNS:
            raise ValueError("names are not the signs of this version")
        if min(self.size, default=0) <= 0 or min(self.weight, default=0) <= 0:
            raise ValueError("size and weight are above 0")
        if not all(len(v) == f for v in (self.centre, self.size, self.low, self.high, *self.mean)):
            raise ValueError("centre, size, low, high and means have a number for each name")
        if len(self.mean) != k or np.shape(self.precision) != (k, f, f):
            raise ValueError("mean and precision have an entry for each weight")
        if not len(self.surprise) == len(self.artifact) >= 1:
            raise ValueError("surprise and artifact are of the same cases, one at least")
        if (np.diff(self.surprise) < 0).any() or (np.diff(self.artifact) < 0).any():
            raise ValueError("surprise and artifact are sorted")
        return self

    @classmethod
    def of(cls, fitted: NDArray[np.floating], held_out: NDArray[np.floating]) -> Usual:
        """From signs (n, F) of cases, and of others."""
        from sklearn.mixture import GaussianMixture

        fitted, held_out = np.asarray(fitted, float), np.asarray(held_out, float)
        centre, size = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-6)
        n = int(np.clip(len(fitted) // 60, 1, _COMPONENTS))
        law = GaussianMixture(n, reg_covar=_FLOOR, random_state=0).fit((fitted - centre) / size)
        made = cls(
            names=SIGNS,
            centre=_short(centre),
            size=_short(size),
            weight=_short(law.weights_),
            mean=tuple(_short(m) for m in law.means_),
            precision=tuple(tuple(_short(r) for r in p) for p in law.precisions_cholesky_),
            surprise=(0.0,),
            artifact=(0.0,),
            low=_short(np.quantile(fitted, _ODD_SHARE, axis=0)),
            high=_short(np.quantile(fitted, 1 - _ODD_SHARE, axis=0)),
        )
        kept = {
            "surprise": _short(np.sort(made.surprise_of(held_out))),
            "artifact": _short(np.sort(held_out[:, _ARTIFACT])),
        }
        return made.model_copy(update=kept)

    def surprise_of(self, signs: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) minus the log density of signs (n, F)."""
        z = (np.asarray(signs, float) - self.centre) / self.size
        each = []
        for weight, mean, factor in zip(self.weight, self.mean, self.precision, strict=True):
            root = np.array(factor)
            y = (z - mean) @ root
            each.append(np.log(weight) - 0.5 * (y**2).sum(axis=1) + np.log(np.diag(root)).sum())
        half = 0.5 * len(self.names) * np.log(2 * np.pi)
        return np.asarray(half - logsumexp(each, axis=0))

    def share_as_unusual(self, signs: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) at most a share alpha of recordings like the simulated ones has alpha or less.

        Twice the lesser of two shares: those whose signs are as improbable together, and those
        that an artifact explains as well beside what a source does. Sources that artifacts
        explain better than any source are rare without being far from the others, so that the
        first alone misses them.
        """
        signs = np.atleast_2d(np.asarray(signs, float))
        each = [
            _beyond(self.surprise_of(signs), self.surprise),
            _beyond(signs[:, _ARTIFACT], self.artifact),
        ]
        return np.minimum(2 * np.minimum(*each), 1.0)

    def odd(self, signs: NDArray[np.floating]) -> tuple[str, ...]:
        """In words, the signs (F,) that lie beyond nearly all, the furthest first."""
        found = []
        for k, name in enumerate(self.names):
            value = float(signs[k])
            side = 1 if value > self.high[k] else -1 if value < self.low[k] else 0
            if side and (name, side) in _ODD:
                end = self.high[k] if side > 0 else self.low[k]
                found.append((-abs(value - end) / self.size[k], _ODD[name, side]))
        return tuple(dict.fromkeys(words for _, words in sorted(found)))


def _beyond(found: NDArray[np.floating], cases: tuple[float, ...]) -> NDArray[np.float64]:
    """(n,) share of the sorted cases that lie as far out, this one among them."""
    rounded = np.array(_short(found))
    further = len(cases) - np.searchsorted(cases, rounded, side="left")
    return np.asarray((further + 1) / (len(cases) + 1))


def _short(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(f"{v:.5g}") for v in np.asarray(values, float))


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes
    ----------
    null : probability of nothing after even odds. r_hat, sample_efficiency, outside, caveat : see
        ``Posterior``. unusual : share of simulated recordings that are as unusual; None where no
        card says. odd : in words, how. set_share : of the cortex, of the set that is given.
    channels : of the recording; eeg : False for other kinds, which networks were not trained on.
    """

    null: float
    r_hat: float = 1.0
    sample_efficiency: float = 1.0
    outside: tuple[str, ...] = ()
    caveat: str = ""
    unusual: float | None = None
    odd: tuple[str, ...] = ()
    set_share: float | None = None
    channels: int | None = None
    eeg: bool = True


def assess(evidence: Evidence, spec: VerdictSpec | None = None) -> Trust:
    """The verdict.

    A prior that gives nothing little probability would call noise an event: what counts is what the
    data say, by the probability that even odds would have become. Where the recording is like none
    that were simulated, no guarantee speaks of it; where it only may be noise, or the answer is
    wide, or not quite that of the model, it is given with caution.
    """
    spec = spec or standard_verdict()
    held_back = (*_nothing(evidence, spec, True), *_unusual(evidence, spec, True))
    if held_back:
        return Trust(Verdict.ABSTAIN, held_back)
    reasons = (
        *_nothing(evidence, spec, False),
        *_unusual(evidence, spec, False),
        *_sampling(evidence, spec),
        *_recording(evidence, spec),
        *_training(evidence.outside),
        *((Reason(ReasonCode.MODEL_LIMIT, evidence.caveat, 1.0),) if evidence.caveat else ()),
        *_wide(evidence, spec),
    )
    return Trust(Verdict.CAUTION if reasons else Verdict.RELIABLE, reasons)


def _nothing(evidence: Evidence, spec: VerdictSpec, abstain: bool) -> tuple[Reason, ...]:
    value = evidence.null
    if value < (spec.null_abstain if abstain else spec.null_caution):
        return ()
    size = f"{value:.0%}" if value < 0.995 else "more than 99%"
    became = f"that nothing is active has probability {size} after even odds before the data"
    words = "not localisable: this could be noise" if abstain else "this could be noise"
    return (Reason(ReasonCode.NOTHING_THERE, f"{words} ({became})", value),)


def _unusual(evidence: Evidence, spec: VerdictSpec, abstain: bool) -> tuple[Reason, ...]:
    value = evidence.unusual
    if value is None or value >= (spec.unusual_abstain if abstain else spec.unusual_caution):
        return ()
    words = "not localisable: this recording is like none" if abstain else "few recordings are like"
    of = " that were simulated" if abstain else " this one of those that were simulated"
    how = f"; {'; '.join(evidence.odd[:3])}" if evidence.odd else ""
    share = f"{value:.1%}" if value >= 0.001 else "less than 0.1%"
    sentence = f"{words}{of} ({share} of them are as unusual{how})"
    return (Reason(ReasonCode.UNUSUAL, sentence, value),)


def _sampling(evidence: Evidence, spec: VerdictSpec) -> tuple[Reason, ...]:
    reasons = []
    if evidence.r_hat > spec.most_r_hat:
        sentence = (
            "the sampling chains behind this answer do not agree well "
            f"(R-hat {evidence.r_hat:.2f}, wanted up to {spec.most_r_hat}): probabilities of "
            "places that compete may be off, so take them as rough"
        )
        reasons.append(Reason(ReasonCode.CHAINS_DISAGREE, sentence, evidence.r_hat))
    if evidence.sample_efficiency < spec.least_efficiency:
        sentence = (
            "what sources look like in heads that differ was integrated only nearly here (sample "
            f"efficiency {evidence.sample_efficiency:.1%}): the answer is likely surer than it "
            "should be"
        )
        reasons.append(Reason(ReasonCode.FEW_WEIGH, sentence, evidence.sample_efficiency))
    return tuple(reasons)


def _recording(evidence: Evidence, spec: VerdictSpec) -> tuple[Reason, ...]:
    reasons = []
    if evidence.channels is not None and evidence.channels < spec.least_channels:
        sentence = (
            f"{evidence.channels} channels are few for a map, {spec.least_channels} or more are "
            "wanted"
        )
        reasons.append(Reason(ReasonCode.FEW_CHANNELS, sentence, float(evidence.channels)))
    if not evidence.eeg:
        sentence = (
            "the network was trained on EEG alone and this recording holds other sensors; compare "
            "with the model 'patches', which takes any"
        )
        reasons.append(Reason(ReasonCode.NOT_EEG, sentence, 1.0))
    return tuple(reasons)


def _training(outside: tuple[str, ...]) -> tuple[Reason, ...]:
    if not outside:
        return ()
    sentence = (
        "the network was trained on no recording like this one "
        f"(beyond what it met: {', '.join(outside)}); compare with the model 'patches'"
    )
    return (Reason(ReasonCode.OUTSIDE_TRAINING, sentence, float(len(outside))),)


def _wide(evidence: Evidence, spec: VerdictSpec) -> tuple[Reason, ...]:
    share = evidence.set_share
    if share is None or share <= spec.widest_set:
        return ()
    sentence = (
        f"the set of regions is {share:.0%} of the cortex: this recording does not localise well"
    )
    return (Reason(ReasonCode.WIDE_SET, sentence, share),)


def at_even_odds(probability: float, prior: float) -> float:
    """What a posterior probability would be, had the prior been one half.

    0 and 1 stay, as does a probability whose prior was certain.
    """
    if not (0 < prior < 1 and 0 < probability < 1):
        return float(probability)
    odds = probability / (1 - probability) * (1 - prior) / prior
    return float(odds / (1 + odds))
