"""Functions of time fixed before the data are seen.

A window of T samples is described by R numbers a channel. The functions must not come from the
data: singular vectors of a noisy window inflate the chi-square of pure noise several times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.noise import real_array

KINDS = ("dct", "slepian", "samples")
#: Hz: what evoked, spike and ictal activity holds below.
DEFAULT_FMAX = 40.0


@dataclass(frozen=True, eq=False)
class TimeBasis:
    """R functions over T samples, scaled so that noise projected on them is white.

    With orthonormal B (T, R) and noise of temporal covariance Sigma, B' Sigma B = C C':

        values = V projector,       projector = B C'^-1
        J(t)   = J_R functions',    functions = B C

    so ``functions.T @ projector`` is the identity and projected noise has unit covariance.

    Attributes
    ----------
    projector, functions : (T, R).
    times : (T,) s.
    kind : ``"dct"``, ``"slepian"``, ``"samples"`` or ``"given"``.
    """

    projector: NDArray[np.float64]
    functions: NDArray[np.float64]
    times: NDArray[np.float64]
    kind: str

    @property
    def n_functions(self) -> int:
        return self.projector.shape[1]


def orthonormal_functions(
    kind: str | NDArray[np.floating], n_times: int, sfreq: float, fmin: float, fmax: float
) -> NDArray[np.float64]:
    """Make (T, R) orthonormal columns of a ``kind`` over ``n_times`` T samples at ``sfreq`` Hz.

    ``"dct"``: cosines of half-integer periods (DCT-II) between ``fmin`` and ``fmax`` Hz;
    ``"slepian"``: the best concentrated sequences below ``fmax`` (Slepian 1978); ``"samples"``:
    every sample by itself; or an array (T, R) as ``kind``, orthonormalised.

    Raises
    ------
    InputError : an unknown kind, an array of another length, no function in the band.
    """
    if not isinstance(kind, str):
        given = real_array(kind, "the time basis")
        if given.ndim != 2 or given.shape[0] != n_times or given.shape[1] > n_times:
            raise InputError(
                f"the time basis has shape {given.shape}; for a window of {n_times} samples it "
                f"must be ({n_times}, R) with R up to {n_times}"
            )
        if not np.isfinite(given).all() or np.linalg.matrix_rank(given) < max(given.shape[1], 1):
            raise InputError(
                "the time basis has values that are not finite or functions that depend on each "
                "other; give independent columns"
            )
        return sl.orth(given)
    if kind not in KINDS:
        raise InputError(f"time_basis is one of {', '.join(KINDS)} or an array, not {some([kind])}")
    if kind == "samples" or n_times == 1:
        return np.eye(n_times)
    if not fmin < fmax:
        raise InputError(
            f"no time function lies between {fmin:g} Hz, where the recording's band begins, "
            f"and {fmax:g} Hz; raise fmax"
        )
    if kind == "slepian":
        from scipy.signal.windows import dpss

        bandwidth = min(fmax * n_times / sfreq, n_times / 2 - 1e-3)
        count = int(np.clip(np.floor(2 * bandwidth), 1, n_times))
        if bandwidth < 0.5:
            return np.full((n_times, 1), n_times**-0.5)
        return dpss(n_times, bandwidth, count, sym=True).T
    step = sfreq / (2 * n_times)  # Hz between cosines
    low = int(np.floor(fmin / step)) if fmin > step else 0
    high = int(min(np.floor(fmax / step + 1e-9), n_times - 1))
    order = np.arange(low, max(high, low) + 1)
    cosines = np.cos(np.pi * (np.arange(n_times) + 0.5)[:, None] * order / n_times)
    return cosines / np.linalg.norm(cosines, axis=0)


def make_time_basis(
    kind: str | NDArray[np.floating],
    times: NDArray[np.float64],
    sfreq: float,
    fmin: float,
    fmax: float,
    covariance: NDArray[np.float64] | None = None,
) -> TimeBasis:
    """Make functions over a window, whitened by the temporal covariance of noise.

    Directions in which the noise has no power to speak of (1e-8 of the most) are left out.

    Parameters
    ----------
    kind, fmin, fmax : one of ``KINDS`` or (T, R), and Hz, see ``orthonormal_functions``.
    times : (T,) s. sfreq : Hz. covariance : (T, T) of unit noise, white if None.

    Raises
    ------
    InputError : see ``orthonormal_functions``; a covariance that no noise has.
    """
    functions = orthonormal_functions(kind, len(times), sfreq, fmin, fmax)
    name = kind if isinstance(kind, str) else "given"
    if covariance is None:
        return TimeBasis(functions, functions, times, name)
    projected = functions.T @ covariance @ functions
    values, vectors = np.linalg.eigh(projected)
    if values[0] < -1e-6 * values[-1] or not values[-1] > 0:
        raise InputError(
            "the autocorrelation is not that of any noise: some course of time would have negative "
            "variance; estimate it from a longer segment, or taper it towards its last lag"
        )
    if values[0] < 1e-8 * values[-1]:
        functions = functions @ vectors[:, values >= 1e-8 * values[-1]]
        projected = functions.T @ covariance @ functions
    lower = np.linalg.cholesky(projected)
    projector = np.linalg.solve(lower, functions.T).T
    return TimeBasis(projector, functions @ lower, times, name)
