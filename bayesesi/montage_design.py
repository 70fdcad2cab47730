"""Before a recording: where on the cortex a montage can see a source, and how well it places it.

One patch of cortex of a given extent and moment p is put at every place r in turn, in a head that
is drawn, under white noise of one electrode's size. Of N draws v each, the posterior of its place
is worked out exactly on the same grid of places: what a source looks like in heads that are not
known is Gaussian, with the mean square of what it looks like in H other heads (as in
``posterior.dipole``),

    v | r, t ~ N(0, I + t A A'),    A = (g_1(r) ... g_H(r)) / sqrt(H),

t = p² for moments p that are not known (log-uniform on a grid), places alike by area. With the
eigenvalues l_j and vectors u_j of A' A,

    log p(v | r, t) = sum_j (t (u_j' A' v)² / (1 + t l_j) - log(1 + t l_j)) / 2 + const.

Expected are the distance of the most probable place from the true one and the area of the smallest
set of places that holds it with a probability.

It is one source, at one moment, and the best that can be had of it; no number of a patient. Errors
that networks make on simulated cases follow the same order of places (``tests.oracle.plan``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import (
    SourceSpace,
    template_parcellation,
    template_source_space,
)
from bayesesi.errors import InputError, some
from bayesesi.forward import MONTAGES, BankedHead, HeadSetting, montage_sensors, template_bank
from bayesesi.noise import NoiseCovariance, make_whitener
from bayesesi.prior import HeadPrior, read_prior
from bayesesi.prior.focal import PatchPrior

if TYPE_CHECKING:
    import pandas as pd

#: Levels of the template: of places, and of the sources that patches are made of.
PLACES, _SOURCES = 3, 4
#: Heads behind the answer, heads that truths are in, draws a place.
_HEADS, _TRUE_HEADS, _TIMES = 24, 24, 4
#: Moments that are weighed, over the true one.
_MOMENTS = np.geomspace(0.2, 5.0, 5)
#: Draws that are weighed together.
_TOGETHER = 256
#: mm up to which a place counts as seen.
SEEN_MM = 20.0


@dataclass(frozen=True, eq=False)
class Plan:
    """What a montage can see.

    Attributes
    ----------
    montage : its name. n_channels : electrodes. space : (P,) places.
    error_mm : (P,) mean distance of the most probable place from the true one.
    set_cm2 : (P,) mean area of the set of ``level``. held : (P,) how often it held the truth.
    snr_db : (P,) power of the source over that of noise, all channels. level, moment_nAm, noise_uV,
        extent_mm : what was asked.
    """

    montage: str
    n_channels: int
    space: SourceSpace
    error_mm: NDArray[np.float64]
    set_cm2: NDArray[np.float64]
    held: NDArray[np.float64]
    snr_db: NDArray[np.float64]
    level: float
    moment_nAm: float
    noise_uV: float
    extent_mm: float

    def __repr__(self) -> str:
        return (
            f"<Plan {self.montage} | {self.n_channels} electrodes, median error "
            f"{np.median(self.error_mm):.0f} mm, {self.seen:.0%} of the cortex seen>"
        )

    @property
    def seen(self) -> float:
        """Share of the cortex whose sources are placed within ``SEEN_MM`` on average."""
        return float(self.space.areas @ (self.error_mm <= SEEN_MM) / self.space.areas.sum())

    def table(self) -> pd.DataFrame:
        """List regions, one a row, with means by area.

        Columns are ``region``, ``side``, ``lobe``, ``error_mm``, ``set_cm2``, ``snr_db``.
        """
        import pandas as pd

        atlas = template_parcellation(PLACES)
        weights = atlas.membership * self.space.areas
        weights = weights / weights.sum(axis=1, keepdims=True)
        columns = {
            name: weights @ getattr(self, name) for name in ("error_mm", "set_cm2", "snr_db")
        }
        return pd.DataFrame(
            {
                "region": atlas.names,
                "side": [region.side for region in atlas.regions],
                "lobe": [region.lobe for region in atlas.regions],
                **columns,
            }
        )


def plan(
    montage: str = "eeg64",
    *,
    head: str = "template-nominal",
    moment_nAm: float = 60.0,
    noise_uV: float = 1.5,
    extent_mm: float = 10.0,
    level: float = 0.9,
    seed: int = 0,
) -> Plan:
    """Compute the expected error and set by place.

    Parameters
    ----------
    montage : one of ``forward.MONTAGES``. head : a prior of heads: what is not known of them.
    moment_nAm : of the source, at its peak. noise_uV : of an electrode, after averaging.
    extent_mm : sd of the patch along the cortex. level : probability that a set should hold.
    seed : of heads and noise.

    Raises
    ------
    InputError : a montage that is none, numbers that make no sense.
    """
    for name, value, low, high in (
        ("moment_nAm", moment_nAm, 0.1, 1e5),
        ("noise_uV", noise_uV, 1e-3, 1e3),
        ("extent_mm", extent_mm, 2.0, 50.0),
        ("level", level, 0.5, 0.99),
    ):
        if not low <= float(value) <= high:
            raise InputError(f"{name} is a number from {low:g} to {high:g}, not {some([value])}")
    heads = read_prior(head)
    if not isinstance(heads, HeadPrior):
        raise InputError(f"head is a prior of heads, such as template-nominal, not {some([head])}")
    sensors = montage_sensors(montage)
    noise = NoiseCovariance.adhoc(sensors.names, sensors.kinds, {"eeg": 1e-6 * noise_uV})
    whitener = make_whitener(noise, sensors.kinds)
    banked = BankedHead(template_bank(), HeadSetting(), sensors.positions, _SOURCES)
    modes = _patch_modes(extent_mm)
    views = []
    for number, n in ((0, _HEADS), (1, _TRUE_HEADS)):
        block = ("validate", seed, number)
        rows = heads.whitened_rows(banked, whitener.matrix, n, block)[1]
        views.append(np.stack([modes @ row.T for row in rows]))  # (H, P, n_eff)
    moment = 1e-9 * moment_nAm
    known, true = views[0], views[1] * moment
    space = template_source_space(PLACES)
    rng = np.random.default_rng([seed, 11])
    scan = _Scan.of(known, moment, space.areas)
    told = np.zeros((3, space.n_sources))
    for _ in range(_TIMES):
        place = np.arange(space.n_sources)
        v = true[rng.integers(len(true), size=len(place)), place]
        noisy = (v + rng.standard_normal(v.shape)).astype(np.float32)
        told += scan.told(noisy, space, level) / _TIMES
    power = (true**2).mean(axis=(0, 2))
    return Plan(
        montage,
        len(sensors),
        space,
        told[0],
        told[1],
        told[2],
        10 * np.log10(power),
        level,
        moment_nAm,
        noise_uV,
        extent_mm,
    )


def plans(montages: Sequence[str], progress: bool = False, **options: float | str) -> list[Plan]:
    """Compute a plan for each of ``montages``, with options of ``plan``; ``progress`` shows a bar.

    Raises
    ------
    InputError : no montage, or one that is none.
    """
    from rich.progress import track

    unknown = [name for name in montages if name not in MONTAGES]
    if unknown or not montages:
        raise InputError(f"montage is one or more of {', '.join(MONTAGES)}, not {some(unknown)}")
    rows = track(montages, "weighing places", disable=not progress)
    return [plan(name, **options) for name in rows]  # type: ignore[arg-type]


@cache
def _patch_modes(extent_mm: float) -> NDArray[np.float32]:
    """(P, B) patches at every place in the bank's source modes."""
    prior = read_prior("focal", ico=_SOURCES)
    assert isinstance(prior, PatchPrior)
    centres = template_source_space(PLACES).index_in(template_source_space(_SOURCES))
    n = len(centres)
    shapes = prior.shapes(
        {
            "centre": centres,
            "extent_mm": np.full(n, extent_mm),
            "profile": np.zeros(n, np.int64),
            "edge": np.zeros((n, 3)),
        }
    )
    return np.asarray(shapes @ template_bank().cortex_modes(_SOURCES).T, np.float32)


@dataclass(frozen=True, eq=False)
class _Scan:
    """Likelihood of a source at every place.

    Attributes
    ----------
    rows : (P, H, n_eff) u_j' A'. values : (P, H) l_j. sizes : (M,) t. log_area : (P,).
    """

    rows: NDArray[np.float32]
    values: NDArray[np.float64]
    sizes: NDArray[np.float64]
    log_area: NDArray[np.float64]

    @classmethod
    def of(cls, views: NDArray[np.float32], moment: float, areas: NDArray[np.float64]) -> _Scan:
        """From (H, P, n_eff) V~/(A m)."""
        looks = np.moveaxis(views.astype(float), 0, 1) / np.sqrt(len(views))  # (P, H, n_eff)
        values, vectors = np.linalg.eigh(looks @ looks.transpose(0, 2, 1))
        rows = vectors.transpose(0, 2, 1) @ looks
        sizes = (moment * _MOMENTS) ** 2
        return cls(rows.astype(np.float32), np.maximum(values, 0), sizes, np.log(areas))

    def log_likelihood(self, v: NDArray[np.float32]) -> NDArray[np.float64]:
        """(P, N) of (N, n_eff), sizes summed out, up to what is alike for all places."""
        p, h, n = self.rows.shape
        seen = (self.rows.reshape(p * h, n) @ v.T).reshape(p, h, -1) ** 2
        each = []
        for t in self.sizes:
            gain = (t / (2 * (1 + t * self.values))).astype(np.float32)
            fit = np.einsum("ph,phn->pn", gain, seen)
            each.append(fit - 0.5 * np.log1p(t * self.values).sum(axis=1)[:, None])
        return np.asarray(np.logaddexp.reduce(each, axis=0))

    def told(self, v: NDArray[np.float32], space: SourceSpace, level: float) -> NDArray[np.float64]:
        """(3, P) error in mm, area of the set in cm², whether it holds the truth: draw p of
        (P, n_eff) is of place p."""
        found = np.empty((3, len(v)))
        for first in range(0, len(v), _TOGETHER):
            own = np.arange(first, min(first + _TOGETHER, len(v)))
            log = self.log_likelihood(v[own]) + self.log_area[:, None]
            share = np.exp(log - log.max(axis=0))
            share /= share.sum(axis=0)
            # places by density, the densest first
            order = np.argsort(-(share / space.areas[:, None]), axis=0)
            sorted_share = np.take_along_axis(share, order, axis=0)
            before = np.cumsum(sorted_share, axis=0) - sorted_share
            inside = before < level
            area = np.where(inside, space.areas[order], 0).sum(axis=0)
            apart = space.positions[order[0]] - space.positions[own]
            rank = np.argsort(order, axis=0)[own, np.arange(len(own))]
            found[0, own] = 1e3 * np.linalg.norm(apart, axis=1)
            found[1, own] = 1e4 * area
            found[2, own] = inside[rank, np.arange(len(own))]
        return found
