"""Trust: the verdict on a result with its reasons, and the checks behind it."""

from bayesesi.trust.verdict import (
    Reason,
    ReasonCode,
    Trust,
    Verdict,
    VerdictInputs,
    assess,
    at_even_odds,
    standard_verdict,
)

__all__ = [
    "Reason",
    "ReasonCode",
    "Trust",
    "Verdict",
    "VerdictInputs",
    "assess",
    "at_even_odds",
    "standard_verdict",
]
