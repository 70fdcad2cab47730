"""Sections of pages by name: each registers itself when its module is imported.

The function of a section is in the module of ``bayesesi.report.sections`` that has its name, and
its template beside those of the others; both are found by that name. A section of another package
calls ``section`` too, with its template's path, before a page that names it is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from bayesesi.errors import InputError, some

#: Where the functions of sections are.
PACKAGE = "bayesesi.report.sections"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes
    ----------
    name : also that of its module and template. make : of a ``Reading``, the values of the
        template, or None where a result has nothing for it.
    figures : names of its pictures, in their order. template : its file, where it is not beside
        those of the package.
    """

    name: str
    make: Callable[[Any], dict[str, Any] | None]
    figures: tuple[str, ...] = ()
    template: Path | None = None


_SECTIONS: dict[str, Section] = {}


def section(*figures: str, template: str | Path | None = None) -> Callable[[F], F]:
    """Register the function that is decorated as the section of its name.

    Parameters
    ----------
    figures : names of the pictures that it may give. template : see ``Section``.
    """

    def enter(make: F) -> F:
        path = None if template is None else Path(template)
        _SECTIONS[make.__name__] = Section(make.__name__, make, figures, path)
        return make

    return enter


@cache
def _shipped() -> tuple[str, ...]:
    folder = Path(str(files("bayesesi"))) / "report" / "sections"
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py")))


def section_names() -> tuple[str, ...]:
    """List the names of all sections."""
    return tuple(sorted({*_shipped(), *_SECTIONS}))


def section_named(name: str) -> Section:
    """Find a section; its module is imported when it is first asked for.

    Parameters
    ----------
    name : of a section of the package, or of one that was registered.

    Raises
    ------
    InputError : no such section; the sentence names those that there are.
    """
    if name not in _SECTIONS and name in _shipped():
        importlib.import_module(f"{PACKAGE}.{name}")
    if name not in _SECTIONS:
        near = get_close_matches(name, section_names(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed are {some(section_names(), 20)}"
        raise InputError(f"no section {name[:40]!r}; {hint}")
    return _SECTIONS[name]


def section_templates() -> dict[str, Path]:
    """Find the templates that are not beside those of the package, by the name of the section."""
    return {name: s.template for name, s in _SECTIONS.items() if s.template is not None}
