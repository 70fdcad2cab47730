"""What a reader sees. Nothing is computed here that is not drawn or worded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesesi.report.report import Report, make_report

__all__ = ["Report", "make_report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bayesesi.report' has no attribute {name!r}")
    from bayesesi.report import report

    return getattr(report, name)
