"""Reports: pages, figures and files from a result. Nothing is computed that is not shown."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesesi.report.map_figure import plot_map
    from bayesesi.report.report import Report, make_report

__all__ = ["Report", "make_report", "plot_map"]

_MODULES = {"Report": "report", "make_report": "report", "plot_map": "map_figure"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bayesesi.report' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bayesesi.report.{_MODULES[name]}"), name)
