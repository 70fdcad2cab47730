"""How large moments may be before the data: a Gaussian over the logarithm of their size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesesi.prior import NormalScore
from bayesesi.spec import Quantity


@dataclass(frozen=True)
class SizePrior:
    """Hold log s ~ N(mean, sd²), s in A m the size of a moment of ``axes`` directions, all alike.

    Attributes
    ----------
    mean : log A m. sd : of the log, no unit; 0 stands for an unknown unit, all sizes of a grid
        alike. axes : number of directions, 1 for a fixed source and 3 for a free one.
    """

    mean: float
    sd: float
    axes: int = 1

    @classmethod
    def of_grid(cls, sizes: NDArray[np.float64], log_share: NDArray[np.float64]) -> SizePrior:
        """Match the moments of a grid of sizes.

        Parameters
        ----------
        sizes : (M,) A m. log_share : (M,) their log probabilities.
        """
        share = np.exp(log_share)
        mean = float(share @ np.log(sizes))
        return cls(mean, float(np.sqrt(share @ (np.log(sizes) - mean) ** 2)))

    @classmethod
    def of_moment(cls, moment_nAm: Quantity, axes: int) -> SizePrior:
        """Match what a spec says of a moment.

        Parameters
        ----------
        moment_nAm : its prior, nA m. axes : number of directions, 1 or 3.
        """
        log = np.log(NormalScore(moment_nAm).quantiles() * 1e-9)
        return cls(float(log.mean()), float(log.std()), axes)

    @classmethod
    def unknown(cls) -> SizePrior:
        """Make the prior for a recording whose unit is unknown."""
        return cls(0.0, 0.0)
