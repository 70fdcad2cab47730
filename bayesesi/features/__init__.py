"""What networks see: an observation brought from its sensors to the cortex."""

from bayesesi.features.field import FieldForward, FieldInputs
from bayesesi.features.parcels import ParcelForward
from bayesesi.features.scan import (
    CONTEXT,
    FEATURES,
    PlacedSources,
    PreparedForward,
    ScanInputs,
    SizePrior,
    TemporalGroups,
    TrainingRange,
)

__all__ = [
    "CONTEXT",
    "FEATURES",
    "FieldForward",
    "FieldInputs",
    "ParcelForward",
    "PlacedSources",
    "PreparedForward",
    "ScanInputs",
    "SizePrior",
    "TemporalGroups",
    "TrainingRange",
]
