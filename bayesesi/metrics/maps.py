"""Sizes of a map on its sources, and the area of those that are chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError


def area_cm2(chosen: NDArray[np.bool_], space: SourceSpace) -> float:
    """Sum the cm² of cortex that the chosen sources stand for.

    Parameters
    ----------
    chosen : (S,) mask. space : its S sources, of a cortical surface.

    Raises
    ------
    InputError : sources that are not on a cortex.
    """
    return float(1e4 * space.areas[np.asarray(chosen, bool)].sum())


def sizes_of(estimate: NDArray[np.floating]) -> NDArray[np.float64]:
    """Drop the signs of a map.

    Parameters
    ----------
    estimate : (S,) map, any unit.

    Raises
    ------
    InputError : another number of axes, or values that are not finite.
    """
    size = np.abs(np.asarray(estimate, float))
    if size.ndim != 1 or not np.isfinite(size).all():
        raise InputError(
            f"a map has one finite value per source, not shape {size.shape}"
            f"{'' if np.isfinite(size).all() else ' with values that are not finite'}; sum up "
            "axes and time first"
        )
    return np.asarray(size)
