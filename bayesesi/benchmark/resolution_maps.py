"""Map the peak error and spread of single sources for any method, on one head.

The response of a method at source s to source k alone is

    M_sk = |j^_s(v_k)| / |j_k|,    v_k = L~_k j_k without noise, as large as an SNR says,

for K sources spread over the cortex. Column k, of all S, is the point-spread function of source k;
row s, of the K that were tried, the cross-talk function of the estimate at s: which of them it is
made of. Peaks of the two are not of the same grid: do not compare their errors. Of a linear method
that is its resolution matrix (Hauk et al. 2022, doi:10.1016/j.neuroimage.2022.119177); of any other
it holds at that SNR, for sources that are active alone. All methods are run as elsewhere, a
posterior by its mean. See ``resolution``, whose kernels are the oracle of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_source_space
from bayesesi.benchmark.answers import answer_of
from bayesesi.benchmark.cases import Condition
from bayesesi.benchmark.methods import TUNED, chosen, methods
from bayesesi.benchmark.resolution import Width, point_spreads, width
from bayesesi.benchmark.run import slug
from bayesesi.benchmark.tasks import RESOLUTION, SEED
from bayesesi.errors import InputError
from bayesesi.io.folders import run_folder
from bayesesi.io.store import JsonTables, Piece, Pieces, Store
from bayesesi.observation import Observation

SCHEMA = 2
#: Head, cap and noise: 64 electrodes, all as assumed.
CONDITION = Condition("single-frame", "one moment, 64 electrodes")
#: Power of a source over that of noise, dB; level of the cortex whose sources are tried.
SNR_DB, _LEVEL = 10.0, 2
#: Sources a job.
_PIECE = 18


@dataclass(frozen=True, eq=False)
class SingleSources:
    """Hold the widths of all methods.

    Attributes
    ----------
    sources : (K,) of the 5,124, those that were tried. snr_db : at which.
    psf, ctf : method -> widths (K,) of point-spread and cross-talk functions, see ``Width``. A
        function that is 0 everywhere counts as a guess: a flat one, any source of which may be its
        peak.
    failed : method -> how many sources were in pieces that failed, and the first reason; such a
        method has no widths.
    """

    sources: NDArray[np.int64]
    snr_db: float
    psf: dict[str, Width]
    ctf: dict[str, Width]
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<SingleSources | {len(self.sources)} sources, {len(self.psf)} methods>"


def run_single_sources(
    names: list[str] | None = None,
    out: str | Path | None = None,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> SingleSources:
    """Map single sources by the methods named, all but slow and tuned ones if none.

    Parameters
    ----------
    names : of methods. out : folder of finished maps, one in the user's cache folder if not given;
        a run that was stopped goes on. workers, scheduler : see ``parallel.run_jobs``.
    progress : show bars, and print ``out``.

    Raises
    ------
    InputError : no such method, or one that needs its setting chosen.
    """
    found = chosen(names, "cortex")
    if names is None:
        fast = [m for m in found if not m.slow and not m.needs]
        found = [m for m in fast if not m.name.endswith(TUNED)]
    elif any(method.name.endswith(TUNED) for method in found):
        raise InputError(f"single sources have no setting to choose; leave {TUNED!r} off a name")
    out = run_folder("benchmark", "answers", progress=progress) if out is None else out
    place, sources = Path(out).absolute() / RESOLUTION, tried()
    starts = range(0, len(sources), _PIECE)
    store = Store(place, _Responses({slug(each.name): _about(each.name) for each in found}))
    wanted = {
        each.name: [
            Piece(f"{slug(each.name)}/{start:05d}.json", 1, (each.name, start)) for start in starts
        ]
        for each in found
    }
    every = [piece for own in wanted.values() for piece in own]
    store.run(_piece, every, workers, scheduler, f"{RESOLUTION} maps", progress)
    psf, ctf, failed = {}, {}, {}
    space = template_source_space(4)
    for method in found:
        pieces = list(store.gather(wanted[method.name]))
        why = [piece["reason"] for piece in pieces if piece["reason"]]
        if why:
            n = sum(
                len(sources[s : s + _PIECE])
                for s, p in zip(starts, pieces, strict=True)
                if p["reason"]
            )
            failed[method.name] = n, why[0]
            continue
        spread = Width(
            *(np.concatenate([piece[k] for piece in pieces]).astype(float) for k in Width._fields)
        )
        rows = np.concatenate([piece["rows"] for piece in pieces], axis=0)
        where = space.positions[sources]
        psf[method.name] = _or_guess(spread, space.positions, where)
        ctf[method.name] = _or_guess(width(rows, where), where, where)
    return SingleSources(sources, SNR_DB, psf, ctf, failed)


@dataclass(frozen=True)
class _Responses(Pieces[dict[str, Any]]):
    """Tables in a folder a method; those of methods that failed are made again.

    Attributes
    ----------
    stamps : what tables of each folder are of.
    """

    stamps: dict[str, dict[str, Any]]

    def read(self, path: Path, size: int) -> dict[str, Any] | None:
        return self._tables(path).read(path)

    def write(self, value: dict[str, Any], draft: Path) -> None:
        self._tables(draft).write(value, draft)

    def is_there(self, path: Path, size: int) -> bool:
        table = self.read(path, size)
        return table is not None and not table["reason"]

    def _tables(self, path: Path) -> JsonTables:
        return JsonTables(self.stamps[path.parent.name], ("reason",))


def _or_guess(found: Width, positions: NDArray[np.float64], about: NDArray[np.float64]) -> Width:
    """Of functions that are 0 everywhere, what a flat one has."""
    apart = 1e3 * np.linalg.norm(positions[:, None] - about, axis=2)
    peak, spread = apart.mean(axis=0), np.sqrt((apart**2).mean(axis=0))
    silent = np.isnan(found.spread)
    return Width(np.where(silent, peak, found.peak_error), np.where(silent, spread, found.spread))


def tried() -> NDArray[np.int64]:
    """List the (K,) sources of the assumed cortex that a coarse one has too."""
    fine, coarse = template_source_space(4), template_source_space(_LEVEL)
    return np.asarray(coarse.index_in(fine), np.int64)


def responses(
    name: str, obs: Observation, sources: Sequence[int], snr_db: float = SNR_DB
) -> NDArray[np.float64]:
    """Compute (S, K) M_sk of a method.

    Parameters
    ----------
    name : of the method. obs : that is changed. sources : K indices.
    snr_db : dB of the source's power over the noise's.

    Raises
    ------
    InputError : a method without a map.
    """
    method = methods()[name]

    def solve(seen: Observation) -> NDArray[np.float64]:
        answer = answer_of(method.solve(seen, SEED, None), seen, SEED, method.sizes)
        if answer.size is None:
            raise InputError("a map is needed, and it has scores of regions alone")
        return answer.size

    found = point_spreads(solve, obs, sources, snr_db)
    seen = np.linalg.norm(obs.leadfield[:, list(sources)], axis=0)
    return np.asarray(found * seen / np.sqrt(10 ** (snr_db / 10) * obs.values.size))


def _about(name: str) -> dict[str, Any]:
    """What a piece depends on beside its sources."""
    return {
        "schema": SCHEMA,
        "case": CONDITION.fingerprint,
        "seed": SEED,
        "snr_db": SNR_DB,
        "method": methods()[name].fingerprint,
    }


def _piece(name: str, start: int) -> dict[str, Any]:
    """Map a piece of the sources by one method, in whatever process."""
    sources, space = tried(), template_source_space(4)
    own = sources[start : start + _PIECE]
    row: dict[str, Any] = {"reason": ""}
    try:
        found = responses(name, _assumed(), own.tolist())
        spread = width(found, space.positions, own)
        row |= {k: getattr(spread, k).tolist() for k in Width._fields}
        row["rows"] = found[sources].T.tolist()
    except Exception as error:  # a method that fails is a row with its reason
        row["reason"] = str(error).partition("\n")[0][:200] or type(error).__name__
    return row


@lru_cache(maxsize=1)
def _assumed() -> Observation:
    """Whose head, cap and covariance all responses are of; its data are replaced."""
    return CONDITION.case(0, SEED).obs
