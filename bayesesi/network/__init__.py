"""Backbones, one architecture a file: inputs in, tokens out; no loss is known here."""

from bayesesi.network.backbone import CLAIMS, Backbone, Tokens

__all__ = ["CLAIMS", "Backbone", "Tokens"]
