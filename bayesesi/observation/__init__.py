"""From a recording to whitened numbers: the door every measurement passes."""

from bayesesi.observation.observation import Observation, project
from bayesesi.observation.observe import observe
from bayesesi.observation.peak import PeakWindow, peak_window
from bayesesi.observation.sensor_data import Recording, read_recording
from bayesesi.observation.time_basis import TimeBasis, make_time_basis

__all__ = [
    "Observation",
    "PeakWindow",
    "Recording",
    "TimeBasis",
    "make_time_basis",
    "observe",
    "peak_window",
    "project",
    "read_recording",
]
