"""The covariance and autocorrelation of a recording's noise: given, measured or assumed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.noise import (
    NoiseCovariance,
    Whitener,
    band_autocorrelation,
    fit_autocorrelation,
    real_array,
    temporal_covariance,
)
from bayesesi.observation.sensor_data import Recording

#: Samples before time 0 from which an autocorrelation is worth fitting.
_SHORTEST_BASELINE = 40


def noise_of(
    noise_cov: Any, recording: Recording, scale_known: bool, window: slice
) -> NoiseCovariance:
    """Return the covariance that a user gave, or one that is measured or assumed.

    Parameters
    ----------
    noise_cov : a ``NoiseCovariance``, an ``mne.Covariance``, ``"baseline"`` or ``"adhoc"``.
    recording : whose noise it is. window : its samples that are analysed.
    scale_known : whether the recording is in V; else ``"adhoc"`` takes its own amplitude.

    Raises
    ------
    InputError : None, another word or type, or too few samples before time 0.
    """
    if isinstance(noise_cov, NoiseCovariance):
        return noise_cov
    if noise_cov is None:
        raise InputError(
            "there is no noise covariance; give noise_cov=mne.compute_covariance(epochs), "
            "'baseline' to estimate it from before time 0, or 'adhoc' to assume a typical level"
        )
    if isinstance(noise_cov, str):
        if noise_cov == "adhoc":
            return _adhoc(recording, scale_known)
        if noise_cov == "baseline":
            return _from_baseline(recording, window)
        raise InputError(
            f"noise_cov is a covariance, 'baseline' or 'adhoc', not {some([noise_cov])}; read a "
            "file with bayesesi.read_noise_cov"
        )
    import mne

    if isinstance(noise_cov, mne.Covariance):
        return NoiseCovariance.from_mne(noise_cov)
    raise InputError(
        f"noise_cov is a NoiseCovariance, an mne.Covariance, 'baseline' or 'adhoc', not "
        f"{type(noise_cov).__name__}"
    )


def _adhoc(recording: Recording, scale_known: bool) -> NoiseCovariance:
    """A usual level; where the unit is unknown, the recording's own median amplitude."""
    sd = None
    if not scale_known:
        values = recording.average_referenced(recording.values)
        # over time; one moment has only its channels
        spread = values.std(axis=1) if values.shape[1] > 1 else np.abs(values[:, 0])
        kinds = np.array(recording.kinds)
        sd = {k: float(np.median(spread[kinds == k])) for k in dict.fromkeys(recording.kinds)}
    noise = NoiseCovariance.adhoc(recording.ch_names, recording.kinds, sd)
    # what is assumed is the noise of this recording, however many trials it averages
    return replace(noise, nave=recording.nave)


def _from_baseline(recording: Recording, window: slice) -> NoiseCovariance:
    before = samples_before(recording, window)
    if len(before) < 8:
        raise InputError(
            f"the recording has {len(before)} samples before time 0 and before the window, too "
            "few for a noise covariance; give noise_cov from other data, or 'adhoc'"
        )
    segments, nave = recording.values[None, :, before], recording.nave
    if recording.segments is not None:
        segments, nave = recording.segments[:, :, before], 1.0
    segments = recording.average_referenced(segments)
    return NoiseCovariance.from_samples(
        segments, recording.ch_names, recording.sfreq, nave, shrinkage="ledoit-wolf"
    )


def samples_before(recording: Recording, window: slice) -> NDArray[np.int64]:
    """Find samples of ``recording`` before time 0 and before ``window``, taken for noise: (n,)."""
    bound = min(0.0, recording.times[window.start]) - 0.5 / recording.sfreq  # files round times
    return np.flatnonzero(recording.times < bound)


def autocorrelation_of(
    choice: Any, noise: NoiseCovariance, recording: Recording, whitener: Whitener, window: slice
) -> tuple[NDArray[np.float64] | None, str]:
    """Return r(lag) of the noise in samples, None where it is white, and where it comes from.

    Parameters
    ----------
    choice : ``"auto"``, ``"white"``, or r(lag) with r(0) = 1: see ``observe``.
    noise, whitener : of single trials, and of the recording's average.
    recording : whose noise it is. window : its samples that are analysed.

    Raises
    ------
    InputError : another word, or an array that is no autocorrelation.
    """
    if window.stop - window.start == 1 and recording.baseline is None:
        return None, "one sample"
    if not isinstance(choice, str):
        r = real_array(choice, "the autocorrelation")
        if r.ndim != 1 or not len(r) or abs(r[0] - 1) > 1e-6 or not np.isfinite(r).all():
            raise InputError("autocorrelation is r(lag) in samples, with r(0) = 1")
        return r, "given"
    if choice == "white":
        return None, "white"
    if choice != "auto":
        raise InputError(f"autocorrelation is 'auto', 'white' or an array, not {some([choice])}")
    if noise.autocorrelation is not None and np.isclose(
        noise.sfreq or 0, recording.sfreq, rtol=1e-4
    ):
        return noise.autocorrelation, f"noise covariance ({noise.origin})"
    r, origin = _assumed(recording, whitener, window)
    if noise.origin == "given" and recording.baseline_samples is not None:
        # MNE's covariance is that of noise about the mean of a baseline, not at one moment
        inside = recording.baseline_samples
        r = r / np.diag(temporal_covariance(r, inside, inside)).mean()
    return r, origin


def _assumed(
    recording: Recording, whitener: Whitener, window: slice
) -> tuple[NDArray[np.float64], str]:
    """By what comes before time 0 and the window, else by the filter band."""
    known = recording.baseline_samples
    length = recording.values.shape[1] + (0 if known is None else max(0, -int(known[0])))
    before = samples_before(recording, window)
    if len(before) >= _SHORTEST_BASELINE:
        quiet = whitener(recording.values[:, before])
        return fit_autocorrelation(quiet, recording.sfreq, length), "before time 0"
    low, high = recording.band[0], min(recording.band[1], recording.sfreq / 2)
    r = band_autocorrelation(low, high, recording.sfreq, length)
    return r, f"1/f from {low:g} to {high:g} Hz"


def time_covariance(
    r: NDArray[np.float64] | None, recording: Recording, window: slice
) -> NDArray[np.float64] | None:
    """Compute (T, T) the covariance over a window's samples for noise of autocorrelation ``r``.

    ``r`` (n_lags,) is r(lag) with r(0) = 1; ``window`` are samples of ``recording``. None where
    noise is white and no baseline was subtracted; a subtracted mean correlates samples.
    """
    baseline = recording.baseline_samples
    if r is None:
        if baseline is None:
            return None
        r = np.ones(1)
    return temporal_covariance(r, np.arange(window.start, window.stop), baseline)
