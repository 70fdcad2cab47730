"""The door: pure noise comes out as N(0, I), signals as L~ J, whatever the recording's habits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal, stats

from bayesesi.anatomy import template_source_space
from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator, Sensors
from bayesesi.noise import NoiseCovariance, band_autocorrelation, temporal_covariance
from bayesesi.observation import Observation, TimeBasis, make_time_basis, observe, project

Array = NDArray[np.float64]

NAMES = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2 M1 M2".split())
C = len(NAMES)


def a_forward(names: tuple[str, ...] = NAMES, free: bool = False) -> ForwardOperator:
    """Random leadfield of a usual size, V/(A m), for 84 sources of the template."""
    space = template_source_space(1)
    shape = (C, space.n_sources, 3) if free else (C, space.n_sources)
    leadfield = 100 * np.random.default_rng(0).standard_normal(shape)
    chosen = [NAMES.index(name) for name in names]
    return ForwardOperator(leadfield[chosen], space, names)


def spatial_covariance(seed: int = 1) -> Array:
    """V²; eigenvalues over three decades, 5 µV at most."""
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((C, C)))[0]
    return turn * np.logspace(0, -3, C) @ turn.T * 25e-12


COV = NoiseCovariance(spatial_covariance(), NAMES)

# Pure noise

NAVE = 7
#: Samples of the stretch whose mean is subtracted.
BEFORE = 60


@cache
def noise_stream(sfreq: float, filtered: bool) -> tuple[Array, Array]:
    """(C, n) noise of unit variance and covariance COV, and its exact autocorrelation.

    Filtered: white noise through a finite impulse response h; r(lag) = sum h(t) h(t + lag).
    """
    rng = np.random.default_rng([int(sfreq), filtered])
    fir = np.ones(1)
    if filtered:
        fir = mne.filter.create_filter(None, sfreq, 1.0, 40.0, verbose="error")
    fir = fir / np.linalg.norm(fir)
    white = rng.standard_normal((C, 300_000))
    x = signal.oaconvolve(white, fir[None], mode="valid", axes=1)
    root = np.linalg.cholesky(COV.matrix)
    return root @ x, np.correlate(fir, fir, "full")[len(fir) - 1 :]


def recordings(sfreq: float, filtered: bool, length: int, most: int = 400) -> tuple[Array, Array]:
    """(n, C, length) independent recordings averaged over NAVE trials, and r(lag)."""
    stream, r = noise_stream(sfreq, filtered)
    gap = len(r) - 1
    n = min(most, (stream.shape[1] + gap) // (length + gap))
    starts = np.arange(n) * (length + gap)
    cut = np.stack([stream[:, s : s + length] for s in starts])
    return cut / np.sqrt(NAVE), r


def p_value(values: Array) -> float:
    """That (n, n_eff, R) numbers are independent N(0, 1), by the least likely of many statistics.

    Exact each under the null: the sum of squares (chi-square), every variance of a channel and of
    a function of time (chi-square), every correlation of two of them (Student-t), and the shape
    of the distribution (Kolmogorov-Smirnov). Bonferroni over all.
    """
    _, n_eff, r = values.shape
    total = (values**2).sum()
    p = [_two_sided(stats.chi2, total, values.size), stats.kstest(values.ravel(), "norm").pvalue]
    for vectors in (values.transpose(0, 2, 1).reshape(-1, n_eff), values.reshape(-1, r)):
        count, size = vectors.shape
        gram = vectors.T @ vectors
        power = np.diag(gram)
        each = [_two_sided(stats.chi2, x, count) for x in power]
        upper = np.triu_indices(size, 1)
        rho = (gram / np.sqrt(np.outer(power, power)))[upper]
        t = rho * np.sqrt((count - 1) / (1 - rho**2))
        each += list(2 * stats.t.sf(np.abs(t), count - 1))
        p.append(min(each) * len(each))
    return float(min(p) * len(p))


def _two_sided(law: Any, x: float, dof: float) -> float:
    return float(2 * min(law.cdf(x, dof), law.sf(x, dof)))


def through_the_door(
    noise: Array,
    sfreq: float,
    n_times: int,
    baseline: bool,
    noise_cov: NoiseCovariance = COV,
    **options: Any,
) -> Observation:
    """The last ``n_times`` samples of one recording."""
    first = noise.shape[1] - n_times
    window = dict(tmin=first / sfreq, tmax=(noise.shape[1] - 1) / sfreq)
    before = (0.0, (BEFORE - 1) / sfreq) if baseline else None
    settings: dict[str, Any] = dict(sfreq=sfreq, nave=NAVE, baseline=before, **window)
    return observe(noise, a_forward(), noise_cov, **{**settings, **options})


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("n_times", [1, 2, 10, 50, 200, 500])
@pytest.mark.parametrize("sfreq", [250.0, 500.0, 600.0])
@pytest.mark.parametrize("filtered", [False, True])
def test_pure_noise_is_standard_normal(
    filtered: bool, sfreq: float, n_times: int, baseline: bool
) -> None:
    """Up to 400 recordings of 21 channels, 84 to 400 for filtered noise: p > 1e-5.

    Each of the 72 cases raises a false alarm with probability 1e-5 at most (seeded). Three
    recordings go through ``observe`` one by one and agree with the batch through ``project``.
    """
    batch, r = recordings(sfreq, filtered, BEFORE + n_times)
    obs = through_the_door(batch[0], sfreq, n_times, baseline, autocorrelation=r)
    subtracted = batch - batch[:, :, :BEFORE].mean(axis=2, keepdims=True) if baseline else batch
    values = project(subtracted[:, :, BEFORE:], obs.whitener, obs.time_basis)
    assert values.shape == (len(batch), C - 1, obs.n_functions)
    for k in range(3):
        one = through_the_door(batch[k], sfreq, n_times, baseline, autocorrelation=r)
        np.testing.assert_allclose(one.values, values[k], atol=1e-9)
    assert p_value(values) > 1e-5


def data_driven(window: Array, n_functions: int = 3) -> Array:
    return np.linalg.svd(window, full_matrices=False)[2][:n_functions].T


TWINS: dict[str, Callable[[Array, Array], dict[str, Any]]] = {
    "right": lambda _window, r: dict(autocorrelation=r),
    "singular vectors of the data": lambda window, r: dict(
        autocorrelation=r, time_basis=data_driven(window)
    ),
    "white": lambda _window, _r: dict(autocorrelation="white"),
    "nave ignored": lambda _window, r: dict(autocorrelation=r, nave=1),
    "baseline ignored": lambda _window, r: dict(autocorrelation=r),
}


@pytest.mark.parametrize("twin", TWINS)
def test_wrong_whitening_is_not_standard_normal(twin: str) -> None:
    """The test above sees each of these mistakes in 40 recordings of 50 samples: p < 1e-6.

    "baseline ignored" subtracts a mean and does not tell.
    """
    batch, r = recordings(600.0, True, BEFORE + 50, most=40)
    if twin == "baseline ignored":
        batch = batch - batch[:, :, :BEFORE].mean(axis=2, keepdims=True)
    values = np.stack(
        [
            through_the_door(x, 600.0, 50, False, **TWINS[twin](x[:, BEFORE:], r)).values
            for x in batch
        ]
    )
    assert (p_value(values) > 1e-5) == (twin == "right")
    if twin != "right":
        assert p_value(values) < 1e-6


def test_singular_vectors_of_the_data_inflate_chi_square() -> None:
    """By how much: three to many times, more in longer windows."""
    inflation = []
    for n_times in (50, 200):
        batch, r = recordings(250.0, False, BEFORE + n_times, most=10)
        for x in batch:
            basis = data_driven(x[:, BEFORE:])
            obs = through_the_door(x, 250.0, n_times, False, autocorrelation=r, time_basis=basis)
            inflation.append((obs.values**2).mean())
    assert np.mean(inflation) > 3


def long_stream(sfreq: float, highpass: float, seed: int) -> Array:
    """(C, n) 1/f noise with a 10 Hz rhythm, filtered to ``highpass`` ... 40 Hz, like EEG."""
    rng = np.random.default_rng(seed)
    n = 2**17
    f = np.fft.rfftfreq(n, 1 / sfreq)
    fir = mne.filter.create_filter(None, sfreq, highpass, 40.0, verbose="error")
    power = (1 / np.maximum(f, 0.02) + np.exp(-0.5 * (f - 10) ** 2)) * np.abs(np.fft.rfft(fir, n))
    z = rng.standard_normal((C, len(f))) + 1j * rng.standard_normal((C, len(f)))
    x = np.fft.irfft(z * np.sqrt(power), n)
    return np.linalg.cholesky(COV.matrix) @ (x / x.std())


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("highpass", [0.1, 1.0])
@pytest.mark.parametrize("sfreq", [250.0, 600.0])
def test_a_minute_of_noise_whitens_other_noise(
    sfreq: float, highpass: float, baseline: bool
) -> None:
    """Space and time estimated from 60 s: chi-square 1.00 to 1.05 (seeded), here within 8 %.

    40 other windows of 10 to 500 samples. With d degrees of freedom it should be
    d / (d - n_eff - 1): 1.015 for the 1,500 at 1 Hz, 1.05 for the 400 at .1 Hz.
    """
    stream = long_stream(sfreq, highpass, seed=5)
    cov = NoiseCovariance.from_samples(stream[:, : int(60 * sfreq)], NAMES, sfreq)
    rest = stream[:, int(61 * sfreq) :]
    for n_times in (10, 50, 200, 500):
        chi2 = []
        for s in np.linspace(0, rest.shape[1] - 600, 40).astype(int):
            x = rest[:, s : s + BEFORE + n_times]
            obs = through_the_door(x, sfreq, n_times, baseline, cov, nave=1)
            chi2.append((obs.values**2).mean())
        assert obs.provenance["autocorrelation"] == "noise covariance (baseline)"
        assert np.mean(chi2) == pytest.approx(1.03, abs=0.08)


WITHIN = {"mne": (0.85, 1.2), "epochs": (0.75, 1.05), "evoked": (0.8, 1.6)}


@pytest.mark.parametrize("sfreq", [250.0, 600.0])
@pytest.mark.parametrize("highpass", [0.1, 1.0])
@pytest.mark.parametrize("origin", WITHIN)
def test_the_baseline_whitens_what_follows(origin: str, highpass: float, sfreq: float) -> None:
    """Averages of 40 trials with 0.2 s before time 0 tell the noise after it (12 averages).

    "mne": a covariance as MNE computes it from such baselines, autocorrelation by the average
    (chi-square .94 to 1.08 over 25 seeds, 1 s.d. of one average .15); "epochs" and "evoked":
    noise_cov="baseline" from 40 stretches (.84 to .93, s.d. .09) or from one (1.0 to 1.35, .26).
    """
    stream, before = long_stream(sfreq, highpass, seed=6), int(0.2 * sfreq)
    length = before + int(0.4 * sfreq)
    cut = [np.cov(stream[:, s : s + before]) for s in range(0, 120_000, 3 * before)]
    theirs = mne.Covariance(np.mean(cut, axis=0), list(NAMES), [], [], 0)
    chi2 = []
    for seed in range(12):
        starts = np.random.default_rng(seed).integers(0, stream.shape[1] - length, 40)
        trials = np.stack([stream[:, s : s + length] for s in starts])
        data = mne.EpochsArray(trials, an_info(sfreq), tmin=-before / sfreq, verbose="error")
        obs = observe(
            data if origin == "epochs" else data.average(),
            a_forward(),
            theirs if origin == "mne" else "baseline",
            tmin=0.02,
            tmax=0.2,
            baseline=(None, 0),
        )
        chi2.append((obs.values**2).mean())
    low, high = WITHIN[origin]
    assert low < np.mean(chi2) < high
    assert obs.provenance["noise_dof"] is None or obs.provenance["noise_dof"] < 40 * before


def an_info(sfreq: float = 250.0, names: tuple[str, ...] = NAMES) -> mne.Info:
    return mne.create_info(list(names), sfreq, "eeg")


def test_filter_band_is_better_than_nothing() -> None:
    """Nothing before the window: 1/f in the filter band, chi-square within a factor of 2.

    The twin takes 1/f noise of 1 to 40 Hz for white and is five times too sure.
    """
    stream = long_stream(600.0, 1.0, seed=7)
    info = an_info(600.0)
    with info._unlock():
        info["highpass"], info["lowpass"] = 1.0, 40.0
    chi2: dict[str, list[float]] = {"auto": [], "white": []}
    for s in range(0, 100_000, 4000):
        evoked = mne.EvokedArray(stream[:, s : s + 120], info)
        for choice, into in chi2.items():
            obs = observe(evoked, a_forward(), COV, autocorrelation=choice)
            into.append((obs.values**2).mean())
            assert obs.provenance["autocorrelation"] in ("1/f from 1 to 40 Hz", "white")
    assert 0.5 < np.mean(chi2["auto"]) < 2
    assert np.mean(chi2["white"]) > 5


# Signals


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("kind", ["dct", "slepian", "samples"])
def test_signals_come_out_as_leadfield_times_moments(kind: str, free: bool) -> None:
    """v = L J gives (W L) (J projector) whatever J, and (W L) J_R for J = J_R functions'."""
    rng = np.random.default_rng(0)
    forward = a_forward(free=free)
    j = 1e-8 * rng.standard_normal((forward.matrix.shape[1], 120))
    r = noise_stream(250.0, True)[1]
    settings: dict[str, Any] = dict(sfreq=250.0, autocorrelation=r, time_basis=kind)
    obs = observe(forward.matrix @ j, forward, COV, **settings)
    assert obs.leadfield.shape == (C - 1, *forward.leadfield.shape[1:])
    whitened = obs.leadfield.reshape(C - 1, -1)
    size = np.abs(obs.values).max()
    np.testing.assert_allclose(
        obs.values, whitened @ (j @ obs.time_basis.projector), atol=1e-9 * size
    )
    j_r = 1e-8 * rng.standard_normal((len(j), obs.n_functions))
    in_span = forward.matrix @ j_r @ obs.time_basis.functions.T
    again = observe(in_span, forward, COV, **settings)
    size = np.abs(again.values).max()
    np.testing.assert_allclose(again.values, whitened @ j_r, atol=1e-9 * size)


def test_the_observation_says_what_it_is() -> None:
    obs = through_the_door(recordings(250.0, False, 90, 1)[0][0], 250.0, 30, False)
    assert obs.n_eff == C - 1
    assert obs.values.shape == (obs.n_eff, obs.n_functions)
    assert obs.whitener.matrix.shape == (C - 1, C)
    assert obs.sensors.names == NAMES
    assert obs.recording.values.shape == (C, 30)
    np.testing.assert_allclose(obs.recording.times, obs.time_basis.times)
    assert obs.snr_db == pytest.approx(10 * np.log10((obs.values**2).mean()))
    assert "240 to 356 ms, 21 channels (rank 20) ×" in repr(obs)
    assert obs.provenance["nave"] == NAVE
    assert obs.provenance["window_s"] == pytest.approx((0.24, 0.356))


# The same numbers


def invariants(obs: Observation) -> tuple[Array, ...]:
    """All that a posterior can see: L~'v~, v~'v~ and L~'L~ (v~ and L~ up to a common rotation)."""
    leadfield = obs.leadfield.reshape(obs.n_eff, -1)
    return leadfield.T @ obs.values, obs.values.T @ obs.values, leadfield.T @ leadfield


def assert_same(one: Observation, other: Observation, rtol: float = 1e-8) -> None:
    for a, b in zip(invariants(one), invariants(other), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=rtol * np.abs(a).max())


def an_evoked(seed: int = 0, names: tuple[str, ...] = NAMES, offset: float = 0.0) -> mne.Evoked:
    """0.2 s of noise, then noise and a source that rises and falls; 250 Hz."""
    rng = np.random.default_rng(seed)
    noise = np.linalg.cholesky(COV.matrix) @ rng.standard_normal((C, 150)) / np.sqrt(NAVE)
    times = np.arange(150) / 250.0 - 0.2
    course = np.exp(-0.5 * ((times - 0.1) / 0.02) ** 2)
    response = a_forward().leadfield[:, 5, None] * 4e-8 * course
    rows = [NAMES.index(name) for name in names]
    data = (noise + response + offset * 1e-6 * np.arange(C)[:, None])[rows]
    return mne.EvokedArray(data, an_info(names=names), tmin=-0.2, nave=NAVE, comment="response")


WINDOW: dict[str, Any] = dict(tmin=0.06, tmax=0.14)


def test_the_comparison_sees_a_thousandth_of_one_channel() -> None:
    """The twin of all that follow."""
    other = an_evoked()
    other.data[3] *= 1.001
    one, two = (observe(e, a_forward(), COV, **WINDOW) for e in (an_evoked(), other))
    with pytest.raises(AssertionError, match="Mismatched"):
        assert_same(one, two, rtol=1e-6)


SOURCES_OF_NOISE: dict[str, Any] = {"given": COV, "baseline": "baseline", "adhoc": "adhoc"}


def to_average(evoked: mne.Evoked) -> mne.Evoked:
    return evoked.set_eeg_reference("average", projection=False, verbose="error")


def to_projector(evoked: mne.Evoked) -> mne.Evoked:
    return evoked.set_eeg_reference("average", projection=True, verbose="error")


def to_applied_projector(evoked: mne.Evoked) -> mne.Evoked:
    return to_projector(evoked).apply_proj(verbose="error")


def to_cz(evoked: mne.Evoked) -> mne.Evoked:
    return evoked.set_eeg_reference(["Cz"], verbose="error")


def to_mastoids(evoked: mne.Evoked) -> mne.Evoked:
    return evoked.set_eeg_reference(["M1", "M2"], verbose="error")


def to_weights(evoked: mne.Evoked) -> mne.Evoked:
    """Like REST: every channel less one weighted sum of all."""
    evoked.data -= np.random.default_rng(3).standard_normal(C) @ evoked.data
    return evoked


@pytest.mark.parametrize("scale", ["known", "unknown"])
@pytest.mark.parametrize("noise", SOURCES_OF_NOISE)
@pytest.mark.parametrize(
    "rereference", [to_average, to_projector, to_applied_projector, to_cz, to_mastoids, to_weights]
)
def test_the_recorded_reference_does_not_matter(
    rereference: Callable[[mne.Evoked], mne.Evoked], noise: str, scale: str
) -> None:
    cov = SOURCES_OF_NOISE[noise]
    plain = observe(an_evoked(), a_forward(), cov, scale=scale, **WINDOW)
    other = observe(rereference(an_evoked()), a_forward(), cov, scale=scale, **WINDOW)
    assert_same(plain, other)


def test_a_covariance_of_another_reference_is_the_same_covariance() -> None:
    centre = np.eye(C) - np.outer(np.ones(C), np.eye(C)[4])
    other = NoiseCovariance(centre @ COV.matrix @ centre.T, NAMES)
    one, two = (observe(an_evoked(), a_forward(), cov, **WINDOW) for cov in (COV, other))
    assert_same(one, two)


@pytest.mark.parametrize("noise", SOURCES_OF_NOISE)
def test_the_order_of_channels_does_not_matter(noise: str) -> None:
    shuffled = tuple(np.random.default_rng(0).permutation(NAMES).tolist())
    cov = SOURCES_OF_NOISE[noise]
    plain = observe(an_evoked(), a_forward(), cov, **WINDOW)
    other = observe(an_evoked(names=shuffled), a_forward(NAMES[::-1]), cov, **WINDOW)
    assert other.sensors.names == other.forward.ch_names == other.whitener.ch_names == shuffled
    assert_same(plain, other)


def test_channels_that_only_the_forward_has_are_left_out() -> None:
    some = NAMES[:12]
    plain = observe(an_evoked(names=some), a_forward(some), COV, **WINDOW)
    assert_same(plain, observe(an_evoked(names=some), a_forward(), COV, **WINDOW))


@pytest.mark.parametrize("noise", SOURCES_OF_NOISE)
def test_bad_channels_do_not_exist(noise: str) -> None:
    """Marked in the recording, named to ``observe`` or dropped: the same; also if they are NaN."""
    cov, good = SOURCES_OF_NOISE[noise], tuple(n for n in NAMES if n not in ("F4", "O1"))
    dropped = observe(an_evoked(names=good), a_forward(), cov, **WINDOW)
    marked = an_evoked()
    marked.data[[NAMES.index("F4"), NAMES.index("O1")]] = np.nan
    named = observe(marked, a_forward(), cov, bads=["F4", "O1"], **WINDOW)
    marked.info["bads"] = ["F4", "O1"]
    for obs in (named, observe(marked, a_forward(), cov, **WINDOW)):
        assert_same(dropped, obs)
        assert obs.provenance["bads"] == ("F4", "O1")
        assert obs.sensors.names == good


@pytest.mark.parametrize("baseline", [None, (None, 0)])
def test_epochs_are_their_average(baseline: tuple[None, float] | None) -> None:
    trials = np.stack([an_evoked(seed).data for seed in range(9)])
    epochs = mne.EpochsArray(trials, an_info(), tmin=-0.2, baseline=baseline, verbose="error")
    one, two = (observe(d, a_forward(), COV, **WINDOW) for d in (epochs, epochs.average()))
    assert_same(one, two)
    assert one.provenance["nave"] == two.provenance["nave"] == 9


def test_arrays_are_recordings() -> None:
    """From time 0 on; channels in any order; volts as lists, too."""
    evoked = an_evoked().crop(0, None)
    window = dict(tmin=0.06, tmax=0.14, autocorrelation="white")
    plain = observe(evoked, a_forward(), COV, **window)
    order = np.random.default_rng(1).permutation(C)
    names = [NAMES[i] for i in order]
    more: dict[str, Any] = dict(sfreq=250.0, nave=NAVE, **window)
    for volts in (evoked.data[order], evoked.data[order].tolist()):
        assert_same(plain, observe(volts, a_forward(), COV, ch_names=names, **more))
    assert_same(plain, observe(evoked.data, a_forward(), COV, **more))


def test_files_are_recordings(tmp_path: Path) -> None:
    """FIF keeps single precision: 1e-6."""
    path = tmp_path / "x-ave.fif"
    an_evoked().save(path, verbose="error")
    read = mne.read_evokeds(path, condition=0, verbose="error")
    one, two = (observe(d, a_forward(), COV, **WINDOW) for d in (an_evoked(), read))
    assert_same(one, two, rtol=1e-6)
    raw = mne.io.RawArray(an_evoked().data, an_info(), verbose="error")
    raw.save(tmp_path / "x_raw.fif", verbose="error")
    again = mne.io.read_raw_fif(tmp_path / "x_raw.fif", verbose="error")
    one, two = (observe(d, a_forward(), COV, tmin=0.26, tmax=0.34) for d in (raw, again))
    assert_same(one, two, rtol=1e-6)


def test_a_baseline_subtracted_in_mne_or_here_is_the_same_baseline() -> None:
    """Also where the recording was cropped after it, and where an offset stands."""
    here = observe(an_evoked(offset=3.0), a_forward(), COV, baseline=(None, 0), **WINDOW)
    there = an_evoked(offset=3.0).apply_baseline((None, 0), verbose="error")
    assert_same(here, observe(there, a_forward(), COV, **WINDOW))
    known: dict[str, Any] = dict(autocorrelation=0.9 ** np.arange(100), **WINDOW)
    whole = observe(there, a_forward(), COV, **known)
    assert_same(whole, observe(there.copy().crop(0.05, 0.2), a_forward(), COV, **known))
    with pytest.raises(AssertionError):  # the noise of the mean does matter
        assert_same(whole, observe(an_evoked(), a_forward(), COV, **known))


def test_one_moment_after_a_baseline_has_its_noise_too() -> None:
    """Var(n(t) - m) of lasting noise, not of white noise."""
    x, r = recordings(250.0, False, BEFORE + 1, most=1)[0], 0.95 ** np.arange(100)
    obs = through_the_door(x[0], 250.0, 1, True, autocorrelation=r)
    variance = temporal_covariance(r, np.array([BEFORE]), np.arange(BEFORE)).item()
    assert abs(variance - (1 + 1 / BEFORE)) > 0.1
    assert obs.time_basis.projector.item() ** -2 == pytest.approx(variance, rel=1e-9)


def test_a_baseline_that_was_cropped_away_is_known_by_its_distance() -> None:
    """0.35 s before the window, 50 samples: lags that the cropped recording itself has not."""
    evoked = an_evoked().apply_baseline((None, 0), verbose="error").crop(0.15, 0.2)
    obs = observe(evoked, a_forward(), COV)
    samples, before = np.arange(14) + 88, np.arange(51)
    r = band_autocorrelation(0.0, 125.0, 250.0, 400)
    r /= np.diag(temporal_covariance(r, before, before)).mean()
    sigma = temporal_covariance(r, samples[: len(obs.time_basis.times)], before)
    p = obs.time_basis.projector
    np.testing.assert_allclose(p.T @ sigma @ p, np.eye(obs.n_functions), atol=0.02)


def test_the_mean_of_a_baseline_is_no_measurement_of_itself() -> None:
    """A window that is its own baseline has no constant: one function less, no division by 0."""
    x, r = recordings(250.0, True, 60, most=1)
    window: dict[str, Any] = dict(sfreq=250.0, tmin=0.0, tmax=0.196, autocorrelation=r)
    free, bound = (
        observe(x[0], a_forward(), COV, baseline=b, **window) for b in (None, (0.0, 0.196))
    )
    assert bound.n_functions == free.n_functions - 1
    assert np.abs(bound.time_basis.functions.sum(axis=0)).max() < 1e-6
    assert np.abs(bound.values).max() < 10


def test_an_observation_keeps_its_own_numbers() -> None:
    volts = an_evoked().data.copy()
    obs = observe(volts, a_forward(), COV, sfreq=250.0)
    before = obs.recording.values.copy()
    volts[:] = 0
    np.testing.assert_array_equal(obs.recording.values, before)


@pytest.mark.parametrize("k", [0.2, 30.0])
def test_units_cancel(k: float) -> None:
    """k times the volts with k² times the covariance and k times the leadfield: the same values."""
    evoked, forward = an_evoked(), a_forward()
    plain = observe(evoked, forward, COV, **WINDOW)
    evoked.data *= k
    larger = replace(forward, leadfield=k * forward.leadfield)
    cov = replace(COV, matrix=k**2 * COV.matrix)
    assert_same(plain, observe(evoked, larger, cov, **WINDOW))


@pytest.mark.parametrize("noise", ["baseline", "adhoc"])
@pytest.mark.parametrize("k", [0.5, 2.0, 1e6])
def test_an_unknown_scale_is_a_scale_of_the_moments(noise: str, k: float) -> None:
    """k times the volts: noise is found k times as large, so values stay and L~ is 1/k of it."""
    evoked = an_evoked()
    plain = observe(evoked, a_forward(), noise, scale="unknown", **WINDOW)
    evoked.data *= k
    other = observe(evoked, a_forward(), noise, scale="unknown", **WINDOW)
    assert not other.scale_known
    assert other.provenance["scale"] == "unknown"
    assert "scale unknown" in repr(other)
    rescaled = replace(other, leadfield=k * other.leadfield)
    assert_same(plain, rescaled)


def test_an_unknown_scale_with_a_known_covariance_is_left_alone() -> None:
    """Then the factor stays in the values, and only the observation's word says so."""
    evoked = an_evoked()
    plain = observe(evoked, a_forward(), COV, scale="unknown", **WINDOW)
    evoked.data *= 2
    other = observe(evoked, a_forward(), COV, scale="unknown", **WINDOW)
    assert_same(plain, replace(other, values=other.values / 2))
    assert not other.scale_known


def test_an_assumed_covariance_works_for_one_moment() -> None:
    evoked = an_evoked()
    topography = evoked.data[:, 75]
    for scale in ("known", "unknown"):
        obs = observe(topography, a_forward(), "adhoc", scale=scale)
        assert obs.values.shape == (C - 1, 1)
    assert (obs.values**2).mean() == pytest.approx(1, rel=2)  # of the size of its own channels


def test_nave_divides_the_noise_whatever_it_counts() -> None:
    """A difference of averages of 4 and 4 has nave 2; chi-square is that of 2 trials."""
    one, two = an_evoked(1), an_evoked(2)
    one.nave = two.nave = 4
    difference = mne.combine_evoked([one, two], [1, -1])
    assert difference.nave == 2
    obs = observe(difference, a_forward(), COV, **WINDOW)
    difference.nave = 1
    single = observe(difference, a_forward(), COV, **WINDOW)
    np.testing.assert_allclose((obs.values**2).sum() / (single.values**2).sum(), 2, rtol=1e-9)
    one.nave = 1
    half = mne.combine_evoked([one, one], [1, -0.5])
    assert half.nave < 1
    assert observe(half, a_forward(), COV, **WINDOW).provenance["nave"] == half.nave


# EEG and MEG

KINDS = ("eeg",) * 8 + ("mag",) * 6 + ("grad",) * 7
SI = np.array([1e-6] * 8 + [1e-13] * 6 + [1e-12] * 7)


def both_kinds(projectors: str) -> tuple[mne.Evoked, ForwardOperator, NoiseCovariance]:
    """21 channels of three kinds; two topographies of magnetometers as SSP projectors."""
    rng = np.random.default_rng(0)
    info = mne.create_info(list(NAMES), 250.0, list(KINDS))
    cov = NoiseCovariance(SI[:, None] * spatial_covariance() * 1e11 * SI, NAMES)
    noise = np.linalg.cholesky(cov.matrix) @ rng.standard_normal((C, 200))
    evoked = mne.EvokedArray(noise, info)
    if projectors != "none":
        mags = list(NAMES[8:14])
        vectors = np.linalg.qr(rng.standard_normal((6, 2)))[0].T
        data = [dict(col_names=mags, row_names=None, data=v[None], nrow=1, ncol=6) for v in vectors]
        evoked.add_proj([mne.Projection(data=d, kind=1) for d in data], verbose="error")
        evoked.set_eeg_reference("average", projection=True, verbose="error")
    if projectors == "applied":
        evoked.apply_proj(verbose="error")
    sensors = Sensors(NAMES, KINDS, np.full((C, 3), np.nan))
    space = template_source_space(1)
    leadfield = SI[:, None] * 1e8 * rng.standard_normal((C, space.n_sources))
    return evoked, ForwardOperator(leadfield, space, sensors=sensors), cov


@pytest.mark.parametrize("projectors", ["none", "pending", "applied"])
def test_eeg_and_meg_whiten_together(projectors: str) -> None:
    """Rank 20, or 18 after two projectors; 18 × 200 numbers N(0, 1): p > 1e-5 (seeded)."""
    evoked, forward, cov = both_kinds(projectors)
    obs = observe(evoked, forward, cov, autocorrelation="white", time_basis="samples")
    assert obs.n_eff == (20 if projectors == "none" else 18)
    assert p_value(obs.values.T[:, :, None]) > 1e-5
    if projectors == "applied":
        assert_same(
            observe(*both_kinds("pending"), autocorrelation="white", time_basis="samples"), obs
        )


def test_projectors_hold_without_a_bad_channel() -> None:
    """One of six magnetometers less: what the projectors took from the others stays out."""
    evoked, forward, cov = both_kinds("applied")
    bad = NAMES[9]
    named = observe(evoked, forward, cov, bads=[bad])
    assert named.n_eff == 17
    evoked.info["bads"] = [bad]
    assert_same(named, observe(evoked, forward, cov))


@pytest.mark.parametrize("kind", ["eeg", "mag", "grad"])
def test_the_forward_chooses_the_kinds(kind: str) -> None:
    evoked, forward, cov = both_kinds("none")
    names = [n for n, k in zip(NAMES, KINDS, strict=True) if k == kind]
    obs = observe(evoked, forward.pick(names), cov)
    assert set(obs.sensors.kinds) == {kind}
    alone = observe(evoked.copy().pick(names), forward, cov)
    assert_same(obs, alone)


# Rank


def removed(seed: int) -> Array:
    """I - a u', u'a = 1: what removing a component does to the channels."""
    rng = np.random.default_rng(seed)
    a, u = rng.standard_normal((2, C))
    u -= u.mean()
    return np.eye(C) - np.outer(a, u) / (u @ a)


def interpolated(channel: int = 6) -> Array:
    weights = np.random.default_rng(4).random(C) * (np.arange(C) != channel)
    out = np.eye(C)
    out[channel] = weights / weights.sum()
    return out


@pytest.mark.parametrize("cleaning", [removed(5), interpolated()], ids=["removed", "interpolated"])
def test_cleaned_data_with_their_covariance(cleaning: Array) -> None:
    """One dimension less, and noise is still N(0, I): 60 recordings, p > 1e-5 (seeded)."""
    batch, r = recordings(250.0, False, 100, most=60)
    cov = NoiseCovariance(cleaning @ COV.matrix @ cleaning.T, NAMES)
    obs = through_the_door(cleaning @ batch[0], 250.0, 40, False, cov, autocorrelation=r)
    assert obs.n_eff == C - 2
    values = project((cleaning @ batch)[:, :, 60:], obs.whitener, obs.time_basis)
    assert p_value(values) > 1e-5


@pytest.mark.parametrize("cleaning", [removed(5), interpolated()], ids=["removed", "interpolated"])
def test_data_and_covariance_of_different_rank(cleaning: Array) -> None:
    """Cleaned on one side only: one sentence. An assumed covariance gives way instead."""
    x = recordings(250.0, False, 100, most=1)[0][0]
    less = NoiseCovariance(cleaning @ COV.matrix @ cleaning.T, NAMES)
    with pytest.raises(InputError, match=r"rank 19, the recording 20, and \d+% of its power.*same"):
        through_the_door(x, 250.0, 40, False, less)
    with pytest.raises(InputError, match=r"rank 20, the recording 19: a channel was interpolated"):
        through_the_door(cleaning @ x, 250.0, 40, False)
    obs = observe(cleaning @ x, a_forward(), "adhoc", sfreq=250.0)
    assert obs.n_eff == C - 2
    w, c = obs.whitener.matrix, obs.whitener.colorer
    np.testing.assert_allclose(w @ c, np.eye(C - 2), atol=1e-9)
    assert np.isfinite(obs.values).all()


def test_signals_without_noise_are_let_through() -> None:
    """Simulated sources without noise have no rank to speak of, which is nobody's cleaning."""
    v = a_forward().leadfield[:, [3, 9]] @ np.random.default_rng(0).standard_normal((2, 80)) * 1e-8
    assert observe(v, a_forward(), COV, sfreq=250.0).n_eff == C - 1


# Functions of time

BASES: list[Any] = ["dct", "slepian", "samples", "given"]


def a_basis(
    kind: str, n_times: int, filtered: bool, sfreq: float = 250.0
) -> tuple[TimeBasis, Array]:
    sigma = np.eye(n_times)
    if filtered:
        sigma = temporal_covariance(noise_stream(sfreq, True)[1], np.arange(n_times))
    given = np.random.default_rng(0).standard_normal((n_times, min(3, n_times)))
    basis = make_time_basis(
        given if kind == "given" else kind,
        np.arange(n_times) / sfreq,
        sfreq,
        1.0,
        40.0,
        sigma if filtered else None,
    )
    return basis, sigma


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("n_times", [1, 2, 3, 10, 50, 333])
@pytest.mark.parametrize("kind", BASES)
def test_functions_and_projector_are_inverse_and_whiten(
    kind: str, n_times: int, filtered: bool
) -> None:
    basis, sigma = a_basis(kind, n_times, filtered)
    f, p = basis.functions, basis.projector
    identity = np.eye(basis.n_functions)
    assert 1 <= basis.n_functions <= n_times
    np.testing.assert_allclose(f.T @ p, identity, atol=1e-7)
    np.testing.assert_allclose(p.T @ sigma @ p, identity, atol=1e-7)
    j = np.random.default_rng(1).standard_normal((5, basis.n_functions))
    np.testing.assert_allclose((j @ f.T) @ p, j, atol=1e-6)
    assert np.linalg.matrix_rank(np.c_[f / np.abs(f).max(), p / np.abs(p).max()], tol=1e-6) == (
        np.linalg.matrix_rank(f / np.abs(f).max(), tol=1e-6)
    )


@pytest.mark.parametrize("sfreq", [250.0, 600.0])
@pytest.mark.parametrize("n_times", [2, 10, 51, 200])
@pytest.mark.parametrize(("fmin", "fmax"), [(0.0, 40.0), (1.0, 30.0), (8.0, 13.0)])
def test_cosines_are_those_of_the_band(
    n_times: int, sfreq: float, fmin: float, fmax: float
) -> None:
    """cos(pi f (2 t + 1)) at all f = k sfreq / 2T up to fmax and from the last one below fmin."""
    t = np.arange(n_times) / sfreq
    functions = make_time_basis("dct", t, sfreq, fmin, fmax).functions
    step = sfreq / (2 * n_times)
    f = step * np.arange(n_times)
    last_below = f[f <= fmin][-1]
    inside = f[(f >= last_below) & (f <= max(fmax, last_below) + 1e-9)]
    expected = np.cos(2 * np.pi * inside * (t[:, None] + 0.5 / sfreq))
    expected /= np.linalg.norm(expected, axis=0)
    np.testing.assert_allclose(functions, expected, atol=1e-9)


@pytest.mark.parametrize("n_times", [5, 50, 200])
def test_slepian_sequences_live_below_the_limit(n_times: int) -> None:
    """2 T fmax of them, orthonormal, each with half its energy or more below; most with all."""
    sfreq, fmax = 250.0, 40.0
    functions = make_time_basis("slepian", np.arange(n_times) / sfreq, sfreq, 0, fmax).functions
    assert functions.shape[1] == int(2 * n_times * fmax / sfreq)
    np.testing.assert_allclose(functions.T @ functions, np.eye(functions.shape[1]), atol=1e-8)
    power = np.abs(np.fft.rfft(functions, 2**14, axis=0)) ** 2
    below = power[np.fft.rfftfreq(2**14, 1 / sfreq) <= fmax].sum(axis=0) / power.sum(axis=0)
    assert below.min() > 0.4
    assert np.median(below) > 0.95


def test_samples_are_samples() -> None:
    basis = make_time_basis("samples", np.arange(7) / 100, 100.0, 0.0, 40.0)
    np.testing.assert_array_equal(basis.functions, np.eye(7))


def test_a_given_basis_is_its_span() -> None:
    """Other columns for the same span give the same chi-square and back-projection."""
    rng = np.random.default_rng(0)
    given = rng.standard_normal((40, 4))
    x = recordings(250.0, False, 40, most=1)[0][0]
    one, two = (
        observe(x, a_forward(), COV, sfreq=250.0, time_basis=b)
        for b in (given, given @ rng.standard_normal((4, 4)))
    )
    assert one.time_basis.kind == "given"
    for a, b in ((one, two), (two, one)):
        j = a.values @ a.time_basis.functions.T
        np.testing.assert_allclose(j, b.values @ b.time_basis.functions.T, atol=1e-8)


def test_a_higher_limit_adds_functions() -> None:
    """The span for 20 Hz lies in that for 40 Hz: chi-square of a recording grows with fmax."""
    x = recordings(250.0, False, 100, most=1)[0][0]
    found = [observe(x, a_forward(), COV, sfreq=250.0, fmax=f) for f in (5.0, 20.0, 40.0, 125.0)]
    counts = [obs.n_functions for obs in found]
    assert counts == sorted(set(counts))
    total = [(obs.values**2).sum() for obs in found]
    assert total == sorted(total)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.ones((30, 2)), r"shape \(30, 2\).*\(40, R\)"),
        (np.ones(40), r"shape \(40,\)"),
        (np.ones((40, 41)), r"R up to 40"),
        (np.ones((40, 2)), "depend on each other"),
        (np.ones((40, 0)), "independent columns"),
        (np.full((40, 1), np.nan), "not finite"),
        (np.ones((40, 1), complex), "real numbers, not complex128"),
        (None, "real numbers, not object"),
        ("fourier", "one of dct, slepian, samples or an array, not 'fourier'"),
    ],
)
def test_bases_that_are_none(given: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_time_basis(given, np.arange(40) / 100, 100.0, 0.0, 40.0)


def test_a_band_without_functions() -> None:
    with pytest.raises(
        InputError, match="between 60 Hz, where the recording's band begins, and 40"
    ):
        make_time_basis("dct", np.arange(40) / 100, 100.0, 60.0, 40.0)


def test_an_autocorrelation_of_no_noise() -> None:
    """1, .9, 0, 0 ... has negative power at high frequencies."""
    sigma = temporal_covariance(np.array([1.0, 0.9]), np.arange(40))
    with pytest.raises(InputError, match="would have negative variance; estimate it"):
        make_time_basis("samples", np.arange(40) / 100, 100.0, 0.0, 40.0, sigma)
