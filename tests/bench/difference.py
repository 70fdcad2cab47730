"""How two leadfields differ, and how sure a statistic of that is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Statistic = Callable[[Array], float]


def rdm_and_mag(a: Array, b: Array) -> tuple[Array, Array]:
    """Of columns (C, S) under the average reference, ``b`` the truth.

    RDM = |a/|a| - b/|b||, 0 to 2, compares topographies; MAG = |a|/|b| compares magnitudes
    (Meijs et al. 1989, doi:10.1109/10.40805).
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size_a, size_b = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    return np.linalg.norm(a / size_a - b / size_b, axis=0), size_a / size_b


def percentile(q: float) -> Statistic:
    return lambda values: float(np.percentile(values, q))


def bootstrap(
    values: Array, statistic: Statistic, n: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of a statistic, drawing along the first axis.

    Give values as (groups, members) where members of a group are not independent.
    """
    rng = np.random.default_rng(seed)
    draws = [
        statistic(values[rng.integers(len(values), size=len(values))].ravel()) for _ in range(n)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
