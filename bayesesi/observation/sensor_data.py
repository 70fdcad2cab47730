"""A recording as plain arrays, checked: what passes the door instead of an MNE object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.io.readers import read_file
from bayesesi.noise import positive, real_array

if TYPE_CHECKING:
    import mne

#: Largest amplitude a recording in SI units can have: V, T, T/m.
_LARGEST = {"eeg": 0.005, "mag": 1e-9, "grad": 1e-9}
#: Samples that a window or a baseline can hold: their covariance over time is dense.
_LONGEST = 5000
_UNITS = {"eeg": "V", "mag": "T", "grad": "T/m"}


@dataclass(frozen=True, eq=False)
class Recording:
    """Averaged or continuous measurements, good channels only, in SI units.

    Attributes
    ----------
    values : (C, T), V, T or T/m.
    times : (T,) s. sfreq : Hz.
    ch_names, kinds : C.
    nave : number of averaged trials. segments : (nave, C, T) single trials, or None.
    projectors : (k, C) topographies that are projected out.
    band : highpass and lowpass in Hz.
    baseline : (start, stop) in s whose mean was subtracted, or None.
    bads : channels that were left out because the recording marks them.
    name : the condition, as the recording calls it (text from outside: show it as text).
    custom_reference : whether EEG was referenced anew after the recording.
    """

    values: NDArray[np.float64]
    times: NDArray[np.float64]
    sfreq: float
    ch_names: tuple[str, ...]
    kinds: tuple[str, ...]
    nave: float = 1
    projectors: NDArray[np.float64] | None = None
    band: tuple[float, float] = (0.0, np.inf)
    baseline: tuple[float, float] | None = None
    bads: tuple[str, ...] = ()
    name: str = ""
    custom_reference: bool = False
    segments: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def n_channels(self) -> int:
        return len(self.ch_names)

    def window(self, tmin: float | None, tmax: float | None, what: str = "window") -> slice:
        """Find samples from ``tmin`` to ``tmax`` s, both included; errors name them ``what``.

        Raises
        ------
        InputError : a window outside the recording or without a sample.
        """
        start, stop = self.times[0], self.times[-1]
        low = start if tmin is None else _seconds(tmin, what)
        high = stop if tmax is None else _seconds(tmax, what)
        half = 0.5 / self.sfreq
        if tmin is not None and tmax is not None and low > high:
            raise InputError(f"the {what} goes from {low:g} back to {high:g} s; exchange its ends")
        if low > high or high < start - half or low > stop + half:
            hint = " (in seconds, not milliseconds)" if abs(low) >= 10 > abs(stop) else ""
            raise InputError(
                f"the {what} {low:g} to {high:g} s holds no sample of the recording, which goes "
                f"from {start:g} to {stop:g} s; choose it inside that{hint}"
            )
        if low < start - half or high > stop + half:
            raise InputError(
                f"the {what} {low:g} to {high:g} s reaches beyond the recording, which goes from "
                f"{start:g} to {stop:g} s; shorten it"
            )
        inside = np.flatnonzero((self.times >= low - half) & (self.times <= high + half))
        if len(inside) > _LONGEST:
            raise InputError(
                f"the {what} {low:g} to {high:g} s holds {len(inside)} samples, more than the "
                f"{_LONGEST} of an event; choose a shorter one, or resample the recording"
            )
        return slice(int(inside[0]), int(inside[-1]) + 1)

    @property
    def baseline_samples(self) -> NDArray[np.int64] | None:
        """Sample numbers of the baseline, counted from the recording's first: cropping keeps it."""
        if self.baseline is None:
            return None
        first, last = (round((t - self.times[0]) * self.sfreq) for t in self.baseline)
        return np.arange(first, last + 1)

    def with_baseline(self, baseline: tuple[float | None, float | None] | None) -> Recording:
        """Subtract the mean over ``baseline`` (start, stop) in s, None for an end's own."""
        if baseline is None:
            return self
        if not (isinstance(baseline, tuple | list) and len(baseline) == 2):
            raise InputError(f"baseline is (start, stop) in s or None, not {some([baseline])}")
        inside = self.window(*baseline, what="baseline")
        start, stop = float(self.times[inside.start]), float(self.times[inside.stop - 1])
        segments = self.segments
        if segments is not None:
            segments = segments - segments[..., inside].mean(axis=-1, keepdims=True)
        values = self.values - self.values[:, inside].mean(axis=1, keepdims=True)
        return replace(self, values=values, segments=segments, baseline=(start, stop))

    def average_referenced(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reference the EEG of ``values`` (..., C, T) to its average, whatever it was against."""
        eeg = np.array(self.kinds) == "eeg"
        mean = values[..., eeg, :].mean(axis=-2, keepdims=True) if eeg.any() else 0.0
        return np.where(eeg[:, None], values - mean, values)

    def check(self, scale_known: bool) -> Recording:
        """Return itself if all channels carry plausible signals, of SI size if ``scale_known``.

        Raises
        ------
        InputError : NaN, flat channels, or amplitudes in another unit.
        """
        broken = ~np.isfinite(self.values).all(axis=1)
        if broken.any():
            raise InputError(
                f"channel {some(np.array(self.ch_names)[broken])} has values that are not finite; "
                "mark it as bad (info['bads']) or remove the segment"
            )
        flat = np.ptp(self.values, axis=1) == 0 if self.values.shape[1] > 1 else np.zeros(1, bool)
        zero = flat & (self.values[:, :1] == 0).all(axis=1) if flat.any() else flat
        if flat.any() and not (flat.sum() == 1 and zero.any() and self.custom_reference):
            raise InputError(
                f"channel {some(np.array(self.ch_names)[flat])} is flat; mark it as bad "
                "(info['bads']), or set the reference with set_eeg_reference if it is one"
            )
        if scale_known:
            self._check_units()
        return self

    def _check_units(self) -> None:
        kinds = np.array(self.kinds)
        for kind in dict.fromkeys(self.kinds):
            size = float(np.median(np.abs(self.values[kinds == kind]).max(axis=1)))
            if not size > _LARGEST[kind]:
                continue
            unit, swing = _UNITS[kind], float(np.median(np.ptp(self.values[kinds == kind], axis=1)))
            if 0 < swing < _LARGEST[kind]:
                raise InputError(
                    f"the {kind} channels stand off zero by {size:.3g} {unit} and move by only "
                    f"{swing:.3g} {unit}; filter the recording, or subtract a baseline in MNE"
                )
            raise InputError(
                f"the {kind} channels reach {size:.3g} {unit}, physiology stays below "
                f"{_LARGEST[kind]:g} {unit}; convert to {unit} (microvolts: divide by 1e6) or pass "
                "scale='unknown'"
            )


def _seconds(value: Any, what: str) -> float:
    if not (isinstance(value, Real) and np.isfinite(float(value))):
        raise InputError(f"the {what} is given in s, as a number or None, not as {some([value])}")
    return float(value)


def recording_from_mne(data: mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw) -> Recording:
    """Take the good EEG and MEG channels of MNE's Evoked, Epochs (averaged) or Raw ``data``.

    Raises
    ------
    InputError : another kind of object, no epochs, or no good data channel.
    """
    import mne

    segments, nave, baseline = None, 1.0, None
    if isinstance(data, mne.BaseEpochs):
        if len(data) == 0:
            raise InputError("no epochs are left to average; use a less strict rejection")
        name = " + ".join(data.event_id)
        segments = real_array(data.get_data(copy=False, verbose="error"), "the epochs")
        values, nave, baseline = segments.mean(axis=0), float(len(data)), data.baseline
    elif isinstance(data, mne.Evoked):
        if data.kind != "average":
            raise InputError(f"the evoked is a {data.kind.replace('_', ' ')}; give the average")
        values, baseline = real_array(data.data, "the evoked"), data.baseline
        name = str(data.comment or "")
        nave = positive(data.nave, "evoked.nave, the number of averaged trials,")
    elif isinstance(data, mne.io.BaseRaw):
        values, name = real_array(data.get_data(verbose="error"), "the recording"), ""
    else:
        several = isinstance(data, list | tuple) and len(data)
        hint = "one of the list" if several else "as bayesesi.read_recording reads them"
        raise InputError(
            f"observe takes an mne Evoked, Epochs or Raw, or an array, not {type(data).__name__}; "
            f"give {hint}"
        )
    times = np.asarray(data.times, float)
    picks = mne.pick_types(data.info, meg=True, eeg=True, ref_meg=False, exclude="bads")
    if len(picks) == 0:
        raise InputError(
            "the recording has no good EEG or MEG channel; check channel types and bads"
        )
    names = tuple(data.ch_names[i] for i in picks)
    return Recording(
        values=values[picks],
        times=times,
        sfreq=float(data.info["sfreq"]),
        ch_names=names,
        kinds=tuple(mne.channel_type(data.info, i) for i in picks),
        nave=nave,
        projectors=_projectors(data.info, names),
        band=(float(data.info["highpass"]), float(data.info["lowpass"])),
        baseline=_baseline(baseline, times),
        bads=tuple(data.info["bads"]),
        name=name,
        custom_reference=bool(data.info["custom_ref_applied"]),
        segments=None if segments is None else segments[:, picks],
    )


def _baseline(baseline: Any, times: NDArray[np.float64]) -> tuple[float, float] | None:
    if baseline is None:
        return None
    start, stop = baseline
    return (float(times[0] if start is None else start), float(times[-1] if stop is None else stop))


def _projectors(info: mne.Info, names: tuple[str, ...]) -> NDArray[np.float64] | None:
    """(k, C): the parts of the recording's projectors that touch these channels."""
    place = {name: i for i, name in enumerate(names)}
    rows = []
    for projector in info["projs"]:
        columns = projector["data"]["col_names"]
        for vector in projector["data"]["data"]:
            row = np.zeros(len(names))
            for column, weight in zip(columns, vector, strict=True):
                if column in place:
                    row[place[column]] = weight
            rows.append(row)
    return _substantial(np.array(rows).reshape(-1, len(names)))


def _substantial(rows: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Projectors that still touch the channels; what is left of the others is rounding."""
    if rows is None:
        return None
    rows = rows[np.linalg.norm(rows, axis=1) > 0.1]
    return rows if len(rows) else None


def recording_from_array(
    values: NDArray[np.floating],
    ch_names: Sequence[str],
    kinds: Sequence[str],
    sfreq: float | None,
    tmin: float,
    nave: float,
    band: tuple[float, float] | None,
) -> Recording:
    """Make a recording of bare numbers.

    Parameters
    ----------
    values : (C, T), or (C,) for one moment, V, T or T/m. ch_names, kinds : C.
    sfreq, band : Hz, sampling rate and (highpass, lowpass). tmin : s, of the first sample.
    nave : number of averaged trials.

    Raises
    ------
    InputError : another shape, or several samples without a sampling rate.
    """
    array = real_array(values, "the data")
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[0] != len(ch_names) or array.shape[1] == 0:
        raise InputError(
            f"the data have shape {np.shape(values)}; for {len(ch_names)} channels they must be "
            f"({len(ch_names)}, n_times)"
        )
    if sfreq is None:
        if array.shape[1] > 1:
            raise InputError("an array of several samples needs sfreq, the sampling rate in Hz")
        sfreq = 1.0
    sfreq = positive(sfreq, "sfreq, the sampling rate in Hz,")
    times = tmin + np.arange(array.shape[1]) / sfreq
    return Recording(
        array,
        times,
        sfreq,
        tuple(ch_names),
        tuple(kinds),
        positive(nave, "nave, the number of averaged trials,"),
        band=band or (0.0, sfreq / 2),
    )


def without_bads(recording: Recording, bads: Sequence[str]) -> Recording:
    """Leave out further channels of ``recording``, ``bads``, that the caller knows to be bad."""
    listed = isinstance(bads, Iterable) and not isinstance(bads, str)
    if not listed or not all(isinstance(name, str) for name in bads):
        raise InputError(f"bads is a list of channel names, not {some([bads])}")
    if not bads:
        return recording
    unknown = [name for name in bads if name not in recording.ch_names + recording.bads]
    if unknown:
        raise InputError(f"bad channel {some(unknown)} is not in the recording")
    keep = np.array([name not in bads for name in recording.ch_names])
    if not keep.any():
        raise InputError("every channel of the recording is marked as bad; keep those that work")
    rows, segments = recording.projectors, recording.segments
    return replace(
        recording,
        values=recording.values[keep],
        ch_names=tuple(np.array(recording.ch_names)[keep].tolist()),
        kinds=tuple(np.array(recording.kinds)[keep].tolist()),
        projectors=_substantial(None if rows is None else rows[:, keep]),
        segments=None if segments is None else segments[:, keep],
        bads=(*recording.bads, *(b for b in bads if b not in recording.bads)),
    )


def read_recording(
    path: str | Path, condition: str | int | None = None
) -> mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw:
    """Read the file at ``path`` into MNE's objects: an average, epochs or a raw recording.

    Formats are those of ``io.readers``: ``-ave.fif``, ``-epo.fif`` and ``raw.fif``.

    ``condition`` chooses one average of several, by name or number.

    Raises
    ------
    InputError : a missing, empty or foreign file; a condition that is not there.
    """
    import mne

    if not isinstance(path, str | Path):
        raise InputError(f"a recording is named by its path, not by {type(path).__name__}")
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        state = "is empty" if path.is_file() else "is not a file"
        raise InputError(f"{path.name} {state}; give an -ave.fif, -epo.fif or raw.fif file")
    found = read_file(path)
    if isinstance(found, list):
        return _choose(found, condition, path.name)
    if isinstance(found, mne.BaseEpochs):
        return _conditions(found, condition, path.name)
    if condition is not None:
        raise InputError(f"{path.name} is continuous; it has no condition to choose")
    return found


def _conditions(epochs: mne.BaseEpochs, condition: Any, file: str) -> mne.BaseEpochs:
    if condition is None:
        return epochs
    if not isinstance(condition, str) or condition not in epochs.event_id:
        raise InputError(
            f"{file} has no condition {some([condition])}; allowed are {some(epochs.event_id)}"
        )
    return epochs[condition]


def _choose(found: list[mne.Evoked], condition: str | int | None, file: str) -> mne.Evoked:
    names = [str(evoked.comment) for evoked in found]
    if condition is None:
        if len(found) == 1:
            return found[0]
        raise InputError(f"{file} holds several averages; choose condition = {some(names)}")
    if isinstance(condition, int) and 0 <= condition < len(found):
        return found[condition]
    if condition in names:
        return found[names.index(str(condition))]
    raise InputError(f"{file} has no condition {some([condition])}; allowed are {some(names)}")
