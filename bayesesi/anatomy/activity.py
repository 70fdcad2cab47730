"""What "active" means: one definition for truth, posteriors and reports."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.parcellation import Parcellation
from bayesesi.spec.source import ACTIVE_SHARE


def region_energy(
    square_moments: NDArray[np.floating] | sp.csr_array, parcellation: Parcellation
) -> NDArray[np.float64]:
    """Integrate |q|² dA over each region, (n, P), q = j / a the moment density.

    ``square_moments`` (n, S) are |j|² summed over the window, A² m²; a source stands for the area a
    of cortex. ``parcellation`` has S sources and P regions.
    """
    inside = np.flatnonzero(parcellation.labels >= 0)
    weight = 1 / parcellation.source_space.areas[inside]
    place = (inside, parcellation.labels[inside])
    shape = (len(parcellation.labels), len(parcellation.regions))
    total = square_moments @ sp.csr_array((weight, place), shape)
    return np.asarray(total.toarray() if sp.issparse(total) else total, float)


def active_regions(energy: NDArray[np.float64], share: float = ACTIVE_SHARE) -> NDArray[np.bool_]:
    """Mark regions with at least ``share`` (0 to 1) of the energy and the one with most, (n, P).

    ``energy`` (n, P) has the unit of ``region_energy``. A field without energy has no active
    region.
    """
    total = energy.sum(axis=1, keepdims=True)
    largest = energy == energy.max(axis=1, keepdims=True)
    return np.asarray(((energy >= share * total) | largest) & (total > 0))
