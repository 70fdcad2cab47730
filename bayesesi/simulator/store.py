"""Simulations on disk: a folder of shards, each written whole or not at all.

`simulation.json` says what the folder holds; `shard-00000.safetensors` and so on hold whole blocks
of cases. What is there already is not simulated again, so a run that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.forward import HeadSettings, Sensors
from bayesesi.noise import NoiseCovariance
from bayesesi.parallel import run_jobs
from bayesesi.prior import BLOCK, NAMESPACES
from bayesesi.simulator.simulation import Batch, Session, Simulation
from bayesesi.simulator.simulator import Simulator, template_forward_of
from bayesesi.spec import SimulatorSpec, spec_hash

SCHEMA = 1
SHARD = 4 * BLOCK
#: Cases of one folder.
MOST = 100_000_000
#: s after which a draft is nobody's.
_STALE = 3600.0
_MANIFEST = "simulation.json"


def write_simulation(
    simulator: Simulator,
    folder: str | Path,
    n: int,
    seed: int = 0,
    namespace: str = "train",
    *,
    workers: int = 1,
    scheduler: str | None = None,
    shard: int = SHARD,
    progress: bool = False,
) -> Path:
    """Simulate ``n`` cases into ``folder``, or what is missing of them there.

    Parameters
    ----------
    simulator : that makes the cases. seed, namespace : that they are of, see ``simulate``.
    workers : processes on this machine. scheduler : address of a Dask scheduler whose workers share
        the folder; then ``workers`` is not used. shard : cases a file, whole blocks of 256.
    progress : show a bar.

    Raises
    ------
    InputError : a folder with another simulation, a shard that is no multiple of 256.
    """
    if not 1 <= n <= MOST:
        raise InputError(f"n goes from 1 to {MOST:,} cases, not {n}")
    if shard < 1 or shard % BLOCK:
        raise InputError(f"shard is a multiple of {BLOCK} cases, not {shard}")
    if namespace not in NAMESPACES:
        raise InputError(f"namespace is one of {', '.join(NAMESPACES)}, not {namespace!r}")
    folder = Path(folder).absolute()
    simulator.check()
    _claim(folder, _manifest(simulator, n, seed, namespace, shard))
    missing = [i for i in range(-(-n // shard)) if not _shard_path(folder, i).is_file()]
    spec = simulator.spec
    own = (spec.model_dump_json(by_alias=True), str(spec.folder or Path()), str(folder))
    jobs = [(*own, i) for i in missing]
    for _ in run_jobs(write_shard, jobs, workers, scheduler, "simulating", progress):
        pass
    return folder


def read_simulation(folder: str | Path, n_shards: int | None = None) -> Simulation:
    """Read a simulation that ``write_simulation`` wrote to ``folder``, or its first ``n_shards``.

    Raises
    ------
    InputError : no such folder, shards that are missing, or files of another schema.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    if manifest is None:
        raise InputError(
            f"{folder.name} holds no simulation; make one with `bayesesi simulate NAME -o FOLDER`"
        )
    try:
        spec = SimulatorSpec.model_validate(manifest["spec"])
        n, shard = int(manifest["n"]), int(manifest["shard"])
        seed, namespace = int(manifest["seed"]), str(manifest["namespace"])
        every = range(-(-n // shard))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"{_MANIFEST} of {folder.name} is damaged ({type(error).__name__}); simulate it anew"
        ) from error
    batches: list[Batch] = []
    for i in every[:n_shards]:
        path = _shard_path(folder, i)
        if not path.is_file():
            raise InputError(
                f"{folder.name} lacks {path.name}; run the same `bayesesi simulate` again to "
                "finish it"
            )
        own = list(_read_shard(path, spec))
        if sum(map(len, own)) != min(shard, n - i * shard):
            raise InputError(f"{path.name} holds another number of cases; delete it and go on")
        batches.extend(own)
    return Simulation(spec, seed, namespace, tuple(batches))


def write_shard(spec_json: str, spec_folder: str, folder: str, i: int) -> int:
    """Simulate shard ``i`` of ``folder``; the unit of work that goes to other processes.

    ``spec_json`` is the simulator's spec, ``spec_folder`` where it was read from.
    """
    spec = SimulatorSpec.model_validate_json(spec_json)
    spec._folder = Path(spec_folder)
    manifest = _read_manifest(Path(folder))
    assert manifest is not None
    start = i * manifest["shard"]
    n = min(manifest["shard"], manifest["n"] - start)
    simulator = Simulator(spec, manifest["session"])
    simulation = simulator.simulate(n, manifest["seed"], manifest["namespace"], start)
    _write_shard(_shard_path(Path(folder), i), simulation.batches)
    return i


def _manifest(
    simulator: Simulator, n: int, seed: int, namespace: str, shard: int
) -> dict[str, Any]:
    spec = simulator.spec
    return {
        "schema": SCHEMA,
        "spec": spec.resolved(),
        "hash": spec_hash(spec),
        "n": n,
        "seed": seed,
        "namespace": namespace,
        "shard": shard,
        "session": simulator.group_size,
    }


def _claim(folder: Path, manifest: dict[str, Any]) -> None:
    """Say what the folder is for, or see that it is for this."""
    found = _read_manifest(folder)
    if found is not None:
        other = [k for k in manifest if k != "spec" and found.get(k) != manifest[k]]
        if other and any(folder.glob("shard-*.safetensors")):
            what = ", ".join(f"{k} {found.get(k)!r} and not {manifest[k]!r}" for k in other)
            raise InputError(
                f"{folder.name} holds another simulation, of {what}; choose an empty folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder.name} holds other files; choose an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.part"):
            if _is_abandoned(draft):
                draft.unlink(missing_ok=True)
        draft = _draft_of(folder / _MANIFEST)
        draft.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        draft.replace(folder / _MANIFEST)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error}); choose another folder") from error


def _draft_of(path: Path) -> Path:
    """Where a file is written before it takes its name: each process has one of its own."""
    return path.with_name(f"{path.name}.{_machine()}.{os.getpid()}.part")


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_abandoned(draft: Path) -> bool:
    """Whether nobody writes it any more: a dead process' of this machine, or an old one."""
    _, machine, process, _ = ("..." + draft.name).rsplit(".", 3)
    if machine == _machine() and process.isdecimal():
        return not Path("/proc", process).exists() if Path("/proc").is_dir() else True
    return time.time() - draft.stat().st_mtime > _STALE


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / _MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path.name} is damaged ({error}); choose an empty folder") from error
    if known != SCHEMA:
        raise InputError(
            f"{folder.name} has schema {known!r}, this version reads {SCHEMA}; simulate it anew"
        )
    return dict(manifest)


def _shard_path(folder: Path, i: int) -> Path:
    return folder / f"shard-{i:05d}.safetensors"


def _write_shard(path: Path, batches: Iterable[Batch]) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {}
    header = []
    for i, batch in enumerate(batches):
        session, sensors = batch.session, batch.session.forward.sensors
        assert sensors is not None
        own = {
            "volts": batch.volts,
            **_sparse("patterns", batch.patterns),
            **_sparse("tangents", batch.tangents),
            "courses": batch.courses,
            "noise_scale": batch.noise_scale,
            "snr_db": batch.snr_db,
            "heads.shape": batch.heads.shape,
            "heads.conductivities": batch.heads.conductivities,
            "heads.skull_thickness": batch.heads.skull_thickness,
            "electrodes": batch.electrodes,
            "assumed": sensors.positions,
            "noise": session.noise.matrix,
            "autocorrelation": session.noise.autocorrelation,
            "true_covariance": session.true_covariance,
            "times": session.times,
            **{f"draws/{name}": value for name, value in batch.draws.items()},
            **{f"session/{name}": np.asarray(v) for name, v in session.draws.items()},
        }
        arrays |= {f"{i}:{name}": np.ascontiguousarray(value) for name, value in own.items()}
        header.append(
            {
                "first": batch.first,
                "ch_names": session.ch_names,
                "bads": session.bads,
                "origin": sensors.origin,
                "dof": session.noise.dof,
                "n_sources": batch.patterns.shape[1],
            }
        )
    draft = _draft_of(path)
    # one entry: with more, the file's bytes would depend on a hash table's order
    save_file(arrays, draft, metadata={"shard": json.dumps({"schema": SCHEMA, "batches": header})})
    draft.replace(path)


def _read_shard(path: Path, spec: SimulatorSpec) -> Iterator[Batch]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("shard", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known = header.get("schema")
        if known == SCHEMA:
            for i, about in enumerate(header["batches"]):
                yield _batch(_under(f"{i}:", arrays), about, spec)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path.name} is no readable shard ({error}); delete it and simulate again"
        ) from error
    if known != SCHEMA:
        raise InputError(f"{path.name} has schema {known!r}, not {SCHEMA}; simulate it anew")


def _batch(own: dict[str, NDArray[Any]], about: dict[str, Any], spec: SimulatorSpec) -> Batch:
    names = tuple(about["ch_names"])
    sensors = Sensors(names, ("eeg",) * len(names), own["assumed"], about["origin"])
    session = Session(
        template_forward_of(sensors),
        tuple(about["bads"]),
        NoiseCovariance(
            own["noise"], names, 1, about["dof"], "baseline", own["autocorrelation"], spec.sfreq_Hz
        ),
        own["true_covariance"],
        own["times"],
        spec.sfreq_Hz,
        (spec.band_Hz[0], spec.band_Hz[1]),
        spec.n_trials,
        _under("session/", own),
    )
    return Batch(
        spec,
        session,
        about["first"],
        own["volts"],
        _rows("patterns", own, about["n_sources"]),
        _rows("tangents", own, 3 * about["n_sources"]) if "tangents.data" in own else None,
        own["courses"],
        own["noise_scale"],
        own["snr_db"],
        HeadSettings(own["heads.shape"], own["heads.conductivities"], own["heads.skull_thickness"]),
        own["electrodes"],
        _under("draws/", own),
    )


def _sparse(name: str, rows: sp.csr_array | None) -> dict[str, NDArray[Any]]:
    if rows is None:
        return {}
    return {
        f"{name}.data": rows.data,
        f"{name}.indices": rows.indices.astype(np.int32),
        f"{name}.indptr": rows.indptr.astype(np.int64),
    }


def _rows(name: str, own: dict[str, NDArray[Any]], n_columns: int) -> sp.csr_array:
    parts = (own[f"{name}.data"], own[f"{name}.indices"], own[f"{name}.indptr"])
    return sp.csr_array(parts, (len(parts[2]) - 1, n_columns))


def _under(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
