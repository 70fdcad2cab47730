"""Methods of a benchmark: a name, a callable of an observation and a seed, its kind of answer.

Methods of others join by an entry point of the group ``bayesesi.methods``: the name, and a callable
that takes an observation and a seed (see ``answers``). What is installed runs; nothing is imported
that a file of data names.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi import __version__
from bayesesi.benchmark.baselines import BASELINES, Baseline
from bayesesi.benchmark.rivals import RIVALS
from bayesesi.calibration.trial_runner import solver_name
from bayesesi.errors import InputError, some
from bayesesi.model import list_models, load_model, shipped_recipes
from bayesesi.observation import Observation
from bayesesi.posterior import blob_posterior, gaussian_posterior, make_blob_atoms
from bayesesi.posterior.gaussian import Shape
from bayesesi.spec import MODEL_FAMILIES, ModelFamily, Recipe, model_family, read_spec

GROUP = "bayesesi.methods"
#: Ends the name of a baseline whose setting is chosen on other cases.
TUNED = ", tuned"
#: Of an observation, a seed and a setting (None for a method's own).
Solve = Callable[[Observation, int, float | None], Any]


@dataclass(frozen=True)
class Method:
    """Describe a method of the benchmark.

    Attributes
    ----------
    name : as tables call it. kind : ``"classic"``, ``"learned"``, ``"exact"``, ``"rival"`` or
        ``"other"``. words : what it is.
    solve : of an observation, a seed and a setting, what ``answers.answer_of`` takes.
    amplitude : whether its numbers are A m. level : of the cortex that it is given.
    slow : whether it is run on the first few cases. places : ``"cortex"``, ``"volume"``, both.
    model : that ships, whose weights make the answer; empty of others.
    needs : package that has to be installed. sizes : see ``answers.answer_of``.
    """

    name: str
    kind: str
    words: str
    solve: Solve
    amplitude: bool = True
    level: int = 4
    slow: bool = False
    places: tuple[str, ...] = ("cortex", "volume")
    model: str = ""
    needs: str = ""
    sizes: bool = False

    @property
    def fingerprint(self) -> str:
        """Name of all that makes an answer beside the case."""
        own = solver_name(self.model) if self.model else f"{self.name} {__version__}"
        return f"{own}, sizes" if self.sizes else own


def _networks() -> list[str]:
    """Networks that ship and answer about the cortex."""
    learned = [name for name in list_models() if name in shipped_recipes()]
    return [name for name in learned if "cortex" in _family_of(name).places]


def _family_of(name: str) -> ModelFamily:
    recipe = read_spec(name)
    assert isinstance(recipe, Recipe)
    return model_family(recipe.family)


def _network(name: str) -> Method:
    return _model(name, "learned", _family_of(name).summary)


def _exact() -> list[ModelFamily]:
    """Exact families with one setting; the Gaussian ones are listed by their priors."""
    return [each for each in MODEL_FAMILIES.values() if each.exact and each.name != "gaussian"]


def _model(name: str, kind: str, words: str, slow: bool = False) -> Method:
    def solve(obs: Observation, seed: int, setting: float | None) -> Any:
        return load_model(name).posterior(obs, seed)

    return Method(name, kind, words, solve, slow=slow, places=("cortex",), model=name)


def _gaussian(shape: Shape, words: str, places: tuple[str, ...]) -> Method:
    def solve(obs: Observation, seed: int, setting: float | None) -> Any:
        return gaussian_posterior(obs, shape)

    return Method(f"Gaussian, {shape}", "exact", words, solve, places=places)


def _blobs(obs: Observation, seed: int, setting: float | None) -> Any:
    """One to ten, as many as there may be; sizes unknown, the assumed head."""
    key = zlib.crc32(np.ascontiguousarray(obs.forward.leadfield).tobytes())
    if key not in _ATOMS:
        _ATOMS.clear()
        _ATOMS[key] = make_blob_atoms(obs.forward)
    return blob_posterior(obs, tuple(range(1, 11)), seed, atoms=_ATOMS[key])


#: Topographies of all blobs of one lead field: half a minute to make.
_ATOMS: dict[int, Any] = {}
#: Those whose map is a statistic and not of A m.
_STATISTICS = ("dSPM", "sLORETA", "eLORETA", "LCMV", "RAP-MUSIC")
_SLOW = ("dipole fit",)


def _classics() -> list[Method]:
    found = []
    for name, each in BASELINES.items():

        def solve(
            obs: Observation, seed: int, setting: float | None, each: Baseline = each
        ) -> NDArray[np.float64]:
            return each(obs, setting)

        amplitude, slow = name not in _STATISTICS, name in _SLOW
        words = f"{each.setting}: {each.rule}"
        found.append(Method(name, "classic", words, solve, amplitude, slow=slow))
        if each.grid:
            words = f"{each.setting}: least peak error on 16 other cases"
            found.append(Method(f"{name}{TUNED}", "classic", words, solve, amplitude))
    return found


def _rival(name: str) -> Method:
    def solve(obs: Observation, seed: int, setting: float | None) -> Any:
        return RIVALS[name](obs, seed)

    needs = "sesameeg" if name == "SESAME" else "calibrain"
    words = f"of the package {needs}"
    return Method(name, "rival", words, solve, level=3, slow=True, places=("cortex",), needs=needs)


def _other(point: EntryPoint) -> Method:
    def solve(obs: Observation, seed: int, setting: float | None) -> Any:
        return point.load()(obs, seed)

    return Method(point.name[:80], "other", "an entry point", solve)


@cache
def methods() -> dict[str, Method]:
    """List every method by name, ours first."""
    own = [
        *map(_network, _networks()),
        *(_model(each.name, "exact", each.summary, each.slow) for each in _exact()),
        Method(
            "blobs", "exact", "one to ten blobs, by chains", _blobs, places=("volume",), sizes=True
        ),
        _gaussian("depth", "sources alike but for depth", ("cortex", "volume")),
        _gaussian("smooth", "smooth fields", ("cortex",)),
    ]
    others = [_other(each) for each in entry_points(group=GROUP)]
    every = (*own, *_classics(), *map(_rival, RIVALS), *others)
    return {each.name: each for each in every}


def chosen(names: list[str] | None, places: str) -> list[Method]:
    """Select methods by name; if none are given, all that belong there, rivals only if installed.

    Parameters
    ----------
    names : of methods, or None. places : ``"cortex"`` or ``"volume"``.

    Raises
    ------
    InputError : no such method, or one of other places.
    """
    known = methods()
    if names is None:
        own = [method for method in known.values() if places in method.places]
        return [method for method in own if not method.needs or find_spec(method.needs)]
    unknown = [name for name in names if name not in known]
    if unknown:
        between = "; put semicolons between names" if any("," in name for name in unknown) else ""
        raise InputError(f"no method {some(unknown)}{between}; there are {some(known, 60)}")
    own = [known[name] for name in dict.fromkeys(names)]
    other = [method.name for method in own if places not in method.places]
    if other:
        raise InputError(f"{some(other)} cannot answer cases of a {places}; leave it out")
    return own
