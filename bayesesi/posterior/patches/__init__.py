"""Up to a few patches of cortex, or points: exact by enumeration for one, by chains for more."""

from bayesesi.posterior.patches.atoms import Atoms, known_sizes, make_atoms
from bayesesi.posterior.patches.likelihood import NOISE_DOF, PatchLikelihood, make_problem
from bayesesi.posterior.patches.posterior import PatchPosterior, patch_posterior, scan_of, solve
from bayesesi.posterior.patches.state_posterior import StatePosterior
from bayesesi.posterior.patches.states import Amplitudes, PatchStates

__all__ = [
    "NOISE_DOF",
    "Amplitudes",
    "Atoms",
    "PatchLikelihood",
    "PatchPosterior",
    "PatchStates",
    "StatePosterior",
    "known_sizes",
    "make_atoms",
    "make_problem",
    "patch_posterior",
    "scan_of",
    "solve",
]
