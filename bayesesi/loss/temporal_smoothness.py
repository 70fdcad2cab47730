"""Smoothness of the posterior mean in time."""

from __future__ import annotations

from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.mean_field import mean_and_truth, over_cases, over_time
from bayesesi.registry import implements
from bayesesi.spec.loss import TemporalSmoothnessSpec


@implements(TemporalSmoothnessSpec)
class TemporalSmoothnessLoss(Loss):
    """(D(t + 1) - 2 D(t) + D(t - 1))²; 0 for windows of fewer than three samples."""

    def forward(self, question: Question) -> Tensor:
        mean, _, scene = mean_and_truth(question)
        field = over_time(mean, scene, question.case.truth.functions)
        if field.shape[2] < 3:
            return field.new_zeros(field.shape[1])
        return over_cases((field[:, :, 2:] - 2 * field[:, :, 1:-1] + field[:, :, :-2]).square())
