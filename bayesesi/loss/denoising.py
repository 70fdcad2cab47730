"""The error of a denoised field: what draws come from."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.registry import implements
from bayesesi.spec.loss import DenoisingSpec


@implements(DenoisingSpec)
class DenoisingLoss(Loss):
    """sbi's loss of a vector field (``estimator.vector_field``), a number of the field.

    Flow matching (Lipman et al. 2023, arXiv:2210.02747) or denoising score matching (Song et al.
    2021, arXiv:2011.13456), over cases with an event. Times are even over the cases of a piece;
    they and the noise follow from its seed.
    """

    of_draws: ClassVar[bool] = True

    def forward(self, question: Question) -> Tensor:
        from bayesesi.estimator.vector_field import field_estimator

        case, denoiser = question.case, question.estimator
        rows = case.truth.rows
        field, scene = case.truth.field[:, rows], case.inputs.scene.pick(rows)
        estimator = field_estimator(denoiser, case.inputs.forward, scene, denoiser.matching)  # type: ignore[arg-type]
        flat = field.movedim(0, 1).flatten(1)
        devices = [field.device] if field.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(case.seed)
            order = torch.randperm(len(rows), device=field.device)
            times = (order + torch.rand(len(rows), device=field.device)) / max(len(rows), 1)
            if denoiser.matching == "flow":
                return estimator.loss(flat, scene.flat(), times)
            times = times.clamp(min=1e-3)
            each = estimator.loss(flat, scene.flat(), times, control_variate=False)
            return each / flat.shape[1]
