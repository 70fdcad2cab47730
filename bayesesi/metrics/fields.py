"""Errors of moments, courses and topographies: signs count, cases lie along leading axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError


def nmse(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute sum_s (j^_s - j_s)² / sum_s j_s² of each case: 0 is best, 1 is no estimate.

    Axes and courses laid out along the last axis sum up, too: Morik et al. (arXiv:2411.00143).

    Parameters
    ----------
    estimate, truth : (..., S) A m.

    Raises
    ------
    InputError : shapes that disagree, values that are not finite, a truth of zeros.
    """
    estimate, truth = _pair(estimate, truth)
    return np.asarray(((estimate - truth) ** 2).sum(axis=-1) / _some((truth**2).sum(axis=-1)))


def cosine_error(
    estimate: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute 1 - sum_s w_s cos(j_s, j^_s), w_s = |j_s| / sum |j|, of each case.

    0 is best, 1 is no estimate, 2 the opposite: 1 - wcos of Morik et al. (arXiv:2411.00143). With
    fixed sources (..., S, 1) it compares signs, with time in place of axes courses.

    Parameters
    ----------
    estimate, truth : (..., S, 3) A m.

    Raises
    ------
    InputError : see ``nmse``.
    """
    estimate, truth = _pair(estimate, truth)
    size = _some(np.linalg.norm(truth, axis=-1).sum(axis=-1))
    own = np.linalg.norm(estimate, axis=-1)
    inner = (estimate * truth).sum(axis=-1)
    along = np.divide(inner, own, out=np.zeros_like(inner), where=own > 0)  # |j_s| cos
    return np.asarray(1 - along.sum(axis=-1) / size)


def temporal_correlation(
    estimate: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute Pearson's correlation of courses over time; 0 where the estimate is constant.

    DeepSIF averages it over the true regions (Sun et al. 2022, doi:10.1073/pnas.2201128119). No
    benchmark task reports it yet: the tables of ``sif-994`` were made without it.

    Parameters
    ----------
    estimate, truth : (..., T), any unit.

    Raises
    ------
    InputError : see ``nmse``; a truth that is constant.
    """
    estimate, truth = _pair(estimate, truth)
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (estimate, truth))
    own, size = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    if not (size > 1e-12 * np.linalg.norm(truth, axis=-1)).all():
        raise InputError("a true course is constant and correlates with nothing; leave it out")
    moved = own > 1e-12 * np.linalg.norm(estimate, axis=-1)
    inner = (a * b).sum(axis=-1) / size
    return np.asarray(np.divide(inner, own, out=np.zeros_like(inner), where=moved))


def rdm(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the relative difference of topographies, |a / |a| - b / |b||, 0 to 2.

    Meijs et al. (1989, doi:10.1109/10.40805).

    Parameters
    ----------
    estimate, truth : (..., C) V or V/(A m), under one reference.

    Raises
    ------
    InputError : see ``nmse``; an estimate of zeros.
    """
    unit = [x / _some(np.linalg.norm(x, axis=-1))[..., None] for x in _pair(estimate, truth)]
    return np.asarray(np.linalg.norm(unit[0] - unit[1], axis=-1))


def mag(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the magnitude of topographies over the true one, |a| / |b|; 1 is best.

    Meijs et al. (1989, doi:10.1109/10.40805).

    Parameters
    ----------
    estimate, truth : (..., C) V or V/(A m), under one reference.

    Raises
    ------
    InputError : see ``nmse``.
    """
    estimate, truth = _pair(estimate, truth)
    return np.asarray(np.linalg.norm(estimate, axis=-1) / _some(np.linalg.norm(truth, axis=-1)))


def _pair(
    estimate: NDArray[np.floating], truth: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of one shape, finite."""
    first, second = np.asarray(estimate, float), np.asarray(truth, float)
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError(
            f"an estimate of shape {first.shape} is compared with a truth of shape {second.shape}; "
            "give finite values of one shape, on the same sources and samples"
        )
    return first, second


def _some(size: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (size > 0).all():
        raise InputError("there is a case of zeros, which has no size; leave it out")
    return size
