"""What every loss is: a number for each case, of an estimator's answer and of what was true."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor, nn

from bayesesi.loss.case import Case
from bayesesi.registry import implementation
from bayesesi.spec import LossSpec


@dataclass(frozen=True, eq=False)
class Question:
    """A case, and the estimator that is asked about it; its answer is computed once.

    Attributes
    ----------
    case : B cases. estimator : that is trained.
    """

    case: Case[Any, Any]
    estimator: nn.Module

    @cached_property
    def answer(self) -> Any:
        """The estimator's distribution for the case, see ``answer`` of each estimator."""
        found: Any = self.estimator
        return found.answer(self.case.inputs)


class Loss(nn.Module, ABC):
    """One term of what training makes small.

    Parameters
    ----------
    spec : its weight and settings.

    Attributes
    ----------
    of_draws : whether it trains what draws come from; the others train the posterior mean, where
        an estimator has a head of its own for it (``DiffusionSpec``).
    """

    of_draws: ClassVar[bool] = False

    def __init__(self, spec: LossSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(self, question: Question) -> Tensor:
        """Compute the loss of each case (B',), of the B' <= B in ``question`` that it is about;
        unweighted."""

    def details(self, each: Tensor, question: Question) -> dict[str, Tensor]:
        """Average over parts of the cases, by name, for the log of held-out cases.

        Parameters
        ----------
        each : (B',) what ``forward`` gave for the question. question : the cases and their answer.
        """
        return {}


def make_losses(specs: tuple[LossSpec, ...]) -> nn.ModuleDict:
    """Make the losses of a recipe by their families from ``specs``; a weight of 0 leaves one
    out."""
    made = {spec.name: implementation(spec)(spec) for spec in specs if spec.weight > 0}
    return nn.ModuleDict(made)


def mean_of(each: Tensor) -> Tensor:
    """Average ``each`` (B',) over cases; 0, with its gradient, where there is none."""
    return each.mean() if len(each) else each.sum()
