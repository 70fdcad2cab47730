"""Sum up a benchmark: means with intervals over cases, sets of one procedure, wins, curves.

Sets: "every" at 90 % by ``conformalize``, made on one half of a method's cases and tested on the
other, both ways, the same halves for every method (Vovk et al. 2005: split conformal). Intervals
are of the mean over cases drawn again (Efron 1979, doi:10.1214/aos/1176344552), 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.run import Benchmark
from bayesesi.benchmark.score import HIGHER, MEASURES
from bayesesi.calibration.reliability import reliability
from bayesesi.conformal import conformalize
from bayesesi.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: Of sets, and of the intervals of means; resamples; the fewest cases that make a set.
SET_LEVEL, LEVEL, _TIMES, _LEAST = 0.9, 0.95, 1_000, 20
#: Cases whose mean has no interval yet.
FEW = 5
#: Edges of the kinds of case by which curves are drawn, in the unit of the kind.
CURVES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "snr_db": ("SNR, dB", (-10, 0, 5, 10, 15, 25)),
    "channels": ("channels", (16, 30, 60, 100, 140)),
    "sources": ("sources", (0.5, 1.5, 2.5, 3.5, 5.5, 10.5)),
    "depth_mm": ("depth below the scalp, mm", (10, 20, 27, 35, 80)),
    "extent_mm": ("extent, mm", (3, 7, 12, 20, 41)),
    "skull": ("skull over the assumed", (0.1, 0.5, 0.8, 1.25, 2, 4)),
    "cap_mm": ("cap off by, mm", (0, 6, 10, 15, 60)),
}


@dataclass(frozen=True)
class Mean:
    """Hold a mean over cases with its 95 % interval, in the unit of the measure.

    Attributes
    ----------
    value, low, high : a scalar and its interval, which has no width for fewer than ``FEW`` cases;
        NaN for none. n : number of cases.
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Mean:
        """Average values and draw the cases again for the interval.

        Parameters
        ----------
        values : (n,), any unit; those that are not finite are left out.
        """
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(float("nan"), float("nan"), float("nan"), 0)
        if len(known) < FEW:
            return cls(*(float(known.mean()),) * 3, len(known))
        rng = np.random.default_rng(len(known))
        again = known[rng.integers(len(known), size=(_TIMES, len(known)))].mean(axis=1)
        low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(known.mean()), float(low), float(high), len(known))

    def __str__(self) -> str:
        if not self.n:
            return "–"
        if self.low == self.high:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def means(
    found: Benchmark, condition: str | None = None, fewest: bool = False
) -> dict[str, dict[str, Mean]]:
    """Average every measure of every method: method -> measure -> mean.

    Parameters
    ----------
    found : the answers. condition : whose cases are taken; all if None.
    fewest : take those cases alone that every method was given.
    """
    rows = found.rows
    if fewest:
        rows = rows[shared_cases(found)]
    if condition is not None:
        rows = rows[rows["condition"] == condition]
    return {
        str(name): {each: Mean.of(part[each].to_numpy(float)) for each in MEASURES}
        for name, part in rows.groupby("method", sort=False)
    }


def shared_cases(found: Benchmark) -> NDArray[np.bool_]:
    """Mask the (rows,) of cases that every method was given, whether it answered or not.

    Parameters
    ----------
    found : the answers.
    """
    methods = found.rows["method"].nunique()
    asked = found.rows.groupby(["condition", "case"])["method"].transform("nunique")
    return np.asarray(asked == methods)


def sets(found: Benchmark) -> dict[str, tuple[Mean, Mean]]:
    """Measure each method's sets: share that held every active region, share of the cortex.

    Parameters
    ----------
    found : the answers; methods with fewer than 40 cases with scores are left out.
    """
    table = {}
    shares = template_parcellation(4).shares
    for name, part in found.rows.groupby("method", sort=False):
        own = part.index.to_numpy()
        own = own[np.isfinite(found.scores[own]).all(axis=1)] if found.scores.size else own[:0]
        if len(own) < 2 * _LEAST:
            continue
        held, area = np.full(len(own), np.nan), np.full(len(own), np.nan)
        turn = np.arange(len(own)) % 2
        for half in (0, 1):
            made, told = own[turn == half], own[turn != half]
            rule = conformalize(found.scores[made], found.active[made], SET_LEVEL, "every")
            inside = rule.inside(found.scores[told])
            held[turn != half] = (inside | ~found.active[told]).all(axis=1)
            area[turn != half] = inside @ shares
        table[str(name)] = Mean.of(held), Mean.of(area)
    return table


def reliabilities(found: Benchmark) -> dict[str, tuple[str, str, str]]:
    """Measure slope, ECE on [.05, .95] and Brier skill of methods that give probabilities.

    Parameters
    ----------
    found : the answers.
    """
    table = {}
    for name, part in found.rows.groupby("method", sort=False):
        own = part.index.to_numpy()
        if found.probability.size:
            own = own[np.isfinite(found.probability[own]).all(axis=1)]
        if not found.probability.size or len(own) < _LEAST:
            continue
        try:
            each = reliability(found.probability[own], found.active[own])
        except InputError:  # none is between the ends
            continue
        table[str(name)] = str(each.slope), str(each.ece), str(each.brier_skill)
    return table


def wins(found: Benchmark, measure: str) -> pd.DataFrame:
    """Compute the share of the cases both have in which the row's method beats the column's.

    Parameters
    ----------
    found : the answers. measure : one of ``MEASURES``.
    """
    import pandas as pd

    rows = found.rows.assign(key=found.rows["condition"] + " " + found.rows["case"].astype(str))
    wide = rows.pivot_table(index="key", columns="method", values=measure, sort=False)
    better = -1.0 if measure in HIGHER else 1.0
    table = pd.DataFrame(np.nan, index=list(wide.columns), columns=list(wide.columns))
    for first in wide.columns:
        for second in wide.columns:
            apart = better * (wide[second] - wide[first]).dropna()
            if first != second and len(apart):
                table.loc[first, second] = float((apart > 0).mean() + 0.5 * (apart == 0).mean())
    return table


def curves(
    found: Benchmark, measure: str, names: list[str]
) -> dict[str, tuple[NDArray[np.float64], dict[str, list[Mean]]]]:
    """Average a measure along each kind of case: kind -> middles of its bins, and method -> means.

    Kinds that do not vary are left out.

    Parameters
    ----------
    found : the answers. measure : one of ``MEASURES``. names : of methods.
    """
    table = {}
    for kind, (_, edges) in CURVES.items():
        values = found.rows[kind].to_numpy(float)
        bins = np.digitize(values, edges) - 1
        inside = (bins >= 0) & (bins < len(edges) - 1) & np.isfinite(values)
        used = [b for b in range(len(edges) - 1) if (inside & (bins == b)).sum() > 0]
        if len(used) < 2:
            continue
        own = {
            name: [
                Mean.of(
                    found.rows[measure].to_numpy(float)[
                        inside & (bins == b) & (found.rows["method"] == name).to_numpy()
                    ]
                )
                for b in used
            ]
            for name in names
        }
        middles = np.array([np.median(values[inside & (bins == b)]) for b in used])
        table[kind] = middles, own
    return table


def failures(found: Benchmark) -> dict[str, tuple[int, str]]:
    """Count the cases that each method failed on, and take the first reason.

    Parameters
    ----------
    found : the answers.
    """
    bad = found.rows[found.rows["reason"] != ""]
    return {
        str(name): (len(part), str(part["reason"].iloc[0]))
        for name, part in bad.groupby("method", sort=False)
    }


def best_first(found: Benchmark, measure: str) -> list[str]:
    """Sort methods by their mean, those without one last.

    Parameters
    ----------
    found : the answers. measure : one of ``MEASURES``.
    """
    values = {name: each[measure] for name, each in means(found).items()}
    sign = -1.0 if measure in HIGHER else 1.0
    return sorted(values, key=lambda n: (not values[n].n, sign * values[n].value))
