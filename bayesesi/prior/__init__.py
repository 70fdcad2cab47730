"""Priors: specs compiled to Pyro programs."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.prior.blocks import BLOCK, NAMESPACES, block_generator, blocks_of
    from bayesesi.prior.distribution import NormalScore, distribution_of
    from bayesesi.prior.focal import DipolePrior, FocalPrior, PatchPrior
    from bayesesi.prior.head import HeadPrior
    from bayesesi.prior.mixture import MixturePrior
    from bayesesi.prior.noise import NoisePrior
    from bayesesi.prior.parcel import ParcelPrior
    from bayesesi.prior.placement import Placement, placement_weights
    from bayesesi.prior.reading import heads_around, make_prior, read_prior, read_source_prior
    from bayesesi.prior.sbi_prior import SbiPrior
    from bayesesi.prior.smooth import SmoothPrior
    from bayesesi.prior.source import SourcePrior
    from bayesesi.prior.volume_dipole import VolumeDipolePrior, log_share_apart
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "BLOCK",
    "NAMESPACES",
    "DipolePrior",
    "FocalPrior",
    "HeadPrior",
    "MixturePrior",
    "NoisePrior",
    "NormalScore",
    "ParcelPrior",
    "PatchPrior",
    "Placement",
    "SbiPrior",
    "SmoothPrior",
    "SourcePrior",
    "VolumeDipolePrior",
    "block_generator",
    "blocks_of",
    "distribution_of",
    "heads_around",
    "log_share_apart",
    "make_prior",
    "placement_weights",
    "read_prior",
    "read_source_prior",
]
