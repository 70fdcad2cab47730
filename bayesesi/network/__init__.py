"""Backbones, one architecture a file: features in, tokens out; no loss is known here."""

from bayesesi.network.transformer import CorticalTransformer

__all__ = ["CorticalTransformer"]
