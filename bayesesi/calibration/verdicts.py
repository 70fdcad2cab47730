"""Measure how often a verdict errs, on cases whose truth is known.

Checks of chains and of weighted draws are not among them: trials do not keep their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.calibration.trials import Trials
from bayesesi.conformal import FALSE_ALARM, ConformalSplit
from bayesesi.spec import VerdictSpec
from bayesesi.spec.base import Table
from bayesesi.trust import Trust, Verdict, VerdictInputs, assess, at_even_odds
from bayesesi.trust.ood import OODDetector

#: Level of the sets that a verdict looks at; share of cortex of a small set; mm of a miss.
SET_LEVEL, SMALL_SET, MISS_MM = 0.9, 0.15, 20.0
#: Shares of cases, the least doubted first, at which risk is told.
_KEPT: tuple[float, ...] = tuple(np.linspace(0.1, 1.0, 10).round(1).tolist())


class VerdictRates(Table):
    """Hold how often one verdict is given and errs.

    Attributes
    ----------
    share : fraction of cases with an event that get it; of_noise : share of cases without. held :
        share of its sets of level ``SET_LEVEL`` that held every active region. miss : share whose
        mode lies more than ``MISS_MM`` from the truth. n : cases with an event.
    """

    share: float
    of_noise: float
    held: float | None
    miss: float | None
    n: int


class TrustCard(Table):
    """Verdicts on cases of the diagnosis.

    Attributes
    ----------
    rates : of each verdict. small_reliable : share "reliable" of cases with an event whose set is
        under ``SMALL_SET`` of the cortex. risk : share of misses among the share of cases that are
        doubted least, by verdict and then by size of the set. n, n_noise : cases with an event, and
        without. null_alarm : share of noise that the null test of the split calls an event at 5 %.
    """

    rates: dict[str, VerdictRates]
    small_reliable: float
    risk: tuple[tuple[float, float], ...]
    n: int
    n_noise: int
    null_alarm: float


def set_shares(
    trials: Trials, scores: NDArray[np.float64], split: ConformalSplit
) -> NDArray[np.bool_]:
    """Make the (n, P) sets of "every" at ``SET_LEVEL``, each by its own cell's rule.

    Parameters
    ----------
    trials : n. scores : (n, P) of regions. split : cases behind the sets.
    """
    channels, power = trials.stratum("channels"), trials.stratum("data_snr_db")
    return split.served(scores, channels, power, SET_LEVEL)


def trust_of(
    trials: Trials,
    inside: NDArray[np.bool_],
    usual: OODDetector,
    prior_null: float,
    spec: VerdictSpec | None = None,
) -> list[Trust]:
    """Give the verdict on each trial, from its set.

    Parameters
    ----------
    trials : n. inside : (n, P) the sets. usual : the law of OOD features.
    prior_null : prior probability that nothing is active. spec : thresholds; the default if None.
    """
    share = inside @ template_parcellation(4).shares
    unusual = usual.p_value(trials.signs)
    channels = trials.stratum("channels")
    return [
        assess(
            VerdictInputs(
                null=at_even_odds(float(trials.null[i]), prior_null),
                outside=("context",) * int(trials.at_edge[i]),
                unusual=float(unusual[i]),
                odd=usual.odd(trials.signs[i]),
                set_share=float(share[i]),
                channels=int(channels[i]),
            ),
            spec,
        )
        for i in range(len(trials))
    ]


def trust_card(
    trials: Trials,
    scores: NDArray[np.float64],
    split: ConformalSplit,
    usual: OODDetector,
    prior_null: float,
) -> TrustCard:
    """Measure how often verdicts err, on trials that neither the split nor the detector saw.

    Parameters
    ----------
    trials : n. scores : (n, P) of regions. split : cases behind the sets.
    usual : the law of OOD features. prior_null : prior probability that nothing is active.
    """
    inside = set_shares(trials, scores, split)
    verdicts = trust_of(trials, inside, usual, prior_null)
    share, loud = inside @ template_parcellation(4).shares, trials.loud
    held = np.asarray((inside | ~trials.active).all(axis=1))
    miss = ~(1e3 * np.nan_to_num(trials.mode_error, nan=np.inf) <= MISS_MM)
    named = np.array([str(t.verdict) for t in verdicts])
    rates = {}
    for verdict in Verdict:
        own = named == str(verdict)
        some = own & loud
        rates[str(verdict)] = VerdictRates(
            share=_mean(own[loud]),
            of_noise=_mean(own[~loud]),
            held=_mean(held[some]) if some.any() else None,
            miss=_mean(miss[some]) if some.any() else None,
            n=int(some.sum()),
        )
    small = loud & (share < SMALL_SET)
    alarm = np.array([split.null_p(float(v)) <= FALSE_ALARM for v in trials.sign("nothing")[~loud]])
    return TrustCard(
        rates=rates,
        small_reliable=_mean((named == str(Verdict.RELIABLE))[small]),
        risk=_risk(named[loud], share[loud], miss[loud]),
        n=int(loud.sum()),
        n_noise=int((~loud).sum()),
        null_alarm=_mean(alarm),
    )


def _risk(
    named: NDArray[np.str_], share: NDArray[np.float64], miss: NDArray[np.bool_]
) -> tuple[tuple[float, float], ...]:
    rank = {str(v): k for k, v in enumerate(Verdict)}
    doubt = np.array([rank[str(name)] for name in named]) + share
    order = np.argsort(doubt, kind="stable")
    along = np.cumsum(miss[order]) / np.arange(1, len(order) + 1)
    return tuple(
        (kept, float(f"{along[max(int(kept * len(order)) - 1, 0)]:.4g}")) for kept in _KEPT
    )


def _mean(values: NDArray[np.bool_] | Sequence[bool]) -> float:
    return float(f"{np.mean(values):.4g}") if len(values) else 0.0
