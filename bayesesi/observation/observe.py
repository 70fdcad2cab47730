"""``observe``: from any recording to an ``Observation``. Nothing raw gets past it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.noise import NoiseCovariance, independent_share, make_whitener, positive
from bayesesi.observation.noise_checks import check_level, check_offset, check_rank, without_silence
from bayesesi.observation.noise_choice import autocorrelation_of, noise_of, time_covariance
from bayesesi.observation.observation import Observation, project
from bayesesi.observation.sensor_data import (
    Recording,
    recording_from_array,
    recording_from_mne,
    without_bads,
)
from bayesesi.observation.time_basis import DEFAULT_FMAX, make_time_basis

if TYPE_CHECKING:
    import mne


def observe(
    data: mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw | Recording | NDArray[np.floating],
    forward: ForwardOperator,
    noise_cov: NoiseCovariance | mne.Covariance | Literal["baseline", "adhoc"] | None = None,
    *,
    tmin: float | None = None,
    tmax: float | None = None,
    baseline: tuple[float | None, float | None] | None = None,
    scale: Literal["known", "unknown"] = "known",
    time_basis: str | NDArray[np.floating] = "dct",
    fmax: float = DEFAULT_FMAX,
    autocorrelation: Literal["auto", "white"] | NDArray[np.floating] = "auto",
    bads: Sequence[str] = (),
    ch_names: Sequence[str] | None = None,
    sfreq: float | None = None,
    nave: float | None = None,
) -> Observation:
    """Whiten a window of a recording in space and time, and the leadfield with it.

    v~ = W V B C'^-1 with W the whitener of the noise at this average, B fixed functions of time
    and C C' = B' Sigma_time B, so that v~ = (W L) J_R + e with e ~ N(0, I).

    Parameters
    ----------
    data : ``mne`` Evoked, Epochs (averaged here) or Raw, in SI units; or an array (C, T) with
        ``ch_names`` (the forward's by default), ``sfreq`` in Hz and ``nave`` (1 by default); its
        first sample is time 0; or a ``Recording``, as a simulator makes it.
    forward : leadfield of at least these channels; order does not matter.
    noise_cov : noise of single trials (an ``mne.Covariance`` too, taken as noise about the mean of
        the baseline where the recording has one), ``"baseline"`` to estimate it from what comes
        before time 0, or ``"adhoc"`` for independent channels of a usual level.
    tmin, tmax : the window in s, both included; all of the recording by default, from time 0 on
        where what comes before is taken for the noise.
    baseline : (start, stop) in s whose mean is subtracted first; None leaves the data as they
        are. Noise that the mean carries into the window is counted either way.
    scale : ``"unknown"`` when volts are known up to a factor: the result then says so.
    time_basis : ``"dct"``, ``"slepian"``, ``"samples"`` or an array (T, R) chosen without looking
        at these data; ``fmax`` Hz bounds the first two.
    autocorrelation : of the noise: ``"auto"`` takes the covariance's own, else that of what comes
        before time 0 and the window, else 1/f in the recording's filter band (all frequencies for
        an array); ``"white"``; or (n_lags,) r(lag), r(0) = 1.
    bads : channels to leave out besides those the recording marks.

    Raises
    ------
    InputError : in one sentence, what came, what is allowed and what to do; nothing is changed.
    """
    if not isinstance(scale, str) or scale not in ("known", "unknown"):
        raise InputError(f"scale is 'known' or 'unknown', not {some([scale])}")
    fmax = positive(fmax, "fmax, in Hz,")
    recording = _recording(data, forward, ch_names, sfreq, nave)
    recording = without_bads(recording, bads)
    recording = _of_forward(recording, forward).check(scale == "known").with_baseline(baseline)
    forward = forward.pick(recording.ch_names)
    window = recording.window(tmin, tmax)
    if isinstance(noise_cov, str) and noise_cov == "baseline" and tmin is None:
        tmin = 0.0 if recording.times[0] < 0 <= recording.times[-1] else None
        window = recording.window(tmin, tmax)
    noise = noise_of(noise_cov, recording, scale == "known", window)
    whitener = make_whitener(
        noise.pick(recording.ch_names).for_average(recording.nave),
        recording.kinds,
        recording.projectors,
    )
    check_rank(recording, whitener, window)
    whitener = without_silence(recording, whitener, noise.origin)
    check_offset(recording, whitener, window)
    r, r_origin = autocorrelation_of(autocorrelation, noise, recording, whitener, window)
    if noise.dof is not None and noise.autocorrelation is None and r is not None:
        whitener = replace(whitener, dof=max(1.0, noise.dof * independent_share(r)))
    basis = make_time_basis(
        time_basis,
        recording.times[window],
        recording.sfreq,
        recording.band[0],
        min(fmax, recording.band[1]),
        time_covariance(r, recording, window),
    )
    values = np.asarray(project(recording.values[:, window], whitener, basis), float)
    if scale == "known":
        check_level(values)
    leadfield = np.tensordot(whitener.matrix, forward.leadfield, axes=1)
    return Observation(
        values,
        leadfield,
        whitener,
        basis,
        forward,
        scale == "known",
        _windowed(recording, window),
        {
            **forward.provenance,
            "condition": recording.name,
            "nave": recording.nave,
            "window_s": (float(basis.times[0]), float(basis.times[-1])),
            "band_Hz": recording.band,
            "bads": recording.bads,
            "noise_cov": noise.origin,
            "noise_dof": whitener.dof,
            "autocorrelation": r_origin,
            "time_basis": basis.kind,
            "n_functions": basis.n_functions,
            "scale": scale,
            "rank": whitener.n_eff,
        },
    )


def _recording(
    data: Any,
    forward: ForwardOperator,
    ch_names: Sequence[str] | None,
    sfreq: float | None,
    nave: float | None,
) -> Recording:
    if not isinstance(forward, ForwardOperator):
        raise InputError(
            f"forward is a bayesesi.ForwardOperator, not {type(forward).__name__}; call "
            "template_forward(info), read_forward(path) or ForwardOperator.from_mne(fwd)"
        )
    if isinstance(data, Recording):
        return data
    if not _is_array(data):
        own = {"ch_names": ch_names, "sfreq": sfreq, "nave": nave}
        given = [name for name, value in own.items() if value is not None]
        if given:
            raise InputError(
                f"{some(given)} belongs to an array; an MNE object carries its own, so change it "
                "there (evoked.nave = ...)"
            )
        return recording_from_mne(data)
    if isinstance(ch_names, str):
        raise InputError("ch_names is a list with a name for each channel, not one string")
    names = forward.ch_names if ch_names is None else tuple(str(name) for name in ch_names)
    assert forward.sensors is not None
    kind_of = dict(zip(forward.sensors.names, forward.sensors.kinds, strict=True))
    kinds = [kind_of.get(name, "eeg") for name in names]
    return recording_from_array(data, names, kinds, sfreq, 0.0, 1 if nave is None else nave, None)


def _is_array(data: Any) -> bool:
    """An array, or a list of rows of numbers (but not of MNE objects)."""
    if isinstance(data, list | tuple):
        return all(isinstance(row, np.ndarray | list | tuple | Real) for row in data)
    return isinstance(data, np.ndarray)


def _of_forward(recording: Recording, forward: ForwardOperator) -> Recording:
    """The recording's channels of the kinds the forward has; all of those must be in it."""
    assert forward.sensors is not None
    kinds = set(forward.sensors.kinds)
    other = [n for n, k in zip(recording.ch_names, recording.kinds, strict=True) if k not in kinds]
    if len(other) == recording.n_channels:
        raise InputError(
            f"the recording has {some(set(recording.kinds))} channels, the forward model "
            f"{some(kinds)}; give a forward of the same kind"
        )
    marked = recording.bads
    recording = replace(without_bads(recording, other), bads=marked)
    forward.sensors.indices(recording.ch_names)
    return recording


def _windowed(recording: Recording, window: slice) -> Recording:
    trials = recording.segments
    return replace(
        recording,
        values=recording.values[:, window],
        times=recording.times[window],
        segments=None if trials is None else trials[:, :, window],
    )
