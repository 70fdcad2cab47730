"""The map that turns noise into independent standard normal numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from bayesesi.errors import InputError
from bayesesi.noise.covariance import NoiseCovariance

#: Eigenvalues of the noise smaller than this times the largest are directions without noise;
#: projectors come from single precision, so what they leave of each other is rounding.
_RANK_TOLERANCE, _PROJECTOR_TOLERANCE = 1e-8, 1e-5


@dataclass(frozen=True, eq=False)
class Whitener:
    """W with W C W' = I on the noise's rank.

    Attributes
    ----------
    matrix : (n_eff, C): average reference, projectors and whitening in one.
    colorer : (C, n_eff): its pseudo-inverse, C^1/2 on the rank.
    ch_names : C.
    dof : degrees of freedom of the covariance behind it, or None where it was not estimated.
    """

    matrix: NDArray[np.float64]
    colorer: NDArray[np.float64]
    ch_names: tuple[str, ...]
    dof: float | None = None

    @property
    def n_eff(self) -> int:
        return len(self.matrix)

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Whiten ``values`` (..., C, T) in the recording's unit: (..., n_eff, T), without unit."""
        return self.matrix @ values


def make_whitener(
    noise_cov: NoiseCovariance,
    kinds: Sequence[str],
    projectors: NDArray[np.float64] | None = None,
) -> Whitener:
    """Make the whitener of ``noise_cov`` for channels of ``kinds``, each eeg, mag or grad.

    EEG is referenced to its average, which removes whatever reference it was recorded with;
    ``projectors`` (k, C) are further topographies that were or will be projected out. With D the
    scale of each kind of sensor (volts and tesla meet as equals), H an orthonormal basis of what D
    times the topographies leave and H D C D H' = U diag(s) U' on its rank, W = diag(s)^-1/2 U' H D.

    Raises
    ------
    InputError : nothing left after projection (one EEG channel), or a covariance of zeros.
    """
    kinds_array = np.asarray(kinds)
    matrix = noise_cov.matrix
    scale = np.ones(len(kinds_array))
    for kind in dict.fromkeys(kinds):
        level = np.sqrt(np.diag(matrix)[kinds_array == kind].mean())
        if not level > 0:
            raise InputError(
                f"the noise covariance of the {kind} channels is zero; compute it from a stretch "
                "with noise in it"
            )
        scale[kinds_array == kind] = 1 / level
    topographies = [] if projectors is None else list(np.atleast_2d(projectors))
    if (kinds_array == "eeg").any():
        topographies.append((kinds_array == "eeg").astype(float))
    basis = np.eye(len(scale))
    if topographies:
        rows = np.array(topographies) * scale
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        basis = null_space(rows, rcond=_PROJECTOR_TOLERANCE).T
    if len(basis) == 0:
        raise InputError(
            f"{len(kinds_array)} EEG channel leaves nothing after the average reference; source "
            "imaging needs at least 2, and a map worth having 19"
        )
    scaled = matrix * scale[:, None] * scale
    values, vectors = np.linalg.eigh(basis @ scaled @ basis.T)
    if values[0] < -1e-6 * values[-1]:
        raise InputError(
            "the noise covariance has negative variance in some direction, which no noise has; "
            "compute it again from one segment with all channels"
        )
    if not values[-1] > _RANK_TOLERANCE:
        raise InputError(
            "the noise covariance is zero once references and projectors are taken out; compute it "
            "from a segment with noise"
        )
    keep = values > _RANK_TOLERANCE * values[-1]
    values, vectors = values[keep][::-1], vectors[:, keep][:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    turned = vectors.T @ basis
    return Whitener(
        turned / np.sqrt(values)[:, None] * scale,
        (turned * np.sqrt(values)[:, None]).T / scale[:, None],
        noise_cov.ch_names,
        noise_cov.dof,
    )
