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

    Attributes
    ----------
    spec : what the prior says. parcellation : regions of the S sources on which it lives.
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
        """Make the moments of each source of each case, (n K, S) A m, K rows a case.

        ``draws`` map sites to (n, ...), as ``draw`` gives them.
        """

    def tangents(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array | None:
        """Make the parts across the normal, (n K, 3 S) A m, x, y, z of a source side by side.

        None if there are none. ``patterns`` hold the part along the outward normal; ``draws`` map
        sites to (n, ...).
        """
        return None

    def volume(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array | None:
        """Make the parts on the template's volume, (n K, 3 V) A m, x, y, z of a point side by side.

        None if all is on the cortex; ``draws`` map sites to (n, ...).
        """
        return None

    def fields(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """Sum the moments along the normal over a case's sources, (n, S) A m.

        ``draws`` map sites to (n, ...).
        """
        patterns = self.patterns(draws)
        n = len(draws["count"])
        gather = sp.kron(sp.eye_array(n), np.ones((1, self.n_slots)), format="csr")
        return sp.csr_array(gather @ patterns)

    def check(self) -> None:
        """Draw a case to see that it can be drawn: names of regions are known to the atlas alone.

        Raises
        ------
        InputError : in one sentence, what is wrong.
        """
        self.draw(1)

    def draw_block(self) -> dict[str, NDArray[Any]]:
        """Draw a whole block of cases, from the random state of the moment."""
        return {name: value.numpy() for name, value in self.pyro_program(BLOCK).items()}

    def draw(
        self, n: int, seed: int = 0, namespace: str = "train", start: int = 0
    ) -> dict[str, NDArray[Any]]:
        """Draw ``n`` cases of a seed from case ``start`` on: sites with cases first.

        Case k depends on ``seed``, ``namespace`` (one of ``NAMESPACES``) and k alone.

        Raises
        ------
        InputError : an ``n`` below 1, a namespace that is none.
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
        """Flatten the sites of the Pyro program; ``sample`` and ``log_prob`` are as sbi's."""
        from bayesesi.prior.sbi_prior import SbiPrior

        return SbiPrior(self)

    def to_arviz(self, n: int, seed: int = 0) -> az.InferenceData:
        """Convert ``n`` prior draws of ``seed`` to an ArviZ ``prior`` group, dims draw and slot."""
        import arviz as az

        draws = {name: value[None] for name, value in self.draw(n, seed).items()}
        dims = {name: ["slot"] for name, value in draws.items() if value.ndim == 3}
        return az.from_dict(prior=draws, dims=dims)
