"""How noise resembles itself a moment later.

Filtered EEG has far fewer independent samples than samples, so time is whitened as well as space:
the covariance of noise is taken as Sigma_space (x) Sigma_time, Sigma_time stationary with
autocorrelation r(lag), r(0) = 1 (Huizenga et al. 2002, IEEE Trans Biomed Eng 49:533).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from bayesesi.errors import InputError

#: Seconds: longer stretches are cut into pieces of about this length.
_PIECE = 4.0
#: Bins whose slope says how the spectrum goes on below the first of them, down to a tenth of it.
_SLOPE_BINS, _LOWEST = 4, 0.1
#: Hz: where the 1/f of background activity levels off.
_KNEE = 0.25


def fit_autocovariance(
    segments: NDArray[np.floating], sfreq: float, n_lags: int
) -> NDArray[np.float64]:
    """Fit (n_lags,) the autocovariance of noise, in the square of the segments' unit.

    With X_k the cosine transform (DCT-II) of a stretch of T samples and f_k = k sfreq / 2T,

        S(f_k) = mean |X_k|²  for k >= 1,     r(lag) = sum_f S(f) cos(2 pi f lag / sfreq).

    Cosines with k >= 1 are orthogonal to a constant, so it does not matter that stretches are about
    their own means; a Fourier transform would also leak what drifts across their ends. Below f_1
    the spectrum goes on as the power law of the first bins (an exponent of 0 to 2, level below f_1
    / 10). S >= 0 makes r positive definite whatever the data.

    Parameters
    ----------
    segments : (..., T) stretches of noise; all leading axes are pooled.
    sfreq : Hz.
    n_lags : how many lags to give.

    Raises
    ------
    InputError : fewer than 8 samples a stretch, or no variance.
    """
    segments = np.asarray(segments, float)
    if segments.shape[-1] < 8:
        raise InputError(
            f"noise segments of {segments.shape[-1]} samples are too short to see how noise "
            "persists; give at least 8, or autocorrelation='white'"
        )
    pieces = max(1, round(segments.shape[-1] / (_PIECE * sfreq)))
    length = segments.shape[-1] // pieces
    flat = segments[..., : pieces * length].reshape(-1, length)
    power = (dct(flat, norm="ortho", axis=-1)[:, 1:] ** 2).mean(axis=0)
    if not power.sum() > 1e-20 * (flat**2).mean():  # what rounding leaves of a constant
        raise InputError("the noise segments are constant; choose a segment with noise")
    frequency = np.arange(1, length) * sfreq / (2 * length)
    size = 2 ** int(np.ceil(np.log2(max(2 * n_lags, 20 * length, 4096))))
    grid = np.fft.rfftfreq(size, 1 / sfreq)
    spectrum = np.interp(grid, frequency, power)
    first = np.log(np.maximum(power[:_SLOPE_BINS], 1e-30 * power.max()))
    slope = np.clip(np.polyfit(np.log(frequency[:_SLOPE_BINS]), first, 1)[0], -2, 0)
    below = grid < frequency[0]
    spectrum[below] *= np.maximum(grid[below] / frequency[0], _LOWEST) ** slope
    return np.fft.irfft(spectrum, size)[:n_lags]


def fit_autocorrelation(
    segments: NDArray[np.floating], sfreq: float, n_lags: int
) -> NDArray[np.float64]:
    """Fit ``fit_autocovariance`` over its value at lag 0, (n_lags,) of ``n_lags`` lags.

    ``segments`` (..., T) are stretches of noise at ``sfreq`` Hz.
    """
    r = fit_autocovariance(segments, sfreq, n_lags)
    return r / r[0]


def band_autocorrelation(
    highpass: float, lowpass: float, sfreq: float, n_lags: int, exponent: float = 1.0
) -> NDArray[np.float64]:
    """Compute (n_lags,) the autocorrelation of noise with power 1/f^exponent in a band alone.

    Background EEG and MEG fall off with an exponent of about 1 (He et al. 2010,
    doi:10.1016/j.neuron.2010.04.020); below 0.25 Hz the power is level. 0 is white noise filtered.

    Parameters
    ----------
    highpass, lowpass : Hz, ends of the band. sfreq : Hz. n_lags : how many lags to give.
    exponent : of the power 1/f^exponent, a number.

    Raises
    ------
    InputError : a band without a frequency in it.
    """
    size = 2 ** int(np.ceil(np.log2(max(8 * n_lags, 16 * sfreq, 4096))))
    frequency = np.fft.rfftfreq(size, 1 / sfreq)
    power = np.maximum(frequency, _KNEE) ** -float(exponent)
    power[(frequency < highpass) | (frequency > lowpass)] = 0.0
    if not power.any():
        raise InputError(
            f"no noise lies between {highpass:g} and {lowpass:g} Hz, which the recording gives as "
            "its filter band; correct info['highpass'] and info['lowpass']"
        )
    r = np.fft.irfft(power, size)[:n_lags]
    return r / r[0]


def independent_share(autocorrelation: NDArray[np.float64]) -> float:
    """Compute independent samples per sample when a variance is estimated: 1 / (1 + 2 sum r(lag)²).

    ``autocorrelation`` (n_lags,) is r, in any unit.
    """
    r = autocorrelation / autocorrelation[0]
    return float(1 / (1 + 2 * (r[1:] ** 2).sum()))


def temporal_covariance(
    autocorrelation: NDArray[np.float64],
    samples: NDArray[np.int64],
    baseline: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Compute (T, T) the covariance of unit noise at the sample numbers ``samples`` (T,).

    ``autocorrelation`` (n_lags,) is r(lag), r(0) = 1; lags beyond those known are zero. With
    ``baseline`` (n,), sample numbers whose mean was subtracted from the recording, the noise of
    that mean is counted too: Cov(n(t) - m, n(t') - m).
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
