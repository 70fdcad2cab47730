"""What every strategy decides: in which order cases are met, and what a step makes small."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset

from bayesesi.loss import Case
from bayesesi.spec import StrategySpec
from bayesesi.training.data import Cases


@dataclass(frozen=True, eq=False)
class Strategy(ABC):
    """How cases are met.

    Attributes
    ----------
    spec : its settings, from the recipe's table ``[strategy]``.
    """

    spec: StrategySpec

    @abstractmethod
    def stream(self, cases: Cases[Case], start: int) -> IterableDataset[Case]:
        """Yield microbatches without end.

        Parameters
        ----------
        cases : of the recipe. start : number of the first session: a run that goes on.
        """

    @property
    def replay(self) -> int:
        """Times that a case is met on average."""
        return 1

    def step(self, module: Any, case: Case, number: int) -> Tensor:
        """Compute the loss () of one microbatch.

        Parameters
        ----------
        module : the ``LearnedModule`` that is trained. case : the microbatch. number : of it in its
            session.
        """
        total: Tensor = module.total(case, number)
        return total
