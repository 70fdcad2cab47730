"""Which source is next, or none: the questions of an event, strongest source first."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.registry import implements
from bayesesi.spec.loss import NextSourceSpec


@implements(NextSourceSpec)
class NextSourceLoss(Loss):
    """-w log q(next | observation, sources so far), nats; w as often as a question is asked."""

    of_draws: ClassVar[bool] = True

    def forward(self, question: Question) -> Tensor:
        truth = question.case.truth
        found: Tensor = question.answer.gather(1, truth.target[:, None])[:, 0]
        return -found * truth.weight

    def details(self, each: Tensor, question: Question) -> dict[str, Tensor]:
        """Average nats of the first, second and third question, each as if it were always asked."""
        given, weight = question.case.inputs.given, question.case.truth.weight
        names = ("first", "second", "third")
        rows = {name: given == step for step, name in enumerate(names)}
        return {name: (each[r] / weight[r]).mean() for name, r in rows.items() if r.any()}
