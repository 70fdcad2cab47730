"""Where cases of trials come from: simulators, or one recording, and the share that each gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.simulator import Batch, Simulator, read_simulator
from bayesesi.spec import SimulatorSpec, VolumeDipoleSpec, read_spec, spec_hash


class Cases(Protocol):
    """Numbered cases that a process can make by itself; equal where all cases are equal."""

    def __hash__(self) -> int: ...

    def said(self) -> dict[str, str]:
        """Name and hash them, for a card."""

    def block(self, block: int, seed: int, namespace: str, n: int) -> tuple[Batch, ...]:
        """Make the first ``n`` of 256 cases, a batch each; ``block`` is their number."""


@dataclass(frozen=True)
class SimulatorCases:
    """Cases of a simulator, each a session of its own.

    Attributes
    ----------
    json, folder : of its spec.
    """

    json: str
    folder: str

    @classmethod
    def of(cls, spec: SimulatorSpec) -> SimulatorCases:
        """Take a spec apart."""
        return cls(spec.model_dump_json(by_alias=True), str(spec.folder or Path()))

    @property
    def spec(self) -> SimulatorSpec:
        """Read the spec."""
        return _simulator(self).spec

    def said(self) -> dict[str, str]:
        return {"name": self.spec.name, "hash": spec_hash(self.spec)}

    def block(self, block: int, seed: int, namespace: str, n: int) -> tuple[Batch, ...]:
        return _simulator(self).block(block, seed, namespace, n=n)


@dataclass(frozen=True)
class Mixture:
    """Hold where cases come from, and the share of them that each gives.

    Attributes
    ----------
    simulators : see ``Cases``. shares : (M,) fractions of the cases, of sum 1.
    """

    simulators: tuple[Cases, ...]
    shares: tuple[float, ...]

    @classmethod
    def read(
        cls,
        named: str | Path | SimulatorSpec | Sequence[str | Path | SimulatorSpec],
        shares: Sequence[float] | None = None,
    ) -> Mixture:
        """Read simulators by name, by path or as specs.

        Parameters
        ----------
        named : one or more. shares : of the cases, above 0; alike if None.

        Raises
        ------
        InputError : none, sources that are on no cortex, or another number of shares.
        """
        if isinstance(named, str | Path | SimulatorSpec):
            named = [named]
        if not named:
            raise InputError("trials need a simulator that cases come from; name one")
        own = tuple(
            each if isinstance(each, SimulatorSpec) else read_simulator(each).spec for each in named
        )
        for spec in own:
            if isinstance(read_spec(spec.source, spec.folder), VolumeDipoleSpec):
                raise InputError(
                    f"{spec.name} has its sources in the brain's volume, and trials need "
                    "cortical regions; choose a simulator with sources on the cortex"
                )
        weights = np.asarray(shares if shares is not None else [1.0] * len(own), float)
        if len(weights) != len(own) or not (weights > 0).all():
            raise InputError(f"{len(own)} simulators need as many shares above 0, not {shares!r}")
        shares = [float(w) for w in weights / weights.sum()]
        return cls(tuple(map(SimulatorCases.of, own)), tuple(shares))

    def counts(self, n: int) -> NDArray[np.int64]:
        """Count the (M,) cases of each simulator.

        Parameters
        ----------
        n : number of cases in all.
        """
        exact = n * np.array(self.shares)
        whole = np.floor(exact + 1e-9).astype(int)
        most = np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]
        whole[most] += 1
        return whole

    def said(self) -> list[dict[str, Any]]:
        """List name, hash and share of each, for a card."""
        return [
            {**each.said(), "share": share}
            for each, share in zip(self.simulators, self.shares, strict=True)
        ]


@lru_cache(maxsize=2)
def _simulator(cases: SimulatorCases) -> Simulator:
    spec = SimulatorSpec.model_validate_json(cases.json)
    spec._folder = Path(cases.folder)
    return Simulator(spec, group_size=1)
