"""Specs: what we believe, in TOML, checked when read."""

from bayesesi.spec.base import Spec
from bayesesi.spec.files import (
    SpecError,
    read_spec,
    shipped_specs,
    spec_hash,
    spec_index,
    spec_schema,
)
from bayesesi.spec.head import HeadSpec
from bayesesi.spec.noise import NoiseSpec
from bayesesi.spec.quantity import Quantity
from bayesesi.spec.simulator import SimulatorSpec
from bayesesi.spec.source import DipoleSpec, MixtureSpec, PatchSpec, SmoothSpec, SourceSpec

__all__ = [
    "DipoleSpec",
    "HeadSpec",
    "MixtureSpec",
    "NoiseSpec",
    "PatchSpec",
    "Quantity",
    "SimulatorSpec",
    "SmoothSpec",
    "SourceSpec",
    "Spec",
    "SpecError",
    "read_spec",
    "shipped_specs",
    "spec_hash",
    "spec_index",
    "spec_schema",
]
