"""Models: from an observation to its posterior, by name or from a file of weights.

The class of each family is in a module of its own, which is loaded when a model of it is.
"""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use
from bayesesi.model.ensemble import EnsembleModel, dropout_ensemble, ensemble

if TYPE_CHECKING:
    from bayesesi.model.artifact import read_weights, write_weights
    from bayesesi.model.atoms import AtomModel
    from bayesesi.model.base import Model
    from bayesesi.model.diffusion import FieldModel
    from bayesesi.model.dipole import DipoleModel
    from bayesesi.model.flow import FlowModel
    from bayesesi.model.gaussian import AUTO, GaussianModel
    from bayesesi.model.learned import CorticalModel, LearnedModel
    from bayesesi.model.patches import N_HEADS, PatchModel, patch_prior
    from bayesesi.model.prepared import PreparedModel
    from bayesesi.model.registry import (
        fitting_model,
        list_models,
        load_model,
        read_model,
        shipped_recipes,
        train,
    )
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
    "PreparedModel",
    "dropout_ensemble",
    "ensemble",
    "fitting_model",
    "list_models",
    "load_model",
    "patch_prior",
    "read_model",
    "read_weights",
    "shipped_recipes",
    "train",
    "write_weights",
]
