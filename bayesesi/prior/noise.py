"""Everything in a recording that is not the event: how strong each part of it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyro
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.prior.distribution import distribution_of
from bayesesi.spec import NoiseSpec
from bayesesi.spec.quantity import Quantity


@dataclass(frozen=True, eq=False)
class NoisePrior:
    """p(noise of a recording): a level and the other uncertain numbers of every component.

    Sites (n,), one a recording: ``component_i/key`` for each uncertain key of component i, and
    ``baseline_s``, how long a stretch its covariance is estimated from. ``spec`` says how each is
    distributed.
    """

    spec: NoiseSpec

    def __repr__(self) -> str:
        families = ", ".join(component.family for component in self.spec.components)
        return f"<NoisePrior {self.spec.name!r} | {families}>"

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Site -> what its spec says."""
        found = {
            f"component_{i}/{key}": value
            for i, component in enumerate(self.spec.components)
            for key, value in component
            if isinstance(value, Quantity)
        }
        return {**found, "baseline_s": self.spec.estimate.baseline_s}

    @cached_property
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        """The prior as a Pyro model of n recordings."""

        def program(n: int) -> dict[str, Tensor]:
            with pyro.plate("recordings", n, dim=-1):
                return {
                    site: pyro.sample(site, distribution_of(quantity))
                    for site, quantity in self.quantities.items()
                }

        return program

    def draw(self, n: int) -> dict[str, NDArray[Any]]:
        """Draw ``n`` recordings, from the random state of the moment."""
        return {name: value.numpy() for name, value in self.pyro_program(n).items()}

    def draw_level_changes(self, n: int) -> NDArray[Any]:
        """Draw ``n`` factors (n,) by which noise in a case's window exceeds the baseline's."""
        changes: Tensor = distribution_of(self.spec.level_changes).expand([n]).sample()
        return changes.numpy()
