"""What losses of a posterior mean share: the fields of the cases with an event, and neighbours."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from bayesesi.anatomy import template_source_space
from bayesesi.anatomy.graph import edges
from bayesesi.features import FieldInputs
from bayesesi.loss.base import Question


def mean_and_truth(question: Question) -> tuple[Tensor, Tensor, FieldInputs]:
    """Take D and x (S, B', Q), unitless, of the B' cases with an event, and what is seen of them.

    ``question`` holds the cases and the estimator's answer.
    """
    case: Any = question.case
    rows = case.truth.rows
    return question.answer.mean[:, rows], case.truth.field[:, rows], case.inputs.scene.pick(rows)


def over_cases(values: Tensor) -> Tensor:
    """Average ``values`` (F, B', K) over all but the cases, (B',)."""
    return values.mean((0, 2))


@cache
def _edges(ico: int) -> tuple[Tensor, Tensor]:
    """Sources at both ends of every edge of the template's triangles."""
    first, second = edges(template_source_space(ico).triangles).T
    return torch.from_numpy(first.copy()), torch.from_numpy(second.copy())


def differences(question: Question) -> Tensor:
    """Compute D_i - D_j of neighbours i, j on the template's cortex, (edges, B', Q), of
    ``question``."""
    field, _, _ = mean_and_truth(question)
    first, second = (ends.to(field.device) for ends in _edges(question.case.inputs.ico))
    return field[first] - field[second]


def over_time(field: Tensor, scene: FieldInputs, functions: Tensor) -> Tensor:
    """Turn ``field`` (S, B, Q) to (S, B, T), its courses at their share of the data.

    ``scene`` holds the courses, ``functions`` are (T, R).
    """
    courses = functions @ (scene.turn * scene.share[:, None])  # (B, T, Q)
    return torch.einsum("sbq,btq->sbt", field, courses)
