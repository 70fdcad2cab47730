"""A simulated patient, from dipoles to a report, with the truth known.

The head that makes the volts is not the one that is assumed: other shape, other conductivities.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import (
    active_regions,
    region_energy,
    template_parcellation,
    template_source_space,
)
from bayesesi.forward import (
    Conductivities,
    ForwardOperator,
    HeadSetting,
    template_bank,
    template_forward,
)
from bayesesi.forward.electrodes import nominal_positions
from bayesesi.inference import infer
from bayesesi.io.atomic import atomic_folder, check_folder
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation, observe, read_recording
from bayesesi.report.export import write_folder
from bayesesi.result import Result

if TYPE_CHECKING:
    import mne

#: The head that made the volts; the template is assumed.
TRUE_HEAD = HeadSetting(2, Conductivities(brain=0.30, csf=1.7, skull=0.006, scalp=0.40), 1.15)
SFREQ, N_TRIALS, TRIAL_NOISE = 500.0, 40, 6e-6
#: s: the window that is observed.
WINDOW = (0.0, 0.05)
FILE, PICTURE = "simulated-ave.fif", "observation.png"


@dataclass(frozen=True)
class DemoResult:
    """What ``run_demo`` found and wrote; ``result`` holds the truth beside what was inferred.

    Attributes
    ----------
    observation : of the simulated file. true_regions : active ones. files : that were written.
    peak_error_mm : from the most probable peak to the patch's middle.
    array_difference : largest difference between file and arrays, a share of the largest value.
    """

    observation: Observation
    result: Result
    true_regions: tuple[str, ...]
    peak_error_mm: float
    array_difference: float
    files: tuple[Path, ...]


def _names() -> tuple[str, ...]:
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    return tuple(montage.ch_names)


@dataclass(frozen=True, eq=False)
class Patient:
    """A simulated average, the noise of its single trials, and what was active.

    Attributes
    ----------
    evoked : 64 channels, V. noise : its covariance, V². centre : (3,) m on the template.
    regions : by the one definition of "active".
    """

    evoked: mne.EvokedArray
    noise: NoiseCovariance
    centre: NDArray[np.float64]
    regions: tuple[str, ...]


def simulate_patient(seed: int = 0) -> Patient:
    """Simulate a 64-channel average of a spike from a patch of 2 cm radius, and its truth.

    ``seed`` decides place and noise.
    """
    import mne

    rng = np.random.default_rng(seed)
    cortex, parcellation = template_source_space(5), template_parcellation(5)
    centre = int(rng.choice(parcellation.sources_of("middletemporal-rh")))
    distance = cortex.geodesic([centre])[0]
    moment = cortex.areas * np.exp(-0.5 * (distance / 0.010) ** 2)
    moment *= 60e-9 / moment.sum()  # 60 nAm in all
    active = active_regions(region_energy(moment[None] ** 2, parcellation))[0]
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
    regions = tuple(np.array(parcellation.names)[active].tolist())
    return Patient(evoked, NoiseCovariance(covariance, names), cortex.positions[centre], regions)


def run_demo(
    folder: Path,
    seed: int = 0,
    level: int = 4,
    draws: int = 1000,
    model: str = "patches",
) -> DemoResult:
    """Simulate, write to FIF, read back, observe, infer, report; compare with arrays.

    Files are in ``folder``, where an earlier demo is replaced. ``seed`` is of patient and draws,
    ``level`` of the assumed cortex; ``draws`` is their number from the posterior of ``model``.

    Raises
    ------
    InputError : a folder with other files in it.
    """
    from bayesesi.report.observation_figure import plot_observation

    again = (folder / FILE).is_file()
    check_folder(folder, again)
    patient = simulate_patient(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder, True, (FILE, PICTURE)) as draft:
        patient.evoked.save(draft / FILE, overwrite=True, verbose="error")
        read = read_recording(draft / FILE)
        forward = template_forward(read.info, ico=level)
        obs = observe(
            read,
            forward,
            patient.noise,
            tmin=WINDOW[0],
            tmax=WINDOW[1],
            autocorrelation="white",  # as the noise was made
        )
        plot_observation(obs).savefig(draft / PICTURE, dpi=110)
    result = infer(obs, model, draws=draws, seed=seed)
    result = result.with_truth(patient.regions, patient.centre)
    written = write_folder(result, folder, overwrite=True)
    return DemoResult(
        obs,
        result,
        patient.regions,
        _peak_error(result, patient.centre) * 1e3,
        _array_difference(patient, forward, obs),
        (folder / FILE, folder / PICTURE, *written),
    )


def _peak_error(result: Result, centre: NDArray[np.float64]) -> float:
    """m from the source that is most probably the peak to the middle of the true patch."""
    if not result.localisable:
        return float("nan")
    maps = result.inference_data["maps"]
    peak = maps["position"].values[int(maps["peak_probability"].values.argmax())]
    return float(np.linalg.norm(peak - centre))


def _array_difference(patient: Patient, forward: ForwardOperator, obs: Observation) -> float:
    """Largest difference of what the FIF file and the bare numbers become, over the largest."""
    evoked = patient.evoked
    inside = slice(*np.searchsorted(evoked.times, [WINDOW[0] - 1e-6, WINDOW[1] + 1e-6]))
    again = observe(
        evoked.data[:, inside],
        forward,
        patient.noise,
        sfreq=SFREQ,
        nave=N_TRIALS,
        autocorrelation="white",
    )
    return float(np.abs(again.values - obs.values).max() / np.abs(obs.values).max())
