"""From an observation and a model to a result."""

from bayesesi.inference.inference import infer

__all__ = ["infer"]
