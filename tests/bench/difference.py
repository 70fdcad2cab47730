"""How two leadfields differ, and how sure a statistic of that is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bayesesi.metrics.fields import mag, rdm

Array = NDArray[np.floating]
Statistic = Callable[[Array], float]


def rdm_and_mag(a: Array, b: Array) -> tuple[Array, Array]:
    """(S,) each: ``rdm`` and ``mag`` of columns (C, S) at average reference, ``b`` the truth."""
    a, b = ((each - each.mean(axis=0)).T for each in (a, b))
    return rdm(a, b), mag(a, b)


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
