"""Is this recording one that a guarantee speaks about? A verdict, with its reasons."""

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
