"""Trials by the hundred: in pieces that are kept, on many cores, resumed where they stopped."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.calibration.trials import SCORE_DRAWS, Solver, Trials, trial_of
from bayesesi.draft import draft_file
from bayesesi.errors import InputError
from bayesesi.jobs import run_jobs
from bayesesi.model import Model, load_model
from bayesesi.observation import Observation
from bayesesi.posterior.signs import SIGNS
from bayesesi.prior import NAMESPACES
from bayesesi.simulator import Batch, Simulator, read_simulator
from bayesesi.spec import SimulatorSpec, spec_hash

SCHEMA = 1
#: Cases a piece: a quarter of a minute of a network.
PIECE = 32
_MANIFEST = "trials.json"
#: Of case k of a batch, an observation; by default the case's own.
View = Callable[[Batch, int], Observation]


@dataclass(frozen=True)
class Mixture:
    """Simulators, and how many of n cases are each one's."""

    simulators: tuple[SimulatorSpec, ...]
    shares: tuple[float, ...]

    @classmethod
    def read(
        cls,
        named: Sequence[str | Path | SimulatorSpec],
        shares: Sequence[float] | None = None,
    ) -> Mixture:
        """Of specs, by name, path or themselves.

        Raises
        ------
        InputError : none, or another number of shares.
        """
        if not named:
            raise InputError("trials need a simulator that cases come from; name one")
        own = tuple(
            each if isinstance(each, SimulatorSpec) else read_simulator(each).spec for each in named
        )
        weights = np.asarray(shares if shares is not None else [1.0] * len(own), float)
        if len(weights) != len(own) or not (weights > 0).all():
            raise InputError(f"{len(own)} simulators need as many shares above 0, not {shares!r}")
        return cls(own, tuple(float(w) for w in weights / weights.sum()))

    def counts(self, n: int) -> NDArray[np.int64]:
        """(M,) cases of each, n in all."""
        exact = n * np.array(self.shares)
        whole = np.floor(exact + 1e-9).astype(int)
        most = np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]
        whole[most] += 1
        return whole

    def said(self) -> list[dict[str, Any]]:
        """For a card."""
        return [
            {"name": s.name, "hash": spec_hash(s), "share": share}
            for s, share in zip(self.simulators, self.shares, strict=True)
        ]


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
    """n trials of a solver.

    Parameters
    ----------
    solver : a model, its name or path, or a function, see ``trials``.
    namespace : what the cases are for; those of two purposes never meet.
    folder : where pieces are kept, so that a run that was stopped goes on; a temporary one if not
        given. view : shows cases otherwise than they are.
    workers, scheduler : see ``jobs.run_jobs``.

    Raises
    ------
    InputError : no cases, a folder of other trials.
    """
    if n < 1:
        raise InputError(f"trials are of one case or more, not {n}")
    if namespace not in NAMESPACES:
        raise InputError(f"namespace is one of {', '.join(NAMESPACES)}, not {namespace!r}")
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
    place = Path(folder).absolute()
    _claim(place, _manifest(solver, mixture, seed, namespace, view))
    pieces = [
        (place / f"{m:02d}-{start:06d}.safetensors", m, start, min(PIECE, count - start))
        for m, count in enumerate(map(int, mixture.counts(n)))
        for start in range(0, count, PIECE)
    ]
    # a last piece of a shorter run has fewer cases than a longer one needs
    missing = [piece for piece in pieces if _n_cases(piece[0]) < piece[3]]
    specs = [
        (s.model_dump_json(by_alias=True), str(s.folder or Path())) for s in mixture.simulators
    ]
    jobs = [
        (solver, *specs[m], m, start, size, 100 * seed + m, namespace, view, str(path))
        for path, m, start, size in missing
    ]
    for _ in run_jobs(_write_piece, jobs, workers, scheduler, f"{namespace} cases", progress):
        pass
    return Trials.joined([_read(path)[:size] for path, _, _, size in pieces])


def _write_piece(
    solver: Model | str | Solver,
    spec_json: str,
    spec_folder: str,
    number: int,
    start: int,
    size: int,
    seed: int,
    namespace: str,
    view: View | None,
    path: str,
) -> None:
    """The unit of work that goes to other processes."""
    from safetensors.numpy import save_file

    from bayesesi.calibration.trials import trial_on

    solve = _solve(solver)
    trials = []
    for case in range(start, start + size):
        batch = _case(spec_json, spec_folder, case, seed, namespace)
        own = 10_000 * number + case
        if view is None:
            trials.append(trial_of(solve, batch, 0, own, number))
        else:
            trials.append(trial_on(solve, view(batch, 0), batch, 0, own, number))
    arrays = Trials.joined(trials).to_arrays()
    with draft_file(path) as draft:
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, draft)


def _solve(solver: Model | str | Solver) -> Solver:
    if isinstance(solver, str):
        return load_model(solver).posterior
    return solver.posterior if isinstance(solver, Model) else solver


def _case(spec_json: str, folder: str, case: int, seed: int, namespace: str) -> Batch:
    """One case, a session of its own."""
    from bayesesi.prior import BLOCK

    batches = _block(spec_json, folder, case // BLOCK, seed, namespace)
    return batches[case % BLOCK]


@lru_cache(maxsize=1)
def _block(spec_json: str, folder: str, block: int, seed: int, namespace: str) -> tuple[Batch, ...]:
    return _simulator(spec_json, folder).block(block, seed, namespace)


@lru_cache(maxsize=2)
def _simulator(spec_json: str, folder: str) -> Simulator:
    spec = SimulatorSpec.model_validate_json(spec_json)
    spec._folder = Path(folder)
    return Simulator(spec, session=1)


def _manifest(
    solver: Model | str | Solver, mixture: Mixture, seed: int, namespace: str, view: View | None
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "solver": solver_name(solver),
        "simulators": mixture.said(),
        "seed": seed,
        "namespace": namespace,
        "view": "" if view is None else _named(view),
        "draws": SCORE_DRAWS,
        "signs": list(SIGNS),
    }


def solver_name(solver: Model | str | Solver) -> str:
    """The name of a model with the hash of its weights, or of a function."""
    if isinstance(solver, str):
        return solver_name(load_model(solver))
    if isinstance(solver, Model):
        return f"{solver.name} {solver.fingerprint}".strip()
    return _named(solver)


def _named(function: Any) -> str:
    """Of a function, with a hash of its code: an edited one is another."""
    name = str(getattr(function, "__name__", type(function).__name__))
    code = getattr(function, "__code__", None)
    return name if code is None else f"{name} {zlib.crc32(_told(code)):08x}"


def _told(code: CodeType) -> bytes:
    """What a function does, wherever it is in memory."""
    consts = (_told(c) if isinstance(c, CodeType) else repr(c).encode() for c in code.co_consts)
    return b"".join((code.co_code, repr(code.co_names).encode(), *consts))


def _claim(folder: Path, manifest: dict[str, Any]) -> None:
    """Say what the folder is for, or see that it is for this."""
    path = folder / _MANIFEST
    if path.is_file():
        try:
            found = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path} is damaged; delete the folder and go on") from error
        other = [key for key in manifest if found.get(key) != manifest[key]]
        if other:
            raise InputError(
                f"{folder} holds trials of another {' and '.join(other)}; delete it or choose "
                "another folder"
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error}); choose another folder") from error
    with draft_file(path) as draft:
        draft.write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _n_cases(path: Path) -> int:
    return len(_read(path)) if path.is_file() else 0


def _read(path: Path) -> Trials:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return Trials.of_arrays(load_file(path))
    except (SafetensorError, OSError, LookupError, ValueError) as error:
        raise InputError(f"{path} is no readable piece of trials; delete it and go on") from error
