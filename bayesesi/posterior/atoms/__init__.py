"""Up to a few patches of cortex, by a network that learned from the simulator."""

from bayesesi.posterior.atoms.estimator import AtomEstimator
from bayesesi.posterior.atoms.posterior import AtomPosterior, Sight, atom_posterior
from bayesesi.posterior.atoms.refinement import refined, weighed

__all__ = ["AtomEstimator", "AtomPosterior", "Sight", "atom_posterior", "refined", "weighed"]
