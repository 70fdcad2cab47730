"""Simulators: volts come from the true head, SNR and noise are as declared, truth made them.

Statistical tests state n and a false-alarm rate; twins that must fail stand beside them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from bayesesi.anatomy import (
    active_regions,
    region_energy,
    template_parcellation,
    template_source_space,
)
from bayesesi.errors import InputError
from bayesesi.forward import HeadSetting, montage_sensors, template_bank
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import observe
from bayesesi.prior import (
    HeadPrior,
    NoisePrior,
    block_generator,
    distribution_of,
    read_prior,
)
from bayesesi.simulator import Batch, Simulation, Simulator, read_simulator
from bayesesi.simulator.artifacts import Blink, Pop
from bayesesi.simulator.noise_process import NoiseProcess, frequencies, peak, power_law
from bayesesi.simulator.recording_noise import _wishart
from bayesesi.simulator.time_course import correlate, draw_courses
from bayesesi.spec import Quantity, SimulatorSpec, read_spec, shipped_specs
from bayesesi.spec.simulator import Erp, Frame, Ictal, NeuralMass, Oscillation, Spike

ALARM = 1e-4
BANK = template_bank()
ERP = '{ family = "erp", latency_ms = { uniform = [40.0, 160.0] } }'


def simulator(folder: Path, **keys: str) -> Simulator:
    """A simulator of dipoles in white noise unless keys say otherwise; values are TOML."""
    table = {
        "source": '"cortical-dipole"',
        "head": '"template-nominal"',
        "noise": '"white"',
        "time_course": '{ family = "frame" }',
    } | keys
    text = "\n".join(f"{key} = {value}" for key, value in table.items())
    path = folder / "mine.toml"
    path.write_text(f'schema = 1\nname = "mine"\ndescription = "a test"\n{text}\n')
    return read_simulator(path)


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """One or two dipoles with hardly any noise."""
    folder = tmp_path_factory.mktemp("loud")
    keys = {"snr_db": "60.0", "time_course": ERP, "window_ms": "[0.0, 200.0]"}
    return simulator(folder, **keys).simulate(256, seed=1)


def test_volts_are_those_of_the_true_head(loud: Simulation) -> None:
    """60 dB: the true head's lead field of the event explains all but a thousandth of each case."""
    batch = loud.batches[0]
    for k in np.flatnonzero(batch.draws["count"])[:12]:
        leadfield = BANK.leadfield(batch.heads[k], batch.electrodes[k], BANK.cortex(5))
        event = leadfield @ batch.field(k, ico=5) / batch.draws["size"][k] ** 2
        event -= event.mean(axis=0)
        off = np.linalg.norm(batch.volts[k] - event) / np.linalg.norm(event)
        assert off == pytest.approx(1e-3, rel=0.2)


def test_the_assumed_head_explains_them_less(loud: Simulation) -> None:
    """The twin: with the template instead of the true head much is left."""
    batch, left = loud.batches[0], []
    for k in np.flatnonzero(batch.draws["count"])[:12]:
        field = batch.field(k, ico=5)
        where = batch.session.forward.sensors
        assert where is not None
        event = BANK.leadfield(HeadSetting(), where.positions, BANK.cortex(5)) @ field
        left.append(np.linalg.norm(batch.volts[k] - event) / np.linalg.norm(event))
    assert np.median(left) > 0.1


def test_snr_is_as_declared(tmp_path: Path) -> None:
    """Event over expected noise, by the true head's lead field and the true covariance."""
    made = simulator(tmp_path, snr_db="{ uniform = [0.0, 20.0] }", n_trials="10")
    batch = made.simulate(64, seed=2).batches[0]
    active = np.flatnonzero(batch.draws["count"])
    assert 0 <= batch.snr_db[active].min() < 3
    assert 17 < batch.snr_db[active].max() <= 20
    noise = np.diag(batch.session.true_covariance).mean() / 10 * batch.noise_scale**2
    for k in active[:10]:
        leadfield = BANK.leadfield(batch.heads[k], batch.electrodes[k], BANK.cortex(5))
        event = leadfield @ batch.field(k, ico=5) / batch.draws["size"][k] ** 2
        got = 10 * np.log10((event**2).mean() / noise[k])
        assert got == pytest.approx(batch.snr_db[k], abs=0.02)


@pytest.mark.parametrize("session", [64, 1])
def test_noise_does_not_tell_of_an_event(tmp_path: Path, session: int) -> None:
    """Where an SNR sizes the noise, cases without an event have noise of the same sizes.

    n about 50 of 512, Kolmogorov-Smirnov, false alarms 1e-4.
    """
    made = Simulator(simulator(tmp_path, snr_db="5.0").spec, session)
    simulation = made.simulate(512, seed=3)
    scale = np.concatenate([b.noise_scale for b in simulation])
    null = ~np.isfinite(simulation.snr_db)
    assert null.sum() > 25
    assert len(set(scale[null])) > 20  # not one size for all of them
    assert stats.ks_2samp(np.log(scale[null]), np.log(scale[~null])).pvalue > ALARM


def silent(folder: Path, **keys: str) -> Simulation:
    """Cases without any event."""
    (folder / "none.toml").write_text(
        'schema = 1\nextend = "cortical-dipole"\nname = "none"\n[count]\nnull = 1.0\n'
    )
    return simulator(folder, source='"none.toml"', **keys).simulate(256, seed=4)


@pytest.mark.parametrize("window", ["[0.0, 0.0]", "[0.0, 200.0]"])
def test_null_cases_are_standard_normal(tmp_path: Path, window: str) -> None:
    """White noise whose covariance is known well: sum of squares of 256 cases, chi-square."""
    course = '{ family = "frame" }' if window == "[0.0, 0.0]" else ERP
    simulation = silent(
        tmp_path,
        window_ms=window,
        time_course=course,
        n_trials="7",
        band_Hz="[0.0, 125.0]",
    )
    values = np.concatenate([b.values.ravel() for b in simulation])
    # the covariance comes of 900,000 samples, shrunk by next to nothing: 1e-3 for that
    low, high = stats.chi2(values.size).ppf([ALARM / 2, 1 - ALARM / 2]) / values.size
    assert low - 1e-3 < (values**2).mean() < high + 1e-3


def test_a_wrong_number_of_trials_is_seen(tmp_path: Path) -> None:
    """The twin: the same test on the same cases, taken for single trials."""
    batch = silent(tmp_path, n_trials="7").batches[0]
    wrong = observe(
        batch.volts[0].astype(float), batch.session.forward, batch.session.noise, nave=1, sfreq=250
    )
    assert (wrong.values**2).mean() < 0.5


def test_batches_are_whitened_as_single_recordings(tmp_path: Path) -> None:
    """The batch's values are those of `observe`: noise scale, bad channels, averages."""
    made = simulator(
        tmp_path,
        noise='"clinical"',
        snr_db="3.0",
        n_trials="20",
        window_ms="[-50.0, 150.0]",
        time_course='{ family = "spike" }',
        montage="{ families = { eeg32 = 1.0 }, bad = 0.1, missing = 0.1 }",
    )
    for batch in made.simulate(128, seed=5):
        for k in (0, 17, 63):
            obs = batch.observation(k)
            assert np.allclose(obs.values, batch.values[k], rtol=1e-9, atol=1e-9)
            scaled = batch.leadfield / batch.noise_scale[k]
            assert np.allclose(obs.leadfield, scaled, rtol=1e-6, atol=1e-9 * np.abs(scaled).max())
            assert not set(obs.sensors.names) & set(batch.session.bads)


def test_a_recorded_reference_is_no_channel(tmp_path: Path) -> None:
    reference = 'montage = { reference = "Cz" }'.split(" = ", 1)[1]
    batch = simulator(tmp_path, montage=reference).simulate(64, seed=5).batches[0]
    assert "Cz" not in batch.session.ch_names
    assert len(batch.session.ch_names) == 63
    obs = batch.observation(0)
    assert obs.n_eff == 62
    assert batch.electrodes.shape == (64, 63, 3)


def test_truth_names_the_active_regions(loud: Simulation) -> None:
    """The 10 % rule, by brute force on the field of each case."""
    parcellation = template_parcellation(5)
    area = template_source_space(5).areas
    for k in range(40):
        density = (loud.field(k, ico=5) / area[:, None]) ** 2 * area[:, None]
        total = np.array([density[parcellation.labels == r].sum() for r in range(68)])
        want = (total >= 0.1 * total.sum()) & (total > 0)
        names = tuple(np.array(parcellation.names)[want])
        assert loud.truth(k).active == names
        assert (loud.truth(k).count == 0) == (not names)


def test_a_region_with_the_most_is_active_whatever_its_share() -> None:
    energy = np.array([[0.09] * 10 + [0.095], [0.0] * 11, [0.5, 0.5] + [0.0] * 9])
    active = active_regions(energy)
    assert active[0].sum() == 1
    assert active[0, 10]
    assert not active[1].any()
    assert active[2].sum() == 2


def test_energy_is_that_of_the_moment_density() -> None:
    """Twice the cortex with the same density has twice the energy."""
    parcellation = template_parcellation(3)
    space = parcellation.source_space
    moments = np.where(parcellation.labels == 3, space.areas, 0.0)[None]
    energy = region_energy(moments**2, parcellation)
    assert energy[0, 3] == pytest.approx(parcellation.areas[3])
    assert np.count_nonzero(energy) == 1


def test_moments_are_kept_on_coarser_levels(loud: Simulation) -> None:
    fine, coarse = loud.field(3, ico=5), loud.field(3, ico=4)
    assert coarse.shape == (5124, 51)
    assert np.allclose(fine.sum(axis=0), coarse.sum(axis=0), rtol=1e-5)


def test_case_k_is_the_same_whatever_else_is_drawn() -> None:
    made = read_simulator("single-frame")
    whole, part = made.simulate(600, seed=9), made.simulate(90, seed=9, start=250)
    for k in (0, 5, 6, 69, 89):
        a, b = whole.observation(250 + k), part.observation(k)
        assert np.array_equal(a.values, b.values)
        assert np.array_equal(a.leadfield, b.leadfield)
        assert whole.truth(250 + k).active == part.truth(k).active
    other = made.simulate(1, seed=9, namespace="bench")
    assert not np.array_equal(other.observation(0).values, whole.observation(0).values)


def test_a_stream_gives_the_same_cases() -> None:
    made = read_simulator("single-frame")
    stream = made.stream(seed=9)
    for batch in made.simulate(320, seed=9):
        assert np.array_equal(next(stream).volts, batch.volts)


def test_drawing_leaves_the_global_state_alone() -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    read_simulator("single-frame").simulate(1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


# heads


def head(name: str) -> HeadPrior:
    prior = read_prior(name)
    assert isinstance(prior, HeadPrior)
    return prior


def test_an_exact_head_is_the_assumed_one() -> None:
    prior, plan = head("template-exact"), montage_sensors("eeg64").positions
    with block_generator("train", 0, 0):
        draws = prior.draw(4)
        points = prior.electrodes(draws, plan)
    assert np.allclose(points.positions, plan, atol=1e-9)
    settings = prior.settings(draws)
    assert settings[0].shape == 0
    assert settings[0].skull_thickness == 1


def test_a_cap_moves_as_declared() -> None:
    """4,096 caps: each axis of shift and rotation is normal with its sd (KS, 1e-4 each)."""
    prior = head("template-nominal")
    with block_generator("train", 1, 0):
        draws = prior.draw(4096)
    for site, sd in (("cap_shift_mm", 5.0), ("cap_rotation_deg", 4.0)):
        for axis in range(3):
            assert stats.kstest(draws[site][:, axis], stats.norm(0, sd).cdf).pvalue > ALARM
            assert stats.kstest(draws[site][:, axis], stats.norm(0, 1.2 * sd).cdf).pvalue < ALARM


def test_a_misplaced_cap_goes_astray_as_one_piece() -> None:
    """Rotation and shift move electrodes by millimetres together, jitter each by itself."""
    prior, plan = head("template-nominal"), montage_sensors("eeg64").positions
    with block_generator("train", 2, 0):
        draws = prior.draw(256)
        moved = prior.electrodes(draws, plan).positions - plan
    size = np.linalg.norm(moved, axis=2)
    assert 0.006 < np.median(size) < 0.014
    # neighbours go the same way: much more of their movement is common than not
    near = np.linalg.norm(plan[:, None] - plan[None], axis=2)
    i, j = np.nonzero((near > 0) & (near < 0.035))
    apart = np.linalg.norm(moved[:, i] - moved[:, j], axis=2)
    assert np.median(apart) < 0.6 * np.median(size)


def test_measured_caps_are_worn_off_their_plan() -> None:
    prior, plan = head("template-digitised"), montage_sensors("eeg64").positions
    with block_generator("train", 3, 0):
        worn = np.stack([prior.worn(plan) for _ in range(32)])
    assert 0.004 < np.median(np.linalg.norm(worn - plan, axis=2)) < 0.015


def test_heads_are_within_the_bank() -> None:
    with block_generator("train", 4, 0):
        prior = head("template-nominal")
        draws = prior.draw(2048)
    settings = prior.settings(draws)
    for k in range(0, 2048, 16):
        settings[k].check_range()
    assert set(draws["shape"]) == set(range(BANK.n_shapes))


def test_montage_names_of_specs_are_those_of_the_forward_model() -> None:
    from typing import get_args

    from bayesesi.forward import MONTAGES
    from bayesesi.spec.simulator import MontageFamily

    assert get_args(MontageFamily) == MONTAGES
    for family in MONTAGES:
        assert len(montage_sensors(family)) == int(family.removeprefix("eeg"))


# noise


def process() -> NoiseProcess:
    """Two components on three channels, of other places and other spectra."""
    grid = frequencies(100, 250.0)
    first = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.5]])
    spectra = np.array([power_law(grid, 1.0), peak(grid, 40.0, 3.0)])
    return NoiseProcess(
        np.array([first, 0.7 * np.eye(3)]), spectra / spectra.sum(axis=1, keepdims=True)
    )


@pytest.mark.parametrize("lag", [0, 1, 7, 60])
def test_noise_has_the_covariance_it_declares(lag: int) -> None:
    """Cov(x(t), x(t + lag)) of 20,000 stretches at two places; z-scores beyond 4.5 are 1 in 1e5."""
    made = process()
    with block_generator("train", 5, lag):
        x = made.draw(20_000, 100).astype(float)
    want = np.tensordot(made.autocovariances[:, lag], made.covariances, axes=1)
    for t in (0, 39):
        products = x[:, :, None, t] * x[:, None, :, t + lag]
        z = (products.mean(axis=0) - want) / products.std(axis=0) * np.sqrt(len(x))
        assert np.abs(z).max() < 4.5
        wrong = (products.mean(axis=0) - 1.1 * want) / products.std(axis=0) * np.sqrt(len(x))
        if lag < 2:
            assert np.abs(wrong).max() > 4.5


def test_one_moment_of_noise_has_its_covariance() -> None:
    made = process()
    with block_generator("train", 6, 0):
        x = made.draw(50_000, 1)[:, :, 0].astype(float)
    products = x[:, :, None] * x[:, None]
    z = (products.mean(axis=0) - made.covariance) / products.std(axis=0) * np.sqrt(len(x))
    assert np.abs(z).max() < 4.5


def test_whitening_by_the_one_autocorrelation_keeps_the_mean_power() -> None:
    """r is that of the mean spectrum of the channels after whitening them in space."""
    made = process()
    whitener = np.linalg.inv(np.linalg.cholesky(made.covariance))
    whitened = np.einsum("ij,kjl,il->ki", whitener, made.covariances, whitener)
    own = (whitened.T @ made.spectra).mean(axis=0)
    lag, bins = np.arange(made.size // 2), np.arange(len(own))
    r = np.cos(2 * np.pi * np.outer(lag, bins) / made.size) @ own
    assert own.sum() == pytest.approx(1)
    assert np.allclose(made.autocorrelation, r, atol=1e-9)


@pytest.mark.parametrize("kind", [Blink, Pop])
def test_artifacts_have_the_covariance_of_their_events(kind: type[Blink] | type[Pop]) -> None:
    """Campbell's theorem on 4,000 moments of 5 trials each; z-scores beyond 4.5 are 1 in 1e5."""
    artifact = kind(np.array([[1.0, -0.5], [0.2, 0.3]]), 2.0, 0.5)
    with block_generator("train", 7, 0):
        x = artifact.draw(4000, np.array([0.0]), 5)[:, :, 0].astype(float)
    products = x[:, :, None] * x[:, None]
    z = (products.mean(axis=0) - artifact.covariance / 5) / products.std(axis=0) * np.sqrt(4000)
    assert np.abs(z).max() < 4.5
    assert np.abs(x.mean(axis=0) / x.std(axis=0)).max() * np.sqrt(4000) < 4.5


def test_an_estimated_covariance_is_wishart() -> None:
    """Mean and variance of 4,000 draws, above and below as many degrees as channels; z < 4.5."""
    truth = process().covariance
    for dof in (2.0, 9.5):
        with block_generator("train", 8, int(dof)):
            drawn = np.array([_wishart(truth, dof) for _ in range(4000)])
        z = (drawn.mean(axis=0) - truth) / drawn.std(axis=0) * np.sqrt(4000)
        assert np.abs(z).max() < 4.5
        variance = (truth**2 + np.outer(np.diag(truth), np.diag(truth))) / dof
        assert np.allclose(drawn.var(axis=0), variance, rtol=0.15)


@pytest.mark.parametrize("name", ["white", "quiet", "clinical"])
def test_noise_has_the_levels_it_declares(name: str, tmp_path: Path) -> None:
    """Mean square of 256 null cases against the true covariance: within a quarter, blinks and all.

    Draws of a session share its levels, so the mean is of as many numbers as cases alone.
    """
    for batch in silent(tmp_path, noise=f'"{name}"', n_trials="100").batches:
        want = np.diag(batch.session.true_covariance).mean() / 100
        got = (batch.volts.astype(float) ** 2).mean(axis=(1, 2))
        got = got / batch.draws["level_change"] ** 2
        assert got.mean() == pytest.approx(want, rel=0.25 if name != "clinical" else 0.6)


def test_a_covariance_of_the_users_makes_noise(tmp_path: Path) -> None:
    """A -cov.fif file beside the spec; channels it lacks are refused."""
    import mne

    names = list(montage_sensors("eeg19").names)
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((19, 19)) * 1e-6
    info = mne.create_info(names, 250.0, "eeg")
    cov = mne.Covariance(factor @ factor.T, names, [], [], 1000)
    cov.save(tmp_path / "mine-cov.fif", overwrite=True, verbose="error")
    assert info["nchan"] == 19
    (tmp_path / "own.toml").write_text(
        'schema = 1\nname = "own"\ndescription = "own noise"\nfamily = "sum"\n'
        '[[components]]\nfamily = "covariance"\nfile = "mine-cov.fif"\n'
    )
    keys = {"noise": '"own.toml"', "montage": "{ families = { eeg19 = 1.0 } }"}
    batch = simulator(tmp_path, **keys).simulate(64).batches[0]
    centred = factor - factor.mean(axis=0)
    assert np.allclose(batch.session.true_covariance, centred @ centred.T, atol=1e-18)
    keys["montage"] = "{ families = { eeg21 = 1.0 } }"
    with pytest.raises(InputError, match="Fpz"):
        simulator(tmp_path, **keys).simulate(1)


# sources and time


@pytest.mark.parametrize(
    ("spec", "times"),
    [
        (Frame(family="frame"), np.zeros(1)),
        (Erp(family="erp", n_components=3), np.arange(126) / 250),
        (Spike(family="spike"), np.arange(-25, 76) / 250),
        (Oscillation(family="oscillation"), np.arange(500) / 250),
        (Ictal(family="ictal"), np.arange(500) / 250),
    ],
)
def test_courses_reach_one(spec: Frame, times: np.ndarray) -> None:
    with block_generator("train", 9, 0):
        courses, sites = draw_courses(spec, 256, 3, times)
    assert courses.shape == (256, 3, len(times))
    assert np.allclose(np.abs(courses).max(axis=2), 1)
    assert all(np.asarray(v).shape == (256, 3) for v in sites.values())
    if len(times) > 1:
        assert np.abs(courses[:, 0] - courses[:, 1]).max() > 0.1


def test_courses_have_the_correlation_drawn() -> None:
    with block_generator("train", 10, 0):
        courses, _ = draw_courses(Ictal(family="ictal"), 256, 3, np.arange(500) / 250)
    rho = np.linspace(-1, 1, 256)
    mixed = correlate(courses, rho)
    norm = np.linalg.norm(mixed, axis=2)
    got = (mixed[:, :1] * mixed[:, 1:]).sum(axis=2) / (norm[:, :1] * norm[:, 1:])
    assert np.allclose(got, rho[:, None], atol=1e-6)
    assert np.array_equal(mixed[:, 0], courses[:, 0])


def test_a_smooth_field_has_its_size_and_smoothness() -> None:
    """1,024 fields: the sizes of moments sum to what was drawn, on average to 5 %."""
    prior = read_prior("distributed")
    draws = prior.draw(1024, seed=11)
    fields = prior.fields(draws).toarray()
    active = draws["count"] > 0
    assert not fields[~active].any()
    ratio = np.abs(fields[active]).sum(axis=1) / (draws["moment_nAm"][active] * 1e-9)
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert stats.binomtest(int((~active).sum()), 1024, 0.1).pvalue > ALARM
    # correlation along the cortex at the drawn distance: exp(-1/2)
    space = template_source_space(5)
    density = fields[active] / space.areas
    centre = 5000
    distance = space.geodesic([centre])[0]
    standard = density / np.sqrt((density**2).mean(axis=1, keepdims=True))
    products = []
    for field, smoothness in zip(standard, draws["smoothness_mm"][active], strict=True):
        ring = np.abs(distance - smoothness * 1e-3) < 0.0015
        products.append(field[centre] * field[ring].mean())
    # n about 920 products with sd about 1.2: 4.5 standard errors are .18
    assert np.mean(products) == pytest.approx(np.exp(-0.5), abs=0.18)


def test_a_mixture_is_one_of_its_parts() -> None:
    prior = read_prior("focal-or-distributed")
    draws = prior.draw(2048, seed=12)
    share = draws["component"] == 0
    assert stats.binomtest(int(share.sum()), 2048, 2 / 3).pvalue > ALARM
    patterns = prior.patterns({k: v[:64] for k, v in draws.items()})
    n_active = np.diff(patterns.indptr).reshape(64, 3)
    for k in range(64):
        used = np.count_nonzero(n_active[k])
        assert used == draws["count"][k]
        if used and draws["component"][k] == 1:
            assert n_active[k, 0] > 15_000


# what ships, and mistakes


@pytest.mark.parametrize(
    "name", [n for n in shipped_specs() if isinstance(read_spec(n), SimulatorSpec)]
)
def test_every_simulator_that_ships_runs(name: str) -> None:
    made = read_simulator(name)
    simulation = made.simulate(64, seed=0, namespace="validate")
    for k in (0, 63):
        obs = simulation.observation(k)
        assert np.isfinite(obs.values).all()
        assert obs.forward.banked is not None
    # SNRs that an eye, and a posterior, can work with
    snr = simulation.snr_db[np.isfinite(simulation.snr_db)]
    assert -15 < np.median(snr) < 20
    microvolts = np.median([np.std(b.volts) for b in simulation]) * 1e6
    assert 0.3 < microvolts < 100


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"source": '"quiet"'}, "source = 'quiet' is not a prior of that kind"),
        ({"head": '"focal"'}, "head = 'focal' is not a prior of that kind"),
        ({"noise": '"focsl"'}, "did you mean 'focal'"),
        ({"montage": "{ families = { eeg63 = 1.0 } }"}, "eeg64"),
        ({"montage": '{ reference = "Cx" }'}, "'Cx' is not a channel of eeg64"),
        ({"band_Hz": "[1.0, 200.0]"}, "ends below half of sfreq_Hz"),
        ({"window_ms": "[0.0, 100.0]"}, "a frame has a window of one moment"),
    ],
)
def test_mistakes_get_a_sentence(tmp_path: Path, keys: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        simulator(tmp_path, **keys).simulate(1)


def test_a_prior_is_no_simulator() -> None:
    with pytest.raises(InputError, match=r"read_prior\('focal'\)"):
        read_simulator("focal")
    with pytest.raises(InputError, match="at least one case"):
        read_simulator("single-frame").simulate(0)
    with pytest.raises(InputError, match="does not exist; there are 0 to 1"):
        read_simulator("single-frame").simulate(2).observation(2)


def test_the_noise_estimate_is_a_noise_covariance() -> None:
    batch = read_simulator("spike-64").simulate(1).batches[0]
    noise = batch.session.noise
    assert isinstance(noise, NoiseCovariance)
    assert noise.dof is not None
    assert noise.autocorrelation is not None
    assert read_spec("clinical").name == "clinical"


def test_a_mixture_tells_where_its_sources_are() -> None:
    """Centres and correlations of the part that was chosen, nothing of the others."""
    prior = read_prior("focal-or-distributed")
    draws = prior.draw(512, seed=13)
    focal = (draws["component"] == 0) & (draws["count"] > 0)
    smooth = draws["component"] == 1
    assert (draws["centre"][focal, 0] >= 0).all()
    assert (draws["centre"][smooth] == -1).all()
    assert np.isnan(draws["correlation"][smooth]).all()
    assert np.array_equal(draws["centre"][focal], draws["focal/centre"][focal])
    truth = read_simulator("erp").simulate(64, seed=1)
    for k in range(64):
        if truth.truth(k).latents["component"] == 0:
            assert len(truth.truth(k).centres) == truth.truth(k).count


def test_snr_counts_changes_of_level(tmp_path: Path) -> None:
    """Declared 5 dB under levels that change: event over the case's own noise is 5 dB."""
    batch = simulator(tmp_path, snr_db="5.0", noise='"clinical"').simulate(64, seed=3).batches[0]
    assert np.ptp(batch.draws["level_change"]) > 0.2
    per_trial = np.diag(batch.session.true_covariance).mean()
    for k in np.flatnonzero(batch.draws["count"])[:8]:
        leadfield = BANK.leadfield(batch.heads[k], batch.electrodes[k], BANK.cortex(5))
        event = leadfield @ batch.field(k, ico=5) / batch.draws["size"][k] ** 2
        size = batch.noise_scale[k] * batch.draws["level_change"][k]
        got = 10 * np.log10((event**2).mean() / (per_trial * size**2))
        assert got == pytest.approx(5.0, abs=0.02)


def test_sessions_of_one_case_are_independent(tmp_path: Path) -> None:
    """Every case has electrodes and noise of its own; the same seed gives the same cases."""
    made = read_simulator("single-frame", group_size=1)
    simulation = made.simulate(20, seed=2)
    assert len(simulation.batches) == 20
    levels = [np.trace(b.session.true_covariance) for b in simulation]
    assert len(set(levels)) == 20
    again = made.simulate(3, seed=2, start=5)
    assert np.array_equal(again.observation(0).values, simulation.observation(5).values)
    with pytest.raises(InputError, match="power of 2 up to 256, not 3"):
        read_simulator("single-frame", group_size=3)


@pytest.mark.parametrize("family", ["drift", "line"])
def test_what_the_filter_takes_is_gone(tmp_path: Path, family: str) -> None:
    """Drift under a high-pass, hum above a low-pass: a hundredth or less of their power stays."""
    levels = {}
    for band in ("[0.0, 125.0]", "[2.0, 20.0]"):
        (tmp_path / "one.toml").write_text(
            'schema = 1\nname = "one"\ndescription = "x"\nfamily = "sum"\n[[components]]\n'
            f'family = "{family}"\nlevel_uV = 5.0\n[[components]]\nfamily = "white"\n'
            "level_uV = 0.01\n"
        )
        keys = {"noise": '"one.toml"', "band_Hz": band, "window_ms": "[0.0, 200.0]"}
        batch = silent(tmp_path, time_course=ERP, **keys).batches[0]
        levels[band] = np.diag(batch.session.true_covariance).mean() * 1e12
    assert levels["[0.0, 125.0]"] == pytest.approx(25, rel=0.05)
    assert levels["[2.0, 20.0]"] < 0.25


def test_courses_that_are_alike_stay_so() -> None:
    """Nothing is left beside the first course but rounding, which must not be amplified."""
    one = np.exp(-0.5 * ((np.arange(100) - 50) / 8) ** 2)
    courses = np.stack([one, one * (1 + 1e-12)])[None].repeat(3, axis=0)
    mixed = correlate(courses, np.array([0.5, -0.5, np.nan]))
    assert np.allclose(mixed[0, 1], one, atol=1e-6)
    assert np.allclose(mixed[1, 1], -one, atol=1e-6)
    assert np.array_equal(mixed[2], courses[2])


# orientation


def leaning(folder: Path, family: str) -> Simulation:
    (folder / "lean.toml").write_text(
        'schema = 1\nextend = "cortical-dipole"\nname = "lean"\n'
        "[count]\nnull = 0.0\nweights = [0.5, 0.5]\n"
        f'[orientation]\nfamily = "{family}"\nloose = 0.5\n'
    )
    keys = {"window_ms": "[0.0, 200.0]", "time_course": ERP, "snr_db": "60.0"}
    return simulator(folder, source='"lean.toml"', **keys).simulate(256, seed=8)


def moments_of(batch: Batch, k: int) -> np.ndarray:
    """(20484, 3, T) A m along x, y, z of the head: the event of case k."""
    normals, slots = template_source_space(5).normals, batch.courses.shape[1]
    field = normals[:, :, None] * batch.field(k, ico=5)[:, None]
    across = batch.tangents[k * slots : (k + 1) * slots].T @ batch.courses[k]
    return np.asarray(field + np.asarray(across).reshape(field.shape))


@pytest.mark.parametrize("family", ["loose", "free"])
def test_what_leans_is_seen_through_the_volume(tmp_path: Path, family: str) -> None:
    """Volts are those of the normal part on the cortex and the rest at the nearest volume point."""
    from scipy.spatial import KDTree

    from bayesesi.anatomy import template_volume

    batch = leaning(tmp_path, family).batches[0]
    cortex = template_source_space(5)
    nearest = KDTree(template_volume().positions).query(cortex.positions)[1]
    for k in range(6):
        electrodes, head = batch.electrodes[k], batch.heads[k]
        along = BANK.leadfield(head, electrodes, BANK.cortex(5)) @ batch.field(k, ico=5)
        free = BANK.leadfield(head, electrodes, BANK.volume).reshape(64, -1, 3)
        moments = moments_of(batch, k) - cortex.normals[:, :, None] * batch.field(k, 5)[:, None]
        where = np.flatnonzero(np.abs(moments).any(axis=(1, 2)))
        across = np.einsum("csi,sit->ct", free[:, nearest[where]], moments[where])
        event = (along + across) / batch.draws["size"][k] ** 2
        event -= event.mean(axis=0)
        off = np.linalg.norm(batch.volts[k] - event) / np.linalg.norm(event)
        assert off == pytest.approx(1e-3, rel=0.25)
        assert np.abs(across).max() > 0


@pytest.mark.parametrize("family", ["loose", "free"])
def test_orientations_are_as_declared(tmp_path: Path, family: str) -> None:
    """Free: cosines to the normal are uniform (KS, 1e-4); loose: tangents have their sd."""
    simulation = leaning(tmp_path, family)
    cosines, ratios = [], []
    normals = template_source_space(5).normals
    for batch in simulation:
        for k in range(len(batch)):
            if batch.draws["count"][k] != 1:
                continue
            centre = batch.draws["centre"][k, 0]
            peak = np.abs(batch.courses[k, 0]).argmax()
            vector = moments_of(batch, k)[centre, :, peak]
            along = vector @ normals[centre]
            cosines.append(along / np.linalg.norm(vector))
            ratios.append(
                (vector - along * normals[centre]) / batch.draws["moment_nAm"][k, 0] * 1e9
            )
    if family == "free":
        assert stats.kstest(cosines, stats.uniform(-1, 2).cdf).pvalue > ALARM
    else:
        # two of three axes lie across the normal: mean square 2 x .25
        square = (np.array(ratios) ** 2).sum(axis=1)
        assert square.mean() == pytest.approx(0.5, abs=4.5 * square.std() / len(square) ** 0.5)


def test_energy_counts_what_leans(tmp_path: Path) -> None:
    batch = leaning(tmp_path, "free").batches[0]
    energy = batch.energy.toarray()
    for k in range(10):
        want = (moments_of(batch, k) ** 2).sum(axis=(1, 2))
        assert np.allclose(energy[k], want, rtol=1e-4, atol=1e-12 * want.max())


def test_leaning_sources_go_to_disk(tmp_path: Path) -> None:
    from bayesesi.simulator import read_simulation, write_simulation

    (tmp_path / "lean.toml").write_text(
        'schema = 1\nextend = "cortical-dipole"\nname = "lean"\n[orientation]\nfamily = "loose"\n'
    )
    made = simulator(tmp_path, source='"lean.toml"')
    read = read_simulation(write_simulation(made, tmp_path / "store", 70, seed=1))
    whole = made.simulate(70, seed=1)
    assert np.array_equal(read.active, whole.active)
    a, b = moments_of(read.batches[1], 3), moments_of(whole.batches[1], 3)
    assert np.array_equal(a, b)


def test_noise_of_a_recording_has_its_spectrum(tmp_path: Path) -> None:
    """A minute of 10 Hz noise on 19 channels, given as a file: what is made from it is like it."""
    import mne

    names = list(montage_sensors("eeg19").names)
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((19, 19)) * 1e-6
    t = np.arange(15_000) / 250
    waves = rng.standard_normal((19, 2)) @ np.array(
        [np.cos(20 * np.pi * t), np.sin(20 * np.pi * t)]
    )
    values = factor @ (waves + 0.3 * rng.standard_normal((19, 15_000)))
    info = mne.create_info(names, 250.0, "eeg")
    mne.io.RawArray(values, info, verbose="error").save(tmp_path / "rest_raw.fif", verbose="error")
    (tmp_path / "own.toml").write_text(
        'schema = 1\nname = "own"\ndescription = "own noise"\nfamily = "sum"\n'
        '[[components]]\nfamily = "covariance"\nfile = "rest_raw.fif"\n'
    )
    keys = {
        "noise": '"own.toml"',
        "montage": "{ families = { eeg19 = 1.0 } }",
        "window_ms": "[0.0, 2000.0]",
        "band_Hz": "[0.0, 125.0]",
        "time_course": '{ family = "ictal" }',
    }
    batch = silent(tmp_path, **keys).batches[0]
    centred = values - values.mean(axis=0)
    want = np.cov(centred)
    got = batch.session.true_covariance
    assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)
    power = (np.abs(np.fft.rfft(batch.volts[:, :, :500], axis=2)) ** 2).mean(axis=(0, 1))
    assert power.argmax() == 20  # 10 Hz at bins of half a hertz
    keys["montage"] = "{ families = { eeg21 = 1.0 } }"
    with pytest.raises(InputError, match="has no channel 'Fpz', 'Oz'"):
        simulator(tmp_path, **keys).simulate(1)


# marginals of every family


def marginals() -> list[tuple[str, np.ndarray, object]]:
    """Every uncertain number of the shipped heads, noise and courses: site, draws, declaration."""
    found: list[tuple[str, np.ndarray, object]] = []
    for name in ("template-nominal", "template-digitised"):
        prior = head(name)
        with block_generator("train", 20, 0):
            draws = prior.draw(4096)
        spec = prior.spec
        for key, quantity in [*spec.conductivity, ("skull_thickness", spec.skull_thickness)]:
            found.append((f"{name}/{key}", draws[key], quantity))
        found.append((f"{name}/size", draws["size"], spec.size))
    for name in ("white", "quiet", "clinical"):
        noise = read_prior(name)
        assert isinstance(noise, NoisePrior)
        with block_generator("train", 21, 0):
            draws = noise.draw(4096)
        found += [(f"{name}/{site}", draws[site], q) for site, q in noise.quantities.items()]
    families = (
        Erp(family="erp", latency_ms=Quantity.model_validate({"uniform": [60, 300]})),
        Spike(family="spike"),
        Oscillation(family="oscillation"),
        Ictal(family="ictal"),
        NeuralMass(family="neural-mass"),
    )
    for spec in families:
        with block_generator("train", 22, 0):
            _, sites = draw_courses(spec, 1024, 2, np.arange(126) / 250)
        for key, quantity in spec:
            for site in (site for site in sites if site.removesuffix("_0") == key):
                found.append((f"{spec.family}/{site}", sites[site].ravel(), quantity))
    return found


def test_every_marginal_is_the_one_declared() -> None:
    """Kolmogorov-Smirnov against 20,000 draws of the declaration; some 40 sites share 1e-4.

    The twin, draws that are 5 % larger, fails for nearly all of them.
    """
    every = [(s, d, q) for s, d, q in marginals() if isinstance(q, Quantity) and len(set(d)) > 1]
    assert len(every) > 30
    caught = 0
    for i, (site, drawn, quantity) in enumerate(every):
        with block_generator("validate", 23, i):
            want = distribution_of(quantity).expand([20_000]).sample().double().numpy()
        assert stats.ks_2samp(drawn, want).pvalue > ALARM / len(every), site
        low, high = quantity.bounds
        assert low * (1 - 1e-6) - 1e-9 <= drawn.min(), site
        assert drawn.max() <= high * (1 + 1e-6) + 1e-9, site
        caught += stats.ks_2samp(1.05 * np.asarray(drawn, float), want).pvalue < 0.05
    assert caught > 0.6 * len(every)


def test_pink_noise_falls_with_distance(tmp_path: Path) -> None:
    """Correlation exp(-d / correlation_mm) before the average reference, level after it."""
    (tmp_path / "pink.toml").write_text(
        'schema = 1\nname = "pink"\ndescription = "x"\nfamily = "sum"\n[[components]]\n'
        'family = "pink"\nlevel_uV = 5.0\ncorrelation_mm = 60.0\n'
    )
    batch = silent(tmp_path, noise='"pink.toml"', head='"template-exact"').batches[0]
    where = batch.electrodes[0]
    apart = np.linalg.norm(where[:, None] - where[None], axis=2)
    want = np.exp(-apart / 0.06)
    want = want - want.mean(axis=0) - want.mean(axis=1)[:, None] + want.mean()
    want *= 25e-12 / np.diag(want).mean()
    assert np.allclose(batch.session.true_covariance, want, atol=1e-4 * want.max())


@pytest.mark.parametrize("group_size", [1, 64])
def test_the_first_cases_of_a_block_are_the_same_alone(group_size: int) -> None:
    """Without the sessions after them; and nothing outside is drawn."""
    simulator = read_simulator("frame-any-cap", group_size)
    whole, few = (simulator.block(1, 3, "validate", n=n) for n in (80, 5))
    assert sum(map(len, few)) == max(5, group_size)
    for one, other in zip(whole, few, strict=False):
        assert np.array_equal(one.volts, other.volts)
        assert np.array_equal(one.session.noise.matrix, other.session.noise.matrix)
        assert np.array_equal(one.noise_scale, other.noise_scale)
        assert one.session.ch_names == other.session.ch_names
    picked = simulator.simulate(3, 3, "validate", start=256 + 2)
    assert np.array_equal(picked.observation(1).values, _observed(whole, 3))


def _observed(batches: tuple[Batch, ...], k: int) -> NDArray[np.float64]:
    size = len(batches[0])
    return batches[k // size].observation(k % size).values
