"""What a network sees, and the backbones that look at it."""

from bayesesi.network.conditioning import (
    CONTEXT,
    FEATURES,
    Prefix,
    PreparedForward,
    Scene,
    SizePrior,
    Support,
    Window,
)
from bayesesi.network.cortical_transformer import CorticalTransformer
from bayesesi.network.field_denoiser import FieldDenoiser, minimum_norm
from bayesesi.network.field_view import FieldForward, FieldScene
from bayesesi.network.parcel_view import ParcelForward

__all__ = [
    "CONTEXT",
    "FEATURES",
    "CorticalTransformer",
    "FieldDenoiser",
    "FieldForward",
    "FieldScene",
    "ParcelForward",
    "Prefix",
    "PreparedForward",
    "Scene",
    "SizePrior",
    "Support",
    "Window",
    "minimum_norm",
]
