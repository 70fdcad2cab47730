"""Names of a package that load their module on first use, so that an import loads little."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any


def names_on_first_use(package: str) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``, which imports what stands below ``if TYPE_CHECKING``.

    A package then states each name once, for type checkers and at run time::

        if TYPE_CHECKING:
            from bayesesi.anatomy.activity import active_regions
        else:
            __getattr__ = names_on_first_use(__name__)

    A name that is also that of a module of the package is imported at once, above: on the import of
    such a module Python sets the package's attribute to the module.

    Parameters
    ----------
    package : full name of a package, such as ``"bayesesi.anatomy"``.
    """

    def found(name: str) -> Any:
        origin = None if name.startswith("__") else origins(package).get(name)
        if origin is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(origin), name)
        setattr(importlib.import_module(package), name, value)
        return value

    return found


@cache
def origins(package: str) -> dict[str, str]:
    """Read which module each name comes from that a package loads on first use.

    Parameters
    ----------
    package : full name of a package.
    """
    spec = importlib.util.find_spec(package)
    loader: Any = None if spec is None else spec.loader
    return {
        alias.name: node.module
        for block in ast.parse(loader.get_source(package)).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
