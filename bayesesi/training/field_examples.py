"""Fields of moments, and what the data show of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bayesesi.anatomy import template_source_space
from bayesesi.features import FieldForward, FieldInputs, TemporalGroups
from bayesesi.simulator import Batch
from bayesesi.spec import DiffusionRecipe, FlowRecipe
from bayesesi.training.data import PIECE, Examples


@dataclass(frozen=True, eq=False)
class FieldExample:
    """A piece of a session.

    Attributes
    ----------
    forward : what its cases share. scene : B cases. field : (S, B, Q) x, see
        ``features.field``; 0 where there is no event. functions : (T, R) of time. seed : of
        what is drawn for it.
    """

    forward: FieldForward
    scene: FieldInputs
    field: Tensor
    functions: Tensor
    seed: int

    @property
    def active(self) -> Tensor:
        """(B,) whether there is an event."""
        return self.field.flatten(2).abs().amax((0, 2)) > 0

    def to(self, device: torch.device | str) -> FieldExample:
        """Move the piece to ``device``."""
        return replace(
            self,
            forward=self.forward.to(device),
            scene=self.scene.to(device),
            field=self.field.to(device),
            functions=self.functions.to(device),
        )


@dataclass(frozen=True, eq=False)
class FieldExamples(Examples[DiffusionRecipe | FlowRecipe, FieldExample]):
    """Of a recipe of fields, or of their sums over parcels."""

    def pieces(self, batch: Batch, rng: np.random.Generator) -> list[FieldExample]:
        level = self.recipe.backbone.level
        kept = template_source_space(level).index_in(template_source_space(4))
        forward = FieldForward.of(batch.leadfield[:, kept], level)
        window = TemporalGroups.of(batch.time_basis.projector)
        functions = torch.from_numpy(batch.time_basis.functions).float()
        scale = np.log(batch.noise_scale)
        pieces = []
        for first in range(0, len(batch), PIECE):
            rows = slice(first, min(first + PIECE, len(batch)))
            seen = torch.from_numpy(batch.values[rows].astype(np.float32))
            log_scale = torch.from_numpy(scale[rows]).float()
            scene = forward.scene(seen, window, log_scale)
            # a case's lead field is the session's over its noise scale
            scaled = scene.scaled(log_scale.exp())
            field = forward.standardised(_moments(batch, rows, level), scaled)
            seed = int(rng.integers(2**31))
            pieces.append(FieldExample(forward, scene, field, functions, seed))
        return pieces


def _moments(batch: Batch, rows: slice, level: int) -> Tensor:
    """(S, B, R) A m of some cases."""
    slots = batch.courses.shape[1]
    courses = batch.courses[rows] @ batch.time_basis.projector
    patterns = batch.patterns_at(level)[rows.start * slots : rows.stop * slots]
    dense = patterns.toarray().reshape(len(courses), slots, -1)
    field = np.einsum("bks,bkr->sbr", dense, courses, optimize=True)
    return torch.from_numpy(field.astype(np.float32))
