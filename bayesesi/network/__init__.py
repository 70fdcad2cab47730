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

__all__ = [
    "CONTEXT",
    "FEATURES",
    "CorticalTransformer",
    "FieldDenoiser",
    "FieldForward",
    "FieldScene",
    "Prefix",
    "PreparedForward",
    "Scene",
    "SizePrior",
    "Support",
    "Window",
    "minimum_norm",
]
