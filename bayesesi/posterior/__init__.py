"""What is known of the sources once a recording is seen: p(j | v)."""

from bayesesi.posterior.base import Posterior, Summary
from bayesesi.posterior.blobs import BlobPosterior, blob_posterior, make_blob_atoms
from bayesesi.posterior.evidence import PRIORS, PriorEvidence, compare_priors
from bayesesi.posterior.gaussian import GaussianPosterior, gaussian_posterior
from bayesesi.posterior.patches import Atoms, PatchPosterior, make_atoms, patch_posterior

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
