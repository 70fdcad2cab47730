"""How many dipoles there are, and where and what they are."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from bayesesi.estimator.dipole import DipoleStates
from bayesesi.loss.base import Loss, Question
from bayesesi.registry import implements
from bayesesi.spec.loss import DipoleNllSpec


@implements(DipoleNllSpec)
class DipoleNllLoss(Loss):
    """-log q(K | v) - log q(places, extents, skull | v, K), nats."""

    of_draws: ClassVar[bool] = True

    def forward(self, question: Question) -> Tensor:
        of_count, of_rest = dipole_nats(question)
        return of_count + of_rest

    def details(self, each: Tensor, question: Question) -> dict[str, Tensor]:
        """Average nats of the count, and of all else for one dipole and for two."""
        of_count, of_rest = dipole_nats(question)
        count = question.case.truth.count
        rest = {str(k): of_rest[count == k] for k in (1, 2)}
        return {"count": of_count.mean(), **{k: v.mean() for k, v in rest.items() if len(v)}}


def dipole_nats(question: Question) -> tuple[Tensor, Tensor]:
    """Compute (B,) nats of how many dipoles there are, and (B,) of all else; 0 where there is none.

    ``question`` holds the cases and the estimator.
    """
    estimator: Any = question.estimator
    summary, truth = question.case.inputs, question.case.truth
    log_count = estimator.log_count(summary)
    of_count = -log_count.gather(1, truth.count[:, None])[:, 0]
    of_rest = torch.zeros_like(of_count)
    for k in (1, 2):
        rows = (truth.count == k).nonzero()[:, 0]
        if len(rows):
            some = truth.states.pick(rows)
            states = DipoleStates(some.place[:, :k], some.extent[:, :k], some.skull)
            each = -estimator.log_prob(states, summary.pick(rows))
            of_rest = of_rest.index_add(0, rows, each)
    return of_count, of_rest
