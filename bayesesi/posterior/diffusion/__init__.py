"""The field of moments on the whole cortex, by denoising: flow matching, or score matching."""

from bayesesi.posterior.diffusion.posterior import DiffusionPosterior, draw_fields, field_posterior

__all__ = ["DiffusionPosterior", "draw_fields", "field_posterior"]
