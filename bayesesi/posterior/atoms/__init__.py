"""Up to a few patches of cortex, by a network that learned from the simulator."""

from bayesesi.posterior.atoms.estimator import AtomEstimator
from bayesesi.posterior.atoms.posterior import AtomPosterior, atom_posterior

__all__ = ["AtomEstimator", "AtomPosterior", "atom_posterior"]
