"""``observe``: from any recording to an ``Observation``. Nothing raw gets past it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.noise import (
    NoiseCovariance,
    Whitener,
    band_autocorrelation,
    fit_autocorrelation,
    make_whitener,
    temporal_covariance,
)
from bayesesi.observation.observation import Observation, project
from bayesesi.observation.recording import (
    Recording,
    recording_from_array,
    recording_from_mne,
    without_bads,
)
from bayesesi.observation.time_basis import DEFAULT_FMAX, make_time_basis

if TYPE_CHECKING:
    import mne

#: Share of a window's power that may lie where the noise covariance has none.
_OUTSIDE_RANK = 0.01
#: Mean before time 0 over the standard deviation of the noise: more was never subtracted.
_LARGEST_OFFSET = 8.0
#: Samples before time 0 from which an autocorrelation is worth fitting.
_SHORTEST_BASELINE = 40


def observe(
    data: mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw | NDArray[np.floating],
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
    nave: int = 1,
) -> Observation:
    """Whiten a window of a recording in space and time, and the leadfield with it.

    v~ = W V B C'^-1 with W the whitener of the noise at this average, B fixed functions of time
    and C C' = B' Sigma_time B, so that v~ = (W L) J_R + e with e ~ N(0, I).

    Parameters
    ----------
    data : ``mne`` Evoked, Epochs (averaged here) or Raw, in SI units; or an array (C, T) with
        ``ch_names`` (the forward's by default), ``sfreq`` in Hz and ``nave``; its first sample is
        time 0.
    forward : leadfield of at least these channels; order does not matter.
    noise_cov : noise of single trials (an ``mne.Covariance`` too), ``"baseline"`` to estimate it
        from what comes before time 0, or ``"adhoc"`` for independent channels of a usual level.
    tmin, tmax : the window in s, both included; all of the recording by default.
    baseline : (start, stop) in s whose mean is subtracted first; None leaves the data as they
        are. Noise that the mean carries into the window is counted either way.
    scale : ``"unknown"`` when volts are known up to a factor: the result then says so.
    time_basis : ``"dct"``, ``"slepian"``, ``"samples"`` or an array (T, R) chosen without looking
        at these data; ``fmax`` Hz bounds the first two.
    autocorrelation : of the noise: ``"auto"`` takes the covariance's own, else that of what comes
        before time 0, else that of the recording's filter band; ``"white"``; or r(lag), r(0) = 1.
    bads : channels to leave out besides those the recording marks.

    Raises
    ------
    InputError : in one sentence, what came, what is allowed and what to do; nothing is changed.
    """
    if scale not in ("known", "unknown"):
        raise InputError(f"scale is 'known' or 'unknown', not {scale!r}")
    recording = _recording(data, forward, ch_names, sfreq, nave)
    recording = without_bads(recording, bads)
    recording = _of_forward(recording, forward).check(scale == "known").with_baseline(baseline)
    forward = forward.pick(recording.ch_names)
    window = recording.window(tmin, tmax)
    noise = _noise(noise_cov, recording, scale == "known", window)
    whitener = make_whitener(
        noise.pick(recording.ch_names).for_average(recording.nave),
        recording.kinds,
        recording.projectors,
    )
    _check_rank(recording, whitener, window)
    _check_offset(recording, whitener, window)
    r, r_origin = _autocorrelation(autocorrelation, noise, recording, whitener, window)
    basis = make_time_basis(
        time_basis,
        recording.times[window],
        recording.sfreq,
        recording.band[0],
        min(fmax, recording.band[1]),
        _time_covariance(r, recording, window),
    )
    values = recording.values[:, window]
    leadfield = np.tensordot(whitener.matrix, forward.leadfield, axes=1)
    return Observation(
        np.asarray(project(values, whitener, basis), float),
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
            "noise_dof": noise.dof,
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
    nave: int,
) -> Recording:
    if not isinstance(forward, ForwardOperator):
        raise InputError(
            f"forward is a bayesesi.ForwardOperator, not {type(forward).__name__}; call "
            "template_forward(info), read_forward(path) or ForwardOperator.from_mne(fwd)"
        )
    if not isinstance(data, np.ndarray | list | tuple):
        return recording_from_mne(data)
    names = tuple(ch_names or forward.ch_names)
    assert forward.sensors is not None
    kind_of = dict(zip(forward.sensors.names, forward.sensors.kinds, strict=True))
    kinds = [kind_of.get(name, "eeg") for name in names]
    return recording_from_array(np.asarray(data), names, kinds, sfreq, 0.0, nave, None)


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


def _noise(
    noise_cov: Any, recording: Recording, scale_known: bool, window: slice
) -> NoiseCovariance:
    if isinstance(noise_cov, NoiseCovariance):
        return noise_cov
    if noise_cov is None:
        raise InputError(
            "there is no noise covariance; give noise_cov=mne.compute_covariance(epochs), "
            "'baseline' to estimate it from before time 0, or 'adhoc' to assume a usual level"
        )
    if isinstance(noise_cov, str):
        if noise_cov == "adhoc":
            return _adhoc(recording, scale_known)
        if noise_cov == "baseline":
            return _from_baseline(recording, window)
        raise InputError(
            f"noise_cov is a covariance, 'baseline' or 'adhoc', not {noise_cov[:40]!r}; read a "
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
        kinds = np.array(recording.kinds)
        sd = {
            kind: float(np.median(recording.values[kinds == kind].std(axis=1)))
            for kind in dict.fromkeys(recording.kinds)
        }
    noise = NoiseCovariance.adhoc(recording.ch_names, recording.kinds, sd)
    # what is assumed is the noise of this recording, however many trials it averages
    return noise.for_average(1) if recording.nave == 1 else _as_average(noise, recording.nave)


def _as_average(noise: NoiseCovariance, nave: int) -> NoiseCovariance:
    return replace(noise, nave=nave)


def _from_baseline(recording: Recording, window: slice) -> NoiseCovariance:
    before = _before(recording, window)
    if len(before) < 8:
        raise InputError(
            f"the recording has {len(before)} samples before time 0 and before the window, too "
            "few for a noise covariance; give noise_cov from other data, or 'adhoc'"
        )
    segments, nave = recording.values[None, :, before], recording.nave
    if recording.segments is not None:
        segments, nave = recording.segments[:, :, before], 1
    return NoiseCovariance.from_samples(
        segments, recording.ch_names, recording.sfreq, nave, shrinkage="ledoit-wolf"
    )


def _before(recording: Recording, window: slice) -> NDArray[np.int64]:
    """Samples before time 0 and before the window: noise by the usual reading."""
    return np.flatnonzero(recording.times < min(0.0, recording.times[window.start]))


def _check_offset(recording: Recording, whitener: Whitener, window: slice) -> None:
    """An electrode's standing potential is no brain signal."""
    before = _before(recording, window)
    if recording.baseline is not None or not len(before):
        return
    offset = np.sqrt((whitener(recording.values[:, before].mean(axis=1)) ** 2).mean())
    if offset > _LARGEST_OFFSET:
        raise InputError(
            f"before time 0 the channels stand off zero by {offset:.0f} times their noise; "
            "subtract a baseline with baseline=(None, 0), or filter the recording"
        )


def _check_rank(recording: Recording, whitener: Whitener, window: slice) -> None:
    """Signal where the covariance has no noise would count as infinitely certain."""
    values = recording.values[:, window]
    kept = whitener.colorer @ (whitener.matrix @ values)
    centred = make_whitener(
        NoiseCovariance(np.eye(len(values)), recording.ch_names),
        recording.kinds,
        recording.projectors,
    )
    possible = centred.colorer @ (centred.matrix @ values)
    lost = ((possible - kept) ** 2).sum() / max((possible**2).sum(), 1e-300)
    if centred.n_eff > whitener.n_eff and lost > _OUTSIDE_RANK:
        raise InputError(
            f"the noise covariance has rank {whitener.n_eff}, the recording {centred.n_eff}, and "
            f"{lost:.0%} of its power lies where the covariance has no noise; compute the "
            "covariance from the same preprocessed recording"
        )


def _autocorrelation(
    choice: Any, noise: NoiseCovariance, recording: Recording, whitener: Whitener, window: slice
) -> tuple[NDArray[np.float64] | None, str]:
    if window.stop - window.start == 1:
        return None, "one sample"
    if isinstance(choice, str):
        if choice == "white":
            return None, "white"
        if choice != "auto":
            raise InputError(f"autocorrelation is 'auto', 'white' or an array, not {choice!r}")
    else:
        r = np.asarray(choice, float)
        if r.ndim != 1 or not len(r) or abs(r[0] - 1) > 1e-6 or not np.isfinite(r).all():
            raise InputError("autocorrelation is r(lag) in samples, with r(0) = 1")
        return r, "given"
    if noise.autocorrelation is not None and noise.sfreq == recording.sfreq:
        return noise.autocorrelation, f"noise covariance ({noise.origin})"
    length = recording.values.shape[1]
    before = np.flatnonzero(recording.times < 0)
    if len(before) >= _SHORTEST_BASELINE:
        quiet = whitener(recording.values[:, before])
        quiet = quiet - quiet.mean(axis=1, keepdims=True)
        return fit_autocorrelation(quiet, recording.sfreq, length), "before time 0"
    high = min(recording.band[1], recording.sfreq / 2)
    if recording.band[0] <= 0 and high >= 0.45 * recording.sfreq:
        return None, "white"
    return (
        band_autocorrelation(recording.band[0], high, recording.sfreq, length),
        f"filter band {recording.band[0]:g} to {high:g} Hz",
    )


def _time_covariance(
    r: NDArray[np.float64] | None, recording: Recording, window: slice
) -> NDArray[np.float64] | None:
    samples = np.arange(window.start, window.stop)
    baseline = None
    if recording.baseline is not None:
        inside = recording.window(*recording.baseline)
        baseline = np.arange(inside.start, inside.stop)
    if r is None:
        if baseline is None:
            return None
        r = np.ones(1)
    return temporal_covariance(r, samples, baseline)


def _windowed(recording: Recording, window: slice) -> Recording:
    return replace(
        recording,
        values=recording.values[:, window],
        times=recording.times[window],
        segments=None,
    )
