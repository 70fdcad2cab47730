"""What is compared: a name, a callable of an observation and a seed, and what its answer is.

Methods of others join by an entry point of the group ``bayesesi.methods``: the name, and a callable
that takes an observation and a seed (see ``answers``). What is installed runs; nothing is imported
that a file of data names.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from bayesesi.benchmark.baselines import BASELINES
from bayesesi.benchmark.rivals import RIVALS
from bayesesi.errors import InputError, some
from bayesesi.model import load_model
from bayesesi.observation import Observation

GROUP = "bayesesi.methods"
#: Ends the name of a baseline whose setting is chosen on other cases.
TUNED = ", tuned"


@dataclass(frozen=True)
class Method:
    """Attributes
    ----------
    name : as tables call it. kind : ``"classic"``, ``"learned"``, ``"exact"``, ``"rival"`` or
        ``"other"``. words : what it is.
    amplitude : whether its numbers are A m. level : of the cortex that it is given.
    slow : whether it is run on the first few cases. places : ``"cortex"``, ``"volume"``, both.
    """

    name: str
    kind: str
    words: str
    amplitude: bool = True
    level: int = 4
    slow: bool = False
    places: tuple[str, ...] = ("cortex", "volume")

    def __call__(self, obs: Observation, seed: int, setting: float | None = None) -> Any:
        """What the method answers: see ``answers.answer_of``."""
        if self.kind == "classic":
            return BASELINES[self.name.removesuffix(TUNED)](obs, setting)
        if self.kind == "rival":
            return RIVALS[self.name](obs, seed)
        if self.kind == "other":
            return _others()[self.name](obs, seed)
        solve = _EXACT.get(self.name)
        return load_model(self.name).posterior(obs, seed) if solve is None else solve(obs, seed)

    @property
    def fingerprint(self) -> str:
        """What an answer hangs on beside the case."""
        from bayesesi import __version__
        from bayesesi.calibration.run import solver_name

        if self.kind in ("learned", "exact") and self.name not in _EXACT:
            return solver_name(self.name)
        return f"{self.name} {__version__}"


def _depth(obs: Observation, seed: int) -> Any:
    from bayesesi.posterior import gaussian_posterior

    return gaussian_posterior(obs, "depth")


def _smooth(obs: Observation, seed: int) -> Any:
    from bayesesi.posterior import gaussian_posterior

    return gaussian_posterior(obs, "smooth")


def _blobs(obs: Observation, seed: int) -> Any:
    """One to ten, as many as there may be; sizes unknown, the assumed head."""
    from bayesesi.posterior import blob_posterior, make_blob_atoms

    key = zlib.crc32(np.ascontiguousarray(obs.forward.leadfield).tobytes())
    if key not in _ATOMS:
        _ATOMS.clear()
        _ATOMS[key] = make_blob_atoms(obs.forward)
    return blob_posterior(obs, tuple(range(1, 11)), seed, atoms=_ATOMS[key])


#: Topographies of all blobs of one lead field: half a minute to make.
_ATOMS: dict[int, Any] = {}
_EXACT: dict[str, Callable[[Observation, int], Any]] = {
    "Gaussian, depth": _depth,
    "Gaussian, smooth": _smooth,
    "blobs": _blobs,
}
#: Those whose map is a statistic and not of A m.
_STATISTICS = ("dSPM", "sLORETA", "eLORETA", "LCMV", "RAP-MUSIC")
_SLOW = ("dipole fit",)


def _classics() -> list[Method]:
    found = []
    for name, each in BASELINES.items():
        amplitude, slow = name not in _STATISTICS, name in _SLOW
        found.append(Method(name, "classic", f"{each.setting}: {each.rule}", amplitude, slow=slow))
        if each.grid and not slow:
            words = f"{each.setting}: least peak error on 16 other cases"
            found.append(Method(f"{name}{TUNED}", "classic", words, amplitude))
    return found


@cache
def methods() -> dict[str, Method]:
    """Every method that there is, by name, ours first."""
    own = [
        Method("atoms", "learned", "few patches, amortized", places=("cortex",)),
        Method("cortex", "learned", "patches or a field, diffusion", places=("cortex",)),
        Method("parcels", "learned", "parcels, normalizing flow", places=("cortex",)),
        Method("patches", "exact", "few patches, heads drawn", slow=True, places=("cortex",)),
        Method("blobs", "exact", "one to ten blobs in a volume, by chains", places=("volume",)),
        Method("Gaussian, depth", "exact", "exact, sources alike but for depth"),
        Method("Gaussian, smooth", "exact", "exact, smooth fields", places=("cortex",)),
    ]
    rivals = [
        Method(name, "rival", "of the extra rivals", level=3, slow=True, places=("cortex",))
        for name in RIVALS
    ]
    others = [Method(name, "other", "an entry point") for name in _others()]
    return {each.name: each for each in (*own, *_classics(), *rivals, *others)}


@cache
def _others() -> dict[str, Callable[[Observation, int], Any]]:
    return {each.name[:80]: _loaded(each) for each in entry_points(group=GROUP)}


def _loaded(point: Any) -> Callable[[Observation, int], Any]:
    def late(obs: Observation, seed: int) -> Any:
        return point.load()(obs, seed)

    return late


def chosen(names: list[str] | None, places: str) -> list[Method]:
    """By their names; if none are given, all that belong there, rivals only if installed.

    Raises
    ------
    InputError : no such method.
    """
    known = methods()
    if names is None:
        from importlib.util import find_spec

        needs = {name: "sesameeg" if name == "SESAME" else "calibrain" for name in RIVALS}
        here = [m for m in known.values() if m.name not in needs or find_spec(needs[m.name])]
        return [method for method in here if places in method.places]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"no method {some(unknown)}; there are {some(known, 60)}")
    return [known[name] for name in names]
