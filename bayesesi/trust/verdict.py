"""Whether a result should be believed: a verdict, with the reasons for it.

Guarantees are of recordings like those that were simulated; ``trust.ood`` says whether one is.
Thresholds are a spec, ``reports/verdicts/standard.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from bayesesi.spec import VerdictSpec, read_spec


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


@dataclass(frozen=True)
class VerdictInputs:
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


def assess(evidence: VerdictInputs, spec: VerdictSpec | None = None) -> Trust:
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


def _nothing(evidence: VerdictInputs, spec: VerdictSpec, abstain: bool) -> tuple[Reason, ...]:
    value = evidence.null
    if value < (spec.null_abstain if abstain else spec.null_caution):
        return ()
    size = f"{value:.0%}" if value < 0.995 else "more than 99%"
    became = f"that nothing is active has probability {size} after even odds before the data"
    words = "not localisable: this could be noise" if abstain else "this could be noise"
    return (Reason(ReasonCode.NOTHING_THERE, f"{words} ({became})", value),)


def _unusual(evidence: VerdictInputs, spec: VerdictSpec, abstain: bool) -> tuple[Reason, ...]:
    value = evidence.unusual
    if value is None or value >= (spec.unusual_abstain if abstain else spec.unusual_caution):
        return ()
    words = "not localisable: this recording is like none" if abstain else "few recordings are like"
    of = " that were simulated" if abstain else " this one of those that were simulated"
    how = f"; {'; '.join(evidence.odd[:3])}" if evidence.odd else ""
    share = f"{value:.1%}" if value >= 0.001 else "less than 0.1%"
    sentence = f"{words}{of} ({share} of them are as unusual{how})"
    return (Reason(ReasonCode.UNUSUAL, sentence, value),)


def _sampling(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
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


def _recording(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
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


def _wide(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
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
