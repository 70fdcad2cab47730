"""Whether a result is trustworthy: a verdict with its reasons.

Guarantees apply to recordings like the simulated ones; ``trust.ood`` tests whether one is.
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
    """Recommendation to the reader of a result."""

    RELIABLE = "reliable"
    CAUTION = "caution"
    ABSTAIN = "abstain"


class ReasonCode(StrEnum):
    """Kinds of doubt about a result."""

    NOTHING_THERE = "nothing_there"
    UNUSUAL = "unusual"
    WIDE_SET = "wide_set"
    FEW_CHANNELS = "few_channels"
    NOT_EEG = "not_eeg"
    CHAINS_DISAGREE = "chains_disagree"
    FEW_WEIGH = "few_weigh"
    OUTSIDE_TRAINING = "outside_training"
    NOT_CALIBRATED = "not_calibrated"
    MOST_SOURCES = "most_sources"
    ASSUMED_NOISE = "assumed_noise"
    MODEL_LIMIT = "model_limit"


#: Start of the sentence of a doubt for which the verdict is to abstain.
_NOT_LOCALISABLE = "not localisable: "
#: What a reader is told for names of ``features.CONTEXT`` that say too little alone.
_IN_WORDS = {
    "numbers": "number of values: sensors times components in time",
    "sensors": "number of sensors",
    "functions of time": "number of components in time",
    "residual power a number": "residual power of a value",
}


@dataclass(frozen=True)
class Reason:
    """Hold one doubt, in a sentence, with the number behind it.

    Attributes
    ----------
    code : kind of doubt. sentence : for the reader. value : scalar that caused it, any unit.
    """

    code: ReasonCode
    sentence: str
    value: float


@dataclass(frozen=True)
class Trust:
    """Hold the verdict, and one reason or more where it is not "reliable".

    "reliable" means that no check raised a doubt; the model's card has the measured error rates.

    Attributes
    ----------
    verdict : for the reader. reasons : doubts.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """List plain text and numbers, for a file."""
        reasons = [
            {"code": str(r.code), "sentence": r.sentence, "value": r.value} for r in self.reasons
        ]
        return {"verdict": str(self.verdict), "reasons": reasons}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Trust:
        """Read what ``to_dict`` wrote.

        Parameters
        ----------
        table : from a file.
        """
        reasons = tuple(
            Reason(ReasonCode(r["code"]), str(r["sentence"]), float(r["value"]))
            for r in table["reasons"]
        )
        return cls(Verdict(table["verdict"]), reasons)


@cache
def standard_verdict() -> VerdictSpec:
    """Return the thresholds of ``reports/verdicts/standard.toml``."""
    spec = read_spec("standard")
    assert isinstance(spec, VerdictSpec)
    return spec


@dataclass(frozen=True)
class VerdictInputs:
    """Hold the numbers that a verdict is based on.

    Attributes
    ----------
    null : probability of no source, with equal prior odds. r_hat : above 1 where chains disagree.
    sample_efficiency : 0 to 1. outside, caveat : see ``Posterior``. unusual : share of simulated
        recordings that are at least as unusual; None without a card. odd : the unusual features
        in words. set_share : share of the cortex of the reported set. channels : their number.
    eeg : False if there are other sensors, which networks were not trained on.
    not_calibrated : why nothing was measured on simulated recordings like this one; empty where
        it was. most_sources : probability of the largest number of sources that the model knows;
        None for models that count none. assumed_noise : whether the covariance is an assumed one.
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
    not_calibrated: str = ""
    most_sources: float | None = None
    assumed_noise: bool = False


def assess(evidence: VerdictInputs, spec: VerdictSpec | None = None) -> Trust:
    """Return the verdict.

    A prior with a small probability of no source would take noise for a source, so the decision
    uses the posterior probability with equal prior odds. No guarantee applies to a recording that
    is unlike all simulated ones. A result that may be noise, has a wide set, or was computed less
    exactly than the model asks, is given with caution.

    Parameters
    ----------
    evidence : the numbers. spec : thresholds; ``standard_verdict()`` if None.
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
        *_calibration(evidence, spec),
        *((Reason(ReasonCode.MODEL_LIMIT, evidence.caveat, 1.0),) if evidence.caveat else ()),
        *_wide(evidence, spec),
    )
    return Trust(Verdict.CAUTION if reasons else Verdict.RELIABLE, reasons)


def _nothing(evidence: VerdictInputs, spec: VerdictSpec, abstain: bool) -> tuple[Reason, ...]:
    value = evidence.null
    if value < (spec.null_abstain if abstain else spec.null_caution):
        return ()
    size = f"{value:.0%}" if value < 0.995 else "more than 99%"
    sentence = (
        f"{_NOT_LOCALISABLE if abstain else ''}the recording may contain only noise (posterior "
        f"probability of no source: {size}, with equal prior odds)"
    )
    return (Reason(ReasonCode.NOTHING_THERE, sentence, value),)


def _unusual(evidence: VerdictInputs, spec: VerdictSpec, abstain: bool) -> tuple[Reason, ...]:
    value = evidence.unusual
    if value is None or value >= (spec.unusual_abstain if abstain else spec.unusual_caution):
        return ()
    how = f": {'; '.join(evidence.odd[:3])}" if evidence.odd else ""
    p = f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
    sentence = (
        f"{_NOT_LOCALISABLE if abstain else ''}this recording is unusual compared with simulated "
        f"ones ({p}){how}"
    )
    return (Reason(ReasonCode.UNUSUAL, sentence, value),)


def _sampling(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
    reasons = []
    if evidence.r_hat > spec.most_r_hat:
        sentence = (
            f"the sampling chains do not agree well (R-hat {evidence.r_hat:.2f}, limit "
            f"{spec.most_r_hat}): probabilities of competing locations are only approximate"
        )
        reasons.append(Reason(ReasonCode.CHAINS_DISAGREE, sentence, evidence.r_hat))
    if evidence.sample_efficiency < spec.least_efficiency:
        sentence = (
            "head-model uncertainty was integrated with low sampling efficiency "
            f"({evidence.sample_efficiency:.1%}); the reported uncertainty is probably too small"
        )
        reasons.append(Reason(ReasonCode.FEW_WEIGH, sentence, evidence.sample_efficiency))
    return tuple(reasons)


def _recording(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
    reasons = []
    if evidence.channels is not None and evidence.channels < spec.least_channels:
        sentence = (
            f"{evidence.channels} channels are few for source imaging; at least "
            f"{spec.least_channels} are recommended"
        )
        reasons.append(Reason(ReasonCode.FEW_CHANNELS, sentence, float(evidence.channels)))
    if not evidence.eeg:
        sentence = (
            "the network was trained on EEG only and this recording contains other sensors; "
            "compare with the model 'patches', which accepts any sensors"
        )
        reasons.append(Reason(ReasonCode.NOT_EEG, sentence, 1.0))
    return tuple(reasons)


def _training(outside: tuple[str, ...]) -> tuple[Reason, ...]:
    if not outside:
        return ()
    said = "; ".join(_IN_WORDS.get(name, name) for name in outside)
    sentence = (
        "the recording lies outside the network's training range "
        f"({said}); compare with the model 'patches'"
    )
    return (Reason(ReasonCode.OUTSIDE_TRAINING, sentence, float(len(outside))),)


def _calibration(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
    reasons = []
    if evidence.not_calibrated:
        sentence = f"the probabilities were not calibrated: {evidence.not_calibrated}"
        reasons.append(Reason(ReasonCode.NOT_CALIBRATED, sentence, 1.0))
    most = evidence.most_sources
    if most is not None and most > spec.most_sources:
        sentence = (
            f"with probability {most:.0%} there are as many sources as the model allows, or more: "
            "it may miss some"
        )
        reasons.append(Reason(ReasonCode.MOST_SOURCES, sentence, most))
    if evidence.assumed_noise:
        sentence = (
            "the noise covariance was assumed and not measured ('adhoc'); estimate it from a "
            "baseline or give one"
        )
        reasons.append(Reason(ReasonCode.ASSUMED_NOISE, sentence, 1.0))
    return tuple(reasons)


def _wide(evidence: VerdictInputs, spec: VerdictSpec) -> tuple[Reason, ...]:
    share = evidence.set_share
    if share is None or share <= spec.widest_set:
        return ()
    sentence = (
        f"the set of regions covers {share:.0%} of the cortex: this recording does not localise "
        "well"
    )
    return (Reason(ReasonCode.WIDE_SET, sentence, share),)


def at_even_odds(probability: float, prior: float) -> float:
    """Compute what a posterior probability would be, had the prior been one half.

    0 and 1 stay, as does a probability whose prior was certain.

    Parameters
    ----------
    probability, prior : 0 to 1.
    """
    if not (0 < prior < 1 and 0 < probability < 1):
        return float(probability)
    odds = probability / (1 - probability) * (1 - prior) / prior
    return float(odds / (1 + odds))
