"""Fields of moments, and what the data show of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesesi.anatomy import template_source_space
from bayesesi.estimator.field import FieldCaseInputs
from bayesesi.features import FieldForward, TemporalGroups
from bayesesi.loss.case import Case, FieldCase, FieldTruth
from bayesesi.registry import implements
from bayesesi.simulator import Batch
from bayesesi.spec import DiffusionSpec, FlowSpec
from bayesesi.training.data import MICROBATCH, Cases


@implements(FlowSpec, "case")
@implements(DiffusionSpec, "case")
@dataclass(frozen=True, eq=False)
class FieldCases(Cases[FieldCase]):
    """Fields of moments on the cortex, for the field itself or its sums over parcels."""

    def microbatches(self, batch: Batch, rng: np.random.Generator) -> list[FieldCase]:
        ico = self.recipe.ico
        kept = template_source_space(ico).index_in(template_source_space(4))
        forward = FieldForward.of(batch.leadfield[:, kept], ico)
        window = TemporalGroups.of(batch.time_basis.projector)
        functions = torch.from_numpy(batch.time_basis.functions).float()
        scale = np.log(batch.noise_scale)
        cases = []
        for first in range(0, len(batch), MICROBATCH):
            rows = slice(first, min(first + MICROBATCH, len(batch)))
            seen = torch.from_numpy(batch.values[rows].astype(np.float32))
            log_scale = torch.from_numpy(scale[rows]).float()
            scene = forward.scene(seen, window, log_scale)
            # a case's lead field is the session's over its noise scale
            scaled = scene.scaled(log_scale.exp())
            field = forward.standardised(_moments(batch, rows, ico), scaled)
            seed = int(rng.integers(2**31))
            inputs = FieldCaseInputs(forward, scene, ico)
            cases.append(Case(inputs, FieldTruth(field, functions), seed))
        return cases


def _moments(batch: Batch, rows: slice, ico: int) -> Tensor:
    """(S, B, R) A m of some cases."""
    slots = batch.courses.shape[1]
    courses = batch.courses[rows] @ batch.time_basis.projector
    patterns = batch.patterns_at(ico)[rows.start * slots : rows.stop * slots]
    dense = patterns.toarray().reshape(len(courses), slots, -1)
    field = np.einsum("bks,bkr->sbr", dense, courses, optimize=True)
    return torch.from_numpy(field.astype(np.float32))
