"""Few sources, each over the whole window."""

from __future__ import annotations

from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.mean_field import mean_and_truth
from bayesesi.registry import implements
from bayesesi.spec.loss import GroupSparsitySpec


@implements(GroupSparsitySpec)
class GroupSparsityLoss(Loss):
    """(sum_q D_sq²)^1/2, a mean over sources (group lasso; Yuan & Lin 2006)."""

    def forward(self, question: Question) -> Tensor:
        mean = mean_and_truth(question)[0]
        return mean.square().sum(2).add(1e-8).sqrt().mean(0)
