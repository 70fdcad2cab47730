"""One of several beliefs about the event, drawn anew for every case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from pyro.contrib.autoname import scope
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.prior.source import SourcePrior
from bayesesi.spec import MixtureSpec


@dataclass(frozen=True, eq=False)
class MixturePrior(SourcePrior):
    """p(event) = sum_i w_i p_i(event).

    Sites: ``component`` (n,), and those of each part behind its name and a slash. All parts are
    drawn, those not chosen stay out of the density. Of the chosen part are ``count``,
    ``correlation`` (NaN where it has none) and ``centre`` (n, K) (-1 where it has none).

    Attributes
    ----------
    spec : names of the parts and their weights. parts : priors with names that differ.
    """

    spec: MixtureSpec
    parts: tuple[SourcePrior, ...]

    def __post_init__(self) -> None:
        names = [part.spec.name for part in self.parts]
        if len(set(names)) < len(names):
            raise InputError(
                f"{self.spec.name}: parts of a mixture need names of their own, not "
                f"{', '.join(names)}"
            )

    def __repr__(self) -> str:
        return f"<MixturePrior {self.spec.name!r} | {', '.join(map(repr, self.parts))}>"

    @property
    def n_slots(self) -> int:
        return max(part.n_slots for part in self.parts)

    @property
    def null_probability(self) -> float:
        return float(self.weights @ [part.null_probability for part in self.parts])

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Probability of each part."""
        weights = np.array([component.weight for component in self.spec.components])
        return weights / weights.sum()

    @cached_property
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        weights, names = torch.tensor(self.weights), [part.spec.name for part in self.parts]
        slots = self.n_slots

        def program(n: int) -> dict[str, Tensor]:
            with pyro.plate("which", n, dim=-1):
                component = pyro.sample("component", dist.Categorical(weights))
            sites, count = {"component": component}, torch.zeros(n, dtype=torch.long)
            correlation = torch.full((n,), torch.nan)
            centre = torch.full((n, slots), -1)
            for i, part in enumerate(self.parts):
                chosen = component == i
                mask = pyro.poutine.mask(mask=chosen)  # type: ignore[call-overload]
                with scope(prefix=names[i]), mask:
                    drawn = part.pyro_program(n)
                sites |= {f"{names[i]}/{name}": value for name, value in drawn.items()}
                count = torch.where(chosen, drawn["count"], count)
                if "correlation" in drawn:
                    correlation = torch.where(chosen, drawn["correlation"], correlation)
                if "centre" in drawn:
                    own = centre[:, : part.n_slots]
                    own[chosen] = drawn["centre"][chosen]
            return {**sites, "count": count, "correlation": correlation, "centre": centre}

        return program

    def patterns(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        total = sp.csr_array((len(draws["count"]) * self.n_slots, self.source_space.n_sources))
        for i, part in enumerate(self.parts):
            own = self.of_part(draws, i)
            total = total + self._placed(part.patterns(own), part.n_slots)
        return sp.csr_array(total)

    def tangents(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array | None:
        total = None
        for i, part in enumerate(self.parts):
            rows = part.tangents(self.of_part(draws, i))
            if rows is not None:
                placed = self._placed(rows, part.n_slots)
                total = placed if total is None else sp.csr_array(total + placed)
        return total

    def _placed(self, rows: sp.csr_array, n_slots: int) -> sp.csr_array:
        """Row k of a part's case as row k of the mixture's."""
        number = np.arange(rows.shape[0])
        case, slot = np.divmod(number, n_slots)
        n_rows = rows.shape[0] // n_slots * self.n_slots
        place = sp.csr_array(
            (np.ones(len(number)), (case * self.n_slots + slot, number)), (n_rows, len(number))
        )
        return sp.csr_array(place @ rows)

    def of_part(self, draws: dict[str, NDArray[Any]], i: int) -> dict[str, NDArray[Any]]:
        """Take sites of part ``i`` out of ``draws``, site to (n, ...); other cases are empty."""
        prefix = self.parts[i].spec.name + "/"
        own = {k.removeprefix(prefix): v for k, v in draws.items() if k.startswith(prefix)}
        return {**own, "count": np.where(draws["component"] == i, own["count"], 0)}
