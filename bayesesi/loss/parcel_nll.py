"""The activity of parcels under the density that a network conditions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.registry import implements
from bayesesi.spec.loss import ParcelNllSpec


@implements(ParcelNllSpec)
class ParcelNllLoss(Loss):
    """-log q(y | v) / P, nats a parcel, of each course of the cases with an event (B' Q,).

    y = B x + floor N(0, I), see ``estimator.parcels``.
    """

    of_draws: ClassVar[bool] = True

    def forward(self, question: Question) -> Tensor:
        case, answer = question.case, question.answer
        y = answer.forward.sums(case.truth.field)
        generator = torch.Generator().manual_seed(case.seed)
        y = y + answer.floor * torch.randn(y.shape, generator=generator).to(y.device)
        each = -answer.log_prob(y.permute(1, 2, 0)[:, :, None])[:, :, 0]
        return each[case.truth.active].flatten() / answer.forward.n_parcels
