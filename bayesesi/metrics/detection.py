"""What a map finds of the truth, and what it finds that is not there.

A map (S,) or (P,) of sizes of sources or regions is compared with masks of what is active. Signs of
the map do not count. Positions are in m of the head frame, distances come in mm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError
from bayesesi.metrics.maps import local_maxima, peak, sizes_of

#: esinet's: a maximum has this share of the largest, none larger within mm, a truth within mm.
_LEAST, _APART, _REACHES = 0.1, 30.0, 40.0
#: Hecker's: inactive sources among these shares of all, nearest and farthest, are close and far.
_CLOSE, _FAR = 0.2, 0.5


def auc(estimate: NDArray[np.floating], active: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: P(active above inactive) + P(equal) / 2, of a map (S,).

    Mann & Whitney (1947, doi:10.1214/aoms/1177730491).

    Raises
    ------
    InputError : no source active, or all.
    """
    from sklearn.metrics import roc_auc_score

    size, active = sizes_of(estimate), np.asarray(active, bool)
    if active.all() or not active.any():
        raise InputError("an ROC curve needs active and inactive sources; leave this case out")
    return float(roc_auc_score(active, size))


def auc_close_and_far(
    estimate: NDArray[np.floating], active: NDArray[np.bool_], positions: NDArray[np.float64]
) -> tuple[float, float]:
    """``auc`` against inactive sources near the active ones, and far from them.

    Those nearest, a fifth of all sources, and those farthest, half of all; where Hecker et al.
    (2021, doi:10.3389/fnins.2021.569918) draw as many as are active, this is the mean over draws.
    After Grova et al. (2006, doi:10.1016/j.neuroimage.2005.08.053).

    Raises
    ------
    InputError : see ``auc``.
    """
    from scipy.spatial import cKDTree

    size, active, where = sizes_of(estimate), np.asarray(active, bool), np.asarray(positions)
    if not active.any():
        raise InputError("no source is active, so none is close; leave this case out")
    inactive = np.flatnonzero(~active)
    order = inactive[cKDTree(where[active]).query(where[inactive])[0].argsort(kind="stable")]
    near, far = (max(1, round(share * len(size))) for share in (_CLOSE, _FAR))
    own = size[active]
    close, distant = (
        auc(np.r_[own, size[other]], np.arange(len(own) + len(other)) < len(own))
        for other in (order[:near], order[-far:])
    )
    return close, distant


def otsu_threshold(sizes: NDArray[np.floating]) -> float:
    """The size above which those (P,) of sources or regions are one class, those up to it another.

    The split of largest variance between classes, w_0 w_1 (m_0 - m_1)², over all splits of the
    values themselves (Otsu 1979, doi:10.1109/TSMC.1979.4310076); the largest where all are equal.
    """
    ordered = np.sort(sizes_of(sizes))
    below = np.arange(1, len(ordered))
    total = ordered.cumsum()
    apart = (total[-1] - total[:-1]) / (len(ordered) - below) - total[:-1] / below
    between = below * (len(ordered) - below) * apart**2 * (np.diff(ordered) > 0)
    return float(ordered[between.argmax()] if between.any() else ordered[-1])


class Detection(NamedTuple):
    """(...) each, 0 to 1."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def precision_recall_f1(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Detection:
    """TP / (TP + FP), TP / (TP + FN) and 2 TP / (2 TP + FP + FN) of sets of regions (..., P).

    Say with it at what threshold a region is found, as ``sizes > otsu_threshold(sizes)``. Of none
    found the precision is 0.

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
    """mm: mean over the regions found (P,) of the distance to the nearest true one.

    DeepSIF's LE (Sun et al. 2022, doi:10.1073/pnas.2201128119), between centres (P, 3).

    Raises
    ------
    InputError : no region found, or none active.
    """
    found, truth = np.asarray(found, bool), np.asarray(truth, bool)
    if not (found.any() and truth.any()):
        raise InputError("the distance is from regions found to active ones, and there are none")
    apart = np.linalg.norm(centres[found][:, None] - centres[truth], axis=2)
    return float(1e3 * apart.min(axis=1).mean())


def sensitivity_specificity(
    found: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    areas: NDArray[np.float64],
    negative: NDArray[np.bool_] | None = None,
) -> tuple[float, float]:
    """Area found of the true area, and area not found of the ``negative`` one, masks (S,) or (P,).

    ``negative`` is all that is not true; DeepSIF takes places matched with a resection instead.

    Raises
    ------
    InputError : no true area, or no negative one.
    """
    found, truth = np.asarray(found, bool), np.asarray(truth, bool)
    other = ~truth if negative is None else np.asarray(negative, bool)
    area, off = areas[truth].sum(), areas[other].sum()
    if not (area > 0 and off > 0):
        raise InputError("sensitivity and specificity need area that is true and area that is not")
    return float(areas[found & truth].sum() / area), float(areas[~found & other].sum() / off)


class Maxima(NamedTuple):
    """mm of what was found, or NaN; share of the truth found; share of maxima that are ghosts."""

    error: float
    found: float
    ghosts: float


def found_and_ghosts(
    estimate: NDArray[np.floating], space: SourceSpace, truth: NDArray[np.float64]
) -> Maxima:
    """esinet's mean localisation error, and what it leaves out.

    Maxima of a map of amplitudes (S,) are those of at least a tenth of the largest, with none
    larger within 30 mm. A true position of (K, 3) is found if one lies within 40 mm, a maximum is
    a ghost if no true one does; the error is that of those found, so it can't exceed 40 mm: never
    show it without the shares. As esinet says it, ghosts by its words (Hecker et al. 2022).
    """
    size, where = sizes_of(estimate), space.positions
    peak(size)
    tops = local_maxima(size, space)
    tops = tops[size[tops] >= _LEAST * size[tops[0]]]
    apart = 1e3 * np.linalg.norm(where[tops][:, None] - where[tops], axis=2)
    larger = size[tops] > size[tops][:, None]
    tops = tops[~((apart < _APART) & larger).any(axis=1)]
    distance = 1e3 * np.linalg.norm(np.atleast_2d(truth)[:, None] - where[tops], axis=2)
    near = distance.min(axis=1)
    found = near < _REACHES
    error = float(near[found].mean()) if found.any() else float("nan")
    return Maxima(error, float(found.mean()), float((distance.min(axis=0) >= _REACHES).mean()))
