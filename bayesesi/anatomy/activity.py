"""What "active" means: one definition for truth, posteriors and reports."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy.parcellation import Parcellation

#: A region is active with this share of the event's energy, if nobody says otherwise.
ACTIVE_SHARE = 0.10


def region_energy(
    square_moments: NDArray[np.floating] | sp.csr_array, parcellation: Parcellation
) -> NDArray[np.float64]:
    """(n, P): integral of |q|² dA over each region, q = j / a the moment density.

    ``square_moments`` (n, S) are |j|² summed over the window, A² m²; a source stands for the area
    a of cortex.
    """
    inside = np.flatnonzero(parcellation.labels >= 0)
    weight = 1 / parcellation.source_space.areas[inside]
    place = (inside, parcellation.labels[inside])
    shape = (len(parcellation.labels), len(parcellation.regions))
    total = square_moments @ sp.csr_array((weight, place), shape)
    return np.asarray(total.toarray() if sp.issparse(total) else total, float)


def active_regions(energy: NDArray[np.float64], share: float = ACTIVE_SHARE) -> NDArray[np.bool_]:
    """(n, P): regions with at least ``share`` of the energy (n, P), and the one with the most.

    A field without energy has no active region.
    """
    total = energy.sum(axis=1, keepdims=True)
    largest = energy == energy.max(axis=1, keepdims=True)
    return np.asarray(((energy >= share * total) | largest) & (total > 0))
