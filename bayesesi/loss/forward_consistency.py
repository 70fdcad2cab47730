"""What the data of the posterior mean miss."""

from __future__ import annotations

from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.mean_field import mean_and_truth, over_cases
from bayesesi.registry import implements
from bayesesi.spec.loss import ForwardConsistencySpec


@implements(ForwardConsistencySpec)
class ForwardConsistencyLoss(Loss):
    """|A D - u|² / (m Q): the misfit of the data that the mean predicts."""

    def forward(self, question: Question) -> Tensor:
        mean, _, scene = mean_and_truth(question)
        return over_cases((question.case.inputs.forward.operator.A(mean) - scene.values).square())
