"""What comes and goes in a recording: eyes, muscle, heart, and electrodes that pop.

Each artifact is a topography times a waveform that starts at random times. In an average of N
trials events of all trials fall into one window, each divided by N.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.anatomy.template import head_centre, template_fiducials

#: m from the nasion to the middle of the right eye, along right, front, up.
_EYE = np.array([0.033, -0.025, -0.008])
#: m: how far from its middle a muscle is seen, as a Gaussian.
_MUSCLE_REACH = 0.025
#: Waveforms are tabulated to their ends at this rate, Hz, for their energy.
_FINE = 1000.0


@dataclass(frozen=True, eq=False)
class Artifact(ABC):
    """Events at ``rate`` a second, each ``waveform(t)`` on topographies of the channels.

    Attributes
    ----------
    one_sided : all events have the topography's sign; else either, alike.
    topographies : (m, C) V at an event's peak; every event has one of them, all alike.
    rate : events a second and trial. duration : s, after which a waveform has ended.
    """

    one_sided: ClassVar[bool] = False

    topographies: NDArray[np.float64]
    rate: float
    duration: float

    @abstractmethod
    def waveform(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the course of an event at ``t`` (n,), s from its start; 0 when it is over."""

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(C, C) V² of single trials: rate times the energy of a waveform (Campbell's theorem)."""
        t = np.arange(0, self.duration, 1 / _FINE)
        energy = (self.waveform(t) ** 2).sum() / _FINE
        second = self.topographies.T @ self.topographies / len(self.topographies)
        return np.asarray(self.rate * energy * second)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(C,) V of the events on average over time."""
        if not self.one_sided:
            return np.zeros(self.topographies.shape[1])
        t = np.arange(0, self.duration, 1 / _FINE)
        whole = self.waveform(t).sum() / _FINE
        return np.asarray(self.rate * whole * self.topographies.mean(axis=0))

    def draw(self, n: int, times: NDArray[np.float64], n_trials: int) -> NDArray[np.float32]:
        """Draw Poisson events in averages of ``n_trials``, (n, C, T) V, less their mean.

        ``n`` is the number of cases and ``times`` (T,) in s. A recording's high-pass filter takes
        the mean.
        """
        span = times[-1] - times[0] + self.duration
        counts = torch.poisson(torch.full((n,), self.rate * span * n_trials))
        cases = np.repeat(np.arange(n), counts.numpy().astype(int))
        starts = times[0] - self.duration + span * torch.rand(len(cases)).numpy()
        kind = torch.randint(len(self.topographies), (len(cases),)).numpy()
        sign = np.ones(len(cases))
        if not self.one_sided:
            sign = 2.0 * torch.randint(2, (len(cases),)).numpy() - 1
        values = np.full((n, self.topographies.shape[1], len(times)), 0.0, np.float32)
        values -= self.mean[:, None].astype(np.float32)
        course = self.waveform(times[None, :] - starts[:, None]) * sign[:, None] / n_trials
        for k, topography in enumerate(self.topographies):
            own = kind == k
            total = np.zeros((n, len(times)))
            np.add.at(total, cases[own], course[own])
            values += (total[:, None, :] * topography[:, None]).astype(np.float32)
        return values


class Blink(Artifact):
    """A lid's 0.3 s: up fast, down slower."""

    one_sided = True

    def waveform(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        rise = np.exp(-0.5 * ((t - 0.12) / np.where(t < 0.12, 0.04, 0.08)) ** 2)
        return np.where((t >= 0) & (t <= self.duration), rise, 0.0)


class Saccade(Artifact):
    """A gaze held aside for a third of a second, to either side."""

    def waveform(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        edges = np.tanh((t - 0.02) / 0.01) - np.tanh((t - 0.33) / 0.01)
        return np.where((t >= 0) & (t <= self.duration), edges / 2, 0.0)


class Heartbeat(Artifact):
    """Q, R, S and T as Gaussians; beats fall anywhere against the window."""

    one_sided = True

    def waveform(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        waves = [(0.08, 0.010, -0.15), (0.10, 0.010, 1.0), (0.125, 0.010, -0.25), (0.35, 0.04, 0.3)]
        total = sum(size * np.exp(-0.5 * ((t - at) / sd) ** 2) for at, sd, size in waves)
        return np.where((t >= 0) & (t <= self.duration), total, 0.0)


class Pop(Artifact):
    """A step of one electrode that decays, of either sign."""

    def waveform(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = (t >= 0) & (t <= self.duration)
        return np.where(inside, np.exp(-np.where(inside, t, 0.0) / 0.15), 0.0)


class MuscleBurst(Artifact):
    """Half a second of 20 Hz and more over one muscle: noise under an envelope."""

    def waveform(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        envelope = np.sin(np.pi * np.clip(t / self.duration, 0, 1))
        # incommensurate sines stand for motor units; each event starts them anew
        units = sum(np.sin(2 * np.pi * f * t + 7.0 * f) for f in (23.0, 31.7, 41.3, 53.9, 67.1))
        return np.where((t >= 0) & (t <= self.duration), envelope * units / 4.45, 0.0)


def eye_topographies(electrodes: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Compute the topographies of a blink and a saccade at ``electrodes`` (C, 3) m, (1, C) each.

    Average reference, largest value 1. Two dipoles in an endless conductor, phi ~ p . d / |d|³: the
    eyes lie outside the shells, and the field's shape on the forehead is what matters (dipoles in
    the eyes: Lins et al. 1993, Brain Topogr 6:65).
    """
    nasion = template_fiducials()[1]
    found = []
    for direction in (np.array([0.0, 0.6, 1.0]), np.array([1.0, 0.0, 0.0])):
        total = np.zeros(len(electrodes))
        for side in (-1.0, 1.0):
            offset = electrodes - (nasion + _EYE * [side, 1.0, 1.0])
            total += offset @ direction / np.linalg.norm(offset, axis=1) ** 3
        found.append(_unit(total)[None])
    return tuple(found)


def muscle_topographies(electrodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the topographies of muscles at ``electrodes`` (C, 3) m, (6, C).

    Frontal, temporal and neck muscles of both sides; average reference, largest value 1.
    """
    centre = head_centre()
    directions = [(0.35, 1.0, 0.2), (1.0, 0.35, -0.1), (0.5, -0.85, -0.25)]
    sites = np.array([(side * x, y, z) for x, y, z in directions for side in (-1, 1)])
    reach = np.linalg.norm(electrodes - centre, axis=1).mean()
    sites = centre + reach * sites / np.linalg.norm(sites, axis=1, keepdims=True)
    distance = np.linalg.norm(electrodes - sites[:, None], axis=2)
    # a cap with few electrodes sees a muscle through the nearest one
    distance = np.maximum(distance - distance.min(axis=1, keepdims=True), 0)
    return np.array([_unit(np.exp(-0.5 * (d / _MUSCLE_REACH) ** 2)) for d in distance])


def heart_topography(electrodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the topography of the heart at ``electrodes`` (C, 3) m, (1, C), largest value 1.

    Nearly linear across the head, from the right and above to the left and below.
    """
    return _unit((electrodes - head_centre()) @ np.array([-0.6, 0.3, -0.7]))[None]


def _unit(topography: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = topography - topography.mean()
    return np.asarray(centred / np.abs(centred).max())
