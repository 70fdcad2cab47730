"""Models by name, those of a file, and how a new one comes about."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.io.folders import run_folder
from bayesesi.model.artifact import ASSETS, read_weights
from bayesesi.model.base import Model
from bayesesi.model.ensemble import ensemble
from bayesesi.model.learned import LearnedModel
from bayesesi.registry import families, implementation, spec_of
from bayesesi.spec import MODEL_FAMILIES, Recipe, read_spec, shipped_specs, spec_hash

#: Exact models: the module of each has the name of its family.
EXACT = tuple(each.name for each in MODEL_FAMILIES.values() if each.exact)
_ENDING = ".safetensors"


@cache
def shipped_recipes() -> tuple[str, ...]:
    """List names of the recipes whose weights may ship, `make weights` makes them."""
    paths = shipped_specs().items()
    return tuple(sorted(name for name, path in paths if path.parent.name == "recipes"))


def list_models() -> tuple[str, ...]:
    """List names that ``load_model`` knows: exact ones, and recipes whose weights ship."""
    return (*EXACT, *(n for n in shipped_recipes() if (ASSETS / f"{n}{_ENDING}").is_file()))


def load_model(name: str | Path, prior: str | Path | None = None) -> Model:
    """Load a model by its name, or from a file of weights.

    Parameters
    ----------
    name : ``"patches"``: few patches of cortex, or nothing, in heads that are drawn;
        ``"gaussian"``: the minimum norm and its uncertainty; ``"atoms"``: what ``patches`` asks,
        answered by a network; ``"cortex"``: moments everywhere, by another; ``"parcels"``: sums
        over parcels and their density, by a third; ``"dipole"``: one or two free dipoles in the
        brain volume, with confidence volumes; a .safetensors file that ``train`` wrote; or several
        of these with + between them: their mixture.
    prior : of the sources, the model's own default if not given: for patches a spec of that family
        by name or path, for Gaussian ones ``"identity"``, ``"depth"`` or ``"smooth"``. A network
        keeps the one it was trained with.

    Raises
    ------
    InputError : no such model or prior, a file that holds no weights of ours.
    """
    text = str(name)
    if "+" in text and not Path(text).is_file():
        return ensemble([load_model(each, prior) for each in text.split("+")])
    if text in EXACT:
        kind = _exact(text)
        return kind() if prior is None else kind(str(prior))
    is_file = text.endswith(_ENDING)
    if text not in list_models() and not is_file:
        raise InputError(
            f"no such model {some([name])}; models are {', '.join(list_models())}, or a "
            f"{_ENDING} file that bayesesi train wrote"
        )
    if prior is not None:
        raise InputError(
            f"a network keeps the prior it was trained with, {some([prior])} cannot be given to "
            f"{some([text])}; leave it out, train another, or use the model 'patches'"
        )
    return read_model(text) if is_file else _shipped(text)


def fitting_model(forward: ForwardOperator, prior: str | Path | None = None) -> Model:
    """Choose ``"atoms"`` where it fits, else ``"patches"``.

    It fits where it ships, ``forward`` is the template's as it knows it and no other ``prior`` is
    asked for.
    """
    known = "atoms" in list_models() and prior is None and forward.banked is not None
    if known:
        atoms = _shipped("atoms")
        if forward.source_space.ico == atoms.recipe.ico:
            return atoms
    return load_model("patches", prior)


def read_model(path: str | Path) -> LearnedModel:
    """Read a model from the file of weights at ``path``.

    Raises
    ------
    InputError : a file that is none of ours, of another family, or whose weights do not fit its
        recipe.
    """
    tensors, about = read_weights(path)
    family, name = str(about.get("family"))[:40], Path(path).name
    if family not in families("estimator"):
        raise InputError(
            f"{name} holds a network of the family {family!r}, this version knows "
            f"{', '.join(families('estimator'))}; train again with this version"
        )
    kind = implementation(spec_of("estimator", family), "model")
    made: LearnedModel = replace(kind.of_file(tensors, about, name), path=Path(path))
    return made


def train(
    recipe: str | Path,
    out: str | Path | None = None,
    device: str = "auto",
    steps: int | None = None,
    workers: int = 1,
    progress: bool = True,
) -> LearnedModel:
    """Train a recipe and write its weights.

    Parameters
    ----------
    recipe : its name or a TOML file. progress : show a bar.
    out : folder of the run: checkpoints, curves for TensorBoard, and in the end
        ``NAME.safetensors``, the ``path`` of the model that is returned. A run that was stopped
        goes on. If not given, one in the user's cache folder, which is printed; a cache may be
        emptied, so that weights to keep want a folder of yours.
    device : ``"auto"``, ``"cpu"`` or ``"cuda"``. steps : instead of the recipe's.
    workers : processes that simulate.

    Raises
    ------
    SpecError : a recipe with mistakes. InputError : Lightning is missing, a folder in use by the
        run of another recipe.
    """
    from bayesesi.training import fit, is_first

    spec = read_spec(recipe)
    if not isinstance(spec, Recipe):
        raise InputError(f"{spec.name!r} is not a recipe but one of {spec.kind}; give a recipe")
    kind = implementation(spec.estimator, "model")
    prior = kind.read_prior(spec)
    if out is None:
        out = run_folder("train", spec.name, f"{spec_hash(spec)} {steps}", progress and is_first())
    path = Path(out) / f"{spec.name}{_ENDING}"
    trained = fit(spec, prior, path.parent, device, steps, workers, progress)
    model: LearnedModel = kind.of(trained, prior)
    if is_first():
        model.write(path)
    return replace(model, path=path)


@cache
def _shipped(name: str) -> LearnedModel:
    return read_model(ASSETS / f"{name}{_ENDING}")


def _exact(name: str) -> Any:
    """The class of an exact model: the one of its module that has its family."""
    module = importlib.import_module(f"bayesesi.model.{name}")
    return next(
        each
        for each in vars(module).values()
        if isinstance(each, type) and getattr(each, "family", "") == name
    )
