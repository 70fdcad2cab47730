"""The field of moments on the whole cortex, by denoising: flow matching, or score matching."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.posterior.diffusion.posterior import (
        DiffusionPosterior,
        draw_fields,
        field_posterior,
    )
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = ["DiffusionPosterior", "draw_fields", "field_posterior"]
