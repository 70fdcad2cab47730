"""Cases of simulators as a network meets them, session by session, without end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import IterableDataset

from bayesesi.loss import Case
from bayesesi.prior import BLOCK, SourcePrior, read_source_prior
from bayesesi.registry import implementation
from bayesesi.simulator import Batch, Simulator, read_simulator
from bayesesi.spec import MixtureShare, Recipe

#: Cases of a session, and of a microbatch of it: on two cores small ones stay within the caches.
SESSION, MICROBATCH = 64, 16

#: Microbatches that are held for a replay.
_HELD = 4000

#: What an estimator is asked, and what was true.
Asked = TypeVar("Asked", bound=Case)


@dataclass(frozen=True, eq=False)
class Cases(ABC, Generic[Asked]):
    """Cases of a recipe, session by session: number k is the same on any machine.

    Attributes
    ----------
    recipe : what cases come from, and its seed. namespace : what cases are for, see
        ``prior.blocks``.
    """

    recipe: Recipe
    namespace: str = "train"

    @abstractmethod
    def microbatches(self, batch: Batch, rng: np.random.Generator) -> list[Asked]:
        """Cut a session into microbatches of up to ``MICROBATCH`` cases.

        Parameters
        ----------
        batch : the simulated session. rng : of what is drawn beside the simulation.

        Raises
        ------
        InputError : a simulator whose cases the estimator cannot be asked about.
        """

    def session(self, number: int) -> list[Asked]:
        """Make the microbatches of session ``number``."""
        block, place = divmod(number, BLOCK // SESSION)
        return self._session(block, place, self._batches(block, 1.0)[place])

    def block(self, block: int, along: float = 1.0) -> list[list[Asked]]:
        """Make the sessions of a block of 256 cases, all of one simulator of those that have begun.

        Parameters
        ----------
        block : its number. along : share of the training that is over, 0 to 1.
        """
        batches = self._batches(block, along)
        return [self._session(block, place, batch) for place, batch in enumerate(batches)]

    def _session(self, block: int, place: int, batch: Batch) -> list[Asked]:
        rng = np.random.default_rng([self.recipe.seed, block, 1 + place])
        return self.microbatches(batch, rng)

    def _batches(self, block: int, along: float) -> tuple[Batch, ...]:
        rng = np.random.default_rng([self.recipe.seed, block])
        mixture = self.recipe.mixture_at(along)
        share = np.array([each.share for each in mixture])
        simulator = self._simulator(mixture[rng.choice(len(share), p=share / share.sum())])
        return simulator.block(block, self.recipe.seed, self.namespace)

    @cached_property
    def prior(self) -> SourcePrior:
        """The prior that the recipe names, on the network's sources."""
        return read_source_prior(self.recipe.beside(self.recipe.prior), ico=self.recipe.ico)

    def _simulator(self, share: MixtureShare) -> Simulator:
        name = share.simulator
        if name not in self._simulators:
            self._simulators[name] = read_simulator(self.recipe.beside(name), SESSION)
        return self._simulators[name]

    @cached_property
    def _simulators(self) -> dict[str, Simulator]:
        return {}


def cases_of(recipe: Recipe, namespace: str = "train") -> Cases[Case]:
    """Choose what a recipe of any family trains on, see ``training.cases``.

    Parameters
    ----------
    recipe : whose estimator is asked. namespace : what cases are for, see ``prior.blocks``.
    """
    made: Cases[Case] = implementation(recipe.estimator, "case")(recipe, namespace)
    return made


class CaseStream(IterableDataset[Asked]):
    """Cases from session ``start`` on, without end; workers take turns by blocks.

    With a replay above 1, a block of cases is followed by others drawn from all that are held, so
    that each is met ``replay`` times on average; a run that goes on holds what it makes anew.

    Parameters
    ----------
    cases : of a recipe. start : number of the first session. replay : times a case is met.
    """

    def __init__(self, cases: Cases[Asked], start: int = 0, replay: int = 1) -> None:
        self.cases, self.start, self.replay = cases, start, replay

    def __iter__(self) -> Iterator[Asked]:
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        own, n_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, ranks = _rank()
        steps, replay = self.cases.recipe.optimiser.steps, self.replay
        held = deque[Asked](maxlen=_HELD)
        # a loader takes microbatches from its workers in turn: so many has this one given already
        given = self.start * (SESSION // MICROBATCH) // n_workers
        round_, skipped = divmod(given, replay * BLOCK // MICROBATCH)
        every = n_workers * ranks
        block = round_ * every + rank * n_workers + own
        while True:
            along = min(replay * block / ranks * (BLOCK // SESSION) / steps, 1.0)
            cases = [case for session in self.cases.block(block, along) for case in session]
            if replay > 1:
                held.extend(cases)
                rng = np.random.default_rng([self.cases.recipe.seed, block, 0])
                again = rng.integers(len(held), size=(replay - 1) * len(cases))
                cases = cases + [held[k] for k in again]
            yield from cases[skipped:]
            block, skipped = block + every, 0


def _rank() -> tuple[int, int]:
    import torch.distributed as spread

    if not (spread.is_available() and spread.is_initialized()):
        return 0, 1
    return spread.get_rank(), spread.get_world_size()
