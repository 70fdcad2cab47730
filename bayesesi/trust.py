"""Whether a result should be believed: a verdict, with the reasons for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a reader should do with a result."""

    RELIABLE = "reliable"
    CAUTION = "caution"
    ABSTAIN = "abstain"


class ReasonCode(StrEnum):
    """Why a result is doubted."""

    NOTHING_THERE = "nothing_there"
    CHAINS_DISAGREE = "chains_disagree"
    FEW_WEIGH = "few_weigh"
    OUTSIDE_TRAINING = "outside_training"
    MODEL_LIMIT = "model_limit"


#: Probability that nothing is active, had it begun at even odds, from which on a result is doubted
#: and not given at all: evidence for an event below 19 and below 3 to 1, "positive" evidence in the
#: words of Kass & Raftery 1995 (doi:10.1080/01621459.1995.10476572). Of windows of pure noise (63
#: dimensions, 1 to 17 functions of time, 200 each) 98 % or more are above the second.
NULL_CAUTION, NULL_ABSTAIN = 0.05, 0.25
#: R-hat above which chains are said to disagree (Vehtari et al. 2021 ask for 1.01), and the sample
#: efficiency of weighted draws below which a few of them speak for all.
MOST_R_HAT, LEAST_EFFICIENCY = 1.1, 0.01


@dataclass(frozen=True)
class Reason:
    """One doubt, in a sentence, with the number behind it."""

    code: ReasonCode
    sentence: str
    value: float


@dataclass(frozen=True)
class Trust:
    """The verdict, and one reason or more where it is not "reliable".

    "reliable" says that no check of this version raised a doubt; it is no measured coverage.
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


def assess(
    null_probability: float,
    prior_null: float,
    r_hat: float = 1.0,
    sample_efficiency: float = 1.0,
    outside: tuple[str, ...] = (),
    caveat: str = "",
) -> Trust:
    """The verdict on a posterior that gives ``null_probability`` to nothing being active.

    A prior that gives it little, ``prior_null``, would call noise an event: what counts is what the
    data say, by the probability that even odds would have become. Where something is there, chains
    that disagree (``r_hat``) or draws of which hardly any weighs something (``sample_efficiency``)
    call for caution: the answer is then not quite that of the model. So does an observation unlike
    all that a network was trained on (``outside`` names how), and one of a kind that a family is
    known to get wrong (``caveat`` says what).
    """
    value = at_even_odds(null_probability, prior_null)
    if value >= NULL_ABSTAIN:
        sentence = f"not localisable: this could be noise ({_became(value)})"
        return Trust(Verdict.ABSTAIN, (Reason(ReasonCode.NOTHING_THERE, sentence, value),))
    sampling, limit = _sampling(r_hat, sample_efficiency), _limit(caveat)
    reasons = (*_noise(value), *sampling, *_training(outside), *limit)
    return Trust(Verdict.CAUTION if reasons else Verdict.RELIABLE, reasons)


def _became(value: float) -> str:
    size = f"{value:.0%}" if value < 0.995 else "more than 99%"
    return f"that nothing is active has probability {size} after even odds before the data"


def _noise(value: float) -> tuple[Reason, ...]:
    if value < NULL_CAUTION:
        return ()
    return (Reason(ReasonCode.NOTHING_THERE, f"this could be noise ({_became(value)})", value),)


def _sampling(r_hat: float, efficiency: float) -> tuple[Reason, ...]:
    reasons = []
    if r_hat > MOST_R_HAT:
        sentence = (
            "the sampling chains behind this answer do not agree well "
            f"(R-hat {r_hat:.2f}, wanted up to {MOST_R_HAT}): probabilities of places that compete "
            "may be off, so take them as rough"
        )
        reasons.append(Reason(ReasonCode.CHAINS_DISAGREE, sentence, r_hat))
    if efficiency < LEAST_EFFICIENCY:
        sentence = (
            "what sources look like in heads that differ was integrated only nearly here (sample "
            f"efficiency {efficiency:.1%}): the answer is likely surer than it should be"
        )
        reasons.append(Reason(ReasonCode.FEW_WEIGH, sentence, efficiency))
    return tuple(reasons)


def _training(outside: tuple[str, ...]) -> tuple[Reason, ...]:
    if not outside:
        return ()
    sentence = (
        "the network was trained on no recording like this one "
        f"(beyond what it met: {', '.join(outside)}); compare with the model 'patches'"
    )
    return (Reason(ReasonCode.OUTSIDE_TRAINING, sentence, float(len(outside))),)


def _limit(caveat: str) -> tuple[Reason, ...]:
    return (Reason(ReasonCode.MODEL_LIMIT, caveat, 1.0),) if caveat else ()


def at_even_odds(probability: float, prior: float) -> float:
    """What a posterior probability would be, had the prior been one half.

    0 and 1 stay, as does a probability whose prior was certain.
    """
    if not (0 < prior < 1 and 0 < probability < 1):
        return float(probability)
    odds = probability / (1 - probability) * (1 - prior) / prior
    return float(odds / (1 + odds))
