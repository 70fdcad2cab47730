"""Whether there is an event at all."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from bayesesi.loss.base import Loss, Question
from bayesesi.registry import implements
from bayesesi.spec.loss import NoEventSpec


@implements(NoEventSpec)
class NoEventLoss(Loss):
    """Cross-entropy, nats, of the log odds that there is no event: proper."""

    def forward(self, question: Question) -> Tensor:
        silent = (~question.case.truth.active).float()
        return functional.binary_cross_entropy_with_logits(
            question.answer.log_odds, silent, reduction="none"
        )
