"""Spontaneous activity of the whole cortex as an EEG cap sees it."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import template_modes, template_parcellation
from bayesesi.forward import template_bank

#: m: how far the occipital rhythm reaches beyond its lobe, as a Gaussian.
_ALPHA_REACH = 0.02
#: Modes fainter than this are left out.
_FAINT = 1e-3


@cache
def _fields_in_bank(where: str) -> NDArray[np.float32]:
    """(m, C): each surface mode, as moments, in the source modes of the bank.

    ``where`` is ``"cortex"``, or ``"occipital"`` for a field under a window about that lobe.
    """
    modes, parcellation = template_modes(), template_parcellation(5)
    space = parcellation.source_space
    weight = space.areas * (parcellation.labels >= 0)
    if where == "occipital":
        weight = weight * _occipital_window()
    half = modes.modes.shape[1]
    bank, sides = template_bank(), []
    for h in (0, 1):
        rows = slice(h * half, (h + 1) * half)
        moments = sp.csr_array((modes.modes[h] * weight[rows, None]).T)
        sides.append(bank.to_modes(moments, rows))
    return np.concatenate(sides)


def _occipital_window() -> NDArray[np.float64]:
    from scipy.spatial import KDTree

    parcellation = template_parcellation(5)
    occipital = [r.lobe == "occipital" for r in parcellation.regions]
    inside = np.array([*occipital, False])[parcellation.labels]
    positions = parcellation.source_space.positions
    distance, _ = KDTree(positions[inside]).query(positions)
    return np.exp(-0.5 * (distance / _ALPHA_REACH) ** 2)


def background_covariance(
    where: str, smoothness: float, electrode_modes: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Compute the covariance of a smooth field's potentials, (C, C), of mean power 1.

    Average reference. A Gaussian field of correlation exp(-d² / (2 smoothness²)) along the cortex,
    everywhere of the same variance a unit of area.

    Parameters
    ----------
    where : ``"cortex"``, or ``"occipital"`` for that lobe and what is near. smoothness : m.
    electrode_modes : (C, modes), what electrodes see of the bank's source modes.
    """
    amplitude = template_modes().amplitudes(np.array([smoothness]))[0].astype(np.float32)
    heard = np.flatnonzero(amplitude > _FAINT * amplitude.max())
    values = (electrode_modes @ _fields_in_bank(where)[heard].T) * amplitude[heard]
    values = values.astype(float)
    covariance = values @ values.T
    return np.asarray(covariance / np.diag(covariance).mean())
