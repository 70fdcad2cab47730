"""The activity of parcels of cortex, by normalizing flows of sbi."""

from bayesesi.posterior.flow.posterior import ParcelPosterior, parcel_posterior

__all__ = ["ParcelPosterior", "parcel_posterior"]
