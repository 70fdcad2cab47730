"""Distances along a cortex to what is near: shipped, kept, or computed when they are asked for.

A row costs about 4 ms (heat method). Those of the template that shipped models need, up to 60 mm
from each of its 5,124 sources, are an asset. Of other sources only the rows that are asked for are
computed; each process leaves what it computed in a file of the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.cache import cache_entry, read_arrays, write_arrays
from bayesesi.anatomy.mesh import CorticalMesh

#: Of the asset: its name, and how far it reaches, m.
ASSET, REACH = "template-geodesics.safetensors", 0.06
#: Bits of a distance of 2^-10 to 2^-4 m in single precision, below which all are alike.
_LEAST_BITS, _LOW_BITS = 117 << 23, 24
#: Files of a cortex that are kept before they become one, and rows that take some seconds.
_MOST_FILES, _SECONDS = 24, 500


#: Sources of the template whose distances ship.
_N_SHIPPED = 5124


class GeodesicRows:
    """Distances up to a radius along the cortex of one source space, a row a source.

    Parameters
    ----------
    mesh : the cortex. vertices : (S,) those that carry a source. radius : m.
    """

    def __init__(self, mesh: CorticalMesh, vertices: NDArray[np.int64], radius: float) -> None:
        self._mesh, self._vertices, self._radius = mesh, np.asarray(vertices), radius
        self._whole: sp.csr_array | None = shipped_rows(mesh, vertices, radius)
        self._rows: dict[int, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        key = (mesh.positions, mesh.triangles, self._vertices, np.array([radius]))
        self._entry = cache_entry("geodesic-rows", key)
        self._parts: list[Path] = []
        if self._whole is None:
            self._read()

    def __call__(self, sources: NDArray[np.integer], progress: bool = False) -> sp.csr_array:
        """Find the (n, S) distances from n sources, m, float32; the zero to itself is stored.

        Parameters
        ----------
        sources : (n,) indices. progress : show a bar where that takes some seconds.
        """
        if self._whole is None:
            self._compute(np.unique(sources), progress)
            if len(self._rows) == len(self._vertices):
                self._whole = _matrix([self._rows[s] for s in range(len(self._rows))])
                self._rows = {}
        if self._whole is not None:
            return sp.csr_array(self._whole[np.asarray(sources)])
        return _matrix([self._rows[int(s)] for s in sources], len(self._vertices))

    def _compute(self, sources: NDArray[np.integer], progress: bool) -> None:
        missing = [int(s) for s in sources if int(s) not in self._rows]
        if not missing:
            return
        mesh, vertices = self._mesh, self._vertices
        for s in _shown(missing, progress):
            row = mesh.geodesic_from(vertices[s])[vertices]
            near = np.flatnonzero(row <= self._radius)
            self._rows[s] = near.astype(np.int32), row[near].astype(np.float32)
        self._write(missing)

    def _read(self) -> None:
        """Take over what earlier processes left."""
        self._parts = [self._entry, *sorted(self._entry.parent.glob(f"{self._entry.stem}-*"))]
        for part in self._parts:
            held = read_arrays(part)
            if held is None:
                continue
            sources = held.get("sources", np.arange(len(held["indptr"]) - 1))
            ends = held["indptr"]
            for k, s in enumerate(sources):
                cut = slice(ends[k], ends[k + 1])
                self._rows[int(s)] = held["indices"][cut], held["data"][cut]

    def _write(self, new: list[int]) -> None:
        """Leave new rows in a file of their own, or all in one where there are many files."""
        old: list[Path] = []
        if len(self._rows) == len(self._vertices):
            new, old, path = list(range(len(self._rows))), self._parts[1:], self._entry
        else:
            if len(self._parts) > _MOST_FILES:
                new, old = sorted(self._rows), self._parts[1:]
            name = sha256(np.array(new).tobytes()).hexdigest()[:12]
            path = self._entry.with_name(f"{self._entry.stem}-{name}.safetensors")
        rows = _matrix([self._rows[s] for s in new], len(self._vertices))
        arrays = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr}
        if path != self._entry:
            arrays["sources"] = np.array(new, np.int32)
        if write_arrays(path, arrays):
            for part in old:
                if part != path:
                    part.unlink(missing_ok=True)
            self._parts = [self._entry, *(p for p in self._parts[1:] if p not in old), path]


def _matrix(
    rows: list[tuple[NDArray[np.int32], NDArray[np.float32]]], n_sources: int | None = None
) -> sp.csr_array:
    width = n_sources or len(rows)
    if not rows:
        return sp.csr_array((0, width), dtype=np.float32)
    indptr = np.r_[0, np.cumsum([len(near) for near, _ in rows])].astype(np.int32)
    indices = np.concatenate([near for near, _ in rows])
    data = np.concatenate([distance for _, distance in rows])
    return sp.csr_array((data, indices, indptr), shape=(len(rows), width))


def _shown(missing: list[int], progress: bool) -> Iterator[int]:
    if not progress or len(missing) < _SECONDS:
        yield from missing
        return
    from rich.console import Console
    from rich.progress import track

    what = "distances along the cortex (kept for next time)"
    yield from track(missing, what, console=Console(stderr=True), transient=True)


def shipped_rows(
    mesh: CorticalMesh, vertices: NDArray[np.int64], radius: float
) -> sp.csr_array | None:
    """Find the (S, S) distances of the template's 5,124 sources; None for other sources.

    Parameters
    ----------
    mesh : the cortex. vertices : (S,) those that carry a source.
    radius : m; None is found beyond ``REACH``.
    """
    if len(vertices) != _N_SHIPPED or radius > REACH:
        return None
    whole, known = _asset()
    if fingerprint(mesh, vertices) != known:
        return None
    if radius == REACH:
        return whole
    inside = whole.data <= radius
    indptr = np.r_[0, np.cumsum(inside)][whole.indptr]
    return sp.csr_array((whole.data[inside], whole.indices[inside], indptr), whole.shape)


@cache
def _asset() -> tuple[sp.csr_array, str]:
    from safetensors import safe_open

    path = files("bayesesi") / "assets" / ASSET
    with safe_open(str(path), framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return unpacked(arrays), str(file.metadata()["fingerprint"])


def fingerprint(mesh: CorticalMesh, vertices: NDArray[np.int64]) -> str:
    """Hash the places of sources and of their cortex, to a micrometre, and the triangles.

    Parameters
    ----------
    mesh : the cortex. vertices : (S,) those that carry a source.
    """
    digest = sha256()
    for part in (np.round(1e6 * mesh.positions), mesh.triangles, vertices):
        digest.update(np.asarray(part, np.int64).tobytes())
    return digest.hexdigest()


def packed(rows: sp.csr_array) -> dict[str, NDArray[Any]]:
    """Pack distances without loss into 26 bits each, and 1 bit for each pair of a hemisphere.

    Parameters
    ----------
    rows : (S, S) distances of 2^-10 to 2^-4 m, and 0 to itself, between S / 2 sources a side.
    """
    half = rows.shape[0] // 2
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    near = np.zeros((2 * half, half), bool)
    near[owner, rows.indices % half] = True
    bits = rows.data[rows.data > 0].view(np.uint32) - _LEAST_BITS
    assert bits.max() < 1 << 26
    low = (bits.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]).copy()
    high = (bits >> _LOW_BITS).astype(np.uint8)
    high = np.r_[high, np.zeros(-len(high) % 4, np.uint8)].reshape(-1, 4)
    return {
        "near": np.packbits(near, axis=1),
        "low": low,
        "high": (high << np.array([0, 2, 4, 6], np.uint8)).sum(axis=1, dtype=np.uint8),
    }


def unpacked(arrays: dict[str, NDArray[Any]]) -> sp.csr_array:
    """Unpack what ``packed`` gave.

    Parameters
    ----------
    arrays : ``near`` (S, S / 16) bits, ``low`` (n, 3) and ``high`` (n / 4,) bytes.
    """
    n = len(arrays["near"])
    half = n // 2
    near = np.unpackbits(arrays["near"], axis=1, count=half)
    owner, column = np.divmod(np.flatnonzero(near.view(bool)), half)
    indices = (column + half * (owner >= half)).astype(np.int32)
    low = np.zeros((len(arrays["low"]), 4), np.uint8)
    low[:, :3] = arrays["low"]
    low[:, 3] = ((arrays["high"][:, None] >> np.array([0, 2, 4, 6])) & 3).ravel()[: len(low)]
    data = np.zeros(len(owner), np.float32)
    data[owner != indices] = (low.view("<u4")[:, 0] + np.uint32(_LEAST_BITS)).view(np.float32)
    indptr = np.r_[0, np.cumsum(np.bincount(owner, minlength=n))].astype(np.int32)
    return sp.csr_array((data, indices, indptr), shape=(n, n))


def write_geodesics(mesh: CorticalMesh, vertices: NDArray[np.int64], path: str | Path) -> None:
    """Compute and write the asset: some 20 s.

    Parameters
    ----------
    mesh : the template's cortex. vertices : (5,124,) those that carry a source. path : of the file.
    """
    from safetensors.numpy import save_file

    rows = []
    for vertex in vertices:
        row = mesh.geodesic_from(vertex)[vertices]
        near = np.flatnonzero(row <= REACH)
        rows.append((near.astype(np.int32), row[near].astype(np.float32)))
    header = {
        "schema": "1",
        "mesh": "fsaverage5",
        "method": "heat method of potpourri3d, Crane et al. 2013, doi:10.1145/2516971.2516977",
        "radius_m": str(REACH),
        "fingerprint": fingerprint(mesh, vertices),
    }
    save_file(packed(_matrix(rows)), path, metadata=header)
