"""Pictures with captions, drawn when a page shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bayesesi.report import result_figure
from bayesesi.report.words import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayesesi.spec import ReportFigure


@dataclass(frozen=True, eq=False)
class Picture:
    """Hold one figure of a section.

    Attributes
    ----------
    name : by which a page's spec names it. alt : what it shows, for who does not see it.
    title, caption : below it. draw : makes it. draw_narrow : makes it for a phone, if not alike.
    width : CSS length it is at most shown at.
    """

    name: str
    alt: str
    caption: str
    draw: Callable[[], Figure] = field(repr=False)
    title: str = ""
    draw_narrow: Callable[[], Figure] | None = field(default=None, repr=False)
    width: str = ""

    @cached_property
    def wide(self) -> str:
        """A PNG inside an address."""
        return result_figure.data_uri(self.draw())

    @cached_property
    def narrow(self) -> str:
        """As ``wide``; empty where that serves a phone too."""
        return "" if self.draw_narrow is None else result_figure.data_uri(self.draw_narrow())


def arranged(pictures: list[Picture], wanted: tuple[ReportFigure, ...] | None) -> list[Picture]:
    """Select the pictures that a spec names, in its order and with its captions.

    Parameters
    ----------
    pictures : of the section. wanted : by the spec; all pictures where None.
    """
    if wanted is None:
        return pictures
    there = {each.name: each for each in pictures}
    return [
        there[each.figure]
        if each.caption is None
        else replace(there[each.figure], title="", caption=plain(each.caption, 1000))
        for each in wanted
        if each.figure in there
    ]
