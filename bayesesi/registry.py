"""Which class stands behind a family: one table for networks, estimators, losses and strategies.

A family has a frozen spec, which is what a recipe can say of it, and a class that does the work:

    class ElectrodeGraphSpec(NetworkSpec):          # bayesesi/spec/network.py, without torch
        family: Literal["electrode-graph"] = "electrode-graph"

    @implements(ElectrodeGraphSpec)                 # bayesesi/network/electrode_graph.py
    class ElectrodeGraph(Backbone): ...

A spec registers itself when its class is made. The class is found by the name of its family in the
package of its kind, so that only what a recipe names is imported. Families of other packages join
by an entry point of the group ``bayesesi.families``, named KIND.FAMILY, whose module defines both.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, TypeVar, get_args

from bayesesi.errors import InputError, some

GROUP = "bayesesi.families"
#: kind -> the package in which its classes are, one module a family.
PACKAGES = {
    "network": "bayesesi.network",
    "estimator": "bayesesi.estimator",
    "loss": "bayesesi.loss",
    "strategy": "bayesesi.training.strategy",
    "case": "bayesesi.training.cases",
    "model": "bayesesi.model",
}
_SPECS: dict[str, dict[str, type[Any]]] = {}
_CLASSES: dict[tuple[str, str], type[Any]] = {}

C = TypeVar("C", bound=type[Any])


def register_spec(kind: str, spec: type[Any]) -> None:
    """Register ``spec``, of a ``kind``, by its family: the one value of its field ``family``.

    Raises
    ------
    TypeError : a family of that name is registered already, or the spec names none.
    """
    named = get_args(spec.model_fields["family"].annotation)
    if len(named) != 1:
        raise TypeError(f"{spec.__name__}.family is a Literal with one name")
    known = _SPECS.setdefault(kind, {}).setdefault(named[0], spec)
    if known.__qualname__ != spec.__qualname__:
        raise TypeError(f"{kind} family {named[0]!r} is {known.__qualname__} already")
    _SPECS[kind][named[0]] = spec


def implements(spec: type[Any], kind: str | None = None) -> Callable[[C], C]:
    """Register the class that does what ``spec`` says, as a decorator.

    Parameters
    ----------
    spec : of a family. kind : that of the class where a family has several, such as ``"case"`` and
        ``"model"`` beside ``"estimator"``; that of the spec by default.
    """

    def enter(cls: C) -> C:
        _CLASSES[kind or spec.kind, family_of(spec)] = cls
        return cls

    return enter


def family_of(spec: Any) -> str:
    """Return the name of the family of ``spec``, which may also be a class."""
    if isinstance(spec, type):
        fields: dict[str, Any] = getattr(spec, "model_fields")  # noqa: B009
        return str(fields["family"].default)
    return str(spec.family)


def families(kind: str) -> tuple[str, ...]:
    """List names of the families of a ``kind``, those of other packages included."""
    names = [*_SPECS.get(kind, {}), *_elsewhere(kind)]
    return tuple(dict.fromkeys(names))


def spec_of(kind: str, family: object) -> type[Any]:
    """Find the spec class of ``family``, of a ``kind``.

    Raises
    ------
    InputError : no such family; the sentence names those that there are.
    """
    name = str(family)
    if name not in _SPECS.get(kind, {}) and name in _elsewhere(kind):
        _elsewhere(kind)[name].load()
    found = _SPECS.get(kind, {}).get(name)
    if found is None:
        near = get_close_matches(name, families(kind), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed are {some(families(kind), 20)}"
        raise InputError(f"{kind}.family = {name[:60]!r} is not known; {hint}")
    return found


def implementation(spec: Any, kind: str | None = None) -> type[Any]:
    """Find the class of a family, imported when it is first asked for.

    Parameters
    ----------
    spec : of a family, or its class. kind : see ``implements``.

    Raises
    ------
    InputError : a spec without a class.
    """
    kind, family = kind or spec.kind, family_of(spec)
    if (kind, family) not in _CLASSES:
        module = f"{PACKAGES[kind]}.{_module_of(spec, kind) or family.replace('-', '_')}"
        if find_spec(module) is not None:
            importlib.import_module(module)
    found = _CLASSES.get((kind, family))
    if found is None:
        raise InputError(f"no {kind} of the family {family!r} is implemented; import its module")
    return found


def _module_of(spec: Any, kind: str) -> str:
    """The module that a spec names for its own kind, where it is not called like the family."""
    return str(getattr(spec, "module", "")) if kind == spec.kind else ""


def _elsewhere(kind: str) -> dict[str, Any]:
    """Entry points of a kind, by the name of the family."""
    found = entry_points(group=GROUP)
    return {e.name.partition(".")[2]: e for e in found if e.name.partition(".")[0] == kind}
