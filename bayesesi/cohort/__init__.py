"""Cohorts: one row a recording, patients pooled, compared with what surgery removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesesi.cohort.entries import Entry, read_entries
    from bayesesi.cohort.run import Cohort, run_cohort

__all__ = ["Cohort", "Entry", "read_entries", "run_cohort"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bayesesi.cohort' has no attribute {name!r}")
    from bayesesi.cohort import entries, run

    return getattr(entries if name in ("Entry", "read_entries") else run, name)
