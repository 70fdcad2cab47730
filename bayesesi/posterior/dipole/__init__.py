"""One or two free dipoles in the brain volume: flows of sbi, weighed by the likelihood."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.posterior.dipole.belief import DipoleBelief
    from bayesesi.posterior.dipole.draws import DipoleDraws, Ellipsoid
    from bayesesi.posterior.dipole.posterior import DipolePosterior, dipole_posterior
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = ["DipoleBelief", "DipoleDraws", "DipolePosterior", "Ellipsoid", "dipole_posterior"]
