"""Models by name, those of a file, and how a new one comes about."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.model.base import Model
from bayesesi.model.ensemble import ensemble
from bayesesi.model.exact import ASSETS, GaussianModel, PatchModel
from bayesesi.model.learned import AtomModel, LearnedModel, family_of, read_model
from bayesesi.spec import Recipe, read_spec

EXACT: dict[str, type[PatchModel] | type[GaussianModel]] = {
    "patches": PatchModel,
    "gaussian": GaussianModel,
}
#: Learned models that may ship, by the names of their recipes.
_LEARNED = ("atoms", "cortex", "parcels", "dipole")
_ENDING = ".safetensors"


def list_models() -> tuple[str, ...]:
    """List names that ``load_model`` knows."""
    return (*EXACT, *(n for n in _LEARNED if (ASSETS / f"{n}{_ENDING}").is_file()))


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
        return EXACT[text]() if prior is None else EXACT[text](str(prior))
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
        if isinstance(atoms, AtomModel) and forward.source_space.level == atoms.level:
            return atoms
    return load_model("patches", prior)


@cache
def _shipped(name: str) -> LearnedModel:
    return read_model(ASSETS / f"{name}{_ENDING}")


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
    out : folder of the run, ``runs/NAME`` if not given: checkpoints, curves for TensorBoard, and in
        the end ``NAME.safetensors``. A run that was stopped goes on.
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
        raise InputError(f"{spec.name!r} is no recipe but one of {spec.kind}; give a recipe")
    kind = family_of(spec)
    prior = kind.read_prior(spec)
    folder = Path(out) if out is not None else Path("runs") / spec.name
    model = kind.of(fit(spec, folder, device, steps, workers, progress), prior)
    if is_first():
        model.write(folder / f"{spec.name}{_ENDING}")
    return model
