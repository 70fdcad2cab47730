"""Repair probabilities of regions and intervals of moments by simulated cases.

Probabilities by isotonic regression (Zadrozny & Elkan 2002). Intervals by conformalized quantiles
(Romano, Patterson & Candes 2019, arXiv:1905.03222), each end by itself and on a logarithmic scale:
with E the log of how far a truth y lies beyond the draws' quantile,

    E_high = log y - log q_high,   E_low = log q_low - log y,

the k-th smallest E of the cases moves that end, k = ceil((n + 1) (1 + level) / 2), so that the
interval holds y with probability ``level`` or more over exchangeable cases; between the levels that
are kept margins are interpolated, and there it does so nearly. The cases are those in which
something is active, one moment each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import model_validator

from bayesesi.anatomy import active_regions
from bayesesi.calibration.trials import Trials
from bayesesi.conformal import conformal_rank
from bayesesi.errors import InputError
from bayesesi.spec.base import Table
from bayesesi.spec.source import ACTIVE_SHARE

#: Levels at which margins are kept; those between are interpolated.
MARGIN_LEVELS: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Draws with activity that an interval of a moment needs, at least; knots of a curve.
LEAST_DRAWS, _KNOTS = 20, 101
_TINY = 1e-30


class ProbabilityRepair(Table):
    """Map stated to calibrated probability by a rising curve, straight between its knots.

    Attributes
    ----------
    said, calibrated : as many probabilities, 0 to 1, neither of which ever falls.
    """

    said: tuple[float, ...]
    calibrated: tuple[float, ...]

    @model_validator(mode="after")
    def _rises(self) -> ProbabilityRepair:
        x, y = np.array(self.said), np.array(self.calibrated)
        if len(x) != len(y) or len(x) < 2:
            raise ValueError("said and calibrated are as many numbers, two at least")
        if (np.diff(x) < 0).any() or (np.diff(y) < 0).any():
            raise ValueError("said and calibrated never fall")
        if min(x[0], y[0]) < 0 or max(x[-1], y[-1]) > 1:
            raise ValueError("said and calibrated lie from 0 to 1")
        return self

    @classmethod
    def of(cls, probability: NDArray[np.floating], active: NDArray[np.bool_]) -> ProbabilityRepair:
        """Fit the curve by isotonic regression.

        Parameters
        ----------
        probability : (n, P), 0 to 1. active : (n, P) which regions are active.
        """
        from sklearn.isotonic import IsotonicRegression

        fit = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        fit.fit(np.ravel(probability).astype(float), np.ravel(active).astype(float))
        x = np.linspace(0, 1, _KNOTS)
        y = np.maximum.accumulate(fit.predict(x))
        return cls(said=_short(x), calibrated=_short(y))

    def __call__(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Calibrate probabilities, in their shape.

        Parameters
        ----------
        probability : any shape, 0 to 1.
        """
        return np.asarray(np.interp(np.asarray(probability), self.said, self.calibrated))


class MomentRepair(Table):
    """Hold how far the ends of an interval must move.

    Attributes
    ----------
    levels : rising, 0 to 1. low, high : (L,) log factors by which its ends move outwards.
    n : number of cases.
    """

    levels: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int

    @model_validator(mode="after")
    def _alike(self) -> MomentRepair:
        if not len(self.levels) == len(self.low) == len(self.high) >= 1:
            raise ValueError("levels, low and high are as many numbers")
        if (np.diff(self.levels) <= 0).any():
            raise ValueError("levels rise")
        return self

    @classmethod
    def of(cls, truth: NDArray[np.floating], draws: NDArray[np.floating]) -> MomentRepair:
        """Fit the margins of each level; levels for which n cases are too few are left out.

        Parameters
        ----------
        truth : (n,) A m, above 0. draws : (n, D) A m, above 0; NaN where a draw has none.

        Raises
        ------
        InputError : too few cases for any level.
        """
        y = np.log(np.maximum(np.asarray(truth, float), _TINY))
        x = np.log(np.maximum(np.asarray(draws, float), _TINY))
        margins, kept = [], []
        for level in MARGIN_LEVELS:
            rank = conformal_rank(len(y), (1 + level) / 2) if len(y) else 1
            if rank > len(y):
                break
            kept.append(level)
            low, high = np.nanquantile(x, [(1 - level) / 2, (1 + level) / 2], axis=1)
            margins.append((np.sort(low - y)[rank - 1], np.sort(y - high)[rank - 1]))
        if not kept:
            raise InputError(
                f"{len(y)} cases in which the likeliest region is active are too few to repair "
                "intervals; calibrate on more"
            )
        low, high = np.array(margins).T
        return cls(levels=tuple(kept), low=_short(low), high=_short(high), n=len(y))

    def __call__(
        self, low: ArrayLike, high: ArrayLike, level: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Repair an interval; ends that would cross meet in their middle.

        0 to infinity at levels beyond those that the cases were enough for.

        Parameters
        ----------
        low, high : ends of one shape, A m. level : 0 to 1.
        """
        if level > self.levels[-1] + 1e-9:
            return np.zeros(np.shape(low)), np.full(np.shape(high), np.inf)
        down, up = (np.interp(level, self.levels, m) for m in (self.low, self.high))
        ends = np.asarray(low, float) * np.exp(-down), np.asarray(high, float) * np.exp(up)
        middle = np.sqrt(ends[0] * ends[1])
        return np.minimum(ends[0], middle), np.maximum(ends[1], middle)


class RankRepair(Table):
    """Map ranks of a quantity to uniform ones by their law F (Kuleshov, Fenner & Ermon 2018,
    arXiv:1807.00263).

    Attributes
    ----------
    quantiles : (101,) ranks at even probabilities, 0 to 1.
    """

    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, pit: NDArray[np.floating]) -> RankRepair:
        """Fit the law of ranks.

        Parameters
        ----------
        pit : (n,), 0 to 1.
        """
        return cls(quantiles=_short(np.quantile(pit, np.linspace(0, 1, _KNOTS))))

    def __call__(self, pit: NDArray[np.floating]) -> NDArray[np.float64]:
        """Compute F(rank), in the shape of the ranks.

        Parameters
        ----------
        pit : any shape, 0 to 1.
        """
        return np.asarray(np.interp(pit, self.quantiles, np.linspace(0, 1, _KNOTS)))


class Repair(Table):
    """Hold all repairs, from ``n`` cases that also serve the fit of the OOD detector.

    Attributes
    ----------
    probability : of "this region is active". region_moment : of the moment of the likeliest
        region, given that it is active. total_moment : of all sources.
    ranks : of each quantity of the diagnosis.
    """

    n: int
    probability: ProbabilityRepair
    region_moment: MomentRepair
    total_moment: MomentRepair
    ranks: dict[str, RankRepair]

    @classmethod
    def of(
        cls, trials: Trials, ranks: dict[str, NDArray[np.float64]], share: float = ACTIVE_SHARE
    ) -> Repair:
        """Fit every repair.

        Parameters
        ----------
        trials : with draws. ranks : (m,) PIT of each quantity, by name.
        share : of the energy that makes a region active, 0 to 1.

        Raises
        ------
        InputError : too few cases for any level of an interval.
        """
        active = drawn_active(trials, share)
        return cls(
            n=len(trials),
            probability=ProbabilityRepair.of(active.mean(axis=1), trials.active),
            region_moment=MomentRepair.of(*likeliest_moment(trials, active)),
            total_moment=MomentRepair.of(*total_moment(trials)),
            ranks={name: RankRepair.of(pit) for name, pit in ranks.items()},
        )


def drawn_active(trials: Trials, share: float = ACTIVE_SHARE) -> NDArray[np.bool_]:
    """Tell which regions are active in each draw, (n, D, P).

    Parameters
    ----------
    trials : n, with D draws each. share : of the energy that makes a region active, 0 to 1.
    """
    n, d, p = trials.energy.shape
    return active_regions(trials.energy.astype(float).reshape(-1, p), share).reshape(n, d, p)


def likeliest_moment(
    trials: Trials, active: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Collect truths (m,) and draws (m, D), A m, of the likeliest region where it is active.

    Parameters
    ----------
    trials : n, with D draws each. active : (n, D, P) which regions are active in each draw.
    """
    probability = active.mean(axis=1)
    first = probability.argmax(axis=1)
    rows = np.arange(len(trials))
    own = active[rows, :, first]
    kept = trials.active[rows, first] & (own.sum(axis=1) >= LEAST_DRAWS)
    draws = np.where(own, trials.moment[rows, :, first], np.nan)
    return trials.true_moment[rows, first][kept].astype(float), draws[kept].astype(float)


def total_moment(trials: Trials) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Collect truths (m,) and draws (m, D), A m, of the total moment in cases with an event.

    Parameters
    ----------
    trials : n, with D draws each.
    """
    draws = np.where(trials.total > 0, trials.total, np.nan).astype(float)
    kept = trials.loud & (np.isfinite(draws).sum(axis=1) >= LEAST_DRAWS)
    return trials.true_total[kept].astype(float), draws[kept]


def interval_coverage(
    repair: MomentRepair | None,
    truth: NDArray[np.float64],
    draws: NDArray[np.float64],
    level: float,
) -> float:
    """Compute the share of truths within the central interval of the draws.

    Parameters
    ----------
    repair : of the interval; None for the raw one. truth : (m,) A m.
    draws : (m, D) A m, NaN where a draw has none. level : 0 to 1.
    """
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=1)
    if repair is not None:
        low, high = repair(low, high, level)
    return float(((low <= truth) & (truth <= high)).mean())


def _short(values: ArrayLike) -> tuple[float, ...]:
    return tuple(float(f"{v:.5g}") for v in np.asarray(values, float))
