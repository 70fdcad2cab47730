"""Draws of one or two dipoles, with their weights, and the ellipsoid that holds a place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayesesi.estimator.dipole import DipoleStates
from bayesesi.posterior.importance import ImportanceWeights, importance_weights


@dataclass(frozen=True, eq=False)
class DipoleDraws:
    """Hold n draws of an event; what lies beyond a draw's count is NaN.

    Attributes
    ----------
    count : (n,). place : (n, 2, 3) m, the left one first. extent_mm : (n, 2). skull_S_per_m,
        noise_scale : (n,), of the true head's skull and of the noise over its covariance.
    moment : (n, 2, 3, R) A m.
    """

    count: NDArray[np.int64]
    place: NDArray[np.float64]
    extent_mm: NDArray[np.float64]
    skull_S_per_m: NDArray[np.float64]
    noise_scale: NDArray[np.float64]
    moment: NDArray[np.float64]


@dataclass(frozen=True)
class Ellipsoid:
    """Hold the ellipsoid of a place: the Gaussian that has the draws' mean and covariance.

    Attributes
    ----------
    centre : (3,) m. axes : (3,) m, half lengths, the longest first. directions : (3, 3), a row an
        axis. level : probability inside, were the draws Gaussian.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    directions: NDArray[np.float64]
    level: float

    @property
    def volume(self) -> float:
        """m³."""
        return float(4 / 3 * np.pi * np.prod(self.axes))


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    """Hold D draws of K dipoles and their densities.

    Attributes
    ----------
    dipoles : the draws. log_proposal, log_prior, log_likelihood : (D,) log q(x | v, K),
        log p(x | K) and log p(v | x), nats.
    """

    dipoles: DipoleStates
    log_proposal: NDArray[np.float64]
    log_prior: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]

    @cached_property
    def weights(self) -> ImportanceWeights:
        """Importance weights p(v, x | K) / q(x | v, K)."""
        return importance_weights(self.log_prior + self.log_likelihood, self.log_proposal)
