"""Models: from an observation to its posterior, by name or from a file of weights."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use
from bayesesi.model.ensemble import EnsembleModel, dropout_ensemble, ensemble

if TYPE_CHECKING:
    from bayesesi.model.artifact import read_weights, write_weights
    from bayesesi.model.base import Model
    from bayesesi.model.exact import AUTO, N_HEADS, GaussianModel, PatchModel, patch_prior
    from bayesesi.model.learned import (
        AtomModel,
        CorticalModel,
        DipoleModel,
        FieldModel,
        FlowModel,
        LearnedModel,
        read_model,
    )
    from bayesesi.model.registry import fitting_model, list_models, load_model, train
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "AUTO",
    "N_HEADS",
    "AtomModel",
    "CorticalModel",
    "DipoleModel",
    "EnsembleModel",
    "FieldModel",
    "FlowModel",
    "GaussianModel",
    "LearnedModel",
    "Model",
    "PatchModel",
    "dropout_ensemble",
    "ensemble",
    "fitting_model",
    "list_models",
    "load_model",
    "patch_prior",
    "read_model",
    "read_weights",
    "train",
    "write_weights",
]
