"""Where the signal is largest: a window for those who have none in mind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.noise import positive
from bayesesi.observation.sensor_data import Recording, recording_from_mne

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True)
class PeakWindow:
    """A window in s about a ``peak`` that was looked for in the data themselves.

    Attributes
    ----------
    tmin, tmax, peak : s.
    """

    tmin: float
    tmax: float
    peak: float

    @property
    def note(self) -> str:
        """What a methods section must say of it."""
        return (
            f"about the largest global field power, at {self.peak * 1e3:.0f} ms: chosen on these "
            "data, which makes moments seem larger and 'nothing is active' less probable than in "
            "a window chosen beforehand"
        )


def peak_window(
    data: mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw,
    forward: ForwardOperator,
    tmin: float | None = None,
    tmax: float | None = None,
    half_width: float = 0.02,
    baseline: tuple[float | None, float | None] | None = None,
) -> PeakWindow:
    """Find the window of ``half_width`` s on both sides of where channels differ most.

    Global field power is the standard deviation over channels at each moment (Lehmann & Skrandies
    1980, doi:10.1016/0013-4694(80)90419-8), of each kind of sensor the forward has over its own
    root mean square.

    Parameters
    ----------
    data : Evoked, Epochs (averaged here) or Raw of MNE. forward : whose kinds of sensors count.
    tmin, tmax : where the peak is looked for, s; from time 0 on, or in all of a recording that does
        not begin before it.
    baseline : (start, stop) in s whose mean is subtracted first, or None.

    Raises
    ------
    InputError : no channel of the forward's kinds, limits outside the recording.
    """
    half_width = positive(half_width, "half_width, in s,")
    recording = recording_from_mne(data).with_baseline(baseline)
    times = recording.times
    if tmin is None and times[0] < 0 <= times[-1]:
        tmin = 0.0
    inside = recording.window(tmin, tmax)
    power = _field_power(recording, forward)[inside]
    peak = float(times[inside][int(power.argmax())])
    window = (max(peak - half_width, float(times[0])), min(peak + half_width, float(times[-1])))
    return PeakWindow(*window, peak)


def _field_power(recording: Recording, forward: ForwardOperator) -> NDArray[np.float64]:
    """(T,), unitless."""
    assert forward.sensors is not None
    kinds, total = np.array(recording.kinds), np.zeros(len(recording.times))
    shared = set(forward.sensors.kinds) & set(recording.kinds)
    if not shared:
        raise InputError(
            f"the recording has {some(set(recording.kinds))} channels, the forward model "
            f"{some(set(forward.sensors.kinds))}; give a forward of the same kind"
        )
    for kind in shared:
        variance = recording.values[kinds == kind].var(axis=0)
        total += variance / max(float(np.nanmean(variance)), 1e-300)
    return total
