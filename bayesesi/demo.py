"""A simulated patient, from dipoles to a whitened observation, with the truth known.

The head that makes the volts is not the one that is assumed: other shape, other conductivities.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation, template_source_space
from bayesesi.forward import Conductivities, HeadSetting, template_bank, template_forward
from bayesesi.forward.electrodes import nominal_positions
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation, observe, read_recording

if TYPE_CHECKING:
    import mne

#: The head that made the volts; the template is assumed.
TRUE_HEAD = HeadSetting(2, Conductivities(brain=0.30, csf=1.7, skull=0.006, scalp=0.40), 1.15)
SFREQ, N_TRIALS, TRIAL_NOISE = 500.0, 40, 6e-6


@dataclass(frozen=True)
class DemoResult:
    """What ``run_demo`` found and wrote."""

    observation: Observation
    true_region: str
    scan_region: str
    scan_error_mm: float
    array_difference: float
    files: tuple[Path, ...]


def _names() -> tuple[str, ...]:
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    return tuple(montage.ch_names)


def simulate_evoked(seed: int = 0) -> tuple[mne.EvokedArray, NoiseCovariance, int]:
    """A 64-channel average of a spike from a patch of 2 cm radius, its noise, the centre."""
    import mne

    rng = np.random.default_rng(seed)
    cortex, parcellation = template_source_space(5), template_parcellation(5)
    centre = int(rng.choice(parcellation.sources_of("middletemporal-rh")))
    distance = cortex.geodesic([centre])[0]
    moment = cortex.areas * np.exp(-0.5 * (distance / 0.010) ** 2)
    moment *= 60e-9 / moment.sum()  # 60 nAm in all
    names, bank = _names(), template_bank()
    positions = nominal_positions(names)
    electrodes = np.array([positions[n] for n in names])
    leadfield = bank.leadfield(TRUE_HEAD, electrodes, bank.cortex(5))
    times = np.arange(-100, 151) / SFREQ
    course = np.exp(-0.5 * ((times - 0.02) / 0.012) ** 2)
    apart = np.linalg.norm(electrodes[:, None] - electrodes[None], axis=2)
    covariance = TRIAL_NOISE**2 * (0.9 * np.exp(-((apart / 0.05) ** 2)) + 0.1 * np.eye(64))
    noise = np.linalg.cholesky(covariance / N_TRIALS) @ rng.standard_normal((64, len(times)))
    info = mne.create_info(list(names), SFREQ, "eeg")
    evoked = mne.EvokedArray(
        (leadfield @ moment)[:, None] * course + noise,
        info,
        tmin=float(times[0]),
        comment="simulated spike",
        nave=N_TRIALS,
        verbose="error",
    )
    return evoked, NoiseCovariance(covariance, names), centre


def run_demo(folder: Path, seed: int = 0) -> DemoResult:
    """Simulate, write to FIF, read back, observe; compare with the path from arrays."""
    from bayesesi.report.head_figure import plot_head
    from bayesesi.report.observation_figure import plot_observation

    evoked, noise, centre = simulate_evoked(seed)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "simulated-ave.fif"
    evoked.save(file, overwrite=True, verbose="error")
    read = read_recording(file)
    forward = template_forward(read.info)
    obs = observe(read, forward, noise, tmin=0.0, tmax=0.05, autocorrelation="white")
    inside = slice(*np.searchsorted(evoked.times, [-1e-6, 0.05 + 1e-6]))
    again = observe(
        evoked.data[:, inside], forward, noise, sfreq=SFREQ, nave=N_TRIALS, autocorrelation="white"
    )
    difference = float(np.abs(again.values - obs.values).max() / np.abs(obs.values).max())
    peak = scan_peak(obs)
    truth = template_source_space(5).positions[centre]
    error = float(np.linalg.norm(forward.source_space.positions[peak] - truth)) * 1e3
    pictures = {"head.png": plot_head(forward.sensors), "observation.png": plot_observation(obs)}
    for name, figure in pictures.items():
        figure.savefig(folder / name, dpi=110)
    regions, fine = template_parcellation(4), template_parcellation(5)
    return DemoResult(
        obs,
        fine.names[fine.labels[centre]],
        regions.names[regions.labels[peak]] if regions.labels[peak] >= 0 else "outside the atlas",
        error,
        difference,
        (file, *(folder / name for name in pictures)),
    )


def scan_peak(obs: Observation) -> int:
    """The source whose single dipole explains the window best: a look, not a posterior."""
    topographies: NDArray[np.float64] = obs.leadfield / np.linalg.norm(obs.leadfield, axis=0)
    return int(((topographies.T @ obs.values) ** 2).sum(axis=1).argmax())
