"""The activity of parcels of cortex, by normalizing flows of sbi."""

from bayesesi.posterior.flow.estimator import ParcelEstimator, parcel_density
from bayesesi.posterior.flow.posterior import ParcelPosterior, parcel_posterior

__all__ = ["ParcelEstimator", "ParcelPosterior", "parcel_density", "parcel_posterior"]
