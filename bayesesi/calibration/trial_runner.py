"""Run trials by the hundred: in pieces that are kept, on many cores, resumed where they stopped."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from bayesesi.calibration.mixture import Cases, Mixture
from bayesesi.calibration.trial_scoring import Solver, trial_of
from bayesesi.calibration.trials import Trials
from bayesesi.errors import InputError, some
from bayesesi.io.store import Manifest, Piece, Pieces, Store
from bayesesi.model import Model, load_model
from bayesesi.observation import Observation
from bayesesi.posterior.draws import SCORE_DRAWS
from bayesesi.prior import BLOCK, NAMESPACES
from bayesesi.simulator import Batch
from bayesesi.trust.ood_features import OOD_FEATURES

SCHEMA = 1
#: Cases that may be asked for.
MOST = 1_000_000
#: Cases a piece: a quarter of a minute of a network.
PIECE = 32
#: Cases that one process simulates at once if there are several: half a block.
GROUP = 4 * PIECE
_MANIFEST = Manifest("trials.json", SCHEMA, "trials", "[0-9][0-9]-*.safetensors")
#: Of case k of a batch, an observation; by default the case's own.
View = Callable[[Batch, int], Observation]


def run_trials(
    solver: Model | str | Solver,
    mixture: Mixture,
    n: int,
    seed: int,
    namespace: str,
    folder: str | Path | None = None,
    *,
    view: View | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> Trials:
    """Run n trials of a solver.

    Parameters
    ----------
    solver : a model, its name or path, or a function, see ``trial_scoring.Solver``.
    mixture : simulators of the cases. n : number of cases. seed : of them.
    namespace : what the cases are for; those of two purposes never meet.
    folder : where pieces are kept, so that a run that was stopped goes on; a temporary one if not
        given. view : shows cases otherwise than they are.
    workers, scheduler : see ``parallel.run_jobs``. progress : show a bar.

    Raises
    ------
    InputError : no cases, a folder of other trials.
    """
    _check(n, namespace)
    if folder is None:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as made:
            return run_trials(
                solver,
                mixture,
                n,
                seed,
                namespace,
                made,
                view=view,
                workers=workers,
                scheduler=scheduler,
                progress=progress,
            )
    store = Store(Path(folder).absolute(), TrialPieces())
    about = _about(solver, mixture, seed, namespace, view)
    _MANIFEST.claim(store.folder, about)
    pieces = list(_wanted(solver, mixture, n, seed, namespace, view))
    store.run(_trials, pieces, workers, scheduler, f"{namespace} cases", progress)
    return Trials.joined(list(store.gather(pieces)))


def run_purposes(
    solver: Model | str | Solver,
    mixture: Mixture,
    counts: Mapping[str, int],
    seed: int,
    folder: str | Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> dict[str, Trials]:
    """Run the trials of several purposes side by side, so that processes start and end once.

    Parameters
    ----------
    counts : number of cases of each namespace; trials of each are kept in a folder of its name.
    solver, mixture, seed, folder, workers, scheduler, progress : see ``run_trials``.

    Raises
    ------
    InputError : see ``run_trials``.
    """
    store, wanted = Store(Path(folder).absolute(), TrialPieces()), {}
    for namespace, n in counts.items():
        _check(n, namespace)
        _MANIFEST.claim(store.folder / namespace, _about(solver, mixture, seed, namespace, None))
        pieces = _wanted(solver, mixture, n, seed, namespace, None, f"{namespace}/")
        wanted[namespace] = list(pieces)
    every = [piece for own in wanted.values() for piece in own]
    store.run(_trials, every, workers, scheduler, f"{' + '.join(counts)} cases", progress)
    return {name: Trials.joined(list(store.gather(own))) for name, own in wanted.items()}


def _check(n: int, namespace: str) -> None:
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= MOST:
        raise InputError(f"the number of trials must be 1 or more, up to {MOST:,}, not {some([n])}")
    if namespace not in NAMESPACES:
        raise InputError(f"namespace is one of {', '.join(NAMESPACES)}, not {namespace!r}")


def _wanted(
    solver: Model | str | Solver,
    mixture: Mixture,
    n: int,
    seed: int,
    namespace: str,
    view: View | None,
    within: str = "",
) -> Iterator[Piece]:
    """Pieces of n cases; those of one half of a block are simulated by one process."""
    for m, (cases, count) in enumerate(zip(mixture.simulators, mixture.counts(n), strict=True)):
        own = (solver, cases, m)
        for start in range(0, int(count), PIECE):
            size = min(PIECE, int(count) - start)
            until = min(int(count), start - start % GROUP + GROUP)
            job = (*own, start, size, until, 100 * seed + m, namespace, view)
            key = f"{within}{m:02d}-{start:06d}.safetensors"
            yield Piece(key, size, job, (namespace, m, start // GROUP))


class TrialPieces(Pieces[Trials]):
    """Trials as safetensors; a piece of a shorter run is made again where a longer one needs more
    cases."""

    def read(self, path: Path, size: int) -> Trials | None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not path.is_file():
            return None
        try:
            trials = Trials.of_arrays(load_file(path)).checked()
        except (SafetensorError, OSError, LookupError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} is not a readable file of trials; delete it and run again"
            ) from error
        return trials[:size] if len(trials) >= size else None

    def write(self, value: Trials, draft: Path) -> None:
        from safetensors.numpy import save_file

        arrays = value.to_arrays()
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, draft)


def _trials(
    solver: Model | str | Solver,
    cases: Cases,
    number: int,
    start: int,
    size: int,
    until: int,
    seed: int,
    namespace: str,
    view: View | None,
) -> Trials:
    """Run cases ``start`` to ``start + size`` of one simulator, in whatever process; further ones
    are asked for up to ``until``."""
    solve = _solve(solver)
    trials = []
    for case in range(start, start + size):
        batch = _case(cases, case, until, seed, namespace)
        own = 10_000 * number + case
        obs = batch.observation(0) if view is None else view(batch, 0)
        trials.append(trial_of(solve, obs, batch, 0, own, number))
    return Trials.joined(trials)


def _solve(solver: Model | str | Solver) -> Solver:
    if isinstance(solver, str):
        return load_model(solver).posterior
    return solver.posterior if isinstance(solver, Model) else solver


def _case(cases: Cases, case: int, until: int, seed: int, namespace: str) -> Batch:
    """One case, a session of its own."""
    block, row = divmod(case, BLOCK)
    return _block(cases, block, until - block * BLOCK, seed, namespace)[row]


@lru_cache(maxsize=1)
def _block(cases: Cases, block: int, n: int, seed: int, namespace: str) -> tuple[Batch, ...]:
    return cases.block(block, seed, namespace, n)


def _about(
    solver: Model | str | Solver, mixture: Mixture, seed: int, namespace: str, view: View | None
) -> dict[str, Any]:
    return {
        "solver": solver_name(solver),
        "simulators": mixture.said(),
        "seed": seed,
        "namespace": namespace,
        "view": "" if view is None else _named(view),
        "draws": SCORE_DRAWS,
        "signs": list(OOD_FEATURES),
    }


def solver_name(solver: Model | str | Solver) -> str:
    """Name a model with the hash of its weights, or a function.

    Parameters
    ----------
    solver : a model, its name or path, or a function.
    """
    if isinstance(solver, str):
        return solver_name(load_model(solver))
    if isinstance(solver, Model):
        return f"{solver.name} {solver.fingerprint}".strip()
    return _named(solver)


def is_repeatable(solver: Model | str | Solver) -> bool:
    """Tell whether trials of a solver can be recognised again.

    Models, and functions that depend on nothing but their code and plain defaults, not on what
    surrounds them or is bound to them.

    Parameters
    ----------
    solver : a model, its name or path, or a function.
    """
    if isinstance(solver, str | Model):
        return True
    if not isinstance(solver, FunctionType) or solver.__closure__:
        return False
    return all(isinstance(v, bool | int | float | str | None) for v in _defaults(solver))


def _defaults(function: FunctionType) -> tuple[Any, ...]:
    named = function.__kwdefaults__ or {}
    return (*(function.__defaults__ or ()), *(v for _, v in sorted(named.items())))


def _named(function: Any) -> str:
    """Of a function, with a hash of its code: an edited one is another. One that cannot be known
    again has another name each time."""
    name = str(getattr(function, "__name__", type(function).__name__))[:60]
    if not is_repeatable(function):
        return f"{name} {secrets.token_hex(4)}"
    known = _told(function.__code__) + repr(_defaults(function)).encode()
    return f"{name} {zlib.crc32(known):08x}"


def _told(code: CodeType) -> bytes:
    """What a function does, wherever it is in memory."""
    return b"".join((code.co_code, repr(code.co_names).encode(), *(map(_constant, code.co_consts))))


def _constant(value: Any) -> bytes:
    if isinstance(value, CodeType):
        return _told(value)
    if isinstance(value, frozenset):  # in an order that changes from run to run
        return repr(sorted(map(repr, value))).encode()
    return repr(value).encode()
