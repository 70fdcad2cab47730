"""Total variation of the posterior mean along the cortex."""

from __future__ import annotations

from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.mean_field import differences, over_cases
from bayesesi.registry import implements
from bayesesi.spec.loss import TotalVariationSpec


@implements(TotalVariationSpec)
class TotalVariationLoss(Loss):
    """|D_i - D_j|, a mean over edges of the cortex and courses (Rudin, Osher & Fatemi 1992)."""

    def forward(self, question: Question) -> Tensor:
        return over_cases(differences(question).abs())
