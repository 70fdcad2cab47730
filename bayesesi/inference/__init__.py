"""From an observation and a model to a result."""

from bayesesi.inference.inference import credible_regions, infer

__all__ = ["credible_regions", "infer"]
