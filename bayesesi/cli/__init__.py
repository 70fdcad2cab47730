"""The command line: the verbs of the Python interface."""

from bayesesi.cli import (
    benchmark,
    cohort,
    head,
    localize,
    models,
    notebooks,
    plan,
    report,
    simulate,
    specs,
)
from bayesesi.cli.app import app

__all__ = [
    "app",
    "benchmark",
    "cohort",
    "head",
    "localize",
    "models",
    "notebooks",
    "plan",
    "report",
    "simulate",
    "specs",
]
