"""Noise: its autocorrelation is found from little, its covariance whitened whatever its rank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.linalg as sl
from numpy.typing import NDArray
from scipy import stats

from bayesesi.errors import InputError
from bayesesi.noise import (
    NoiseCovariance,
    Whitener,
    band_autocorrelation,
    fit_autocorrelation,
    fit_autocovariance,
    independent_share,
    make_whitener,
    read_noise_cov,
    temporal_covariance,
)
from bayesesi.observation import make_time_basis

Array = NDArray[np.float64]

NAMES = tuple(f"E{i:02d}" for i in range(12))
#: exponent of 1/f^exponent, height of a 10 Hz peak, band of the filter in Hz (None: unfiltered).
SPECTRA = {
    "white 1-40": (0.0, 0.0, (1.0, 40.0)),
    "1/f 1-40": (1.0, 0.0, (1.0, 40.0)),
    "1/f .1-40": (1.0, 0.0, (0.1, 40.0)),
    "1/f and alpha .1-40": (1.0, 1.0, (0.1, 40.0)),
    "1/f": (1.0, 0.0, None),
    "white": (0.0, 0.0, None),
}


def spectrum(name: str, sfreq: float, size: int = 2**17) -> Array:
    """Power at ``rfftfreq(size)``, after MNE's FIR of that band."""
    exponent, alpha, band = SPECTRA[name]
    f = np.fft.rfftfreq(size, 1 / sfreq)
    power = np.maximum(f, 0.02) ** -exponent + 0.01 + alpha * np.exp(-0.5 * (f - 10) ** 2)
    if band is None:
        return power
    fir = mne.filter.create_filter(None, sfreq, *band, verbose="error")
    return power * np.abs(np.fft.rfft(fir, size)) ** 2


def draw(power: Array, n: int, rng: np.random.Generator) -> Array:
    """(n, size) stationary noise of that power spectrum, periodic over ``size`` samples."""
    size = 2 * (len(power) - 1)
    z = rng.standard_normal((n, len(power))) + 1j * rng.standard_normal((n, len(power)))
    return np.fft.irfft(z * np.sqrt(power * size / 2), size)


def random_covariance(n: int, seed: int, rank: int | None = None) -> Array:
    """Symmetric, eigenvalues over three decades, of the given rank."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = np.logspace(0, -3, n) * (np.arange(n) < (rank or n))
    return turn * values @ turn.T * 1e-11


# Time


@pytest.mark.parametrize("name", SPECTRA)
def test_autocovariance_does_not_see_constants_and_scales(name: str) -> None:
    rng = np.random.default_rng(0)
    x = draw(spectrum(name, 250.0, 2**12), 6, rng)[:, :90]
    r = fit_autocovariance(x, 250.0, 300)
    shifted = fit_autocovariance(x + 40 * rng.standard_normal((6, 1)), 250.0, 300)
    np.testing.assert_allclose(shifted, r, rtol=1e-9, atol=1e-6 * r[0])
    np.testing.assert_allclose(fit_autocovariance(3 * x, 250.0, 300), 9 * r, atol=1e-12 * r[0])


@pytest.mark.parametrize("length", [8, 9, 40, 333, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_autocovariance_is_positive_definite_whatever_the_data(length: int, seed: int) -> None:
    """Also for spikes, ramps and jumps, which are no stationary noise."""
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal(length), np.arange(length), np.arange(length) > length / 3][seed]
    r = fit_autocorrelation(np.asarray(x, float), 100.0, 400)
    assert r[0] == 1
    assert np.linalg.eigvalsh(sl.toeplitz(r)).min() > -1e-9


def expected_chi2(
    name: str, autocovariance: Array, truth: Array, n_times: int, sfreq: float, baseline: int = 0
) -> tuple[float, Array]:
    """Chi-square per degree of freedom, and its eigenvalues over time functions.

    Of noise with the true autocovariance, projected on functions whitened by the estimated one.
    The window follows ``baseline`` samples whose mean was subtracted.
    """
    at = np.arange(baseline, baseline + n_times)
    before = np.arange(baseline) if baseline else None
    assumed = temporal_covariance(autocovariance, at, before)
    highpass = (SPECTRA[name][2] or (0.0,))[0]
    basis = make_time_basis("dct", at / sfreq, sfreq, highpass, 40.0, assumed)
    found = basis.projector.T @ temporal_covariance(truth, at, before) @ basis.projector
    return float(np.trace(found) / len(found)), np.linalg.eigvalsh(found)


@pytest.mark.parametrize("sfreq", [250.0, 600.0])
@pytest.mark.parametrize("name", SPECTRA)
def test_autocovariance_from_a_minute_whitens(name: str, sfreq: float) -> None:
    """16 channels × 60 s, windows of 10 to 500 samples: chi-square within 12 % (seeded).

    Each function of time is within a factor of 2.5: slow drift is what a piece of 4 s tells
    little of. Once a baseline is subtracted, the whole is within 3 % and each function within
    35 %. Over 24 other seeds: .92 to 1.10 and .42 to 1.84, .98 to 1.02 and .87 to 1.29.
    """
    power = spectrum(name, sfreq)
    truth = np.fft.irfft(power)
    x = draw(power, 16, np.random.default_rng(1))[:, : int(60 * sfreq)]
    r = fit_autocovariance(x - x.mean(axis=1, keepdims=True), sfreq, 1000)
    for n_times in (10, 50, 200, 500):
        whole, each = expected_chi2(name, r, truth, n_times, sfreq)
        assert 0.88 < whole < 1.12
        assert 0.40 < each.min() <= each.max() < 2.5
        whole, each = expected_chi2(name, r, truth, n_times, sfreq, baseline=100)
        assert 0.97 < whole < 1.03
        assert 0.80 < each.min() <= each.max() < 1.35


@pytest.mark.parametrize("sfreq", [250.0, 600.0])
@pytest.mark.parametrize("name", SPECTRA)
def test_autocovariance_from_a_baseline_whitens(name: str, sfreq: float) -> None:
    """60 stretches of 0.2 s: chi-square within 30 % after a baseline, a factor of 2 without.

    What happens below 2.5 Hz such stretches do not show; a mean that is subtracted takes most of
    it away again. Over 60 other seeds: .89 to 1.23 and .81 to 1.73.
    """
    power = spectrum(name, sfreq)
    truth, length = np.fft.irfft(power), int(0.2 * sfreq)
    rng = np.random.default_rng(2)
    long = draw(power, 4, rng)
    starts = rng.integers(0, long.shape[1] - length, 60)
    x = np.array([long[i % 4, s : s + length] for i, s in enumerate(starts)])
    r = fit_autocovariance(x - x.mean(axis=1, keepdims=True), sfreq, 2000)
    for n_times in (10, 50, 100):
        after, _ = expected_chi2(name, r, truth, n_times, sfreq, baseline=length)
        without, _ = expected_chi2(name, r, truth, n_times, sfreq)
        assert 0.8 < after < 1.3
        assert 0.7 < without < 2.0


def test_assuming_white_noise_does_not_whiten_filtered_noise() -> None:
    """The twin of the two above: at 600 Hz chi-square is several times too large."""
    truth = np.fft.irfft(spectrum("1/f 1-40", 600.0))
    whole, _ = expected_chi2("1/f 1-40", truth[0] * np.eye(1, 1000)[0], truth, 100, 600.0)
    assert whole > 5


@pytest.mark.parametrize(("n", "length"), [(1, 7), (3, 2)])
def test_short_stretches_are_refused(n: int, length: int) -> None:
    with pytest.raises(InputError, match=f"of {length} samples are too short.*'white'"):
        fit_autocorrelation(np.random.default_rng(0).standard_normal((n, length)), 100.0, 5)


def test_constant_stretches_are_refused() -> None:
    with pytest.raises(InputError, match="constant"):
        fit_autocorrelation(np.full((3, 50), 2.5), 100.0, 5)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_band_autocorrelation_has_its_power_in_the_band(exponent: float) -> None:
    r = band_autocorrelation(4.0, 30.0, 200.0, 4096, exponent)
    assert r[0] == 1
    power = np.fft.rfft(np.r_[r, 0, r[:0:-1]]).real
    f = np.fft.rfftfreq(2 * len(r), 1 / 200.0)
    inside = (f > 4.5) & (f < 29.5)
    assert power[~((f > 3.5) & (f < 30.5))].max() < 0.02 * power[inside].max()
    slope = np.polyfit(np.log(f[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.02)
    assert np.linalg.eigvalsh(sl.toeplitz(r[:500])).min() > -1e-10


def test_white_band_is_a_sinc() -> None:
    """Flat from 0 to B: r(t) = sin(2 pi B t) / (2 pi B t); to 1 % on a grid of 1/16 Hz."""
    r = band_autocorrelation(0.0, 25.0, 200.0, 300, 0.0)
    np.testing.assert_allclose(r, np.sinc(2 * 25.0 * np.arange(300) / 200.0), atol=0.01)


def test_independent_share_of_known_processes() -> None:
    """White: all. AR(1): (1 - a²) / (1 + a²), Bartlett's formula."""
    assert independent_share(np.eye(1, 50)[0]) == 1
    a = 0.9
    share = independent_share(3 * a ** np.arange(400))
    assert share == pytest.approx((1 - a**2) / (1 + a**2), rel=1e-6)


@pytest.mark.parametrize("first", [-60, 0, 5])
def test_temporal_covariance_is_that_of_the_subtraction(first: int) -> None:
    """A Sigma A' with the rows of A a sample less the baseline's mean, wherever that lies."""
    r = np.fft.irfft(spectrum("1/f 1-40", 250.0, 2**12))
    every, samples, baseline = np.arange(-60, 90), np.arange(20, 60), np.arange(first, first + 30)
    a = (samples[:, None] == every) - np.isin(every, baseline) / len(baseline)
    sigma = sl.toeplitz(r[: len(every)])
    np.testing.assert_allclose(
        temporal_covariance(r, samples, baseline), a @ sigma @ a.T, atol=1e-12 * r[0]
    )
    np.testing.assert_allclose(temporal_covariance(r, samples), sl.toeplitz(r[:40]), rtol=1e-12)


# Covariance


@pytest.mark.parametrize("filtered", [False, True])
def test_covariance_from_samples_is_unbiased(filtered: bool) -> None:
    """300 stretches of 0.2 s of 12 channels: W C_hat W' within 8 % of I on average (seeded).

    Its eigenvalues are within 25 %; the mean of a stretch takes a fifth of the variance with it
    when noise is filtered, and the autocorrelation puts it back.
    """
    power = spectrum("1/f 1-40" if filtered else "white", 250.0)
    rng = np.random.default_rng(3)
    noise = draw(power, 12, rng) / np.sqrt(np.fft.irfft(power)[0])
    truth = random_covariance(12, 4)
    starts = rng.integers(0, noise.shape[1] - 50, 300)
    segments = np.array([sl.sqrtm(truth).real @ noise[:, s : s + 50] for s in starts])
    estimate = NoiseCovariance.from_samples(segments, NAMES, 250.0)
    ratio = np.linalg.eigvals(np.linalg.solve(truth, estimate.matrix)).real
    assert np.mean(ratio) == pytest.approx(1, abs=0.08)
    assert 0.75 < ratio.min() <= ratio.max() < 1.25
    assert estimate.dof is not None
    assert estimate.dof < 300 * 49 * (0.35 if filtered else 1.01)
    about_means = np.mean([np.cov(s) for s in segments], axis=0)
    lost = np.trace(np.linalg.solve(truth, about_means)) / 12
    assert (lost < 0.85) == filtered


def test_shrinkage_counts_independent_samples() -> None:
    """60 channels from 0.2 s of filtered noise: held-out chi-square within 2 (it is 4 by plain LW).

    Median of 8 seeds; plain Ledoit & Wolf takes 120 samples for 120 independent ones.
    """
    names = [f"{i}" for i in range(60)]
    power = spectrum("1/f and alpha .1-40", 600.0, 2**14)
    size = np.sqrt(np.fft.irfft(power)[0])
    ours, plain = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        mix = np.linalg.qr(rng.standard_normal((60, 60)))[0] * np.logspace(0, -1.5, 60)
        noise = mix @ draw(power, 60, rng) / size
        seen, other = noise[:, :120], noise[:, 2000:]
        found = NoiseCovariance.from_samples(seen, names, 600.0, shrinkage="ledoit-wolf")
        white = replace(found, matrix=_plain_ledoit_wolf(seen))
        for cov, into in ((found, ours), (white, plain)):
            into.append((other * np.linalg.solve(cov.matrix, other)).mean())
    assert 0.5 < np.median(ours) < 2
    assert np.median(plain) > 3


def _plain_ledoit_wolf(segment: Array) -> Array:
    from sklearn.covariance import ledoit_wolf_shrinkage

    cov = np.cov(segment)
    sd = np.sqrt(np.diag(cov))
    centred = (segment - segment.mean(axis=1, keepdims=True)) / sd[:, None]
    weight = ledoit_wolf_shrinkage(centred.T, assume_centered=True)
    return (1 - weight) * cov + weight * np.diag(sd**2)


def test_samples_of_one_stretch_or_several() -> None:
    """(C, T) is one stretch, also where C = T."""
    x = np.random.default_rng(0).standard_normal((12, 12))
    one, stacked = (NoiseCovariance.from_samples(s, NAMES, 100.0).matrix for s in (x, x[None]))
    np.testing.assert_array_equal(one, stacked)
    assert np.linalg.matrix_rank(one) == 11
    weight = NoiseCovariance.from_samples(x, NAMES, 100.0, shrinkage=0.25).matrix
    expected = 0.75 * one + 0.25 * np.diag(np.diag(one))
    np.testing.assert_allclose(weight, expected, rtol=1e-12, atol=1e-12)
    with_reference = x * (np.arange(12) != 3)[:, None]
    shrunk = NoiseCovariance.from_samples(
        with_reference, NAMES, 100.0, shrinkage="ledoit-wolf"
    ).matrix
    assert np.isfinite(shrunk).all()
    assert not shrunk[3].any()


@pytest.mark.parametrize(
    ("segments", "says"),
    [
        (np.zeros((3, 5, 20)), r"shape \(3, 5, 20\).*12 channels"),
        (np.zeros(20), r"shape \(20,\)"),
        (np.full((1, 12, 20), np.nan), "finite"),
        (np.zeros((4, 12, 1)), "at least 2 samples"),
        (np.zeros((1, 12, 20)), "constant"),
        (np.ones((1, 12, 20), complex), "real numbers, not complex128"),
        ([["a"] * 20] * 12, "real numbers"),
    ],
)
def test_segments_that_cannot_be_used(segments: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        NoiseCovariance.from_samples(segments, NAMES, 100.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("shrinkage", [-0.1, 1.5, np.nan, "oas"])
def test_shrinkage_that_is_no_weight(shrinkage: object) -> None:
    x = np.random.default_rng(0).standard_normal((12, 40))
    with pytest.raises(InputError, match=r"weight in \[0, 1\] or 'ledoit-wolf'"):
        NoiseCovariance.from_samples(x, NAMES, 100.0, shrinkage=shrinkage)  # type: ignore[arg-type]


def _with(matrix: Array, *index: int, value: float) -> Array:
    changed = matrix.copy()
    changed[index] = value
    return changed


GOOD = random_covariance(12, 1)


@pytest.mark.parametrize(
    ("matrix", "names", "says"),
    [
        (GOOD[:5, :5], NAMES, r"shape \(5, 5\) for 12 channel names.*\(12, 12\)"),
        (GOOD[0], NAMES, r"shape \(12,\)"),
        (_with(GOOD, 2, 3, value=np.nan), NAMES, "not finite"),
        (_with(GOOD, 2, 2, value=-1.0), NAMES, "negative variances"),
        (_with(GOOD, 2, 3, value=1.0), NAMES, "not symmetric"),
        (GOOD.astype(complex), NAMES, "real numbers, not complex128"),
        (GOOD.astype(object), NAMES, "real numbers, not object"),
        (GOOD, ("E00", *NAMES[:-1]), "'E00' occur twice"),
    ],
)
def test_matrices_that_are_no_covariance(matrix: Array, names: tuple[str, ...], says: str) -> None:
    before = matrix.copy()
    with pytest.raises(InputError, match=says):
        NoiseCovariance(matrix, names)
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("nave", [0, -3, np.nan, np.inf, "6", None])
def test_nave_that_is_no_count(nave: object) -> None:
    with pytest.raises(InputError, match="nave, the number of averaged trials, is a positive"):
        NoiseCovariance(GOOD, NAMES, nave=nave)  # type: ignore[arg-type]


def test_pick_orders_and_average_divides() -> None:
    cov = NoiseCovariance(GOOD, NAMES)
    order = NAMES[::-1][:7]
    place = [NAMES.index(n) for n in order]
    np.testing.assert_array_equal(cov.pick(order).matrix, cov.matrix[np.ix_(place, place)])
    np.testing.assert_allclose(cov.for_average(40).matrix, cov.matrix / 40, rtol=1e-15)
    again = cov.for_average(40).for_average(2.5)  # a difference of averages
    np.testing.assert_allclose(again.matrix, cov.matrix / 2.5, rtol=1e-14)
    with pytest.raises(InputError, match="no channel 'Cz', 'Pz'; compute it from the same"):
        cov.pick(["E01", "Cz", "Pz"])


def test_the_given_matrix_is_not_shared() -> None:
    mine = GOOD.copy()
    cov = NoiseCovariance(mine, NAMES)
    mine[:] = 0
    np.testing.assert_allclose(cov.matrix, GOOD, rtol=1e-12)


def test_covariances_of_mne() -> None:
    full = mne.Covariance(GOOD, list(NAMES), [], [], nfree=700)
    np.testing.assert_allclose(NoiseCovariance.from_mne(full).matrix, GOOD, rtol=1e-12)
    assert NoiseCovariance.from_mne(full).dof == 700
    diagonal = mne.Covariance(np.diag(GOOD), list(NAMES), [], [], nfree=0)
    np.testing.assert_allclose(NoiseCovariance.from_mne(diagonal).matrix, np.diag(np.diag(GOOD)))
    assert NoiseCovariance.from_mne(diagonal).dof is None


def test_adhoc_levels_are_those_of_mne() -> None:
    info = mne.create_info(["a", "b", "c"], 100.0, ["eeg", "mag", "grad"])
    theirs = mne.make_ad_hoc_cov(info, verbose="error")
    ours = NoiseCovariance.adhoc(["a", "b", "c"], ["eeg", "mag", "grad"])
    np.testing.assert_allclose(np.diag(ours.matrix), theirs["data"])
    assert ours.origin == "adhoc"


# Whitening


def is_whitener(whitener: Whitener, cov: NoiseCovariance) -> None:
    identity = np.eye(whitener.n_eff)
    w, c = whitener.matrix, whitener.colorer
    np.testing.assert_allclose(w @ cov.matrix @ w.T, identity, atol=1e-8)
    np.testing.assert_allclose(w @ c, identity, atol=1e-8)


@pytest.mark.parametrize("rank", [12, 11, 7])
def test_eeg_whitener(rank: int) -> None:
    """W C W' = I, W's colorer is its pseudo-inverse, and W does not see the reference."""
    cov = NoiseCovariance(random_covariance(12, 5, rank), NAMES, dof=321.0)
    whitener = make_whitener(cov, ["eeg"] * 12)
    is_whitener(whitener, cov)
    assert whitener.n_eff == min(rank, 11)
    assert whitener.dof == 321
    np.testing.assert_allclose(whitener.colorer, np.linalg.pinv(whitener.matrix), rtol=1e-6)
    assert np.abs(whitener.matrix.sum(axis=1)).max() < 1e-9 * np.abs(whitener.matrix).max()
    colored = whitener.colorer @ whitener.colorer.T
    centre = np.eye(12) - 1 / 12
    if rank == 12:
        np.testing.assert_allclose(colored, centre @ cov.matrix @ centre, atol=1e-9 * GOOD.max())
    values = np.random.default_rng(0).standard_normal((3, 12, 5))
    np.testing.assert_allclose(whitener(values)[1], whitener.matrix @ values[1])


def test_whitener_is_the_same_after_any_reference() -> None:
    """W'W does not change when the covariance is that of T v with T 1 = 0: a re-reference."""
    cov = NoiseCovariance(GOOD, NAMES)
    whole = make_whitener(cov, ["eeg"] * 12).matrix
    for weights in (np.full(12, 1 / 12), np.eye(12)[4], (np.eye(12)[1] + np.eye(12)[7]) / 2):
        t = np.eye(12) - np.outer(np.ones(12), weights)
        other = make_whitener(replace(cov, matrix=t @ GOOD @ t.T), ["eeg"] * 12).matrix
        np.testing.assert_allclose(other.T @ other, whole.T @ whole, rtol=1e-7, atol=1e-4)


KINDS = ("eeg",) * 4 + ("mag",) * 3 + ("grad",) * 5
SCALE = np.repeat([1e-6, 1e-13, 1e-12], [4, 3, 5])


@pytest.mark.parametrize("n_projectors", [0, 1, 3])
def test_sensors_of_several_kinds_meet_as_equals(n_projectors: int) -> None:
    """Ranks add up, and what the projectors span is not seen, across kinds and units."""
    cov = NoiseCovariance(SCALE[:, None] * random_covariance(12, 6) * 1e11 * SCALE, NAMES)
    rows = np.random.default_rng(7).standard_normal((n_projectors, 12)) * SCALE * 1e12
    whitener = make_whitener(cov, KINDS, rows if n_projectors else None)
    is_whitener(whitener, cov)
    assert whitener.n_eff == 11 - n_projectors
    for row in rows:
        seen = np.abs(whitener.matrix) @ np.abs(row)
        assert np.abs(whitener.matrix @ row).max() < 1e-9 * seen.max()


def test_projectors_in_single_precision_cost_one_dimension_each() -> None:
    """An average reference stored as float32, twice, is still the average reference."""
    reference = np.full(12, 12**-0.5)
    blurred = reference + 1e-7 * np.random.default_rng(0).standard_normal((2, 12))
    whitener = make_whitener(NoiseCovariance(GOOD, NAMES), ["eeg"] * 12, blurred)
    assert whitener.n_eff == 11


@pytest.mark.parametrize("kind", ["eeg", "mag"])
def test_one_channel(kind: str) -> None:
    """One magnetometer is a measurement; one EEG channel is none without a second."""
    cov = NoiseCovariance(np.array([[4e-12]]), ("A",))
    if kind == "eeg":
        with pytest.raises(InputError, match=r"1 EEG channel leaves nothing.*at least 2"):
            make_whitener(cov, [kind])
    else:
        assert make_whitener(cov, [kind]).matrix.item() == pytest.approx(1 / 2e-6)
    two = NoiseCovariance(np.eye(2) * 1e-12, ("A", "B"))
    assert make_whitener(two, ["eeg"] * 2).n_eff == 1


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.zeros((12, 12)), "of the eeg channels is zero"),
        (np.full((12, 12), 1e-12), "zero once references"),
        (np.diag([1.0] * 12) - 0.9 * np.eye(12)[::-1] * 2, "negative variance in some direction"),
    ],
)
def test_covariances_that_no_noise_has(matrix: Array, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_whitener(NoiseCovariance(matrix, NAMES), ["eeg"] * 12)


def test_whitened_noise_is_standard_normal() -> None:
    """20,000 draws on 11 dimensions: trace, eigenvalues and normality; false alarms 1 in 1,000.

    The twin, whitened by another covariance, fails.
    """
    rng = np.random.default_rng(8)
    whitener = make_whitener(NoiseCovariance(GOOD, NAMES), ["eeg"] * 12)
    noise = np.linalg.cholesky(GOOD) @ rng.standard_normal((12, 20_000))
    other = make_whitener(NoiseCovariance(random_covariance(12, 9), NAMES), ["eeg"] * 12)
    for w, passes in ((whitener, True), (other, False)):
        z = w(noise)
        p = 2 * min(stats.chi2.cdf((z**2).sum(), z.size), stats.chi2.sf((z**2).sum(), z.size))
        p = min(p, stats.kstest(z.ravel(), "norm").pvalue)
        assert (p > 5e-4) == passes


# Files


def test_covariance_files(tmp_path: Path) -> None:
    path = tmp_path / "x-cov.fif"
    mne.Covariance(GOOD, list(NAMES), [], [], nfree=99).save(path, verbose="error")
    for given in (path, str(path)):
        cov = read_noise_cov(given)
        np.testing.assert_allclose(cov.matrix, GOOD, rtol=1e-12)
        assert cov.ch_names == NAMES


def _text(path: Path) -> None:
    path.write_text("no covariance, only words\n" * 50)


def _evoked(path: Path) -> None:
    info = mne.create_info(list(NAMES), 100.0, "eeg")
    evoked = mne.EvokedArray(np.zeros((12, 3)), info, nave=1)
    evoked.save(path.with_name("e-ave.fif"), verbose="error")
    path.with_name("e-ave.fif").rename(path)


def _cut(path: Path) -> None:
    mne.Covariance(GOOD, list(NAMES), [], [], nfree=99).save(path, verbose="error")
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (None, "is not a file"),
        (Path.touch, "is empty"),
        (Path.mkdir, "is not a file"),
        (_text, "not a readable noise covariance"),
        (_evoked, "not a readable noise covariance"),
        (_cut, "not a readable noise covariance"),
    ],
)
def test_files_without_a_covariance(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "bad-cov.fif"
    if callable(make):
        make(path)
    with pytest.raises(InputError, match=f"^bad-cov.fif {says}|^bad-cov.fif is {says}"):
        read_noise_cov(path)


@pytest.mark.parametrize("path", [None, 3, b"x-cov.fif", ["x-cov.fif"]])
def test_paths_that_are_none(path: object) -> None:
    with pytest.raises(InputError, match="named by its path"):
        read_noise_cov(path)  # type: ignore[arg-type]
