"""One or two free dipoles in the brain volume: flows of sbi, weighed by the likelihood."""

from bayesesi.posterior.dipole.belief import DipoleBelief
from bayesesi.posterior.dipole.draws import DipoleDraws, Ellipsoid
from bayesesi.posterior.dipole.posterior import DipolePosterior, dipole_posterior

__all__ = ["DipoleBelief", "DipoleDraws", "DipolePosterior", "Ellipsoid", "dipole_posterior"]
