"""A number for each source as a picture of the cortex: what notebooks and own pages draw with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

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
    """Both sides of the inflated cortex, from outside and inside.

    Parameters
    ----------
    values : (S,) not below 0, of the template's sources: 5,124 of level 4, or of another level.
    label : what they are, with their unit.
    limit : end of the scale; the largest value if not given.
    outline : (S,) sources around which a black line is drawn, such as those of a set.
    percent : show shares in percent.

    Raises
    ------
    InputError : a number of values that no level of the template has, or that are not finite.
    """
    from bayesesi.report.cortex_picture import edge_on_template, on_template
    from bayesesi.report.result_figure import plot_maps

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
    end = float(shown.max()) if limit is None else float(limit)
    return plot_maps(on_template(shown, vertices), end or 1.0, label, edge, percent=percent)
