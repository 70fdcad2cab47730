"""Errors of maps, peaks and sets against a truth.

An estimate is a map (S,) of sizes on one source space: moments, their energy, a statistic or a
probability; signs do not count. The truth is positions (K, 3), or a map on a source space that may
be another. Positions are in m of the head frame, distances come in mm. Errors of moments, courses
and topographies count signs, and take cases along leading axes.
"""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.metrics.detection import (
        auc,
        otsu_threshold,
        precision_recall_f1,
        region_error,
    )
    from bayesesi.metrics.fields import cosine_error, mag, nmse, rdm, temporal_correlation
    from bayesesi.metrics.maps import area_cm2, sizes_of
    from bayesesi.metrics.peaks import (
        local_maxima,
        matched_peak_errors,
        neighbours,
        peak,
        peak_error,
        spatial_dispersion,
    )
    from bayesesi.metrics.transport import (
        carry,
        emd,
        nearest_sources,
        normalised_emd,
        surface_distances,
    )
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "area_cm2",
    "auc",
    "carry",
    "cosine_error",
    "emd",
    "local_maxima",
    "mag",
    "matched_peak_errors",
    "nearest_sources",
    "neighbours",
    "nmse",
    "normalised_emd",
    "otsu_threshold",
    "peak",
    "peak_error",
    "precision_recall_f1",
    "rdm",
    "region_error",
    "sizes_of",
    "spatial_dispersion",
    "surface_distances",
    "temporal_correlation",
]
