"""Diagnose a posterior from trials: coverage, tests and scores, by the kind of case.

Every quantity is one that the posterior itself selects or that depends on the data, so that its
rank is uniform under the exact posterior (nearly, where draws select and are then ranked: within
.003 at 100 draws); coverage over "truly active sources" is not nominal even there, and over all
sources, most of them silent, anything passes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import LOBES, Parcellation, template_parcellation
from bayesesi.calibration.forecast_scores import Scores, forecast_scores
from bayesesi.calibration.ranks import (
    FALSE_ALARM,
    highest_density_mass,
    randomised_ranks,
    uniformity,
)
from bayesesi.calibration.reliability import N_BOOT, Interval, Reliability, reliability
from bayesesi.calibration.repair import (
    MARGIN_LEVELS,
    Repair,
    drawn_active,
    interval_coverage,
    likeliest_moment,
    total_moment,
)
from bayesesi.calibration.trials import CLOSED_LEVELS, Trials
from bayesesi.errors import InputError
from bayesesi.spec.base import Table
from bayesesi.spec.source import ACTIVE_SHARE

#: Ranks, and which case each is of.
Ranks = tuple[NDArray[np.float64], NDArray[np.int64]]
#: Levels at which coverage is asked.
ASKED_LEVELS: tuple[float, ...] = tuple(np.linspace(0.05, 0.95, 11).round(3).tolist())
#: A region counts where the posterior gives it this probability or more.
SELECTED_REGION = 0.05
#: Below every number a field has: where it has none.
_NONE = -1.0
#: Kinds of case: of what, and where they part.
KINDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "snr_db": ("SNR, dB", (0.0, 10.0)),
    "depth_mm": ("depth, mm", (25.0, 40.0)),
    "sources": ("sources", (1.5, 2.5)),
    "channels": ("channels", (31.5, 63.5)),
    "skull": ("skull over the assumed", (0.67, 1.5)),
    "cap_mm": ("cap off by, mm", (6.0, 10.0)),
}
#: Cases that a kind needs to be told.
_LEAST_KIND = 20


class Coverage(Table):
    """Hold the coverage of one quantity.

    Attributes
    ----------
    at : levels, 0 to 1. found : share of ranks at or below each. n : ranks, of ``cases`` cases.
    deviation : mean over levels of |found - level|, interval over cases.
    by_kind : deviation, 0 to 1, in each part of each kind of case, and how many cases; None for
        too few.
    """

    at: tuple[float, ...]
    found: tuple[float, ...]
    n: int
    cases: int
    deviation: Interval
    by_kind: dict[str, tuple[tuple[float | None, int], ...]]


class RankTest(Table):
    """Test by simulation-based calibration whether one rank a case is uniform.

    Attributes
    ----------
    p_value : probability, 0 to 1. n : number of cases.
    """

    p_value: float
    n: int


class Repaired(Table):
    """Hold the same cases after repair.

    Attributes
    ----------
    deviation : of the ranks of each quantity. reliability : of probabilities.
    intervals : of ``region`` and ``total``: level, share held raw, share held repaired.
    """

    deviation: dict[str, Interval]
    reliability: Reliability
    intervals: dict[str, tuple[tuple[float, float, float], ...]]


class Diagnosis(Table):
    """Hold coverage, tests and scores of ``n`` trials of ``n_draws`` draws, and after the repair.

    Attributes
    ----------
    coverage : of each quantity. tests : of each statistic; ``passed`` at ``FALSE_ALARM`` of all
        tests together (Bonferroni). reliability : of probabilities. scores : of forecasts.
    closed : CaliBrain's quantity at ``CLOSED_LEVELS``: share of all sources in closed central
        intervals, which means little by itself. seconds : mean s of a case.
    repaired : the same after repair; None without one.
    """

    n: int
    n_draws: int
    coverage: dict[str, Coverage]
    tests: dict[str, RankTest]
    reliability: Reliability
    scores: Scores
    closed: tuple[float, ...]
    seconds: float
    repaired: Repaired | None = None

    @property
    def passed(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Statistics whose ranks are not uniform."""
        at = FALSE_ALARM / max(len(self.tests), 1)
        return tuple(name for name, test in self.tests.items() if test.p_value < at)

    @property
    def closed_deviation(self) -> float:
        """Mean over levels of |closed - level|."""
        return float(np.abs(np.array(self.closed) - CLOSED_LEVELS).mean())


def diagnose(
    trials: Trials,
    repair: Repair | None = None,
    share: float = ACTIVE_SHARE,
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> Diagnosis:
    """Diagnose trials of a solver that gives draws.

    Parameters
    ----------
    trials : 20 or more. repair : from other trials; what it achieves is measured too.
    share : of the energy that makes a region active, 0 to 1. seed : of ranks and bootstrap.
    n_boot : number of bootstrap samples.

    Raises
    ------
    InputError : scores alone, or fewer than 20 cases.
    """
    if not trials.n_draws:
        raise InputError(
            "a diagnosis needs draws; a solver with only scores can have conformal sets only"
        )
    if len(trials) < _LEAST_KIND:
        raise InputError(
            f"{len(trials)} cases are too few to measure calibration; give at least 20"
        )
    rng = np.random.default_rng(seed)
    active = drawn_active(trials, share)
    probability = active.mean(axis=1)
    ranks = _all_ranks(trials, probability, rng)
    tested = _tested(trials, rng)
    return Diagnosis(
        n=len(trials),
        n_draws=trials.n_draws,
        coverage={
            name: _coverage(pit, case, trials, seed, n_boot) for name, (pit, case) in ranks.items()
        },
        tests={
            name: RankTest(p_value=float(f"{uniformity(pit).p_value:.3g}"), n=len(pit))
            for name, pit in tested.items()
        },
        reliability=reliability(probability, trials.active, seed, n_boot),
        scores=forecast_scores(trials, seed, n_boot),
        closed=tuple(float(f"{v:.4g}") for v in trials.closed.mean(axis=0)),
        seconds=float(f"{trials.seconds.mean():.3g}"),
        repaired=None if repair is None else _repaired(trials, active, ranks, repair, seed, n_boot),
    )


def make_repair(trials: Trials, share: float = ACTIVE_SHARE, seed: int = 0) -> Repair:
    """Fit the repair to trials that are used for nothing else.

    Parameters
    ----------
    trials : with draws. share : of the energy that makes a region active, 0 to 1.
    seed : of the ranks.
    """
    probability = drawn_active(trials, share).mean(axis=1)
    ranks = _all_ranks(trials, probability, np.random.default_rng(seed))
    return Repair.of(trials, {name: pit for name, (pit, _) in ranks.items()}, share)


def _repaired(
    trials: Trials,
    active: NDArray[np.bool_],
    ranks: dict[str, Ranks],
    repair: Repair,
    seed: int,
    n_boot: int,
) -> Repaired:
    moments = {
        "region": (repair.region_moment, likeliest_moment(trials, active)),
        "total": (repair.total_moment, total_moment(trials)),
    }
    return Repaired(
        deviation={
            name: _coverage(repair.ranks[name](pit), case, trials, seed, n_boot).deviation
            for name, (pit, case) in ranks.items()
        },
        reliability=reliability(
            repair.probability(active.mean(axis=1)), trials.active, seed, n_boot
        ),
        intervals={
            name: tuple(
                (
                    level,
                    round(interval_coverage(None, *known, level), 4),
                    round(interval_coverage(own, *known, level), 4),
                )
                for level in MARGIN_LEVELS
            )
            for name, (own, known) in moments.items()
        },
    )


def _all_ranks(
    trials: Trials, probability: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Ranks]:
    return {name: of(trials, probability, rng) for name, of in _QUANTITIES.items()}


def _in_regions(draws: str, truth: str) -> Callable[..., Ranks]:
    """Ranks in regions that the posterior selects, and which case each is of."""

    def ranks(trials: Trials, probability: NDArray[np.float64], rng: np.random.Generator) -> Ranks:
        case, region = np.nonzero(probability >= SELECTED_REGION)
        own = getattr(trials, draws)[case, :, region]
        return randomised_ranks(getattr(trials, truth)[case, region], own, rng), case

    return ranks


def _of_sources(
    trials: Trials, probability: NDArray[np.float64], rng: np.random.Generator
) -> Ranks:
    case, which = np.nonzero(np.isfinite(trials.source_pit))
    return trials.source_pit[case, which].astype(float), case


def _of_total(trials: Trials, probability: NDArray[np.float64], rng: np.random.Generator) -> Ranks:
    return randomised_ranks(trials.true_total, trials.total, rng), np.arange(len(trials))


def _of_centre(trials: Trials, probability: NDArray[np.float64], rng: np.random.Generator) -> Ranks:
    """Along each axis of the head."""
    each = [
        randomised_ranks(_known(trials.true_centre[:, i]), _known(trials.centre[:, :, i]), rng)
        for i in range(3)
    ]
    return np.concatenate(each), np.tile(np.arange(len(trials)), 3)


_QUANTITIES: dict[str, Callable[..., Ranks]] = {
    "energy of likely regions": _in_regions("energy", "true_energy"),
    "moment of likely regions": _in_regions("moment", "true_moment"),
    "energy of likely sources": _of_sources,
    "total moment": _of_total,
    "centre of energy": _of_centre,
}
QUANTITIES: tuple[str, ...] = tuple(_QUANTITIES)


def _known(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fields without energy have no centre: all alike, below any."""
    return np.where(np.isfinite(values), values, _NONE)


def _coverage(
    pit: NDArray[np.float64], case: NDArray[np.int64], trials: Trials, seed: int, n_boot: int
) -> Coverage:
    """By sums over cases, so that drawing cases anew is one product."""
    below = np.zeros((len(trials), len(ASKED_LEVELS)))
    np.add.at(below, case, (pit[:, None] <= ASKED_LEVELS).astype(float))
    count = np.bincount(case, minlength=len(trials)).astype(float)
    rng = np.random.default_rng([seed, 1])
    drawn = rng.multinomial(len(trials), np.full(len(trials), 1 / len(trials)), size=n_boot)
    found = below.sum(axis=0) / max(count.sum(), 1)
    again = drawn @ below / np.maximum(drawn @ count, 1)[:, None]
    return Coverage(
        at=ASKED_LEVELS,
        found=tuple(float(f"{v:.4g}") for v in found),
        n=len(pit),
        cases=int((count > 0).sum()),
        deviation=Interval.of(_deviation(found), np.array([_deviation(f) for f in again])),
        by_kind={name: _of_kind(name, below, count, trials) for name in KINDS},
    )


def _of_kind(
    name: str, below: NDArray[np.float64], count: NDArray[np.float64], trials: Trials
) -> tuple[tuple[float | None, int], ...]:
    edges, values = KINDS[name][1], trials.stratum(name)
    part = np.searchsorted(edges, values, side="right")
    rows = []
    for k in range(len(edges) + 1):
        # what has no event has no depth and no SNR
        own = (part == k) & np.isfinite(values) & (trials.loud | (name in ("channels", "cap_mm")))
        n = int((own & (count > 0)).sum())
        some = below[own].sum(axis=0) / max(count[own].sum(), 1)
        rows.append((round(_deviation(some), 4) if n >= _LEAST_KIND else None, n))
    return tuple(rows)


def _deviation(found: NDArray[np.float64]) -> float:
    return float(np.abs(found - ASKED_LEVELS).mean())


def _tested(trials: Trials, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """(n,) one rank a case of each statistic."""
    regions = template_parcellation(4)
    main, true_main = _main_region(trials.energy), _main_region(trials.true_energy)
    # how many have this main region, the truth among them: without it draws, which count
    # themselves, would have more than it
    every = np.concatenate([main, true_main[:, None]], axis=1)
    share = (every[:, :, None] == np.arange(-1, len(regions.regions))).mean(axis=1)
    row = np.arange(len(trials))[:, None]
    found = {
        "log-likelihood": randomised_ranks(-trials.true_misfit, -trials.misfit, rng),
        "highest density": highest_density_mass(
            share[row[:, 0], 1 + true_main], share[row, 1 + main], rng
        ),
        "total moment": randomised_ranks(trials.true_total, trials.total, rng),
        # TARP with a reference that depends on the data (Lemos et al. 2023, arXiv:2302.03026)
        "distance from the best fit": randomised_ranks(
            _apart(trials.true_centre, trials.reference),
            _apart(trials.centre, trials.reference[:, None]),
            rng,
        ),
    }
    for lobe in LOBES:
        inside = _in_lobe(regions, lobe)
        truth, draws = trials.true_energy @ inside, trials.energy @ inside
        found[f"energy of the {lobe} lobe"] = randomised_ranks(truth, draws, rng)
    return found


def _main_region(energy: NDArray[np.floating]) -> NDArray[np.int64]:
    """Region of the most energy, -1 where there is none."""
    return np.where(energy.max(axis=-1) > 0, energy.argmax(axis=-1), -1)


def _apart(places: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.float64]:
    return _known(np.linalg.norm(places - reference, axis=-1))


def _in_lobe(regions: Parcellation, lobe: str) -> NDArray[np.float64]:
    return np.array([float(region.lobe == lobe) for region in regions.regions])
