"""What networks see: an observation brought from its sensors to the cortex."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.features.field import FieldForward, FieldInputs
    from bayesesi.features.parcels import ParcelForward
    from bayesesi.features.scan import (
        CONTEXT,
        FEATURES,
        PlacedSources,
        PreparedForward,
        ScanInputs,
        TemporalGroups,
        TrainingRange,
    )
    from bayesesi.features.size_prior import SizePrior
else:
    __getattr__ = names_on_first_use(__name__)

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
