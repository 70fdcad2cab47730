"""Constants behind the inputs of networks: weights are of no use under others.

They stand in the header of a file of weights, which is refused where one differs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

#: Names of constants that change how an input is computed and not what it is.
_NOT_INPUTS = frozenset({"_CHUNK", "_TOGETHER", "N_HEADS", "_MARGIN", "_LEAST_MARGIN"})


def feature_constants(modules: Iterable[str]) -> dict[str, Any]:
    """Collect the numbers that modules of ``bayesesi.features`` hold in capitals.

    Parameters
    ----------
    modules : their names, such as ``"scan"``.

    Returns
    -------
    ``"module.NAME"`` -> a number or a list of numbers.
    """
    found = {}
    for module in modules:
        held = vars(importlib.import_module(f"bayesesi.features.{module}"))
        for name, value in held.items():
            if name.strip("_").isupper() and name not in _NOT_INPUTS and _is_numeric(value):
                found[f"{module}.{name}"] = list(value) if isinstance(value, tuple) else value
    return dict(sorted(found.items()))


def changed_constant(held: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Describe the first constant that differs, or return None.

    Parameters
    ----------
    held : of a file of weights. now : of this version, both as ``feature_constants`` gives them.
    """
    for name in sorted(held):
        if held[name] != now.get(name):
            return f"{name} was {held[name]} and is {now.get(name)}"
    return None


def _is_numeric(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(isinstance(each, Real) for each in value)
    return isinstance(value, Real) and not isinstance(value, bool)
