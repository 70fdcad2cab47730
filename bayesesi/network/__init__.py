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
from bayesesi.network.cortical_transformer import BackboneSpec, CorticalTransformer

__all__ = [
    "CONTEXT",
    "FEATURES",
    "BackboneSpec",
    "CorticalTransformer",
    "Prefix",
    "PreparedForward",
    "Scene",
    "SizePrior",
    "Support",
    "Window",
]
