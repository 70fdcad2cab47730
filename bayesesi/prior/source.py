"""What every prior of the event has: a Pyro program, draws by blocks, and fields on the cortex."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import Parcellation, SourceSpace
from bayesesi.errors import InputError
from bayesesi.prior.blocks import BLOCK, block_generator, blocks_of
from bayesesi.spec import Spec

if TYPE_CHECKING:
    import arviz as az

    from bayesesi.prior.sbi_prior import SbiPrior


@dataclass(frozen=True, eq=False)
class SourcePrior(ABC):
    """p(event): what is active, and where.

    An event has K = ``n_slots`` sources at most, each a fixed pattern on the cortex whose size
    follows a course of time of its own.
    """

    spec: Spec
    parcellation: Parcellation

    @property
    def source_space(self) -> SourceSpace:
        return self.parcellation.source_space

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """K."""

    @property
    @abstractmethod
    def null_probability(self) -> float:
        """That nothing is active."""

    @property
    @abstractmethod
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        """The prior as a Pyro model of n cases; returns its sites with cases first."""

    @abstractmethod
    def patterns(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """(n K, S) A m: the moments of each source of each case, K rows a case."""

    def tangents(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array | None:
        """(n K, 3 S) A m: parts across the normal, x, y, z of a source side by side; None if none.

        ``patterns`` hold the part along the outward normal.
        """
        return None

    def volume(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array | None:
        """(n K, 3 V) A m: parts on the template's volume, x, y, z of a point side by side; None if
        all is on the cortex."""
        return None

    def fields(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """(n, S) A m: moments along the normal, summed over a case's sources."""
        patterns = self.patterns(draws)
        n = len(draws["count"])
        gather = sp.kron(sp.eye_array(n), np.ones((1, self.n_slots)), format="csr")
        return sp.csr_array(gather @ patterns)

    def check(self) -> None:
        """That a case can be drawn: names of regions are known to the atlas alone.

        Raises
        ------
        InputError : in one sentence, what is wrong.
        """
        self.draw(1)

    def draw_block(self) -> dict[str, NDArray[Any]]:
        """A whole block of cases, from the random state of the moment."""
        return {name: value.numpy() for name, value in self.pyro_program(BLOCK).items()}

    def draw(
        self, n: int, seed: int = 0, namespace: str = "train", start: int = 0
    ) -> dict[str, NDArray[Any]]:
        """Cases ``start`` to ``start + n`` of a seed: sites with cases first.

        Case k depends on seed, namespace and k alone.
        """
        parts = []
        for block, rows in blocks_of(start, start + n):
            with block_generator(namespace, seed, block):
                whole = self.draw_block()
            parts.append({name: value[rows] for name, value in whole.items()})
        if not parts:
            raise InputError("draw at least one case")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def as_sbi_prior(self) -> SbiPrior:
        """The sites of the Pyro program, flat, with ``sample`` and ``log_prob`` as sbi has them."""
        from bayesesi.prior.sbi_prior import SbiPrior

        return SbiPrior(self)

    def to_arviz(self, n: int, seed: int = 0) -> az.InferenceData:
        """n prior draws as an ArviZ ``prior`` group, dims draw and slot."""
        import arviz as az

        draws = {name: value[None] for name, value in self.draw(n, seed).items()}
        dims = {name: ["slot"] for name, value in draws.items() if value.ndim == 3}
        return az.from_dict(prior=draws, dims=dims)
