"""Normals of triangle meshes, against trimesh."""

from __future__ import annotations

import numpy as np
import trimesh

from bayesesi.anatomy.triangles import vertex_normals
from bayesesi.forward import template_bank


def test_normals_are_those_of_trimesh_bit_by_bit() -> None:
    scalp = template_bank().scalp
    vertices, triangles = scalp.vertices[-1], scalp.triangles[-1]
    expected = trimesh.Trimesh(vertices, triangles, process=False).vertex_normals
    np.testing.assert_array_equal(vertex_normals(vertices, triangles), expected)


def test_normals_of_turned_triangles_point_the_other_way() -> None:
    """The twin: corners in the other order."""
    scalp = template_bank().scalp
    vertices, triangles = scalp.vertices[-1], scalp.triangles[-1]
    turned = vertex_normals(vertices, triangles[:, ::-1])
    assert ((turned * vertex_normals(vertices, triangles)).sum(axis=1) < -0.99).all()
