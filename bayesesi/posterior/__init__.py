"""Posteriors of the sources given a recording, p(j | v)."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.posterior.base import Posterior, Summary
    from bayesesi.posterior.gaussian import GaussianPosterior, gaussian_posterior
    from bayesesi.posterior.model_comparison import PRIORS, PriorEvidence, compare_priors
    from bayesesi.posterior.patches import Atoms, PatchPosterior, make_atoms, patch_posterior
    from bayesesi.posterior.volume_patches import BlobPosterior, blob_posterior, make_blob_atoms
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "PRIORS",
    "Atoms",
    "BlobPosterior",
    "GaussianPosterior",
    "PatchPosterior",
    "Posterior",
    "PriorEvidence",
    "Summary",
    "blob_posterior",
    "compare_priors",
    "gaussian_posterior",
    "make_atoms",
    "make_blob_atoms",
    "patch_posterior",
]
