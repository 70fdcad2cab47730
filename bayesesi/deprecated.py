"""Old names of modules and keywords, which work for one minor version and warn."""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Old module -> the new one.
MODULES = {
    "bayesesi.target": "bayesesi.roi",
    "bayesesi.plan": "bayesesi.montage_design",
    "bayesesi.sensitivity": "bayesesi.explain.perturbation",
    "bayesesi.posterior.sensitivity": "bayesesi.posterior.power_scaling",
    "bayesesi.benchmark.metrics": "bayesesi.metrics",
    "bayesesi.simulator.neural_mass": "bayesesi.dynamics",
}
#: New module -> old name in it -> new name.
NAMES = {
    "bayesesi.explain.perturbation": {"Change": "Perturbation", "changes": "perturbations"},
}


class OldModules(MetaPathFinder, Loader):
    """Finds a module by its old name; what is read from it is read from the new one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find ``fullname`` where it is an old name, whatever ``path`` and ``target``."""
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        """Make ``module`` read its names from the new one, with a warning."""
        new = MODULES[module.__name__]
        warn(f"module {module.__name__}", new, above=2)
        found = importlib.import_module(new)
        module.__doc__ = f"Now ``{new}``."

        def read(name: str) -> Any:
            return getattr(found, NAMES.get(new, {}).get(name, name))

        module.__dict__["__getattr__"] = read


def install() -> None:
    """Let old modules be imported; calling it again changes nothing."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())


def renamed(**new_of: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take keywords by their old names too, with a warning.

    Parameters
    ----------
    new_of : old name = new name of a keyword.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in new_of.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{function.__name__}() got both {new} and {old}")
                    warn(f"keyword {old} of {function.__name__}", new, above=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def warn(old: str, new: str, above: int) -> None:
    """Warn that an old name is used, and say the new one.

    Parameters
    ----------
    old, new : the names. above : frames from here to the user's line, those of imports apart.
    """
    warnings.warn(
        f"{old} is now {new}; the old name goes with the next minor version",
        DeprecationWarning,
        stacklevel=above + 1,
    )
