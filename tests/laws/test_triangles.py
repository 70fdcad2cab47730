"""Normals and nearest points of triangle meshes, against trimesh."""

from __future__ import annotations

import numpy as np
import trimesh

from bayesesi.anatomy.triangles import nearest_points, vertex_normals
from bayesesi.forward import template_bank


def test_normals_are_those_of_trimesh() -> None:
    scalp = template_bank().scalp
    vertices, triangles = scalp.vertices[-1], scalp.triangles[-1]
    expected = trimesh.Trimesh(vertices, triangles, process=False).vertex_normals
    np.testing.assert_allclose(vertex_normals(vertices, triangles), expected, atol=1e-12)
    turned = vertex_normals(vertices, triangles[:, ::-1])
    np.testing.assert_allclose(turned, -expected, atol=1e-12)


def test_nearest_points_are_those_of_trimesh() -> None:
    """Beside corners, edges and faces, inside and outside."""
    scalp = template_bank().scalp
    vertices, triangles = scalp.vertices[-1], scalp.triangles[-1]
    rng = np.random.default_rng(0)
    points = vertices[rng.integers(len(vertices), size=300)] * rng.uniform(0.7, 1.3, (300, 1))
    points += rng.normal(0, 0.01, points.shape)
    found, distance = nearest_points(points, vertices, triangles)
    expected, apart, _ = trimesh.proximity.closest_point(scalp.scalp, points)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(distance, apart, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found - points, axis=1), distance, atol=1e-12)
    assert nearest_points(found, vertices, triangles)[1].max() < 1e-12
