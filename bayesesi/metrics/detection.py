"""Scores of a detection: what a map finds of the truth, and what it finds that is not there.

A map (S,) or (P,) of sizes of sources or regions is compared with masks of what is active. Signs of
the map do not count. Positions are in m of the head frame, distances come in mm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.metrics.maps import sizes_of


def auc(estimate: NDArray[np.floating], active: NDArray[np.bool_]) -> float:
    """Compute the area under the ROC curve: P(active above inactive) + P(equal) / 2.

    Mann & Whitney (1947, doi:10.1214/aoms/1177730491).

    Parameters
    ----------
    estimate : (S,) map of sizes, any unit. active : (S,) mask of the active sources.

    Raises
    ------
    InputError : no source active, or all; a map that is not finite or not (S,).
    """
    from sklearn.metrics import roc_auc_score

    size, active = sizes_of(estimate), np.asarray(active, bool)
    if active.all() or not active.any():
        raise InputError("an ROC curve needs active and inactive sources; leave this case out")
    return float(roc_auc_score(active, size))


def otsu_threshold(sizes: NDArray[np.floating]) -> float:
    """Find the size that splits sources or regions into two classes; the upper one lies above it.

    The split of largest variance between classes, w_0 w_1 (m_0 - m_1)², over all splits of the
    values themselves (Otsu 1979, doi:10.1109/TSMC.1979.4310076); the largest where all are equal.

    Parameters
    ----------
    sizes : (P,) sizes of sources or regions, any unit; the threshold has the same.

    Raises
    ------
    InputError : sizes that are not finite or not (P,).
    """
    ordered = np.sort(sizes_of(sizes))
    below = np.arange(1, len(ordered))
    total = ordered.cumsum()
    apart = (total[-1] - total[:-1]) / (len(ordered) - below) - total[:-1] / below
    between = below * (len(ordered) - below) * apart**2 * (np.diff(ordered) > 0)
    return float(ordered[between.argmax()] if between.any() else ordered[-1])


class Detection(NamedTuple):
    """Hold three scores of each case.

    Attributes
    ----------
    precision, recall, f1 : (...), 0 to 1.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def precision_recall_f1(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Detection:
    """Compute TP / (TP + FP), TP / (TP + FN) and 2 TP / (2 TP + FP + FN) of sets of regions.

    Report the threshold with them, as ``sizes > otsu_threshold(sizes)``. Where no region is found
    the precision is 0.

    Parameters
    ----------
    found, truth : (..., P) masks of the regions found and of those active; cases lead.

    Raises
    ------
    InputError : a case in which no region is active.
    """
    found, truth = np.asarray(found, bool), np.asarray(truth, bool)
    both, n, true = (x.sum(axis=-1) for x in (found & truth, found, truth))
    if not (true > 0).all():
        raise InputError("a case without an active region has no recall; leave it out")
    return Detection(both / np.maximum(n, 1), both / true, 2 * both / (n + true))


def region_error(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], centres: NDArray[np.float64]
) -> float:
    """Compute the mean distance in mm from the regions found to the nearest true one.

    DeepSIF's LE (Sun et al. 2022, doi:10.1073/pnas.2201128119).

    Parameters
    ----------
    found, truth : (P,) masks of the regions found and of those active.
    centres : (P, 3) m, centres of all regions.

    Raises
    ------
    InputError : no region found, or none active.
    """
    found, truth = np.asarray(found, bool), np.asarray(truth, bool)
    if not (found.any() and truth.any()):
        raise InputError("the distance is from regions found to active ones, and there are none")
    apart = np.linalg.norm(centres[found][:, None] - centres[truth], axis=2)
    return float(1e3 * apart.min(axis=1).mean())
