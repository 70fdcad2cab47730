"""The sections of a page: which, in which order, under which headings."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from bayesesi.errors import InputError
from bayesesi.spec.base import Spec, Table
from bayesesi.spec.section import section_named

#: Names of sections in earlier versions -> their name now.
_RENAMED = {"sureness": "uncertainty"}


class ReportFigure(Table):
    """One figure of a section."""

    figure: str = Field(description="its name; see the README of this folder")
    caption: str | None = Field(
        None, min_length=1, max_length=1000, description="instead of the page's own"
    )


class ReportSection(Table):
    """One section; it is omitted if a result has no content for it.

    Attributes
    ----------
    section : its name, see ``spec.section``.
    """

    section: str = Field(description="its name")
    title: str = Field(min_length=1, max_length=120, description="its heading")
    folded: bool = Field(False, description="closed until a reader opens it; open in print")
    figures: tuple[ReportFigure, ...] | None = Field(
        None, description="which, in which order; all of them if omitted"
    )

    @field_validator("section", mode="before")
    @classmethod
    def _renamed(cls, name: Any) -> Any:
        if not isinstance(name, str) or name not in _RENAMED:
            return name
        warnings.warn(
            f"the section {name!r} is now called {_RENAMED[name]!r}; rename it in the page's file",
            FutureWarning,
            stacklevel=2,
        )
        return _RENAMED[name]

    @model_validator(mode="after")
    def _has_such_figures(self) -> ReportSection:
        try:
            known = section_named(self.section).figures
        except InputError as error:
            raise ValueError(str(error)) from error
        unknown = [each.figure for each in self.figures or () if each.figure not in known]
        if unknown:
            allowed = ", ".join(known) or "none"
            raise ValueError(
                f"section {self.section!r} has no figure {unknown[0][:40]!r}; allowed: {allowed}"
            )
        return self


class ReportSpec(Spec):
    """A page. Its last section is always the provenance.

    Attributes
    ----------
    sections : in the order of the page, at least one.
    """

    kind: ClassVar[str] = "reports"

    family: Literal["report"]
    sections: Annotated[tuple[ReportSection, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ends_with_methods(self) -> ReportSpec:
        names = [each.section for each in self.sections]
        if names[-1] != "methods":
            raise ValueError(
                "the last section is 'methods': the failed checks and the provenance are always "
                "shown; move it to the end"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"section {twice[0]!r} occurs twice")
        return self
