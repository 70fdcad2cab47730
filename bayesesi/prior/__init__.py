"""Priors: specs compiled to Pyro programs."""

from __future__ import annotations

from pathlib import Path

from bayesesi.anatomy import template_parcellation
from bayesesi.errors import InputError
from bayesesi.prior.blocks import BLOCK, NAMESPACES, block_generator
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.placement import Placement, placement_weights
from bayesesi.prior.source import SourcePrior
from bayesesi.spec import DipoleSpec, PatchSpec, read_spec

__all__ = [
    "BLOCK",
    "NAMESPACES",
    "Placement",
    "SourcePrior",
    "block_generator",
    "distribution_of",
    "placement_weights",
    "read_prior",
]


def read_prior(name_or_path: str | Path, level: int = 5) -> SourcePrior:
    """A focal source prior on the template's cortex, by name or from a TOML file.

    ``level`` of the cortex on which events live: 5 has 20,484 sources.

    Raises
    ------
    InputError : a spec with mistakes, or of another kind.
    """
    spec = read_spec(name_or_path)
    if not isinstance(spec, DipoleSpec | PatchSpec):
        raise InputError(
            f"{spec.name!r} is not yet a prior that can be drawn; allowed are source specs of "
            "family 'dipole' or 'patch'"
        )
    return SourcePrior(spec, template_parcellation(level))
