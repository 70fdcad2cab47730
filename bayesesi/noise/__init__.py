"""Noise: its covariance in space and time, and the map that whitens it."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.noise.covariance import NoiseCovariance, positive, read_noise_cov, real_array
    from bayesesi.noise.scale import NOISE_DOF
    from bayesesi.noise.temporal import (
        band_autocorrelation,
        fit_autocorrelation,
        fit_autocovariance,
        independent_share,
        temporal_covariance,
    )
    from bayesesi.noise.whitener import Whitener, make_whitener
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "NOISE_DOF",
    "NoiseCovariance",
    "Whitener",
    "band_autocorrelation",
    "fit_autocorrelation",
    "fit_autocovariance",
    "independent_share",
    "make_whitener",
    "positive",
    "read_noise_cov",
    "real_array",
    "temporal_covariance",
]
