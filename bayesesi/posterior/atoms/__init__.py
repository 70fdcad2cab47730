"""Up to a few patches of cortex, by a network that learned from the simulator."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.posterior.atoms.posterior import AtomInputs, AtomPosterior, atom_posterior
    from bayesesi.posterior.atoms.refinement import refined, weighed
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = ["AtomInputs", "AtomPosterior", "atom_posterior", "refined", "weighed"]
