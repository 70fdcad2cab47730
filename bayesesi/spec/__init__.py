"""Specs: what we believe, in TOML, checked when read."""

from bayesesi.spec.base import Spec
from bayesesi.spec.files import (
    SpecError,
    read_spec,
    shipped_specs,
    spec_hash,
    spec_index,
    spec_schema,
    templates_folder,
)
from bayesesi.spec.head import HeadSpec
from bayesesi.spec.noise import NoiseSpec
from bayesesi.spec.quantity import Quantity
from bayesesi.spec.recipe import AtomRecipe, Backbone, Optimiser
from bayesesi.spec.simulator import SimulatorSpec
from bayesesi.spec.source import (
    Count,
    DipoleSpec,
    FocalSpec,
    MixtureSpec,
    ParcelSpec,
    PatchSpec,
    SmoothSpec,
)
from bayesesi.spec.volume_frame import VolumeFrameSpec

__all__ = [
    "AtomRecipe",
    "Backbone",
    "Count",
    "DipoleSpec",
    "FocalSpec",
    "HeadSpec",
    "MixtureSpec",
    "NoiseSpec",
    "Optimiser",
    "ParcelSpec",
    "PatchSpec",
    "Quantity",
    "SimulatorSpec",
    "SmoothSpec",
    "Spec",
    "SpecError",
    "VolumeFrameSpec",
    "read_spec",
    "shipped_specs",
    "spec_hash",
    "spec_index",
    "spec_schema",
    "templates_folder",
]
