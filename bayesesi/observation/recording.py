"""A recording as plain arrays, checked: what passes the door instead of an MNE object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some

if TYPE_CHECKING:
    import mne

#: Largest amplitude a recording in SI units can have: V, T, T/m.
_LARGEST = {"eeg": 0.005, "mag": 1e-9, "grad": 1e-9}
_UNITS = {"eeg": "V", "mag": "T", "grad": "T/m"}


@dataclass(frozen=True, eq=False)
class Recording:
    """Averaged or continuous measurements, good channels only, in SI units.

    Attributes
    ----------
    values : (C, T).
    times : (T,) s. sfreq : Hz.
    ch_names, kinds : C.
    nave : number of averaged trials.
    projectors : (k, C) topographies that are projected out.
    band : highpass and lowpass in Hz.
    baseline : (start, stop) in s whose mean was subtracted, or None.
    bads : channels that were left out because the recording marks them.
    name : the condition, as the recording calls it (text from outside: show it as text).
    """

    values: NDArray[np.float64]
    times: NDArray[np.float64]
    sfreq: float
    ch_names: tuple[str, ...]
    kinds: tuple[str, ...]
    nave: int = 1
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

    def window(self, tmin: float | None, tmax: float | None) -> slice:
        """The samples from ``tmin`` to ``tmax`` s, both included.

        Raises
        ------
        InputError : a window outside the recording or without a sample.
        """
        start, stop = self.times[0], self.times[-1]
        low, high = start if tmin is None else tmin, stop if tmax is None else tmax
        half = 0.5 / self.sfreq
        if low > high or high < start - half or low > stop + half:
            raise InputError(
                f"the window {low:g} to {high:g} s holds no sample of the recording, which goes "
                f"from {start:g} to {stop:g} s; choose tmin <= tmax inside it"
            )
        if low < start - half or high > stop + half:
            raise InputError(
                f"the window {low:g} to {high:g} s reaches beyond the recording, which goes from "
                f"{start:g} to {stop:g} s; shorten it"
            )
        inside = np.flatnonzero((self.times >= low - half) & (self.times <= high + half))
        if len(inside) == 0:
            raise InputError(f"the window {low:g} to {high:g} s holds no sample; widen it")
        return slice(int(inside[0]), int(inside[-1]) + 1)

    def with_baseline(self, baseline: tuple[float | None, float | None] | None) -> Recording:
        """Minus the mean over a stretch (start, stop) in s, None for the recording's own end."""
        if baseline is None:
            return self
        if not (isinstance(baseline, tuple | list) and len(baseline) == 2):
            raise InputError(f"baseline is (start, stop) in s or None, not {baseline!r}")
        inside = self.window(*baseline)
        start, stop = float(self.times[inside.start]), float(self.times[inside.stop - 1])
        segments = self.segments
        if segments is not None:
            segments = segments - segments[..., inside].mean(axis=-1, keepdims=True)
        values = self.values - self.values[:, inside].mean(axis=1, keepdims=True)
        return replace(self, values=values, segments=segments, baseline=(start, stop))

    def check(self, scale_known: bool) -> Recording:
        """Itself, when every channel carries a plausible signal.

        Raises
        ------
        InputError : NaN, flat channels, or amplitudes in another unit.
        """
        broken = ~np.isfinite(self.values).all(axis=1)
        if broken.any():
            raise InputError(
                f"channel {some(np.array(self.ch_names)[broken])} has values that are not finite; "
                "mark it as bad (info['bads']) or cut out the stretch"
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
            if size > _LARGEST[kind]:
                raise InputError(
                    f"the {kind} channels reach {size:.3g} {_UNITS[kind]}, physiology stays below "
                    f"{_LARGEST[kind]:g} {_UNITS[kind]}; convert to {_UNITS[kind]} (microvolts: "
                    "divide by 1e6) or pass scale='unknown'"
                )


def recording_from_mne(data: mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw) -> Recording:
    """The good EEG and MEG channels of an MNE object, epochs averaged.

    Raises
    ------
    InputError : another kind of object, no epochs, or no good data channel.
    """
    import mne

    segments = None
    if isinstance(data, mne.BaseEpochs):
        if len(data) == 0:
            raise InputError("there are no epochs left to average; loosen the rejection")
        name, epochs = " + ".join(data.event_id), data
        segments, nave = epochs.get_data(copy=False, verbose="error"), len(data)
        values, times, baseline = segments.mean(axis=0), data.times, data.baseline
    elif isinstance(data, mne.Evoked):
        values, times, baseline = data.data, data.times, data.baseline
        name, nave = str(data.comment or ""), int(data.nave)
    elif isinstance(data, mne.io.BaseRaw):
        values, times = data.get_data(verbose="error"), data.times
        name, nave, baseline = "", 1, None
    else:
        raise InputError(
            f"observe takes an mne Evoked, Epochs or Raw, or an array, not {type(data).__name__}"
        )
    picks = mne.pick_types(data.info, meg=True, eeg=True, ref_meg=False, exclude="bads")
    if len(picks) == 0:
        raise InputError(
            "the recording has no good EEG or MEG channel; check channel types and bads"
        )
    names = tuple(data.ch_names[i] for i in picks)
    return Recording(
        values=np.asarray(values, float)[picks],
        times=np.asarray(times, float),
        sfreq=float(data.info["sfreq"]),
        ch_names=names,
        kinds=tuple(mne.channel_type(data.info, i) for i in picks),
        nave=max(nave, 1),
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
    nave: int,
    band: tuple[float, float] | None,
) -> Recording:
    """Bare numbers (C, T), or (C,) for one moment, in SI units.

    Raises
    ------
    InputError : another shape, or several samples without a sampling rate.
    """
    array = np.asarray(values, float)
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
    if not sfreq > 0:
        raise InputError(f"sfreq is the sampling rate in Hz, a positive number, not {sfreq!r}")
    times = tmin + np.arange(array.shape[1]) / sfreq
    return Recording(
        array,
        times,
        float(sfreq),
        tuple(ch_names),
        tuple(kinds),
        nave,
        band=band or (0.0, sfreq / 2),
    )


def without_bads(recording: Recording, bads: Sequence[str]) -> Recording:
    """The recording without further channels that the caller knows to be bad."""
    if not bads:
        return recording
    unknown = [name for name in bads if name not in recording.ch_names + recording.bads]
    if unknown:
        raise InputError(f"bad channel {some(unknown)} is not in the recording")
    keep = np.array([name not in bads for name in recording.ch_names])
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
    """Read an ``-ave.fif``, ``-epo.fif`` or ``_raw.fif`` file.

    ``condition`` chooses one average of several, by name or number.

    Raises
    ------
    InputError : a missing, empty or foreign file; a condition that is not there.
    """
    import mne

    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        state = "is empty" if path.is_file() else "does not exist"
        raise InputError(f"{path.name} {state}; give an -ave.fif, -epo.fif or raw.fif file")
    try:
        if path.name.endswith(("-epo.fif", "_epo.fif", "-epo.fif.gz", "_epo.fif.gz")):
            epochs = mne.read_epochs(path, verbose="error")
            return epochs if condition is None else epochs[condition]
        if path.name.endswith(("raw.fif", "raw.fif.gz", "_eeg.fif", "_meg.fif")):
            return mne.io.read_raw_fif(path, preload=True, verbose="error")
        found = mne.read_evokeds(path, verbose="error")
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{path.name} is no readable FIF recording; give an -ave.fif, -epo.fif or raw.fif "
            "file (other formats: mne.io.read_raw and save)"
        ) from error
    return _choose(found, condition, path.name)


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
    raise InputError(f"{file} has no condition {str(condition)[:40]!r}; allowed are {some(names)}")
