"""Sum up draws of the field in one pass: regions, peaks, centres, misfit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation, active_regions, region_energy
from bayesesi.observation import Observation
from bayesesi.posterior.draws import FieldDraws, PerSource
from bayesesi.spec.source import ACTIVE_SHARE

#: A source counts in a draw with this share of the largest moment density.
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Summary:
    """Hold what n draws add up to, in one pass over them.

    Attributes
    ----------
    region_energy : (n, P): integral of |q|² dA over each region, see ``anatomy.region_energy``.
    active : (n, P) which regions are active.
    region_peak : (n, P) A m: largest size over the window of the summed moment of each region.
    source_probability : (S,) share of draws with any activity in which the source's moment density
        (root mean square over the window) is at least half of the largest.
    peak : (n,) source of the largest such density, -1 where a draw has no activity.
    centre : (n, 3) m: mean place of the energy, NaN where there is none. total : (n,) A m: largest
        size over the window of the summed moment of all sources. misfit : (n,) |v~ - L~ J|².
    region_moment : (n, P[, 3], R) A m: summed moment of each region, coefficients in time.
    on_rise : (n, 2) source of the largest moment density at the two samples of
        ``Observation.rise``, -1 where a draw has no activity; (n, 0) where the window has no rise.
    latents : (n,) each: what else the family knows of a draw, see ``Posterior.latents``.

    P is 0 for sources that are on no cortex.
    """

    region_energy: NDArray[np.float64]
    active: NDArray[np.bool_]
    region_peak: NDArray[np.float64]
    source_probability: NDArray[np.float64]
    peak: NDArray[np.int64]
    centre: NDArray[np.float64]
    total: NDArray[np.float64]
    misfit: NDArray[np.float64]
    region_moment: NDArray[np.float64]
    on_rise: NDArray[np.int64]
    latents: Mapping[str, NDArray[Any]]

    @property
    def silent(self) -> NDArray[np.bool_]:
        """(n,) draws in which nothing is active."""
        return np.asarray(self.peak < 0)

    @classmethod
    def joined(cls, parts: list[Summary]) -> Summary:
        """Join the summaries of several sets of draws, ``parts``, one after the other."""
        if len(parts) == 1:
            return parts[0]
        active = np.array([int((part.peak >= 0).sum()) for part in parts])
        share = active / max(int(active.sum()), 1)
        each = {
            f.name: np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(cls)
            if f.name not in ("source_probability", "latents")
        }
        probability = [w * p.source_probability for w, p in zip(share, parts, strict=True)]
        names = parts[0].latents
        latents = {name: np.concatenate([part.latents[name] for part in parts]) for name in names}
        return cls(**each, source_probability=np.sum(probability, axis=0), latents=latents)


def sum_up(
    draws: FieldDraws,
    regions: Parcellation | None,
    share: float = ACTIVE_SHARE,
    latents: Mapping[str, NDArray[Any]] | None = None,
) -> Summary:
    """Sum draws up.

    Parameters
    ----------
    draws : D fields.
    regions : of the sources, P of them; None for sources that are on no cortex.
    share : of a draw's energy, from which a region is active, 0 to 1.
    latents : (D,) each, by name; passed on.
    """
    obs = draws.obs
    energy = draws.energy()
    areas = source_areas(obs)
    density = _over(_root(energy), areas)
    largest, peak = _largest(density)
    active = largest > 0
    of_regions = np.zeros((len(draws), 0)) if regions is None else region_energy(energy, regions)
    moment = draws.moments(regions)
    size = _largest_sizes(moment, obs)
    return Summary(
        of_regions,
        active_regions(of_regions, share) if of_regions.size else of_regions > 0,
        size[:, 1:],
        _at_half(density, largest) / max(int(active.sum()), 1),
        np.where(active, peak, -1),
        _centre(energy, obs),
        size[:, 0],
        ((obs.values - draws.explained()) ** 2).sum(axis=(1, 2)),
        moment[:, 1:],
        _on_rise(draws, areas, active),
        latents or {},
    )


def source_areas(obs: Observation) -> NDArray[np.float64]:
    """Return (S,) m² of cortex of ``obs``; 1 for sources that are on none.

    The moments of those count as such.
    """
    space = obs.source_space
    return space.areas if space.mesh is not None else np.ones(space.n_sources)


def _root(energy: PerSource) -> PerSource:
    return energy.sqrt() if sp.issparse(energy) else np.sqrt(energy)


def _over(values: PerSource, areas: NDArray[np.float64]) -> PerSource:
    """(D, S) over (S,)."""
    if not isinstance(values, sp.csr_array):
        return values / areas
    data = values.data / areas[values.indices]
    return sp.csr_array((data, values.indices, values.indptr), values.shape)


def _largest(values: PerSource) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(D,) largest of (D, S) numbers from 0 on, and the first source that has it."""
    if not isinstance(values, sp.csr_array):
        return values.max(axis=1), values.argmax(axis=1)
    some = np.flatnonzero(np.diff(values.indptr))
    first = values.indptr[some]
    largest, peak = np.zeros(values.shape[0]), np.zeros(values.shape[0], np.int64)
    if len(some):
        largest[some] = np.maximum.reduceat(values.data, first)
        hits = np.flatnonzero(values.data == np.repeat(largest, np.diff(values.indptr)))
        peak[some] = values.indices[hits[np.searchsorted(hits, first)]]
    return largest, peak


def _at_half(density: PerSource, largest: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S,) in how many draws with any activity a source has half of the largest or more."""
    if not isinstance(density, sp.csr_array):
        active = largest > 0
        return np.asarray((density[active] >= _HALF * largest[active, None]).sum(axis=0), float)
    own = np.repeat(largest, np.diff(density.indptr))
    counts = density.indices[(own > 0) & (density.data >= _HALF * own)]
    return np.bincount(counts, minlength=density.shape[1]).astype(float)


def _centre(energy: PerSource, obs: Observation) -> NDArray[np.float64]:
    """(D, 3) m."""
    total = np.asarray(energy.sum(axis=1)).reshape(-1, 1)
    places = np.asarray(energy @ obs.source_space.positions)
    return np.divide(places, total, out=np.full_like(places, np.nan), where=total > 0)


def _largest_sizes(moment: NDArray[np.float64], obs: Observation) -> NDArray[np.float64]:
    """(D, 1 + P) A m: largest size over time of moments (D, 1 + P[, 3], R)."""
    out = np.zeros(moment.shape[:2])
    some = moment.reshape(*out.shape, -1).any(axis=2)
    course = moment[some] @ obs.time_basis.functions.T
    size = np.abs(course) if course.ndim == 2 else np.linalg.norm(course, axis=1)
    out[some] = size.max(axis=1, initial=0.0)
    return out


def _on_rise(
    draws: FieldDraws, areas: NDArray[np.float64], active: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """See ``Summary.on_rise``."""
    rise = draws.obs.rise
    found = np.full((len(draws), 0 if rise is None else 2), -1)
    for k, sample in enumerate(rise or ()):
        found[:, k] = np.where(active, _largest(_over(draws.size_at(sample), areas))[1], -1)
    return found
