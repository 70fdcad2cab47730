"""Checks that a noise covariance is of its recording: rank, level, offset, null directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.noise import NoiseCovariance, Whitener, make_whitener
from bayesesi.observation.noise_choice import samples_before
from bayesesi.observation.sensor_data import Recording

#: Share of a window's power that may lie where the noise covariance has none.
_OUTSIDE_RANK = 0.01
#: dB of whitened power: pure noise has 0.
_LOWEST_LEVEL = -20.0
#: Mean before time 0 over the standard deviation of the noise: more was never subtracted.
_LARGEST_OFFSET = 8.0
#: A direction of the recording with less than this of the usual amplitude has no signal.
_SILENCE = 1e-4


def check_offset(recording: Recording, whitener: Whitener, window: slice) -> None:
    """Refuse a recording with electrodes' standing potentials, which are not brain signals.

    The offset is compared with the noise where something comes before time 0; else over half a
    second or more, in which no brain signal holds still.

    Parameters
    ----------
    recording : in SI units. whitener : of its average. window : its samples that are analysed.

    Raises
    ------
    InputError : an offset of more than ``_LARGEST_OFFSET`` times the noise.
    """
    before = samples_before(recording, window)
    if recording.baseline is not None:
        return
    if len(before):
        offset = _rms(whitener(recording.values[:, before].mean(axis=1)))
    elif recording.times[-1] - recording.times[0] >= 0.5:
        values = whitener(_thinned(recording.values))
        offset = _rms(values.mean(axis=1)) / _rms(values.std(axis=1))
    else:
        return
    if offset > _LARGEST_OFFSET:
        raise InputError(
            f"the channels stand off zero by {offset:.0f} times their noise; subtract a baseline "
            "with baseline=(None, 0), or filter the recording"
        )


def check_level(values: NDArray[np.float64]) -> None:
    """Refuse whitened ``values`` (n_eff, R) in which noise is missing.

    Raises
    ------
    InputError : their power lies below ``_LOWEST_LEVEL`` dB.
    """
    level = 10 * np.log10(max(float((values**2).mean()), 1e-300))
    if level < _LOWEST_LEVEL:
        raise InputError(
            f"the window lies {-level:.0f} dB below the noise that its covariance claims; check "
            "that both are in SI units (V and V², not µV²) and of the same recording"
        )


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt((values**2).mean()))


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, T) at some thousands of samples, evenly over all: enough to see rank and offset."""
    return values[:, :: max(1, values.shape[1] // 5000)]


def check_rank(recording: Recording, whitener: Whitener, window: slice) -> None:
    """Refuse a covariance without noise where the recording has power, since that is left out.

    Parameters
    ----------
    recording : in SI units. whitener : of its average. window : its samples that are analysed.

    Raises
    ------
    InputError : more than ``_OUTSIDE_RANK`` of a kind's power lies there.
    """
    kinds = list(dict.fromkeys(recording.kinds))
    values = recording.values[:, window]
    whole = make_whitener(
        NoiseCovariance.adhoc(recording.ch_names, recording.kinds),
        recording.kinds,
        recording.projectors,
    )
    if whole.n_eff <= whitener.n_eff:
        return
    possible = whole.colorer @ (whole.matrix @ values)
    lost = possible - whole.colorer @ (whole.matrix @ (whitener.colorer @ whitener(values)))
    kind_of = np.array(recording.kinds)
    share = max(
        float((lost[kind_of == k] ** 2).sum() / max((possible[kind_of == k] ** 2).sum(), 1e-300))
        for k in kinds
    )
    if share > _OUTSIDE_RANK:
        raise InputError(
            f"the noise covariance has rank {whitener.n_eff}, the recording {whole.n_eff}, and "
            f"{share:.0%} of its power lies where the covariance has no noise; compute the "
            "covariance from the same preprocessed recording"
        )


def without_silence(recording: Recording, whitener: Whitener, origin: str) -> Whitener:
    """Return ``whitener`` without directions in which ``recording`` holds no noise.

    There v~ = 0 would count as evidence against a source. An assumed covariance gives way; any
    other one is of another recording.

    Raises
    ------
    InputError : such directions under a covariance of another ``origin`` than ``"adhoc"``.
    """
    values = whitener(_thinned(recording.values))
    if values.shape[1] < 2 * whitener.n_eff:
        return whitener
    power, vectors = np.linalg.eigh(values @ values.T)
    heard = power > _SILENCE**2 * np.median(power)
    if heard.all() or np.median(power) < _SILENCE**2 * power[-1]:  # all, or a signal without noise
        return whitener
    if origin != "adhoc":
        raise InputError(
            f"the noise covariance has rank {whitener.n_eff}, the recording {heard.sum()}: a "
            "channel was interpolated or a component removed; mark that channel as bad, or compute "
            "the covariance from the same preprocessed recording"
        )
    kept = vectors[:, heard]
    return replace(whitener, matrix=kept.T @ whitener.matrix, colorer=whitener.colorer @ kept)
