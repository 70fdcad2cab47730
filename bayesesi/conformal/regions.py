"""Sets of cortical regions with a finite-sample guarantee, for the scores of any solver.

Split conformal prediction (Vovk, Gammerman & Shafer 2005; Angelopoulos & Bates 2023,
arXiv:2107.07511). Of n simulated cases with scores s (P,), larger where a region is more plausible,
each gives the threshold it would have needed,

    e_i = min over what must be inside of s_i,        set of a new case = {p : s_p >= q},

q the k-th largest of e_1..e_n, k = ceil((n + 1) level). Where the new case and the n are
exchangeable, the set holds what it must with probability level or more, and below level +
1 / (n + 1) where thresholds do not tie. Scores that are shares of draws do tie, most of them at 0:
ties are broken by lot, at less than half of a step, so that a threshold among zeros takes in
some of them and not the whole cortex. The lot of a recording follows from its scores.

Guarantees are given that something is active; a case without an active region has no threshold.

For a declared shift each case counts by how much likelier it is there (weighted exchangeability;
Tibshirani et al. 2019, arXiv:1904.06019): k becomes the share ``level`` of all weight, the new
case's own included. Weights are never known exactly, so that such a set is approximate.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some

#: "recall" with a confidence is MAPIE's risk control, whose bound holds with that probability.
Guarantee = Literal["every", "peak", "recall"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
#: Levels that may be asked for.
LEVELS = (0.5, 0.99)
#: Denominator to which a level is rounded: .9 means nine tenths, not the float beside it.
_DENOMINATOR = 10_000

_WORDS = {
    "every": "contains every active region in at least {level} of cases",
    "peak": "contains the region of the strongest activity in at least {level} of cases",
    "recall": "contains at least {level} of the active regions, on average over cases",
}
_OVER = (
    ", given that something is active, over cases exchangeable with the {n} simulated cases that "
    "it was built from"
)
_WEIGHTED = ", approximately: the cases were weighted for a declared shift"
_SURE = ", with {confidence:.0%} confidence over the choice of those cases"
#: Thresholds that MAPIE tries, at even ranks of the scores.
_TRIED = 100


@dataclass(frozen=True)
class RegionSet:
    """Hold the regions of one recording.

    Attributes
    ----------
    level : of the guarantee, 0.5 to 0.99. regions : names, the most plausible first.
    guarantee : in words. n_conformal : number of simulated cases behind it.
    whole : whether it had to be the whole cortex. area_cm2 : cm², NaN where unknown.
    share : share of the cortex, 0 to 1, NaN where unknown.
    """

    level: float
    regions: tuple[str, ...]
    guarantee: str
    n_conformal: int
    whole: bool
    area_cm2: float = float("nan")
    share: float = float("nan")

    def __repr__(self) -> str:
        size = f", {self.area_cm2:.0f} cm² ({self.share:.0%} of the cortex)"
        return (
            f"<RegionSet | {self.level:.0%}: {len(self.regions)} regions"
            f"{size if self.share == self.share else ''}, from {self.n_conformal} cases>"
        )


@dataclass(frozen=True, eq=False)
class ConformalRule:
    """Decide by their scores which regions are in a set.

    Attributes
    ----------
    guarantee : one of ``GUARANTEES``. level : 0.5 to 0.99.
    threshold : least score of a region in the set, without unit; -inf for the whole cortex.
    step : difference of scores, above 0, below which ties are broken by lot.
    n : number of cases it was made from. weighted : whether for a declared shift.
    confidence : probability that the cases are such that the guarantee holds; None where it holds
        on average over the cases as well.
    """

    guarantee: Guarantee
    level: float
    threshold: float
    step: float
    n: int
    weighted: bool = False
    confidence: float | None = None

    def __repr__(self) -> str:
        return f"<ConformalRule | {self.guarantee} at {self.level:.0%}, {self.n} cases>"

    @property
    def words(self) -> str:
        """The guarantee in words."""
        said = _WORDS[self.guarantee].format(level=f"{self.level:.0%}") + _OVER.format(n=self.n)
        if self.confidence is not None:
            said += _SURE.format(confidence=self.confidence)
        return said + (_WEIGHTED if self.weighted else "")

    def inside(self, scores: NDArray[np.floating], seed: int = 0) -> NDArray[np.bool_]:
        """Tell which regions are in the set of each case, in the shape of the scores.

        Parameters
        ----------
        scores : (n, P) or (P,), larger where a region is more plausible. seed : of the lot.

        Raises
        ------
        InputError : scores that are not finite numbers.
        """
        values = _scores(np.atleast_2d(scores))
        lot = np.random.default_rng([seed, 1, zlib.crc32(values.tobytes())])
        found = _told_apart(values, self.step, lot) >= self.threshold
        return found[0] if np.ndim(scores) == 1 else found

    def region_set(
        self, scores: NDArray[np.floating], names: Sequence[str], seed: int = 0
    ) -> RegionSet:
        """Make the set of one recording.

        Parameters
        ----------
        scores : (P,), larger where a region is more plausible. names : of the P regions.
        seed : of the lot that breaks ties.

        Raises
        ------
        InputError : another number of names than of scores.
        """
        values = np.asarray(scores, float)
        if values.shape != (len(names),):
            raise InputError(
                f"a set needs one score per region, got {len(names)} names and scores "
                f"{values.shape}"
            )
        inside = self.inside(values, seed)
        order = [p for p in np.argsort(-values, kind="stable") if inside[p]]
        regions = tuple(names[p] for p in order)
        return RegionSet(self.level, regions, self.words, self.n, bool(inside.all()))


def conformal_rank(n: int, level: float) -> int:
    """Compute k = ceil((n + 1) level): which of n sorted thresholds a set must respect.

    n + 1 where n cases are too few, so that only the whole cortex would do. The one place where
    this number is computed; level is rounded to four digits first, since (n + 1) .9 as a float may
    stand above a whole number.

    Parameters
    ----------
    n : number of cases, 1 or more. level : 0.5 to 0.99.

    Raises
    ------
    InputError : no cases, a level outside .5 to .99.
    """
    if n < 1:
        raise InputError(f"a conformal set needs cases, not {n}")
    if not (isinstance(level, Real) and LEVELS[0] <= level <= LEVELS[1]):
        raise InputError(f"level is a number from {LEVELS[0]} to {LEVELS[1]}, not {some([level])}")
    exact = Fraction(round(level * _DENOMINATOR), _DENOMINATOR) * (n + 1)
    return min(n + 1, -(-exact.numerator // exact.denominator))


def conformalize(
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_] | NDArray[np.integer],
    level: float = 0.9,
    guarantee: Guarantee = "every",
    step: float | None = None,
    seed: int = 0,
    *,
    weights: NDArray[np.floating] | None = None,
    confidence: float | None = None,
) -> ConformalRule:
    """Make the rule of a guarantee from cases that nothing else was chosen on.

    Parameters
    ----------
    scores : (n, P), larger where a region is more plausible: probabilities, or any map of any
        solver, one number a region. truth : (n, P) which regions are active; for ``"peak"`` (n,)
        the one of the strongest activity.
    level : of the guarantee, 0.5 to 0.99. seed : of the lot that breaks ties.
    guarantee : ``"every"``: all active regions are in the set; ``"peak"``: the strongest is;
        ``"recall"``: the expected share of active regions that are.
    step : smallest difference of scores that means something; 1 / draws for shares of draws. By
        default the smallest that is found.
    weights : (n + 1,) likelihood ratios of a declared shift to the cases, the new case's last; not
        for ``"recall"``. confidence : for ``"recall"``: the guarantee then holds with this
        probability over the cases, not on average over them as well.

    Raises
    ------
    InputError : shapes that do not fit, scores that are not finite numbers, no case with anything
        active, weights or a confidence where there are none.
    """
    if guarantee not in GUARANTEES:
        raise InputError(f"guarantee is one of {', '.join(GUARANTEES)}, not {some([guarantee])}")
    values = _scores(scores)
    active = _active(values, np.asarray(truth), guarantee)
    loud = np.asarray(active.any(axis=1))
    if not loud.any():
        raise InputError("nothing is active in any case; a set of regions needs cases with events")
    weigh = _weights(weights, loud, guarantee)
    values, active = values[loud], active[loud]
    own = _least_step(values) if step is None else _step(step)
    apart = _told_apart(values, own, np.random.default_rng([seed, 0]))
    rank = conformal_rank(len(values), level)
    if guarantee == "recall":
        threshold = _recall_threshold(apart, active, level, confidence)
    elif confidence is not None:
        raise InputError("a confidence is for the guarantee 'recall'; leave it out for the others")
    elif weigh is not None:
        needed = np.where(active, apart, np.inf).min(axis=1)
        threshold = _weighted_threshold(needed, weigh, level)
    else:
        needed = np.sort(np.where(active, apart, np.inf).min(axis=1))[::-1]
        threshold = float(needed[rank - 1]) if rank <= len(needed) else -np.inf
    return ConformalRule(
        guarantee, float(level), threshold, own, len(values), weigh is not None, confidence
    )


def _step(step: Any) -> float:
    if not (isinstance(step, Real) and 0 < float(step) < np.inf):
        raise InputError(f"step is a number above 0, not {some([step])}")
    return float(step)


def _weights(
    weights: NDArray[np.floating] | None, loud: NDArray[np.bool_], guarantee: str
) -> NDArray[np.float64] | None:
    """(n_loud + 1,), their sum 1."""
    if weights is None:
        return None
    found = np.asarray(weights, float)
    if guarantee == "recall" or found.shape != (len(loud) + 1,):
        raise InputError(
            f"weights are {len(loud) + 1} numbers, the new case's last, for 'every' and 'peak'"
        )
    if not (np.isfinite(found).all() and (found >= 0).all() and found[:-1][loud].sum() > 0):
        raise InputError("weights are finite numbers from 0 on, some of them above it")
    kept = np.r_[found[:-1][loud], found[-1]]
    return np.asarray(kept / kept.sum())


def _weighted_threshold(
    needed: NDArray[np.float64], weights: NDArray[np.float64], level: float
) -> float:
    """The largest q such that cases that need q or more have the share ``level`` of all weight."""
    order = np.argsort(-needed, kind="stable")
    held = np.cumsum(weights[:-1][order])
    enough = np.flatnonzero(held >= level - 1e-12)
    return float(needed[order[enough[0]]]) if len(enough) else -np.inf


def _recall_threshold(
    scores: NDArray[np.float64],
    active: NDArray[np.bool_],
    level: float,
    confidence: float | None,
) -> float:
    """The largest q at which (sum of missed shares + 1) / (n + 1) <= 1 - level (conformal risk
    control; Angelopoulos et al. 2024, arXiv:2208.02814, for a loss up to 1)."""
    if confidence is not None:
        return _sure_threshold(scores, active, level, confidence)
    n = len(scores)
    share = np.where(active, 1 / active.sum(axis=1, keepdims=True), 0.0)[active]
    order = np.argsort(-scores[active])
    # a region is missed where its score is below q: sum over those after it in the order
    missed = share.sum() - np.cumsum(share[order])
    fine = np.flatnonzero((missed + 1) / (n + 1) <= 1 - level + 1e-12)
    return float(scores[active][order[fine[0]]]) if len(fine) else -np.inf


def _sure_threshold(
    scores: NDArray[np.float64], active: NDArray[np.bool_], level: float, confidence: float
) -> float:
    """MAPIE's: Bernstein's bound on the expected share missed, with confidence (Bates et al. 2021,
    arXiv:2101.02703); the tighter one of Waudby-Smith & Ramdas takes it minutes."""
    from mapie.risk_control import MultiLabelClassificationController

    if not LEVELS[0] <= confidence <= LEVELS[1]:
        raise InputError(
            f"confidence is a number from {LEVELS[0]} to {LEVELS[1]}, not {confidence!r}"
        )
    # in ranks of what is active: MAPIE's thresholds are shares
    known = np.sort(scores[active])
    rank = np.searchsorted(known, scores, side="right") / len(known)
    tried = np.arange(1, _TRIED) / _TRIED
    control = MultiLabelClassificationController(
        lambda given: given,
        risk="recall",
        method="rcps",
        rcps_bound="bernstein",
        target_level=level,
        confidence_level=confidence,
        predict_params=tried,
    )
    share = np.where(active, rank, 0.0)
    control.calibrate(share, active.astype(int))
    found = float(np.ravel(control.best_predict_param)[0])
    if not np.isfinite(found) or found <= tried[0] + 1e-12:
        return -np.inf
    # regions are in a set where their rank is above the threshold
    above = known[np.searchsorted(np.arange(1, len(known) + 1) / len(known), found, "right") :]
    return float(above[0]) if len(above) else float(known[-1])


def _scores(values: NDArray[np.floating]) -> NDArray[np.float64]:
    try:
        if np.iscomplexobj(values):
            raise TypeError("complex")
        found = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise InputError("scores are real numbers (cases, regions)") from error
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise InputError(
            f"scores are finite numbers (cases, regions), not {found.shape}"
            f"{'' if np.isfinite(found).all() else ' with some that are not numbers'}"
        )
    return found


def _active(
    scores: NDArray[np.float64], truth: NDArray[np.generic], guarantee: str
) -> NDArray[np.bool_]:
    if guarantee == "peak" and truth.ndim == 1:
        if not np.issubdtype(truth.dtype, np.integer):
            raise InputError("truth of 'peak' is the number of a region a case, -1 for none")
        peak = truth.astype(int)
        if len(peak) != len(scores) or peak.min() < -1 or peak.max() >= scores.shape[1]:
            raise InputError("truth of 'peak' is the number of a region a case, -1 for none")
        return np.arange(scores.shape[1]) == peak[:, None]
    if truth.shape != scores.shape:
        raise InputError(f"truth {truth.shape} is not of the same cases and regions as the scores")
    if truth.dtype != bool and not np.isin(truth, (0, 1)).all():
        raise InputError("truth has one value per region, active or not: True or False, 1 or 0")
    active = truth.astype(bool)
    if guarantee == "peak" and (active.sum(axis=1) > 1).any():
        raise InputError("'peak' has one region a case; give its number")
    return active


def _least_step(scores: NDArray[np.float64]) -> float:
    """The smallest difference between scores that differ; 0 where all are alike."""
    apart = np.diff(np.unique(scores))
    return float(apart.min()) if len(apart) else 1.0


def _told_apart(
    scores: NDArray[np.float64], step: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Ties by lot, at less than half of a step."""
    return np.asarray(scores + 0.49 * step * rng.uniform(-1, 1, scores.shape))
