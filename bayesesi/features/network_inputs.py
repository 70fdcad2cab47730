"""What a backbone reads of observations, computed when first asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.operator import WhitenedOperator

#: Parts that backbones can need beside the context: data and positions of the sensors, numbers of
#: every source, neighbours along the cortex, a grid of voxels, data under the operator.
PARTS = ("sensors", "source_features", "graph", "grid", "operator")


@dataclass(frozen=True, eq=False)
class OperatorInputs:
    """Data of B observations as their operator predicts them, u = A x + e, e ~ N(0, nu I).

    Attributes
    ----------
    operator : A (m, S), with the gain of each source. values : (m, B, Q) u, no unit.
    noise : (B, Q) nu, its variance.
    """

    operator: WhitenedOperator
    values: Tensor
    noise: Tensor


@dataclass(frozen=True, eq=False)
class Tokens:
    """Numbers that an estimator turns into a distribution.

    Attributes
    ----------
    sources : (B, S, F) of every source. whole : (B, G) of the observation as a whole.
    """

    sources: Tensor
    whole: Tensor


class NetworkInputs:
    """Hold B observations of one operator for a backbone.

    Parameters
    ----------
    context : (B, C) numbers of the observations as a whole. sources : (S,) which sources of the
        template's level the columns of the operator are. parts : by a name of ``PARTS`` what
        computes it, called once at most and only for a backbone that reads it.

    Raises
    ------
    TypeError : a part of another name.
    """

    def __init__(self, context: Tensor, sources: Tensor, **parts: Callable[[], Any]) -> None:
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise TypeError(f"parts are {', '.join(PARTS)}, not {', '.join(unknown)}")
        self.context, self.sources = context, sources
        self._parts, self._made = parts, dict[str, Any]()

    def _part(self, name: str) -> Any:
        if name not in self._parts:
            raise InputError(
                f"a network asked for {name}, of which the estimator gives "
                f"{', '.join(self._parts) or 'nothing'}; name another network or estimator"
            )
        if name not in self._made:
            self._made[name] = self._parts[name]()
        return self._made[name]

    def __len__(self) -> int:
        return len(self.context)

    @property
    def source_features(self) -> Tensor:
        """(B, S, F) numbers of every source."""
        return cast(Tensor, self._part("source_features"))

    @property
    def graph(self) -> tuple[Tensor, ...]:
        """(S, S) sparse each, rows summing to 1: means over neighbours, the nearest first."""
        return cast(tuple[Tensor, ...], self._part("graph"))

    @property
    def operator(self) -> OperatorInputs:
        """The data and the operator that predicts them."""
        return cast(OperatorInputs, self._part("operator"))
