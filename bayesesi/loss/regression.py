"""What the posterior mean misses."""

from __future__ import annotations

from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.mean_field import mean_and_truth, over_cases
from bayesesi.registry import implements
from bayesesi.spec.loss import RegressionSpec


@implements(RegressionSpec)
class RegressionLoss(Loss):
    """(D - x)², a mean over sources and courses: proper for the posterior mean."""

    def forward(self, question: Question) -> Tensor:
        mean, truth, _ = mean_and_truth(question)
        return over_cases((mean - truth).square())
