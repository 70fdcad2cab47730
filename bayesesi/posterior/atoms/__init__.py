"""Up to a few patches of cortex, by a network that learned from the simulator."""

from bayesesi.posterior.atoms.posterior import AtomInputs, AtomPosterior, atom_posterior
from bayesesi.posterior.atoms.refinement import refined, weighed

__all__ = ["AtomInputs", "AtomPosterior", "atom_posterior", "refined", "weighed"]
