"""Plot a number for each source on the cortex, for notebooks and own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Levels of the template's cortex, the coarsest first.
_LEVELS = (2, 3, 4, 5)


def plot_map(
    values: ArrayLike,
    label: str = "",
    *,
    limit: float | None = None,
    outline: ArrayLike | None = None,
    percent: bool = False,
) -> Figure:
    """Plot both sides of the inflated cortex, from outside and inside.

    Parameters
    ----------
    values : (S,) not below 0, of the template's sources: 5,124 of level 4, or of another level.
    label : what they are, with their unit.
    limit : end of the scale, above 0, in the unit of the values; the largest value if not given.
    outline : (S,) sources around which a black line is drawn, such as those of a set.
    percent : show shares in percent.

    Raises
    ------
    InputError : a number of values that no level of the template has, or that are not finite.
    """
    from bayesesi.report.result_figure import plot_maps

    shown, edge = _shown(values, outline)
    end = float(np.max(values)) if limit is None else float(limit)
    return plot_maps(shown, end or 1.0, label, edge, percent=percent)


@dataclass(frozen=True)
class Column:
    """Describe a column of a grid of maps.

    Attributes
    ----------
    title : above it. of : index of the map in its row. side : ``"left"`` or ``"right"``.
    view : ``"lateral"`` or ``"medial"``. limit : end of the scale, above 0, in the map's unit.
    """

    title: str
    of: int
    side: str
    view: str
    limit: float


#: Both sides from outside and inside, of rows of one map.
FOUR = tuple(
    Column(f"{side}, from {words}", 0, side, view, 1.0)
    for side in ("left", "right")
    for view, words in (("lateral", "outside"), ("medial", "inside"))
)


def plot_map_rows(
    rows: Mapping[str, Sequence[ArrayLike]],
    columns: Sequence[Column] = FOUR,
    outline: ArrayLike | None = None,
) -> Figure:
    """Plot small multiples: a row a name, its maps from the sides in ``columns``.

    Parameters
    ----------
    rows : name -> maps (S,), as ``plot_map`` takes them. columns : of the grid.
    outline : (S,) sources around which a black line is drawn in all of them.

    Raises
    ------
    InputError : see ``plot_map``.
    """
    from bayesesi.report.cortex_picture import plot_cortex, sequential_colours
    from bayesesi.report.result_figure import new_figure

    edge = None if outline is None else _shown(np.asarray(outline, float), outline)[1]
    wide, high, left, head = 1.6, 1.1, 1.9, 0.45
    width, height = left + wide * len(columns), head + high * len(rows)
    figure = new_figure(width, height)
    for i, (name, maps) in enumerate(rows.items()):
        foot = height - head - (i + 1) * high
        figure.text(0.1 / width, (foot + high / 2) / height, name[:30], va="center", fontsize=8)
        drawn = {
            (column.of, column.limit): sequential_colours(
                _shown(maps[column.of], None)[0], column.limit, edge
            )
            for column in columns
        }
        for k, column in enumerate(columns):
            # a cortex fills little of its axes: they overlap, and nothing is drawn between
            box = ((left + (k - 0.2) * wide) / width, (foot - 0.25 * high) / height)
            axis = figure.add_axes((*box, 1.4 * wide / width, 1.5 * high / height), projection="3d")
            axis.patch.set_alpha(0)
            plot_cortex(axis, drawn[column.of, column.limit].copy(), column.side, column.view)
            axis.collections[0].set_clip_on(False)
    for k, column in enumerate(columns):
        middle = (left + (k + 0.5) * wide) / width
        figure.text(middle, 1 - 0.15 / height, column.title, ha="center", va="top", fontsize=7.5)
    return figure


def _shown(
    values: ArrayLike, outline: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """(20484,) values, and the edge of a set, of a map of any level."""
    from bayesesi.report.cortex_picture import edge_on_template, on_template

    shown = np.asarray(values, float)
    sizes = {template_source_space(level).n_sources: level for level in _LEVELS}
    if shown.ndim != 1 or len(shown) not in sizes:
        raise InputError(
            f"a map has a number for each of {', '.join(f'{n:,}' for n in sizes)} sources, not "
            f"the shape {shown.shape}"
        )
    if not np.isfinite(shown).all() or (shown < 0).any():
        raise InputError("a map shows finite numbers from 0 up; give sizes, such as np.abs(x)")
    vertices = template_source_space(sizes[len(shown)]).vertices
    assert vertices is not None
    edge = None
    if outline is not None:
        edge = edge_on_template(np.asarray(outline, bool), vertices)
    return on_template(shown, vertices), edge
