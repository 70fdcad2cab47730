"""Distances by the heat method against exact ones on the cortex and on a sphere."""

from __future__ import annotations

import numpy as np
import pygeodesic.geodesic as exact
import pytest
from numpy.typing import NDArray

from bayesesi.anatomy import CorticalMesh, template_mesh, template_source_space
from bayesesi.anatomy.surfaces import icosphere

Array = NDArray[np.floating]

#: A sulcus, a gyrus and the medial wall; the last two on the right.
SEEDS = (777, 5000, 10_242 + 120, 10_242 + 4000)
MEDIAN, NINE_TENTHS = 0.05, 0.10


def relative_error(distance: Array, truth: Array, least: float = 0.002) -> Array:
    """Of points farther than ``least`` m, a mesh edge or so."""
    far = truth > least
    return np.abs(distance[far] - truth[far]) / truth[far]


@pytest.fixture(scope="module")
def exact_distances() -> dict[int, Array]:
    """From each seed to every vertex of its hemisphere (Mitchell, Mount & Papadimitriou 1987)."""
    mesh, found = template_mesh(), {}
    left = mesh.triangles[:, 0] < mesh.n_left
    for side, part in ((0, left), (1, ~left)):
        offset = side * mesh.n_left
        points = mesh.positions[mesh.hemisphere == side]
        solver = exact.PyGeodesicAlgorithmExact(points, mesh.triangles[part] - offset)
        for seed in SEEDS:
            if mesh.hemisphere[seed] == side:
                found[seed] = solver.geodesicDistances(np.array([seed - offset]), None)[0]
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reach", [0.03, 0.5])
def test_heat_distances_are_near_the_exact_ones(
    exact_distances: dict[int, Array], seed: int, reach: float
) -> None:
    """Median error at most 5 % and nine in ten below 10 %, within 3 cm and over a hemisphere.

    Measured: median 2 to 4 %. The straight line through space is the twin that fails.
    """
    mesh, truth = template_mesh(), exact_distances[seed]
    same = mesh.hemisphere == mesh.hemisphere[seed]
    near = truth < reach
    heat = mesh.geodesic_from(seed)
    assert heat[seed] == 0
    assert np.isinf(heat[~same]).all()
    error = relative_error(heat[same][near], truth[near])
    assert len(error) > 300
    assert np.median(error) < MEDIAN
    assert np.quantile(error, 0.9) < NINE_TENTHS
    straight = np.linalg.norm(mesh.positions[same] - mesh.positions[seed], axis=1)
    twin = relative_error(straight[near], truth[near])
    assert np.quantile(twin, 0.9) > 1.5 * NINE_TENTHS


def test_sources_take_the_distances_of_their_vertices(exact_distances: dict[int, Array]) -> None:
    space = template_source_space(3)
    (source,) = np.flatnonzero(space.vertices == SEEDS[2])
    right = space.hemisphere == 1
    row = space.geodesic([source])[0]
    truth = exact_distances[SEEDS[2]][space.vertices[right] - space.mesh.n_left]
    assert np.median(relative_error(row[right], truth)) < MEDIAN
    assert np.isinf(row[~right]).all()


@pytest.mark.parametrize(("n_vertices", "median"), [(642, 0.03), (2562, 0.015)])
def test_great_circles(n_vertices: int, median: float) -> None:
    """Measured: median error 1.5 % and .9 %, falling with the mesh."""
    radius = 0.08
    points, faces = icosphere(n_vertices)
    mesh = CorticalMesh(
        np.vstack([points, points + 3]) * radius,
        np.vstack([points, points]),
        np.vstack([faces, faces + n_vertices]),
        n_left=n_vertices,
    )
    for seed in (0, 5, 300):
        circle = radius * np.arccos(np.clip(points @ points[seed], -1, 1))
        for side in (0, n_vertices):
            distance = mesh.geodesic_from(side + seed)[side : side + n_vertices]
            assert np.median(relative_error(distance, circle)) < median
    chord = radius * np.linalg.norm(points - points[0], axis=1)
    circle = radius * np.arccos(np.clip(points @ points[0], -1, 1))
    assert np.median(relative_error(chord, circle)) > 0.05
