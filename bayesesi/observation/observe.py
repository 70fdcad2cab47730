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
from bayesesi.noise import (
    NoiseCovariance,
    Whitener,
    band_autocorrelation,
    fit_autocorrelation,
    independent_share,
    make_whitener,
    positive,
    real_array,
    temporal_covariance,
)
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

#: Share of a window's power that may lie where the noise covariance has none.
_OUTSIDE_RANK = 0.01
#: dB of whitened power: pure noise has 0.
_LOWEST_LEVEL = -20.0
#: Mean before time 0 over the standard deviation of the noise: more was never subtracted.
_LARGEST_OFFSET = 8.0
#: A direction of the recording with less than this of the usual amplitude has no signal.
_SILENCE = 1e-4
#: Samples before time 0 from which an autocorrelation is worth fitting.
_SHORTEST_BASELINE = 40


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
    noise = _noise(noise_cov, recording, scale == "known", window)
    whitener = make_whitener(
        noise.pick(recording.ch_names).for_average(recording.nave),
        recording.kinds,
        recording.projectors,
    )
    _check_rank(recording, whitener, window)
    whitener = _without_silence(recording, whitener, noise.origin)
    _check_offset(recording, whitener, window)
    r, r_origin = _autocorrelation(autocorrelation, noise, recording, whitener, window)
    if noise.dof is not None and noise.autocorrelation is None and r is not None:
        whitener = replace(whitener, dof=max(1.0, noise.dof * independent_share(r)))
    basis = make_time_basis(
        time_basis,
        recording.times[window],
        recording.sfreq,
        recording.band[0],
        min(fmax, recording.band[1]),
        _time_covariance(r, recording, window),
    )
    values = np.asarray(project(recording.values[:, window], whitener, basis), float)
    if scale == "known":
        _check_level(values)
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
    before = _before(recording, window)
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


def _before(recording: Recording, window: slice) -> NDArray[np.int64]:
    """Samples before time 0 and before the window: noise by the usual reading."""
    bound = min(0.0, recording.times[window.start]) - 0.5 / recording.sfreq  # files round times
    return np.flatnonzero(recording.times < bound)


def _check_offset(recording: Recording, whitener: Whitener, window: slice) -> None:
    """An electrode's standing potential is no brain signal.

    Against the noise where something comes before time 0; else over half a second or more, in
    which no brain signal holds still.
    """
    before = _before(recording, window)
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


def _check_level(values: NDArray[np.float64]) -> None:
    """Noise cannot be missing from a recording."""
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


def _check_rank(recording: Recording, whitener: Whitener, window: slice) -> None:
    """What lies where the covariance has no noise is left out: it must not be much."""
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


def _without_silence(recording: Recording, whitener: Whitener, origin: str) -> Whitener:
    """Without directions that have noise by the covariance and none in the recording.

    There v~ = 0 would count as evidence against a source. An assumed covariance gives way; any
    other one is of another recording.
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


def _autocorrelation(
    choice: Any, noise: NoiseCovariance, recording: Recording, whitener: Whitener, window: slice
) -> tuple[NDArray[np.float64] | None, str]:
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
    before = _before(recording, window)
    if len(before) >= _SHORTEST_BASELINE:
        quiet = whitener(recording.values[:, before])
        return fit_autocorrelation(quiet, recording.sfreq, length), "before time 0"
    low, high = recording.band[0], min(recording.band[1], recording.sfreq / 2)
    r = band_autocorrelation(low, high, recording.sfreq, length)
    return r, f"1/f from {low:g} to {high:g} Hz"


def _time_covariance(
    r: NDArray[np.float64] | None, recording: Recording, window: slice
) -> NDArray[np.float64] | None:
    baseline = recording.baseline_samples
    if r is None:
        if baseline is None:
            return None
        r = np.ones(1)
    return temporal_covariance(r, np.arange(window.start, window.stop), baseline)


def _windowed(recording: Recording, window: slice) -> Recording:
    trials = recording.segments
    return replace(
        recording,
        values=recording.values[:, window],
        times=recording.times[window],
        segments=None if trials is None else trials[:, :, window],
    )
