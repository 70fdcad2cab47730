"""Specs: what we believe, in TOML, checked when read."""

from bayesesi.spec.base import Spec
from bayesesi.spec.estimator import (
    AtomsSpec,
    DensitySpec,
    DiffusionSpec,
    DipolesSpec,
    EstimatorSpec,
    FlowSpec,
)
from bayesesi.spec.family import FamilySpec
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
from bayesesi.spec.head import FoldSpec, HeadSpec
from bayesesi.spec.loss import LossSpec
from bayesesi.spec.model import MODEL_FAMILIES, ModelFamily, model_family
from bayesesi.spec.network import NetworkSpec, TransformerSpec
from bayesesi.spec.noise import NoiseSpec
from bayesesi.spec.quantity import Quantity
from bayesesi.spec.recipe import MixtureShare, Optimiser, Recipe
from bayesesi.spec.report import ReportFigure, ReportSection, ReportSpec
from bayesesi.spec.section import Section, section, section_named, section_names
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
from bayesesi.spec.strategy import StrategySpec, SupervisedSpec
from bayesesi.spec.verdict import VerdictSpec
from bayesesi.spec.volume_frame import VolumeFrameSpec

__all__ = [
    "MODEL_FAMILIES",
    "AtomsSpec",
    "Count",
    "DensitySpec",
    "DiffusionSpec",
    "DipoleSpec",
    "DipolesSpec",
    "EstimatorSpec",
    "FamilySpec",
    "FlowSpec",
    "FocalSpec",
    "FoldSpec",
    "HeadSpec",
    "LossSpec",
    "MixtureShare",
    "MixtureSpec",
    "ModelFamily",
    "NetworkSpec",
    "NoiseSpec",
    "Optimiser",
    "ParcelSpec",
    "PatchSpec",
    "Quantity",
    "Recipe",
    "ReportFigure",
    "ReportSection",
    "ReportSpec",
    "Section",
    "SimulatorSpec",
    "SmoothSpec",
    "Spec",
    "SpecError",
    "StrategySpec",
    "SupervisedSpec",
    "TransformerSpec",
    "VerdictSpec",
    "VolumeDipoleSpec",
    "VolumeFrameSpec",
    "make_spec",
    "model_family",
    "read_report_spec",
    "read_spec",
    "report_specs",
    "section",
    "section_named",
    "section_names",
    "shipped_notebooks",
    "shipped_specs",
    "spec_hash",
    "spec_index",
    "spec_schema",
    "templates_folder",
]
