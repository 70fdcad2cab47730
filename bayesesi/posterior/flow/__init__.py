"""The activity of parcels of cortex, by normalizing flows of sbi."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.posterior.flow.posterior import ParcelPosterior, parcel_posterior
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = ["ParcelPosterior", "parcel_posterior"]
