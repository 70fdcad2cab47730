"""Combine several recordings of a patient: what they agree on, and what one of them would change.

Of a patient's n recordings p (n, P) are the probabilities of regions. The pooled one is their mean:
that of a recording drawn by lot. How firmly a region comes first is measured by drawing n of
the recordings with replacement (Efron 1979, doi:10.1214/aos/1176344552), again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.result import Result

if TYPE_CHECKING:
    import pandas as pd

#: Resamples of the recordings.
_TIMES = 2_000
#: A recording that gives the pooled first region less than this is an outlier.
_OUTLIER = 0.05


def patient_table(
    done: Sequence[tuple[Mapping[str, Any], Result]], level: float, seed: int = 0
) -> pd.DataFrame:
    """Sum up each patient in a row.

    Columns ``patient``, ``recordings`` (done), ``localised``, ``first_region`` of the pooled
    probability with ``probability``, ``low`` and ``high`` (central interval of the resamples) and
    ``stays_first`` (share of them in which it is first), ``agreement`` (mean over pairs of the
    area that both sets have over that which either has), ``common_regions`` (in every set),
    ``outliers`` (recordings that give the first region less than .05), ``hits`` and ``targets``
    (recordings whose most probable place lies in the target, of those that have one).

    Parameters
    ----------
    done : rows of recordings and their results. level : of the interval, 0 to 1.
    seed : of the resamples.
    """
    import pandas as pd

    names = dict.fromkeys(str(row["patient"]) for row, _ in done)
    rows = [
        _row(name, [each for each in done if each[0]["patient"] == name], level, seed)
        for name in names
    ]
    return pd.DataFrame(rows, columns=list(_row("", [], level, seed)))


def _row(
    name: str, own: Sequence[tuple[Mapping[str, Any], Result]], level: float, seed: int
) -> dict[str, Any]:
    found = [(row, result) for row, result in own if result.has_regions]
    hits = [bool(row["hit"]) for row, _ in found if row["hit"] is not None]
    told: dict[str, Any] = {
        **{"patient": name, "recordings": len(own), "localised": len(found)},
        **{"first_region": "", "probability": None, "low": None, "high": None},
        **{"stays_first": None, "agreement": None, "common_regions": "", "outliers": ""},
        **{"hits": sum(hits), "targets": len(hits)},
    }
    if not found:
        return told
    regions = [result.inference_data["regions"] for _, result in found]
    p = np.stack([group["probability"].values for group in regions])
    names, areas = regions[0]["region"].values.astype(str), regions[0]["area"].values
    inside = np.stack([_set_of(result, names) for _, result in found])
    pooled = p.mean(axis=0)
    first = int(pooled.argmax())
    again = resampled(p, seed)
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = np.quantile(again[:, first], tails)
    return told | {
        "first_region": str(names[first]),
        "probability": float(pooled[first]),
        "low": float(low),
        "high": float(high),
        "stays_first": float((again.argmax(axis=1) == first).mean()),
        "agreement": agreement(inside, areas),
        "common_regions": " ".join(names[inside.all(axis=0)]),
        "outliers": "; ".join(
            str(row["recording"])
            for (row, _), each in zip(found, p, strict=True)
            if each[first] < _OUTLIER
        ),
    }


def resampled(p: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Draw (2000, P) pooled probabilities of recordings taken with replacement.

    Parameters
    ----------
    p : (n, P) probabilities of n recordings. seed : of the resamples.
    """
    rng = np.random.default_rng([seed, len(p)])
    times = rng.multinomial(len(p), np.full(len(p), 1 / len(p)), _TIMES)
    return np.asarray(times @ p / len(p))


def agreement(inside: NDArray[np.bool_], areas: NDArray[np.float64]) -> float | None:
    """Average shared over joint area over pairs of sets; None of a single one.

    Parameters
    ----------
    inside : (n, P) sets. areas : (P,) of regions, in any unit.
    """
    n = len(inside)
    if n < 2:
        return None
    both = (inside * areas) @ inside.T.astype(float)
    own = np.diag(both)
    either = own[:, None] + own - both
    pairs = np.triu_indices(n, 1)
    return float((both[pairs] / np.maximum(either[pairs], 1e-12)).mean())


def _set_of(result: Result, names: NDArray[np.str_]) -> NDArray[np.bool_]:
    best = result.region_set or result.credible_set
    return np.asarray(np.isin(names, best.regions))
