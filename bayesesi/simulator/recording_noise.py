"""The noise of one recording: what its prior drew, on its channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.forward import HeadSetting, ScalpPoints, template_bank
from bayesesi.noise import NoiseCovariance, independent_share, read_noise_cov
from bayesesi.observation import read_recording
from bayesesi.simulator import artifacts as art
from bayesesi.simulator.background import background_covariance
from bayesesi.simulator.noise_process import (
    NoiseProcess,
    band_pass,
    frequencies,
    peak,
    power_law,
)
from bayesesi.spec import NoiseSpec

#: Hz of the occipital rhythm, and its spread.
_ALPHA = (10.0, 1.0)
#: Of the background's field in the occipital rhythm, m.
_ALPHA_SMOOTHNESS = 0.02


@dataclass(frozen=True, eq=False)
class Place:
    """Where a recording is taken: everything a component of noise may depend on.

    Attributes
    ----------
    ch_names : C. setting : the head that makes the noise.
    points : (1, C) where electrodes really sit on it.
    grid : (F,) Hz. passed : (F,) share of power that the recording's filter leaves of it.
    band : (low, high) of that filter, Hz.
    """

    ch_names: tuple[str, ...]
    setting: HeadSetting
    points: ScalpPoints
    grid: NDArray[np.float64]
    passed: NDArray[np.float64]
    band: tuple[float, float]

    @property
    def electrodes(self) -> NDArray[np.float64]:
        return self.points.positions[0]

    @cached_property
    def electrode_modes(self) -> NDArray[np.float32]:
        """(C, modes) of the bank, in the head that makes the noise."""
        of_vertices = template_bank().potential_modes(self.setting).T
        return self.points.potentials(of_vertices, np.zeros(len(of_vertices), np.int64)).T


@dataclass(frozen=True, eq=False)
class RecordingNoise:
    """A stationary process and artifacts that come and go.

    Attributes
    ----------
    process : what never pauses. artifacts : what does.
    """

    process: NoiseProcess
    artifacts: tuple[art.Artifact, ...]

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """(C, C) V² of single trials at one moment, artifacts at their rates included."""
        total = self.process.covariance + sum(a.covariance for a in self.artifacts)
        return _referenced(np.asarray(total))

    @property
    def level(self) -> float:
        """V: root mean square over channels and time of single trials, average reference."""
        return float(np.sqrt(np.diag(self.covariance).mean()))

    def draw(self, n: int, times: NDArray[np.float64], n_trials: int) -> NDArray[np.float32]:
        """Draw ``n`` averages of ``n_trials`` at ``times`` (T,) s: (n, C, T) V, referenced."""
        values = self.process.draw(n, len(times)) / np.float32(np.sqrt(n_trials))
        for artifact in self.artifacts:
            values += artifact.draw(n, times, n_trials)
        return np.asarray(values - values.mean(axis=1, keepdims=True))

    def estimate(
        self, ch_names: tuple[str, ...], sfreq: float, baseline_s: float, shrinkage: float | str
    ) -> NoiseCovariance:
        """Draw what somebody would know who had ``baseline_s`` of this noise to estimate it from.

        A Wishart matrix of as many degrees of freedom as the stretch has independent samples, with
        as many blinks and beats as fell into it, shrunk towards independent channels.

        Parameters
        ----------
        ch_names : C. sfreq : Hz.
        shrinkage : weight of independent channels, 0 to 1, or ``"ledoit-wolf"``.
        """
        r = self.process.autocorrelation
        dof = max(2.0, baseline_s * sfreq * independent_share(r))
        total = self.process.covariance.copy()
        for artifact in self.artifacts:
            expected = artifact.rate * baseline_s
            seen = float(torch.poisson(torch.tensor(expected))) if expected > 0 else 0.0
            total += artifact.covariance * seen / max(expected, 1e-300)
        matrix = _referenced(_wishart(_referenced(total), dof))
        weight = _shrinkage(matrix, dof) if isinstance(shrinkage, str) else shrinkage
        matrix = (1 - weight) * matrix + weight * np.diag(np.diag(matrix))
        return NoiseCovariance(matrix, ch_names, 1, dof, "baseline", r, sfreq)


def make_recording_noise(
    spec: NoiseSpec, draws: Mapping[str, NDArray[Any]], i: int, place: Place
) -> RecordingNoise:
    """Make the noise of recording ``i`` of the ``draws`` of a prior, site to (n, ...).

    ``spec`` lists its components; ``place`` is where it is recorded.

    Raises
    ------
    InputError : no component that never pauses, no power, or none in the recording's band.
    """
    covariances, spectra, artifacts = [], [], []
    for k, component in enumerate(spec.components):
        prefix = f"component_{k}/"
        values: dict[str, Any] = {
            s.removeprefix(prefix): float(v[i]) for s, v in draws.items() if s.startswith(prefix)
        }
        values |= {key: v for key, v in component if key not in values}
        values["folder"] = spec.folder or Path()
        for part in _FAMILIES[component.family](values, place):
            if isinstance(part, art.Artifact):
                artifacts.append(part)
                continue
            covariance, power = part
            covariances.append(_referenced(covariance))
            spectra.append(_share(power * place.passed, component.family))
    if not covariances:
        raise InputError(f"{spec.name}: noise needs a component that never pauses; add white")
    if not sum(np.trace(c) for c in covariances) > 0:
        raise InputError(f"{spec.name}: the noise has no power; let a level be above 0")
    process = NoiseProcess(np.array(covariances), np.array(spectra))
    return RecordingNoise(process, tuple(artifacts))


def make_place(
    ch_names: tuple[str, ...],
    setting: HeadSetting,
    points: ScalpPoints,
    n_times: int,
    sfreq: float,
    band: tuple[float, float],
) -> Place:
    """Make the place of a recording.

    Parameters
    ----------
    ch_names : C. setting : the head that makes the noise. points : (1, C) of electrodes on it.
    n_times : samples of a window. sfreq : Hz. band : (low, high) of the recording's filter, Hz.
    """
    grid = frequencies(n_times, sfreq)
    return Place(ch_names, setting, points, grid, band_pass(grid, *band), band)


Part = tuple[NDArray[np.float64], NDArray[np.float64]] | art.Artifact


def _white(v: dict[str, Any], place: Place) -> list[Part]:
    eye = np.eye(len(place.ch_names))
    return [(_levelled(eye, v["level_uV"]), np.ones_like(place.grid))]


def _background(v: dict[str, Any], place: Place) -> list[Part]:
    power = (v["level_uV"] * 1e-6) ** 2
    smooth = v["smoothness_mm"] * 1e-3
    everywhere = background_covariance("cortex", smooth, place.electrode_modes)
    parts: list[Part] = [
        (power * (1 - v["alpha_share"]) * everywhere, power_law(place.grid, v["exponent"]))
    ]
    if v["alpha_share"] > 0:
        rhythm = background_covariance("occipital", _ALPHA_SMOOTHNESS, place.electrode_modes)
        parts.append((power * v["alpha_share"] * rhythm, peak(place.grid, *_ALPHA)))
    return parts


def _pink(v: dict[str, Any], place: Place) -> list[Part]:
    e = place.electrodes
    apart = np.linalg.norm(e[:, None] - e[None], axis=2)
    covariance = np.exp(-apart / (v["correlation_mm"] * 1e-3))
    return [(_levelled(covariance, v["level_uV"]), power_law(place.grid, v["exponent"]))]


def _line(v: dict[str, Any], place: Place) -> list[Part]:
    step = float(place.grid[1])
    first = peak(place.grid, v["frequency_Hz"], step)
    second = peak(place.grid, 2 * v["frequency_Hz"], step)
    return _left_by_the_filter(v["level_uV"], first + 0.1 * second, place.passed, place)


def _drift(v: dict[str, Any], place: Place) -> list[Part]:
    """Its spectrum falls so steeply that the filter's share of it needs a finer grid."""
    fine = np.linspace(0, 4 * v["below_Hz"], 2000)
    below = 1 / (1 + (fine / v["below_Hz"]) ** 8)
    passed = band_pass(fine, *place.band)
    share = float((below * passed).sum() / below.sum())
    power = np.interp(place.grid, fine, below, right=0.0)
    if not (power * place.passed).sum() > 1e-12:
        return []
    level = v["level_uV"] * np.sqrt(share)
    return [(_levelled(np.eye(len(place.ch_names)), level), power)]


def _left_by_the_filter(
    level_uV: float,
    power: NDArray[np.float64],
    passed: NDArray[np.float64],
    place: Place,
) -> list[Part]:
    """Noise of a level before the recording's filter, alike on every channel; none if all goes."""
    share = float((power * passed).sum() / max(power.sum(), 1e-300))
    if share < 1e-9:
        return []
    eye = np.eye(len(place.ch_names))
    return [(_levelled(eye, level_uV * np.sqrt(share)), power)]


def _recorded(v: dict[str, Any], place: Place) -> list[Part]:
    """Of a covariance, with a spectrum of 1/f; of a recording, with the spectrum it has."""
    path = v["folder"] / v["file"]
    if path.name.endswith(("-cov.fif", "_cov.fif", "-cov.fif.gz", "_cov.fif.gz")):
        covariance = read_noise_cov(path).pick(place.ch_names).matrix
        return [(covariance, power_law(place.grid, 1.0))]
    return [recorded_noise(path, place.ch_names, place.grid)]


def recorded_noise(
    path: Path, ch_names: tuple[str, ...], grid: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate (C, C) V² and power (F,) at ``grid`` (F,) Hz of channels of a recording.

    ``path`` is a raw or epochs FIF file that has the channels ``ch_names``; average reference. The
    spectrum is Welch's, of the mean over channels, at 4 s a piece.

    Raises
    ------
    InputError : a file that is no recording, or lacks channels.
    """
    from scipy.signal import welch

    data = read_recording(path)
    missing = [name for name in ch_names if name not in data.ch_names]
    if missing:
        raise InputError(
            f"{path.name} has no channel {some(missing)}; choose a montage of its channels with "
            "the same names"
        )
    picked = data.copy().pick(list(ch_names))
    values = np.asarray(picked.get_data() if hasattr(picked, "get_data") else picked.data, float)
    values = values - values.mean(axis=-2, keepdims=True)
    segments = values if values.ndim == 3 else values[None]
    sfreq = float(data.info["sfreq"])
    covariance = NoiseCovariance.from_samples(segments, ch_names, sfreq).matrix
    length = min(segments.shape[2], round(4 * sfreq))
    frequency, power = welch(segments, sfreq, nperseg=length, axis=2)
    return covariance, np.interp(grid, frequency, power.mean(axis=(0, 1)), right=0.0)


def _eyes(v: dict[str, Any], place: Place) -> list[Part]:
    blink, saccade = art.eye_topographies(place.electrodes)
    volts = v["level_uV"] * 1e-6
    return [
        art.Blink(volts * blink, v["blinks_per_s"], 0.5),
        art.Saccade(0.3 * volts * saccade, v["saccades_per_s"], 0.4),
    ]


def _muscle(v: dict[str, Any], place: Place) -> list[Part]:
    sites = v["level_uV"] * 1e-6 * art.muscle_topographies(place.electrodes)
    return [art.MuscleBurst(sites, v["bursts_per_s"], 0.5)]


def _heart(v: dict[str, Any], place: Place) -> list[Part]:
    beat = v["level_uV"] * 1e-6 * art.heart_topography(place.electrodes)
    return [art.Heartbeat(beat, v["rate_per_min"] / 60, 0.5)]


def _pops(v: dict[str, Any], place: Place) -> list[Part]:
    single = v["level_uV"] * 1e-6 * np.eye(len(place.ch_names))
    return [art.Pop(single, v["pops_per_s"], 0.8)]


_FAMILIES: dict[str, Callable[[dict[str, Any], Place], list[Part]]] = {
    "white": _white,
    "background": _background,
    "pink": _pink,
    "line": _line,
    "eyes": _eyes,
    "muscle": _muscle,
    "heart": _heart,
    "pops": _pops,
    "drift": _drift,
    "covariance": _recorded,
}


def _levelled(covariance: NDArray[np.float64], level_uV: float) -> NDArray[np.float64]:
    """Scaled so that the average-referenced channels have ``level_uV`` root mean square."""
    return np.asarray(covariance * (level_uV * 1e-6) ** 2 / np.diag(_referenced(covariance)).mean())


def _referenced(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    row = covariance - covariance.mean(axis=0)
    return np.asarray(row - row.mean(axis=1, keepdims=True))


def _share(power: NDArray[np.float64], family: str) -> NDArray[np.float64]:
    if not power.sum() > 1e-12:
        raise InputError(
            f"noise of family {family!r} has no power within the recording's band; widen band_Hz "
            "of the simulator, or drop the component"
        )
    return np.asarray(power / power.sum())


def _wishart(covariance: NDArray[np.float64], dof: float) -> NDArray[np.float64]:
    """One draw of Wishart(dof, covariance) / dof, by Bartlett's factor where it exists."""
    c = len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    if dof <= c:
        dof = float(np.ceil(dof))
        normal = torch.randn(c, int(dof), dtype=torch.float64).numpy()
    else:
        normal = np.tril(torch.randn(c, c, dtype=torch.float64).numpy(), -1)
        freedom = torch.tensor(dof - np.arange(c))
        np.fill_diagonal(normal, torch.distributions.Chi2(freedom).sample().sqrt().numpy())
    drawn = factor @ normal
    return np.asarray(drawn @ drawn.T / dof)


def _shrinkage(matrix: NDArray[np.float64], dof: float) -> float:
    """Weight of the diagonal that errs least for Gaussian noise, channels scaled alike.

    The Rao-Blackwell form of Ledoit & Wolf's (Chen, Wiesel, Eldar & Hero 2010,
    doi:10.1109/TSP.2010.2053029): ((n - 2)/n tr S² + tr² S) / ((n + 2)(tr S² - tr² S / p)).
    """
    scale = 1 / np.sqrt(np.diag(matrix))
    s = matrix * scale[:, None] * scale
    p, squared = len(s), float((s**2).sum())
    return float(np.clip(((dof - 2) / dof * squared + p**2) / ((dof + 2) * (squared - p)), 0, 1))
