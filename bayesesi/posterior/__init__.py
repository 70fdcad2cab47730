"""What is known of the sources once a recording is seen: p(j | v)."""

from bayesesi.posterior.base import Posterior
from bayesesi.posterior.gaussian import GaussianPosterior, gaussian_posterior

__all__ = ["GaussianPosterior", "Posterior", "gaussian_posterior"]
