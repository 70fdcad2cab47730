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

from bayesesi.prior import BLOCK, SourcePrior, read_source_prior
from bayesesi.simulator import Batch, Simulator, read_simulator
from bayesesi.spec import CorticalRecipe, MixtureShare, Recipe

#: Cases of a session, and of a piece of it: on two cores small pieces stay within the caches.
SESSION, PIECE = 64, 16

#: Pieces that are held for a replay.
_HELD = 4000

#: A recipe of its family, and a piece of a session.
R = TypeVar("R", bound=Recipe)
Piece = TypeVar("Piece")


@dataclass(frozen=True, eq=False)
class Examples(ABC, Generic[R, Piece]):
    """Examples of a recipe, session by session: number k is the same on any machine.

    Attributes
    ----------
    recipe : of its family. namespace : what cases are for, see ``prior.blocks``.
    """

    recipe: R
    namespace: str = "train"

    @property
    def replay(self) -> int:
        """Times that a case is met in training, on average."""
        return 1

    @abstractmethod
    def pieces(self, batch: Batch, rng: np.random.Generator) -> list[Piece]:
        """Cut ``batch``, a session, into pieces of up to ``PIECE`` cases; ``rng`` draws."""

    def session(self, number: int) -> list[Piece]:
        """Make the pieces of session ``number``."""
        block, place = divmod(number, BLOCK // SESSION)
        return self._session(block, place, self._batches(block, 1.0)[place])

    def block(self, block: int, along: float = 1.0) -> list[list[Piece]]:
        """Make the sessions of ``block``, 256 cases of one simulator of those that have begun.

        ``along``, 0 to 1, is the share of the training that is over.
        """
        batches = self._batches(block, along)
        return [self._session(block, place, batch) for place, batch in enumerate(batches)]

    def _session(self, block: int, place: int, batch: Batch) -> list[Piece]:
        rng = np.random.default_rng([self.recipe.seed, block, 1 + place])
        return self.pieces(batch, rng)

    def _batches(self, block: int, along: float) -> tuple[Batch, ...]:
        rng = np.random.default_rng([self.recipe.seed, block])
        mixture = self.recipe.mixture_at(along)
        share = np.array([i.share for i in mixture])
        simulator = self._simulator(mixture[rng.choice(len(share), p=share / share.sum())])
        return simulator.block(block, self.recipe.seed, self.namespace)

    @cached_property
    def prior(self) -> SourcePrior:
        """That the recipe names, on the network's sources."""
        level = self.recipe.backbone.level if isinstance(self.recipe, CorticalRecipe) else 5
        return read_source_prior(self.recipe.beside(self.recipe.prior), level=level)

    def _simulator(self, ingredient: MixtureShare) -> Simulator:
        name = ingredient.simulator
        if name not in self._simulators:
            self._simulators[name] = read_simulator(self.recipe.beside(name), SESSION)
        return self._simulators[name]

    @cached_property
    def _simulators(self) -> dict[str, Simulator]:
        return {}


class ExampleStream(IterableDataset[Piece]):
    """Pieces of ``examples`` from session ``start`` on, without end; workers take turns by blocks.

    Where a recipe replays, a block of cases is followed by others drawn from all that are held, so
    that each is met ``replay`` times on average; a run that goes on holds what it makes anew.
    """

    def __init__(self, examples: Examples[R, Piece], start: int = 0) -> None:
        self.examples, self.start = examples, start

    def __iter__(self) -> Iterator[Piece]:
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        own, n_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, ranks = _rank()
        steps = self.examples.recipe.optimiser.steps
        replay, held = self.examples.replay, deque[Piece](maxlen=_HELD)
        # a loader takes pieces from its workers in turn: so many has this one given already
        given = self.start * (SESSION // PIECE) // n_workers
        round_, skipped = divmod(given, replay * BLOCK // PIECE)
        every = n_workers * ranks
        block = round_ * every + rank * n_workers + own
        while True:
            along = min(replay * block / ranks * (BLOCK // SESSION) / steps, 1.0)
            pieces = [piece for session in self.examples.block(block, along) for piece in session]
            if replay > 1:
                held.extend(pieces)
                rng = np.random.default_rng([self.examples.recipe.seed, block, 0])
                again = rng.integers(len(held), size=(replay - 1) * len(pieces))
                pieces = pieces + [held[k] for k in again]
            yield from pieces[skipped:]
            block, skipped = block + every, 0


def _rank() -> tuple[int, int]:
    import torch.distributed as spread

    if not (spread.is_available() and spread.is_initialized()):
        return 0, 1
    return spread.get_rank(), spread.get_world_size()
