"""Up to a few patches of cortex, or points: exact by enumeration for one, by chains for more."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.posterior.patches.atoms import Atoms, known_sizes, make_atoms
    from bayesesi.posterior.patches.likelihood import (
        PatchLikelihood,
        assumed_topographies,
        make_problem,
    )
    from bayesesi.posterior.patches.posterior import PatchPosterior, patch_posterior, scan_of, solve
    from bayesesi.posterior.patches.state_posterior import StatePosterior
    from bayesesi.posterior.patches.states import Amplitudes, PatchStates
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "Amplitudes",
    "Atoms",
    "PatchLikelihood",
    "PatchPosterior",
    "PatchStates",
    "StatePosterior",
    "assumed_topographies",
    "known_sizes",
    "make_atoms",
    "make_problem",
    "patch_posterior",
    "scan_of",
    "solve",
]
