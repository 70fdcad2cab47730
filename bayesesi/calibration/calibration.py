"""Measure a model on simulated cases, and keep what was found beside its weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bayesesi.calibration.card import (
    CalibrationCard,
    check_sets,
    kept_card,
    scores_of,
    split_of,
)
from bayesesi.calibration.diagnosis import diagnose, make_repair
from bayesesi.calibration.mixture import Mixture
from bayesesi.calibration.trial_runner import (
    MOST,
    is_repeatable,
    run_purposes,
    solver_name,
)
from bayesesi.calibration.trial_scoring import Solver
from bayesesi.calibration.verdicts import trust_card
from bayesesi.errors import InputError, some
from bayesesi.io.folders import run_folder
from bayesesi.model import LearnedModel, Model, load_model
from bayesesi.model.artifact import ASSETS
from bayesesi.posterior.draws import SCORE_DRAWS
from bayesesi.spec import Recipe, SimulatorSpec, SpecError, read_spec
from bayesesi.trust.ood import OODDetector

#: The fewest cases that say anything.
_LEAST = 50
#: Whose simulators exact models are measured on.
_EXACT = "atoms"


def calibrate(
    model: Model | Solver | str | Path,
    n: int = 1000,
    seed: int = 1,
    *,
    n_repair: int | None = None,
    n_conformal: int | None = None,
    simulators: Sequence[str | Path | SimulatorSpec] | None = None,
    folder: str | Path | None = None,
    store: bool | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> CalibrationCard:
    """Measure a model on simulated cases and make its calibration card.

    n cases are the diagnosis, half as many others the repair, and as many others are behind
    conformal sets; none of them is one that the model was trained on, or of another of these
    purposes.

    Parameters
    ----------
    model : or its name, or a file of weights; or any function from an observation and a seed to a
        posterior or to draws (D, S, R) of the field, whose card is returned and not stored. A
        solver that gives scores of regions alone has sets, not a card: see ``run_trials``,
        ``split_of`` and ``check_sets``.
    n : cases of the diagnosis, 50 or more; 1,000 resolve a deviation of .03. n_repair,
        n_conformal : of the others, if not those; a set made for recordings of one kind (few or
        many channels, faint or loud) wants some 2,000 behind it.
    simulators : that cases come from, alike; by default those of the model's recipe, in its
        shares, and those of ``atoms`` for models without a recipe.
    folder : where trials are kept, one in the user's cache folder by default: a run that was
        stopped, or is asked for more cases, goes on.
    store : None: write the card beside weights of your own, and nowhere for a model that ships.
        True: write it to your data folder, where it comes before the one that ships. False:
        nowhere; see ``CalibrationCard.write``. seed : of the cases.
    workers, scheduler : see ``parallel.run_jobs``. progress : show bars, and print ``folder``.

    Raises
    ------
    InputError : too few cases, a folder with other trials, a model on no cortex.
    """
    found: Model | Solver = load_model(model) if isinstance(model, str | Path) else model
    _check_sizes(n=n, n_repair=n_repair, n_conformal=n_conformal)
    written = card_place(found, store) if isinstance(found, Model) else None
    if written is not None:
        _check_place(written)
    mixture = mixture_of(found, simulators)
    name, _, fingerprint = solver_name(found).partition(" ")
    if folder is None and not is_repeatable(found):
        # nobody could tell these trials from those of another like it
        with TemporaryDirectory() as made:
            return calibrate(
                model,
                n,
                seed,
                n_repair=n_repair,
                n_conformal=n_conformal,
                simulators=simulators,
                folder=made,
                store=store,
                workers=workers,
                scheduler=scheduler,
                progress=progress,
            )
    if folder is None:
        key = f"{fingerprint} {mixture.said()} {seed}"
        folder = run_folder("calibrate", name, key, progress)
    place = Path(folder)
    counts = {"repair": n_repair or max(n // 2, _LEAST), "conformal": n_conformal or n}
    counts["diagnose"] = n
    named = str(model) if isinstance(model, str | Path) else found
    options: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "progress": progress}
    trials = run_purposes(named, mixture, counts, seed, place, **options)
    repair, split = make_repair(trials["repair"]), split_of(trials["conformal"])
    usual = OODDetector.of(trials["repair"].signs, trials["conformal"].signs)
    new = trials["diagnose"]
    from bayesesi import __version__

    card = CalibrationCard(
        schema=1,
        model=name[:80],
        fingerprint=fingerprint,
        version=__version__,
        created=datetime.now(UTC).date().isoformat(),
        simulators=tuple(mixture.said()),
        seed=seed,
        score_draws=SCORE_DRAWS,
        diagnosis=diagnose(new, repair),
        repair=repair,
        split=split,
        sets=check_sets(split, new),
        usual=usual,
        trust=trust_card(new, scores_of(new), split, usual, _prior_null(found)),
    )
    if written is not None:
        card.write(written)
    return card


def _check_sizes(**sizes: int | None) -> None:
    for what, size in sizes.items():
        whole = isinstance(size, Integral) and not isinstance(size, bool)
        if size is not None and not (whole and _LEAST <= size <= MOST):
            raise InputError(
                f"a card needs {_LEAST} cases or more of each purpose, up to {MOST:,}, not "
                f"{what} = {some([size])}; 1,000 are recommended"
            )


def card_place(model: Model, store: bool | None = None) -> Path | None:
    """Return where ``calibrate`` writes the card of ``model``; None for nowhere.

    Parameters
    ----------
    store : see ``calibrate``.
    """
    if store:
        return kept_card(model)
    own = model.card_path
    shipped = own is not None and own.resolve().is_relative_to(ASSETS.resolve())
    return None if store is False or shipped else own


def _check_place(path: Path) -> None:
    """Check that a card can be written, before hours are spent on it."""
    above = next(place for place in path.parents if place.exists())
    if path.is_dir() or not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(
            f"the card cannot be written to {path}; make room there, copy the weights to a folder "
            "of yours, or call bayesesi.calibrate(..., store=False)"
        )


def _prior_null(solver: Model | Solver) -> float:
    """Of a function nobody knows it: its word is taken as after even odds."""
    return solver.prior_null if isinstance(solver, Model) else 0.5


def mixture_of(
    model: Model | Solver, simulators: Sequence[str | Path | SimulatorSpec] | None = None
) -> Mixture:
    """Find the simulators that cases of a model come from.

    Parameters
    ----------
    model : whose recipe names them; those of ``atoms`` where it has none.
    simulators : specs, names or paths to take instead.

    Raises
    ------
    InputError : simulators that are not here.
    """
    if simulators is not None:
        return Mixture.read(simulators)
    recipe = model.recipe if isinstance(model, LearnedModel) else read_spec(_EXACT)
    assert isinstance(recipe, Recipe)
    try:
        return Mixture.read(
            [recipe.beside(each.simulator) for each in recipe.mixture],
            [each.share for each in recipe.mixture],
        )
    except SpecError as error:
        raise InputError(
            f"the simulators that {recipe.name} learned from are not all here ({error}); say where "
            "with simulators=[FILE, ...], or --simulator FILE"
        ) from error
