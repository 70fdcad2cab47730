"""Score regions by linear inverses, for conformal sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.baselines import Method, power_map
from bayesesi.errors import InputError
from bayesesi.observation import Observation

#: lambda2 of the maps: of the rule of the data, 1/9, 1, 10 and 100 that with the smallest sets on
#: 512 validation cases. Under an unknown head the best are far above the noise's share.
LAMBDA2 = 10.0


def linear_scores(
    obs: Observation, method: Method, lambda2: float | None = LAMBDA2
) -> NDArray[np.float64]:
    """Score regions by a linear inverse: (P,) largest size in each region, over the largest of all.

    Parameters
    ----------
    obs : on a level of the template's cortex. method : one of ``baselines.METHODS``.
    lambda2 : ratio of powers, noise over signal; None for the rule of the data.

    Raises
    ------
    InputError : sources that are not a level of the template's cortex.
    """
    level = obs.source_space.ico
    if level is None:
        raise InputError("scores of regions are on the template's cortex; use template_forward")
    return region_sizes(np.sqrt(power_map(obs, method, lambda2)), level)


def region_sizes(size: NDArray[np.float64], level: int) -> NDArray[np.float64]:
    """Take the largest value of a map in each region, over the largest of all: (P,).

    Parameters
    ----------
    size : (S,), 0 or more, any unit. level : of the template's cortex.
    """
    regions = template_parcellation(level)
    largest = np.zeros(len(regions.regions))
    inside = regions.labels >= 0
    np.maximum.at(largest, regions.labels[inside], size[inside])
    return np.asarray(largest / max(float(size.max()), 1e-300))


def eloreta(obs: Observation, seed: int = 0) -> NDArray[np.float64]:
    """Score regions by eLORETA, (P,).

    Parameters
    ----------
    obs : see ``linear_scores``. seed : not used.
    """
    return linear_scores(obs, "eLORETA")


def sloreta(obs: Observation, seed: int = 0) -> NDArray[np.float64]:
    """Score regions by sLORETA, (P,).

    Parameters
    ----------
    obs : see ``linear_scores``. seed : not used.
    """
    return linear_scores(obs, "sLORETA")
