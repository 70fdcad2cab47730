"""Backbones, one architecture a file: inputs in, tokens out; no loss is known here."""

from bayesesi.network.backbone import CLAIMS, Backbone, Tokens
from bayesesi.network.transformer import CorticalTransformer

__all__ = ["CLAIMS", "Backbone", "CorticalTransformer", "Tokens"]
