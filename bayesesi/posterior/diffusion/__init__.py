"""The field of moments on the whole cortex, by denoising: flow matching, or score matching."""

from bayesesi.posterior.diffusion.estimator import field_estimator
from bayesesi.posterior.diffusion.posterior import FieldPosterior, draw_fields, field_posterior

__all__ = ["FieldPosterior", "draw_fields", "field_estimator", "field_posterior"]
