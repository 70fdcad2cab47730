"""What a source may be: a centre, an extent, a size of its moment, each on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.prior import DipolePrior, PatchPrior, block_generator, distribution_of
from bayesesi.spec.source import Profile

#: Sizes of a moment that are weighed where the unit is known and where not, and extents.
_N_SIZES, _N_SIZES_UNKNOWN, _N_EXTENTS = 10, 12, 6
#: Of a source's moment at its peak, its root mean square over a window: log-uniform between these.
#: A spike fills a tenth of a long window, a steady source in a short one all of it.
_RMS_OF_PEAK = (0.2, 1.0)
#: Spread of the log of a head's gain over another's; quantiles of all sizes that are weighed.
_LOG_GAIN, _TAILS = 0.4, (0.002, 0.998)
#: Where the unit is unknown: power of a source over that of noise, mean over sensors and time.
_POWER_RANGE = (1e-3, 1e3)


@dataclass(frozen=True, eq=False)
class Atoms:
    """Every centre at every extent; atom ``e * n_centres + i`` is centre i at extent e.

    Attributes
    ----------
    weights : (A, S) sparse, rows summing to 1.
    centres : (N,) sources that may be a centre; log_place : (N,) log probability as the first one.
    extents_mm : (E,), alike before the data; 0 for points.
    """

    weights: sp.csr_array
    centres: NDArray[np.int64]
    log_place: NDArray[np.float64]
    extents_mm: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<Atoms | {self.n_centres} centres × {self.n_extents} extents>"

    @property
    def n_centres(self) -> int:
        return len(self.centres)

    @property
    def n_extents(self) -> int:
        return len(self.extents_mm)

    @property
    def log_prior(self) -> NDArray[np.float64]:
        """(A,) log probability of each, as the first source."""
        return np.tile(self.log_place, self.n_extents) - np.log(self.n_extents)


def make_atoms(prior: PatchPrior | DipolePrior, n_extents: int = _N_EXTENTS) -> Atoms:
    """Make every centre that ``prior`` allows, at ``n_extents`` extents.

    They are the middles of equal shares of the prior's extents. Patches are Gaussian whatever the
    prior's profiles: on 5,124 sources discs look alike.

    Raises
    ------
    InputError : a prior of other sources.
    """
    if not isinstance(prior, PatchPrior | DipolePrior):
        raise InputError(
            f"sources of a {type(prior).__name__} cannot be weighed one by one; use a prior of "
            "family patch or dipole, such as 'focal'"
        )
    centres = np.flatnonzero(prior.weights > 0)
    log_place = np.log(prior.weights[centres])
    if isinstance(prior, DipolePrior):
        return Atoms(prior.shapes({"centre": centres}), centres, log_place, np.zeros(1))
    with block_generator("validate", 0, 0):
        drawn = distribution_of(prior.spec.extent_mm).sample((4096,)).double().numpy()
    extents = np.quantile(drawn, middles(n_extents))
    centre, extent = np.tile(centres, n_extents), np.repeat(extents, len(centres))
    n = len(centre)
    sites = {
        "centre": centre,
        "extent_mm": extent,
        "profile": np.zeros(n, np.int64),
        "edge": np.zeros((n, 3)),
    }
    return Atoms(prior.shapes(sites), centres, log_place, extents)


def shape_variants(
    prior: PatchPrior | DipolePrior, atoms: Atoms, extent: int, n: int
) -> list[sp.csr_array]:
    """Draw ``n`` times (N, S) what each centre may stand for at one of the extents, by its index.

    A source is no atom of the grid: its ``extent`` lies anywhere in the share of the ``prior`` that
    the grid's stands for, its profile is any of the prior's, its centre lies between sources.
    ``atoms`` are the grid.
    """
    rng = np.random.default_rng(extent)
    return [_variant(prior, atoms, extent, rng) for _ in range(n)]


def _variant(
    prior: PatchPrior | DipolePrior, atoms: Atoms, extent: int, rng: np.random.Generator
) -> sp.csr_array:
    from scipy.spatial import cKDTree

    centres = atoms.centres
    positions = prior.source_space.positions[centres]
    near = cKDTree(positions).query(positions, min(7, len(centres)))[1].reshape(len(centres), -1)
    beside = near[np.arange(len(centres)), rng.integers(near.shape[1], size=len(centres))]
    share = rng.uniform(0, 0.5, len(centres))
    sites: dict[str, NDArray[Any]] = {"centre": centres}
    if isinstance(prior, PatchPrior):
        with block_generator("validate", 0, 0):
            drawn = distribution_of(prior.spec.extent_mm).sample((4096,)).double().numpy()
        level = (extent + rng.random(len(centres))) / atoms.n_extents
        names: list[Profile] = list(prior.spec.profile)
        kinds = np.array([get_args(Profile).index(name) for name in names])
        chances = np.array([prior.spec.profile[name] for name in names])
        sites |= {
            "extent_mm": np.quantile(drawn, level),
            "profile": rng.choice(kinds, len(centres), p=chances / chances.sum()),
            "edge": rng.standard_normal((len(centres), 3)),
        }
    rows = prior.shapes(sites)
    return sp.csr_array(sp.diags_array(1 - share) @ rows + sp.diags_array(share) @ rows[beside])


def moment_sizes(
    prior: PatchPrior | DipolePrior, obs: Observation, topographies: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose (M,) A m root mean squares of a moment over the window, and (M,) log probabilities.

    Those of ``known_sizes`` of ``prior``. Where the unit of ``obs`` is unknown the prior's nAm mean
    nothing: sizes are then alike before the data, and such that a source of median gain, among
    ``topographies`` (..., n_eff), has between a thousandth and a thousand times the noise's power.
    """
    if obs.scale_known:
        return known_sizes(prior)
    gain = float(np.median((topographies**2).mean(axis=-1)))
    course = float((obs.time_basis.projector**2).sum(axis=0).mean())
    power = np.geomspace(*_POWER_RANGE, _N_SIZES_UNKNOWN)
    return np.sqrt(power / (gain * course)), np.full(len(power), -np.log(len(power)))


def known_sizes(
    prior: PatchPrior | DipolePrior,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose (M,) A m root mean squares of a moment over the window, and (M,) log probabilities.

    Evenly spaced in logs over what the moments of ``prior``, how a course of time fills the window
    and how much stronger or weaker than drawn a head may show it allow.
    """
    with block_generator("validate", 0, 1):
        peak = distribution_of(prior.spec.moment_nAm).sample((4096,)).double().numpy()
    rng = np.random.default_rng(0)
    low, high = (float(np.log(share)) for share in _RMS_OF_PEAK)
    log = np.log(peak * 1e-9) + rng.uniform(low, high, 4096) + _LOG_GAIN * rng.standard_normal(4096)
    ends = np.quantile(log, _TAILS)
    grid = np.linspace(ends[0], ends[1], _N_SIZES)
    nearest = np.abs(log[:, None] - grid).argmin(axis=1)
    return np.exp(grid), np.log(np.bincount(nearest, minlength=_N_SIZES) / len(log))


def middles(n: int) -> NDArray[np.float64]:
    """Compute the middles (n,) of ``n`` equal shares of [0, 1]."""
    return (np.arange(n) + 0.5) / n
