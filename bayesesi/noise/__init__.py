"""Noise: its covariance in space and time, and the map that whitens it."""

from bayesesi.noise.covariance import NoiseCovariance, read_noise_cov
from bayesesi.noise.temporal import (
    band_autocorrelation,
    fit_autocorrelation,
    temporal_covariance,
)
from bayesesi.noise.whitener import Whitener, make_whitener

__all__ = [
    "NoiseCovariance",
    "Whitener",
    "band_autocorrelation",
    "fit_autocorrelation",
    "make_whitener",
    "read_noise_cov",
    "temporal_covariance",
]
