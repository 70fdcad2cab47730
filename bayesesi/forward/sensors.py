"""Sensors: what they are called, where they sit, and whether anybody measured that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some

KINDS = ("eeg", "mag", "grad")
#: measured: digitised on the head; nominal: where a cap's plan says; unknown: nobody said.
ORIGINS = ("measured", "nominal", "unknown")


@dataclass(frozen=True, eq=False)
class Sensors:
    """Attributes
    ----------
    names : C channel names.
    kinds : C of ``"eeg" "mag" "grad"``.
    positions : (C, 3) m, head frame of the forward model; NaN where unknown.
    origin : ``"measured"``, ``"nominal"`` or ``"unknown"``.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    positions: NDArray[np.float64]
    origin: str = "unknown"

    def __post_init__(self) -> None:
        doubled = {name for name in self.names if self.names.count(name) > 1}
        if doubled:
            raise InputError(f"channel names must differ; {some(sorted(doubled))} occur twice")
        if self.origin not in ORIGINS:
            raise InputError(f"origin is one of {', '.join(ORIGINS)}, not {self.origin!r}")

    def __len__(self) -> int:
        return len(self.names)

    def indices(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Find the indices of the sensors with these ``names``, (n,).

        Raises
        ------
        InputError : naming those that are not here.
        """
        place = {name: i for i, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise InputError(
                f"channel {some(missing)} is not in the forward model, which has "
                f"{some(self.names)}; mark it as bad, drop it, or rename it to the forward's name"
            )
        return np.array([place[name] for name in names], dtype=np.int64)

    def pick(self, names: Sequence[str]) -> Sensors:
        """Keep the sensors with these ``names``, in this order.

        Raises
        ------
        InputError : naming those that are not here.
        """
        chosen = self.indices(names)
        return replace(
            self,
            names=tuple(names),
            kinds=tuple(self.kinds[i] for i in chosen),
            positions=self.positions[chosen],
        )
