"""How noise resembles itself a moment later.

Filtered EEG has far fewer independent samples than samples, so time is whitened as well as space:
the covariance of noise is taken as Sigma_space (x) Sigma_time, Sigma_time stationary with
autocorrelation r(lag), r(0) = 1 (Huizenga et al. 2002, doi:10.1109/TBME.2002.803515).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from bayesesi.errors import InputError

#: Seconds of past that the autoregressive model looks back, and its largest order.
_MEMORY, _MAX_ORDER = 0.05, 40


def fit_autocorrelation(
    segments: NDArray[np.floating], sfreq: float, n_lags: int
) -> NDArray[np.float64]:
    """(n_lags,): autocorrelation of noise by an autoregressive model (Yule-Walker).

    Parameters
    ----------
    segments : (..., T) stretches of noise of one scale, zero mean; all leading axes are pooled.
    sfreq : Hz.
    n_lags : how many lags to give; the model extends those that were observed, and is positive
        definite whatever the data.

    Raises
    ------
    InputError : fewer than 8 samples a stretch.
    """
    segments = np.asarray(segments, float)
    length = segments.shape[-1]
    if length < 8:
        raise InputError(
            f"noise segments of {length} samples are too short to see how noise persists; give at "
            "least 8, or autocorrelation='white'"
        )
    flat = segments.reshape(-1, length)
    order = int(np.clip(round(sfreq * _MEMORY), 2, min(_MAX_ORDER, length // 3)))
    size = 2 ** int(np.ceil(np.log2(2 * length)))
    power = (np.abs(np.fft.rfft(flat, size)) ** 2).sum(axis=0)
    observed = np.fft.irfft(power, size)[: order + 1]
    observed /= observed[0]
    observed[0] += 1e-9
    weights = sl.solve_toeplitz(observed[:-1], observed[1:])
    r = np.empty(max(n_lags, order + 1))
    r[: order + 1] = observed
    for lag in range(order + 1, len(r)):
        r[lag] = weights @ r[lag - 1 : lag - order - 1 : -1]
    return r[:n_lags]


def band_autocorrelation(
    highpass: float, lowpass: float, sfreq: float, n_lags: int
) -> NDArray[np.float64]:
    """(n_lags,): autocorrelation of white noise filtered to a band (Hz), flat inside it."""
    n = 2 ** int(np.ceil(np.log2(max(8 * n_lags, 4096))))
    frequency = np.fft.rfftfreq(n, 1 / sfreq)
    power = ((frequency >= highpass) & (frequency <= lowpass)).astype(float)
    r = np.fft.irfft(power, n)[:n_lags]
    return r / r[0]


def temporal_covariance(
    autocorrelation: NDArray[np.float64],
    samples: NDArray[np.int64],
    baseline: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """(T, T): covariance of unit noise at the given sample numbers.

    With ``baseline`` (sample numbers whose mean was subtracted from the recording) the noise of
    that mean is counted too: Cov(n(t) - m, n(t') - m). Lags beyond those known are zero.
    """
    r = np.asarray(autocorrelation, float)

    def between(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        lag = np.abs(a[:, None] - b[None, :])
        return np.where(lag < len(r), r[np.minimum(lag, len(r) - 1)], 0.0)

    covariance = between(samples, samples)
    if baseline is not None and len(baseline):
        cross = between(samples, baseline).mean(axis=1)
        covariance += between(baseline, baseline).mean() - cross[:, None] - cross[None, :]
    return covariance
