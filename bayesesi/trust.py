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


#: Probability that nothing is active, from which on a result is doubted, and not given at all.
NULL_CAUTION, NULL_ABSTAIN = 0.05, 0.5


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


def assess(null_probability: float) -> Trust:
    """The verdict on a posterior that gives ``null_probability`` to nothing being active."""
    if null_probability < NULL_CAUTION:
        return Trust(Verdict.RELIABLE)
    share = f"{null_probability:.0%}"
    if null_probability >= NULL_ABSTAIN:
        sentence = f"not localisable: with probability {share} nothing is active in this window"
        verdict = Verdict.ABSTAIN
    else:
        sentence = f"with probability {share} nothing is active in this window"
        verdict = Verdict.CAUTION
    return Trust(verdict, (Reason(ReasonCode.NOTHING_THERE, sentence, float(null_probability)),))
