"""The nested-spheres oracle against closed forms, a direct solve, symmetries and MNE's sphere."""

from itertools import pairwise

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from tests.oracle.nested_spheres import sphere_leadfield

Array = NDArray[np.float64]

RADII = np.array([0.078, 0.080, 0.086, 0.092])
CONDUCTIVITIES = np.array([0.33, 1.79, 0.0042, 0.33])  # brain, CSF, skull, scalp
OUTER = RADII[-1]


def _directions(count: int, seed: int) -> Array:
    u = np.random.default_rng(seed).standard_normal((count, 3))
    return u / np.linalg.norm(u, axis=1, keepdims=True)


def _sources(radius: float, eccentricities: list[float], seed: int = 1) -> Array:
    """One source per eccentricity, each in a direction of its own."""
    ecc = np.array(eccentricities)
    return radius * ecc[:, None] * _directions(ecc.size, seed)


ELECTRODES = OUTER * _directions(60, seed=0)
SOURCES = _sources(RADII[0], [0.0, 0.05, 0.3, 0.6, 0.8, 0.9, 0.97])


def _error(leadfield: Array, reference: Array) -> float:
    """Largest error of a column, relative to that column's norm over the electrodes."""
    difference = np.linalg.norm(leadfield - reference, axis=0)
    return float(np.max(difference / np.linalg.norm(reference, axis=0)))


def _rdm(leadfield: Array, reference: Array) -> Array:
    """Relative difference measure per column, (S, 3), after average reference: 0 .. 2."""
    a, b = (m - m.mean(axis=0) for m in (leadfield, reference))
    return np.linalg.norm(a / np.linalg.norm(a, axis=0) - b / np.linalg.norm(b, axis=0), axis=0)


def _homogeneous(radius: float, conductivity: float, sources: Array, electrodes: Array) -> Array:
    """Closed form for one sphere (Frank 1952; Brody, Terry & Ideker 1973).

    4 pi sigma L = 2 (e - s) / d^3 + (e/R + (e - s)/d) / (R^2 - e.s + R d),  d = |e - s|.
    """
    gap = electrodes[:, None, :] - sources
    d = np.linalg.norm(gap, axis=-1, keepdims=True)
    dot = np.sum(electrodes[:, None, :] * sources, axis=-1, keepdims=True)
    image = electrodes[:, None, :] / radius + gap / d
    total = 2 * gap / d**3 + image / (radius**2 - dot + radius * d)
    return total / (4 * np.pi * conductivity)


def _direct_solve(depth: float, electrodes: Array, n_terms: int) -> Array:
    """(C, 3) potential of dipoles at (0, 0, depth), with no reciprocity and no recursion.

    Per degree n the 2 N - 1 unknowns a_k, b_k of v_k = a_k r^n + b_k r^-(n+1) (b_1 = 1 is the
    dipole's own, r in units of the outer radius) come from a dense solve of the interface
    conditions: v and sigma v' continuous, v' = 0 outside.
    """
    r, sigma, count = RADII / OUTER, CONDUCTIVITIES, RADII.size
    cos = electrodes[:, 2] / OUTER
    potential = np.zeros((len(electrodes), 3))
    for n in range(1, n_terms + 1):
        value = np.stack([r**n, r ** -(n + 1)])
        slope = np.stack([n * r ** (n - 1), -(n + 1) * r ** -(n + 2)])
        system = np.zeros((2 * count, 2 * count))
        for k, (inner, outer) in enumerate(pairwise(sigma)):
            system[2 * k, 2 * k : 2 * k + 4] = [*value[:, k], *-value[:, k]]
            system[2 * k + 1, 2 * k : 2 * k + 4] = [*inner * slope[:, k], *-outer * slope[:, k]]
        system[-2, -2:] = slope[:, -1]
        system[-1, 1] = 1.0
        unknown = np.linalg.solve(system, np.eye(2 * count)[-1])
        surface = unknown[-2:] @ value[:, -1] * (depth / OUTER) ** (n - 1)
        p, p_before = eval_legendre(n, cos), eval_legendre(n - 1, cos)
        p_slope = n * (p_before - cos * p) / (1 - cos**2)
        potential[:, :2] += surface * p_slope[:, None] * electrodes[:, :2] / OUTER
        potential[:, 2] += surface * n * p
    return potential / (4 * np.pi * sigma[0] * OUTER**2)


def test_one_sphere_equals_closed_form() -> None:
    sources = _sources(OUTER, [0.0, 0.05, 0.3, 0.6, 0.8, 0.9, 0.97])
    leadfield = sphere_leadfield([OUTER], [0.33], sources, ELECTRODES)
    reference = _homogeneous(OUTER, 0.33, sources, ELECTRODES)
    assert leadfield.shape == (60, 7, 3)
    np.testing.assert_allclose(
        leadfield, reference, rtol=1e-9, atol=1e-9 * float(np.std(reference))
    )
    assert _error(leadfield, reference) < 1e-11


def test_one_sphere_centre_is_three_times_the_free_dipole() -> None:
    leadfield = sphere_leadfield([OUTER], [0.33], np.zeros((1, 3)), ELECTRODES)
    expected = 3 * ELECTRODES / OUTER / (4 * np.pi * 0.33 * OUTER**2)
    np.testing.assert_allclose(leadfield[:, 0], expected, rtol=1e-13)


def test_equal_conductivities_equal_one_sphere() -> None:
    shells = sphere_leadfield(RADII, np.full(4, 0.33), SOURCES, ELECTRODES)
    assert _error(shells, _homogeneous(OUTER, 0.33, SOURCES, ELECTRODES)) < 1e-10
    assert _error(shells, sphere_leadfield([OUTER], [0.33], SOURCES, ELECTRODES)) < 1e-10


@pytest.mark.parametrize("eccentricity", [0.0, 0.5, 0.9])
def test_shells_equal_direct_solve(eccentricity: float) -> None:
    depth = eccentricity * RADII[0]
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, [[0.0, 0.0, depth]], ELECTRODES)
    reference = _direct_solve(depth, ELECTRODES, n_terms=130)
    assert _error(leadfield[:, 0], reference) < 1e-10


def test_truncation_and_large_n() -> None:
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, ELECTRODES)
    longer = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, ELECTRODES, n_terms=1500)
    assert np.all(np.isfinite(longer))
    assert _error(leadfield, longer) < 1e-11
    shorter = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, ELECTRODES, n_terms=20)
    assert _error(shorter, longer) > 1e-3


def test_zero_mean_over_the_sphere() -> None:
    """Gauss-Legendre nodes in z, even steps in azimuth: exact far beyond the degrees that count."""
    z, weight = np.polynomial.legendre.leggauss(60)
    phi = np.arange(120) * 2 * np.pi / 120
    across = np.sqrt(1 - z**2)[:, None]
    along = np.broadcast_to(z[:, None], (60, 120))
    nodes = np.stack([across * np.cos(phi), across * np.sin(phi), along], axis=-1)
    sources = _sources(RADII[0], [0.0, 0.4, 0.6])
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, sources, nodes.reshape(-1, 3))
    mean = np.einsum("i,ijsk->sk", weight / 240, leadfield.reshape(60, 120, 3, 3))
    np.testing.assert_allclose(mean, 0.0, atol=1e-12 * np.abs(leadfield).max())


def test_rotation_equivariance() -> None:
    turn = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, ELECTRODES)
    turned = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES @ turn.T, ELECTRODES @ turn.T)
    assert _error(turned @ turn, leadfield) < 1e-11


def test_scaling() -> None:
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, ELECTRODES)
    s, c = 1.7, 0.3
    larger = sphere_leadfield(s * RADII, CONDUCTIVITIES, s * SOURCES, s * ELECTRODES)
    scaled = sphere_leadfield(RADII, c * CONDUCTIVITIES, SOURCES, ELECTRODES)
    assert _error(larger * s**2, leadfield) < 1e-11
    assert _error(scaled * c, leadfield) < 1e-11


def test_electrodes_are_projected() -> None:
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, ELECTRODES)
    outside = sphere_leadfield(RADII, CONDUCTIVITIES, SOURCES, 1.3 * ELECTRODES)
    assert _error(outside, leadfield) < 1e-12


@pytest.fixture(scope="module")
def mne_case() -> tuple[Array, Array]:
    """Sources (eccentricity .1 to .8) and MNE's leadfield (Berg & Scherg fit) for the shells."""
    names = [f"E{i}" for i in range(len(ELECTRODES))]
    info = mne.create_info(names, 100.0, "eeg")
    positions = dict(zip(names, ELECTRODES, strict=True))
    info.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    shells = {"relative_radii": tuple(RADII / OUTER), "sigmas": tuple(CONDUCTIVITIES)}
    sphere = mne.make_sphere_model((0.0, 0.0, 0.0), OUTER, **shells, verbose="error")
    sources = _sources(RADII[0], [0.1, 0.3, 0.5, 0.6, 0.7, 0.8])
    grid = {"rr": sources, "nn": np.tile([0.0, 0.0, 1.0], (len(sources), 1))}
    space = mne.setup_volume_source_space(pos=grid, sphere_units="m", verbose="error")
    forward = mne.make_forward_solution(
        info, None, space, sphere, meg=False, mindist=0.0, verbose="error"
    )
    assert forward["nsource"] == len(sources)
    return sources, forward["sol"]["data"].reshape(len(ELECTRODES), len(sources), 3)


def test_agrees_with_mne(mne_case: tuple[Array, Array]) -> None:
    sources, reference = mne_case
    leadfield = sphere_leadfield(RADII, CONDUCTIVITIES, sources, ELECTRODES)
    assert np.max(_rdm(leadfield, reference)) < 0.003
    ratio = np.linalg.norm(leadfield, axis=0) / np.linalg.norm(reference, axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.003)


def test_twin_with_skull_and_scalp_swapped_fails(mne_case: tuple[Array, Array]) -> None:
    sources, reference = mne_case
    swapped = sphere_leadfield(RADII, CONDUCTIVITIES[[0, 1, 3, 2]], sources, ELECTRODES)
    right = sphere_leadfield(RADII, CONDUCTIVITIES, sources, ELECTRODES)
    off_centre = np.linalg.norm(sources, axis=1) > 0.45 * RADII[0]
    for truth in (reference, right):
        assert np.min(_rdm(swapped, truth)) > 0.03
        assert np.min(_rdm(swapped, truth)[off_centre]) > 0.15


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"strictly inside the inner sphere.*0\.078.*0\.079"):
        sphere_leadfield(RADII, CONDUCTIVITIES, [[0.0, 0.0, 0.079]], ELECTRODES)
    with pytest.raises(ValueError, match="strictly inside"):
        sphere_leadfield(RADII, CONDUCTIVITIES, [[0.0, 0.0, RADII[0]]], ELECTRODES)
    with pytest.raises(ValueError, match="increase from inner to outer"):
        sphere_leadfield(RADII[::-1], CONDUCTIVITIES, SOURCES, ELECTRODES)
    with pytest.raises(ValueError, match="increase from inner to outer"):
        sphere_leadfield(RADII[[0, 1, 1, 3]], CONDUCTIVITIES, SOURCES, ELECTRODES)
    with pytest.raises(ValueError, match="4 positive values"):
        sphere_leadfield(RADII, CONDUCTIVITIES[:3], SOURCES, ELECTRODES)
