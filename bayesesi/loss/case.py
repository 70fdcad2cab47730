"""Simulated cases as a network meets them: what it sees, and what was true."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import torch
from torch import Tensor

from bayesesi.estimator.atoms import NextSourceInputs
from bayesesi.estimator.field import FieldCaseInputs

if TYPE_CHECKING:
    from bayesesi.estimator.dipole import DipoleStates

Device = torch.device | str
#: What a network sees; what was true.
X = TypeVar("X", covariant=True)
T = TypeVar("T", covariant=True)


@dataclass(frozen=True, eq=False)
class Case(Generic[X, T]):
    """B cases of one session.

    Attributes
    ----------
    inputs : what the network sees of them. truth : what was simulated.
    seed : of what a loss draws for them.
    """

    inputs: X
    truth: T
    seed: int = 0

    def __len__(self) -> int:
        found: Any = self.truth
        return len(found)

    def to(self, device: Device) -> Self:
        """Move the cases to ``device``."""
        inputs, truth = _moved(self.inputs, device), _moved(self.truth, device)
        return replace(self, inputs=inputs, truth=truth)


@dataclass(frozen=True, eq=False)
class NextSource:
    """The answers of B questions.

    Attributes
    ----------
    target : (B,) 0 for no further source, else 1 + the number of the atom that is next.
    weight : (B,) one over the probability that the question was asked.
    """

    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class FieldTruth:
    """Fields of B cases.

    Attributes
    ----------
    field : (S, B, Q) x, unitless, see ``features.field``; 0 where there is no event.
    functions : (T, R) of time.
    """

    field: Tensor
    functions: Tensor

    def __len__(self) -> int:
        return self.field.shape[1]

    @property
    def active(self) -> Tensor:
        """(B,) whether there is an event."""
        return self.field.flatten(2).abs().amax((0, 2)) > 0

    @property
    def rows(self) -> Tensor:
        """(B',) numbers of the cases with an event."""
        return self.active.nonzero()[:, 0]


@dataclass(frozen=True, eq=False)
class DipoleTruth:
    """Dipoles of B cases.

    Attributes
    ----------
    count : (B,) dipoles. states : two of each case; those beyond the count do not matter.
    """

    count: Tensor
    states: DipoleStates

    def __len__(self) -> int:
        return len(self.count)


AtomCase = Case[NextSourceInputs, NextSource]
FieldCase = Case[FieldCaseInputs, FieldTruth]
DipoleCase = Case[Any, DipoleTruth]


def _moved(value: Any, device: Device) -> Any:
    """A tensor, or a dataclass of tensors and plain numbers, on a device."""
    if isinstance(value, int):
        return value
    if hasattr(value, "to"):
        return value.to(device)
    return replace(value, **{f.name: _moved(getattr(value, f.name), device) for f in fields(value)})
