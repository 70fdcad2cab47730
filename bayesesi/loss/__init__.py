"""What training makes small, one loss a file, and the cases that it is asked about."""

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.case import (
    AtomCase,
    Case,
    DipoleCase,
    DipoleTruth,
    FieldCase,
    FieldTruth,
    NextSource,
)

__all__ = [
    "AtomCase",
    "Case",
    "DipoleCase",
    "DipoleTruth",
    "FieldCase",
    "FieldTruth",
    "Loss",
    "NextSource",
    "Question",
]
