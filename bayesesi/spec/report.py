"""Which sections a page has, in which order, and under which headings."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from bayesesi.spec.base import Spec, Table

SectionName = Literal[
    "where",
    "dipoles",
    "truth",
    "targets",
    "regions",
    "cortex",
    "recording",
    "forward",
    "sensitivity",
    "sureness",
    "methods",
]
#: As the page's code has them; a test compares the two.
SECTIONS: tuple[str, ...] = get_args(SectionName)


class ReportSection(Table):
    """One section; it is left out where a result has nothing for it."""

    section: SectionName
    title: str = Field(min_length=1, max_length=120, description="its heading")
    folded: bool = Field(False, description="closed until a reader opens it; open in print")


class ReportSpec(Spec):
    """A page. Its last section says how everything came about."""

    kind: ClassVar[str] = "reports"

    family: Literal["report"]
    sections: Annotated[tuple[ReportSection, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ends_with_methods(self) -> ReportSpec:
        names = [each.section for each in self.sections]
        if names[-1] != "methods":
            raise ValueError(
                "the last section is 'methods': what failed, and how the answer came about, is "
                "never left out"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"section {twice[0]!r} occurs twice")
        return self
