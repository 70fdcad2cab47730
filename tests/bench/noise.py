"""Pure noise through `observe`: its chi-square must be what the degrees of freedom say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg as sl
import scipy.signal as ss
from numpy.typing import NDArray
from scipy.stats import chi2

from bayesesi import ForwardOperator, NoiseCovariance, observe
from bayesesi.anatomy import SourceSpace
from tests.bench.outcome import Finding, Outcome, Table

TITLE = "Pure noise through observe"
STANDS_ON = ("anatomy", "forward", "noise", "observation")

N_RECORDINGS, SFREQ, BEFORE, SEED = 200, 500.0, 100, 17
WINDOWS = (2, 10, 50, 200, 500)
#: name -> (highpass, lowpass in Hz, exponent of the spectrum 1/f^exponent).
KINDS = {
    "white": (0.0, SFREQ / 2, 0.0),
    "1-40 Hz": (1.0, 40.0, 0.0),
    "1/f, 1-40 Hz": (1.0, 40.0, 1.0),
}

Array = NDArray[np.float64]


def measure(step: Callable[[str], None]) -> Outcome:
    """For every recording: the door with the noise's own autocorrelation, with the default
    (estimated), and the twin whose time functions are singular vectors of the very window."""
    findings, rows = [], {}
    for name, (low, high, exponent) in KINDS.items():
        noise = Noise(low, high, exponent)
        sums = {(how, t): np.zeros(2) for how in _HOW for t in WINDOWS}
        for i in range(N_RECORDINGS):
            if i % 20 == 0:
                step(f"{name}, recording {i}")
            values = noise.draw(np.random.default_rng((SEED, i)))
            for (how, t), total in sums.items():
                total += noise.through_the_door(values, how, t)
        for how in _HOW:
            for t in WINDOWS:
                finding, inside = _verdict(name, how, t, *sums[how, t])
                mark = "" if inside else " *"
                rows.setdefault((name, how), [name, how]).append(f"{finding.value:.3f}{mark}")
                findings += [finding] if how == _LAW or (how == _TWIN and noise.choice(t)) else []
    columns = ("noise", "time functions", *(f"{t} samples" for t in WINDOWS))
    title = "chi-square over degrees of freedom (* outside the 99 % that N(0, I) allows)"
    return Outcome(findings, [Table(title, columns, list(rows.values()))], {}, [_NOTE])


_LAW, _DEFAULT, _FILTER, _TWIN = (
    "DCT, autocorrelation known",
    "DCT, autocorrelation from 200 ms before time 0 (default)",
    "DCT, autocorrelation from the filter band (default without a baseline)",
    "the twin: SVD of the window",
)
_HOW = (_LAW, _DEFAULT, _FILTER, _TWIN)
_MOST = 5  # functions the twin keeps
_NOTE = (
    "64 channels with a known covariance. The law is judged with the noise's own autocorrelation; "
    "what the default estimates instead is in the table. The twin is judged where the window "
    "holds more independent functions (2 x bandwidth x duration) than the twin keeps, at most "
    f"{_MOST}: otherwise there is nothing to choose."
)


class Noise:
    """64 channels, correlated over 50 mm, filtered to a band by 1,651 taps."""

    def __init__(self, low: float, high: float, exponent: float) -> None:
        import mne

        montage = mne.channels.make_standard_montage("biosemi64")
        self.info = mne.create_info(montage.ch_names, SFREQ, "eeg").set_montage(montage)
        with self.info._unlock():
            self.info["highpass"], self.info["lowpass"] = low, high
        positions = np.array([montage.get_positions()["ch_pos"][n] for n in montage.ch_names])
        apart = np.linalg.norm(positions[:, None] - positions, axis=2)
        matrix = 25e-12 * (np.exp(-apart / 0.05) + 0.1 * np.eye(64))
        self.colour = np.linalg.cholesky(matrix)
        self.bandwidth = high - low
        self.taps = _taps(low, high, exponent)
        self.r = np.correlate(self.taps, self.taps, "full")[len(self.taps) - 1 :]
        self.noise_cov = NoiseCovariance(matrix, tuple(montage.ch_names))
        nowhere = SourceSpace(np.zeros((1, 3)))
        self.forward = ForwardOperator(np.ones((64, 1, 3)), nowhere, montage.ch_names)

    def choice(self, n_times: int) -> bool:
        """Whether a window holds more independent functions than the twin keeps."""
        return 2 * self.bandwidth * n_times / SFREQ > _kept(n_times)

    def draw(self, rng: np.random.Generator) -> Array:
        """(64, 600) V."""
        length = BEFORE + max(WINDOWS)
        white = rng.standard_normal((64, length + len(self.taps) - 1))
        return self.colour @ ss.fftconvolve(white, self.taps[None], mode="valid", axes=1)

    def through_the_door(self, values: Array, how: str, n_times: int) -> Array:
        """(2,): sum of squares of what comes out, and how many numbers those are."""
        import mne

        first = BEFORE if how == _FILTER else 0
        evoked = mne.EvokedArray(values[:, first:], self.info, (first - BEFORE) / SFREQ)
        options = {} if how in (_DEFAULT, _FILTER) else {"autocorrelation": self.r}
        if how == _TWIN:
            options["time_basis"] = self._own_functions(values[:, BEFORE : BEFORE + n_times])
        obs = observe(
            evoked, self.forward, self.noise_cov, tmin=0.0, tmax=(n_times - 1) / SFREQ, **options
        )
        return np.array([(obs.values**2).sum(), obs.values.size])

    def _own_functions(self, window: Array) -> Array:
        """(T, R): the leading singular vectors of the whitened window in time, at most five."""
        whitened = sl.solve_triangular(self.colour, window, lower=True)
        return np.linalg.svd(whitened, full_matrices=False)[2][: _kept(window.shape[1])].T


def _kept(n_times: int) -> int:
    return min(_MOST, n_times // 2)


def _taps(low: float, high: float, exponent: float) -> Array:
    """A filter whose output has unit variance for white input, power 1/f^exponent in the band."""
    if low == 0:
        return np.ones(1)
    grid = np.geomspace(low, high, 60)
    edges = np.r_[0.0, 0.5 * low, grid, 1.1 * high, SFREQ / 2]
    gains = np.r_[0.0, 0.0, (grid / low) ** (-exponent / 2), 0.0, 0.0]
    taps = ss.firwin2(1651, edges, gains, fs=SFREQ)
    return taps / np.linalg.norm(taps)


def _verdict(name: str, how: str, n_times: int, total: float, dof: float) -> tuple[Finding, bool]:
    low, high = (float(chi2.ppf(p, dof) / dof) for p in (0.005, 0.995))
    ratio = float(total / dof)
    twin = how == _TWIN
    finding = Finding(
        f"{name}, {n_times} samples, " + ("twin with an SVD (must fail)" if twin else "DCT"),
        f"{N_RECORDINGS} recordings, {dof:,.0f} numbers",
        ratio,
        interval=(low, high),
        interval_kind="99 % of N(0, I)",
        bar=(high, np.inf) if twin else (low, high),
    )
    return finding, low <= ratio <= high
