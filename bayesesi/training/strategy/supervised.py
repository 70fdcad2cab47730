"""Simulated cases, each with its truth."""

from __future__ import annotations

from dataclasses import dataclass

from bayesesi.loss import Case
from bayesesi.registry import implements
from bayesesi.spec import SupervisedSpec
from bayesesi.training.data import Cases, CaseStream
from bayesesi.training.strategy.base import Strategy


@implements(SupervisedSpec)
@dataclass(frozen=True, eq=False)
class Supervised(Strategy):
    """Cases in the order of their sessions; slow ones are met several times."""

    spec: SupervisedSpec

    @property
    def replay(self) -> int:
        return self.spec.replay

    def stream(self, cases: Cases[Case], start: int) -> CaseStream[Case]:
        return CaseStream(cases, start, self.replay)
