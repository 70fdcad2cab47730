"""Simulations on disk: a folder of shards, each written whole or not at all (see ``io.store``).

`simulation.json` says what the folder holds; `shard-00000.safetensors` and so on hold whole blocks
of cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.forward import HeadSettings, Sensors
from bayesesi.io.store import Manifest, Piece, Pieces, Store
from bayesesi.noise import NoiseCovariance
from bayesesi.prior import BLOCK, NAMESPACES
from bayesesi.simulator.simulation import Batch, Session, Simulation
from bayesesi.simulator.simulator import Simulator, template_forward_of
from bayesesi.spec import SimulatorSpec, spec_hash

SCHEMA = 1
SHARD = 4 * BLOCK
#: Cases of one folder.
MOST = 100_000_000
_MANIFEST = Manifest("simulation.json", SCHEMA, "cases", derived=("spec",))


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
    spec = simulator.spec
    about = {
        "spec": spec.resolved(),
        "hash": spec_hash(spec),
        "n": n,
        "seed": seed,
        "namespace": namespace,
        "shard": shard,
        "session": simulator.group_size,
    }
    _MANIFEST.claim(folder, about)
    own = (spec.model_dump_json(by_alias=True), str(spec.folder or Path()), simulator.group_size)
    pieces = [
        Piece(_shard_name(i), size, (*own, seed, namespace, i * shard, size))
        for i, size in enumerate(_sizes(n, shard))
    ]
    Store(folder, Shards(spec)).run(_shard, pieces, workers, scheduler, "simulated cases", progress)
    return folder


def read_simulation(folder: str | Path, n_shards: int | None = None) -> Simulation:
    """Read a simulation that ``write_simulation`` wrote to ``folder``, or its first ``n_shards``.

    Raises
    ------
    InputError : no such folder, shards that are missing, or files of another schema.
    """
    folder = Path(folder)
    manifest = _MANIFEST.read(folder)
    if manifest is None:
        raise InputError(
            f"{folder.name} holds no simulation; make one with `bayesesi simulate NAME -o FOLDER`"
        )
    try:
        spec = SimulatorSpec.model_validate(manifest["spec"])
        n, shard = int(manifest["n"]), int(manifest["shard"])
        seed, namespace = int(manifest["seed"]), str(manifest["namespace"])
        if not (1 <= n <= MOST and shard >= 1):
            raise ValueError
        sizes = list(_sizes(n, shard))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"{folder / _MANIFEST.file} is damaged ({type(error).__name__}); simulate it again"
        ) from error
    batches: list[Batch] = []
    for i, size in list(enumerate(sizes))[:n_shards]:
        own = Shards(spec).read(folder / _shard_name(i), size)
        if own is None:
            raise InputError(
                f"{folder.name} lacks {_shard_name(i)}; run the same `bayesesi simulate` again to "
                "finish it"
            )
        batches.extend(own)
    return Simulation(spec, seed, namespace, tuple(batches))


@dataclass(frozen=True)
class Shards(Pieces[Sequence[Batch]]):
    """Hold whole blocks of cases of the simulator ``spec``, as safetensors."""

    spec: SimulatorSpec

    def is_there(self, path: Path, size: int) -> bool:
        return path.is_file()  # written whole: not worth reading gigabytes

    def read(self, path: Path, size: int) -> Sequence[Batch] | None:
        if not path.is_file():
            return None
        batches = list(_read_shard(path, self.spec))
        if sum(map(len, batches)) != size:
            raise InputError(f"{path.name} holds another number of cases; delete it and run again")
        return batches

    def write(self, value: Sequence[Batch], draft: Path) -> None:
        _write_shard(draft, value)


def _shard(
    spec_json: str, spec_folder: str, session: int, seed: int, namespace: str, start: int, n: int
) -> Sequence[Batch]:
    """Simulate cases ``start`` to ``start + n``, in whatever process."""
    spec = SimulatorSpec.model_validate_json(spec_json)
    spec._folder = Path(spec_folder)
    return Simulator(spec, session).simulate(n, seed, namespace, start).batches


def _sizes(n: int, shard: int) -> Iterator[int]:
    """Cases of each shard."""
    for start in range(0, n, shard):
        yield min(shard, n - start)


def _shard_name(i: int) -> str:
    return f"shard-{i:05d}.safetensors"


def _write_shard(draft: Path, batches: Iterable[Batch]) -> None:
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
    # one entry: with more, the file's bytes would depend on a hash table's order
    save_file(arrays, draft, metadata={"shard": json.dumps({"schema": SCHEMA, "batches": header})})


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
            f"{path.name} is not a readable shard ({error}); delete it and simulate again"
        ) from error
    if known != SCHEMA:
        raise InputError(f"{path.name} has schema {known!r}, not {SCHEMA}; simulate it again")


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
