"""Score one answer to one case, by the definitions of ``metrics`` and ``detection``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bayesesi import metrics
from bayesesi.anatomy import template_source_space, template_volume
from bayesesi.benchmark.answers import Answer
from bayesesi.benchmark.cases import Case
from bayesesi.errors import InputError

#: Name -> what it is, with its unit; less is better but of those in ``HIGHER``.
MEASURES: dict[str, str] = {
    "peak_mm": "mm from the peak of the map to the nearest true centre, or place known active",
    "matched_mm": "mm from each true centre to the peak matched with it, mean",
    "dispersion_mm": "mm, spatial dispersion: root mean square distance from the truth, by power",
    "nemd": "earth mover's distance over that of a flat map (0 best)",
    "nmse": "squared error of moments over their square (1: no estimate)",
    "cosine": "1 - weighted cosine of moments",
    "auc": "area under the ROC curve of active sources (half of the largest)",
    "precision": "of regions above Otsu's threshold",
    "recall": "of regions above Otsu's threshold",
    "f1": "of regions above Otsu's threshold",
    "parcel_precision": "of the 994 parcels that are known, above Otsu's threshold",
    "parcel_recall": "of those parcels, above Otsu's threshold",
    "parcel_mm": "mm from each parcel found to the nearest active one, mean: DeepSIF's LE",
    "brier": "mean squared error of the probabilities of regions",
    "closed90": "share of all sources within closed 90 % intervals: CaliBrain's, no calibration",
    "seconds": "s of one core, lead field given",
}
HIGHER = frozenset({"auc", "precision", "recall", "f1", "parcel_precision", "parcel_recall"})
#: Level of the cortex, and m between the cells of a volume, on which mass is moved.
_EMD_LEVEL, _EMD_SPACING = 3, 0.014


def measure(case: Case, answer: Answer, moments: bool, emd: bool) -> dict[str, float]:
    """Compute those of ``MEASURES`` that the answer allows.

    Parameters
    ----------
    case : the truth. answer : to it.
    moments : whether its numbers are A m, no statistic. emd : whether to move mass, a second.

    Raises
    ------
    InputError : moments of another shape than the truth.
    """
    found: dict[str, float] = {}
    if answer.size is not None:
        found |= _of_map(case, answer.size, emd)
    if moments and answer.moments is not None and not case.places_only:
        found |= _of_moments(case, answer.moments)
    if len(case.active):
        found |= _of_regions(case.active, answer)
    if answer.draws is not None and not case.places_only:
        found["closed90"] = _closed(case, answer.draws)
    return found


def _of_map(case: Case, size: NDArray[np.float64], emd: bool) -> dict[str, float]:
    """A map of zeros, though something is active, counts as a guess: a flat one, any of whose
    sources may be its peak."""
    space, truth = case.obs.source_space, case.size
    where = space.positions
    if not size.any():
        apart = np.linalg.norm(where[:, None] - case.centres, axis=2).min(axis=1)
        guess, flat = float(1e3 * apart.mean()), np.ones(len(size))
        spread = metrics.spatial_dispersion(flat, where, case.centres)
        found = {"peak_mm": guess, "dispersion_mm": spread, "auc": 0.5}
        found |= {} if case.places_only else {"matched_mm": guess}
        found |= {"nemd": 1.0} if emd else {}
        return found if case.parcels is None else found | _of_parcels(flat, where, *case.parcels)
    found = {
        "peak_mm": metrics.peak_error(size, where, case.centres),
        "dispersion_mm": metrics.spatial_dispersion(size, where, case.centres),
        "auc": metrics.auc(size, truth >= 0.5 * truth.max()),
    }
    if not case.places_only:
        matched = metrics.matched_peak_errors(size, space, case.centres)
        found["matched_mm"] = float(matched.mean())
    if emd:
        found["nemd"] = _nemd(case, size)
    if case.parcels is not None:
        found |= _of_parcels(size, where, *case.parcels)
    return found


def _of_parcels(
    size: NDArray[np.float64],
    where: NDArray[np.float64],
    labels: NDArray[np.int64],
    middles: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> dict[str, float]:
    """A parcel is as large as its largest source; where none of a coarse cortex lies in it, as the
    source nearest to its middle."""
    own, largest = labels >= 0, np.zeros(len(active))
    np.maximum.at(largest, labels[own], size[own])
    none = np.setdiff1d(np.arange(len(active)), labels[own])
    if len(none):
        largest[none] = size[cKDTree(where).query(middles[none])[1]]
    chosen = largest > metrics.otsu_threshold(largest)
    chosen |= not chosen.any()  # all alike: none is told from the others
    told = metrics.precision_recall_f1(chosen, active)
    return {
        "parcel_precision": float(told.precision),
        "parcel_recall": float(told.recall),
        "parcel_mm": metrics.region_error(chosen, active, middles),
    }


def _nemd(case: Case, size: NDArray[np.float64]) -> float:
    """Along the surface, between 1,284 sources; straight in a volume, between cells of 14 mm (on
    three cases of one blob within 2 % of what the grid of 7 mm gives, in a fortieth of the time).
    """
    space, truth = case.obs.source_space, case.size
    on_surface = space.mesh is not None
    coarse = template_source_space(_EMD_LEVEL) if on_surface else template_volume(_EMD_SPACING)
    size, truth = (metrics.carry(each, space, coarse) for each in (size, truth))
    where, apart = coarse.positions, _distances() if on_surface else None
    key = truth.tobytes()
    if key not in _FLAT:
        if len(_FLAT) >= _KEPT:
            _FLAT.clear()
        _FLAT[key] = metrics.emd(np.ones(len(truth)), truth, where, distances=apart)
    return metrics.emd(size, truth, where, distances=apart) / _FLAT[key]


#: Of a truth, how far a flat map is from it: the same for every method, and slow.
_FLAT: dict[bytes, float] = {}
_KEPT = 256


@lru_cache(maxsize=1)
def _distances() -> NDArray[np.float64]:
    return metrics.surface_distances(template_source_space(_EMD_LEVEL))


def _of_moments(case: Case, moments: NDArray[np.float64]) -> dict[str, float]:
    functions = case.obs.time_basis.functions
    course = moments @ functions.T
    if course.shape != case.moments.shape:
        raise InputError(f"moments {course.shape} over time, the truth has {case.moments.shape}")
    found = {"nmse": float(metrics.nmse(course.reshape(-1), case.moments.reshape(-1)))}
    if course.ndim == 3 and course.shape[2] == 1:
        found["cosine"] = float(metrics.cosine_error(course[:, :, 0], case.moments[:, :, 0]))
    return found


def _of_regions(active: NDArray[np.bool_], answer: Answer) -> dict[str, float]:
    scores = np.maximum(answer.scores, 0.0)
    chosen = metrics.precision_recall_f1(scores > metrics.otsu_threshold(scores), active)
    found = {name: float(value) for name, value in chosen._asdict().items()}
    if answer.probability is not None:
        found["brier"] = float(((answer.probability - active) ** 2).mean())
    return found


def _closed(case: Case, draws: NDArray[np.float64]) -> float:
    truth = case.moments @ case.obs.time_basis.projector
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return float(((low <= truth) & (truth <= high)).mean())
