"""Specs: what we believe, in TOML, checked when read."""

from bayesesi.spec.base import Spec
from bayesesi.spec.files import (
    SpecError,
    make_spec,
    read_report_spec,
    read_spec,
    report_specs,
    shipped_notebooks,
    shipped_specs,
    spec_hash,
    spec_index,
    spec_schema,
    templates_folder,
)
from bayesesi.spec.head import HeadSpec
from bayesesi.spec.noise import NoiseSpec
from bayesesi.spec.quantity import Quantity
from bayesesi.spec.recipe import (
    AtomRecipe,
    CorticalRecipe,
    DiffusionRecipe,
    DipoleRecipe,
    FieldLosses,
    FlowRecipe,
    MixtureShare,
    Optimiser,
    Recipe,
    TransformerSpec,
)
from bayesesi.spec.report import FIGURES, ReportFigure, ReportSection, ReportSpec
from bayesesi.spec.simulator import SimulatorSpec
from bayesesi.spec.source import (
    Count,
    DipoleSpec,
    FocalSpec,
    MixtureSpec,
    ParcelSpec,
    PatchSpec,
    SmoothSpec,
    VolumeDipoleSpec,
)
from bayesesi.spec.verdict import VerdictSpec
from bayesesi.spec.volume_frame import VolumeFrameSpec

__all__ = [
    "FIGURES",
    "AtomRecipe",
    "CorticalRecipe",
    "Count",
    "DiffusionRecipe",
    "DipoleRecipe",
    "DipoleSpec",
    "FieldLosses",
    "FlowRecipe",
    "FocalSpec",
    "HeadSpec",
    "MixtureShare",
    "MixtureSpec",
    "NoiseSpec",
    "Optimiser",
    "ParcelSpec",
    "PatchSpec",
    "Quantity",
    "Recipe",
    "ReportFigure",
    "ReportSection",
    "ReportSpec",
    "SimulatorSpec",
    "SmoothSpec",
    "Spec",
    "SpecError",
    "TransformerSpec",
    "VerdictSpec",
    "VolumeDipoleSpec",
    "VolumeFrameSpec",
    "make_spec",
    "read_report_spec",
    "read_spec",
    "report_specs",
    "shipped_notebooks",
    "shipped_specs",
    "spec_hash",
    "spec_index",
    "spec_schema",
    "templates_folder",
]
