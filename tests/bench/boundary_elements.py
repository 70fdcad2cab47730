"""Our boundary elements against the exact series for nested spheres, at the template's sizes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import TISSUES, HeadSurfaces, template_mesh, template_surfaces
from bayesesi.anatomy.surfaces import icosphere
from bayesesi.forward import Conductivities, solve_bem
from tests.bench.difference import bootstrap, percentile, rdm_and_mag
from tests.bench.outcome import Finding, Outcome, Table, at_most
from tests.oracle.nested_spheres import sphere_leadfield

TITLE = "Boundary elements against the exact series"
STANDS_ON = ("anatomy", "forward")

N_DIPOLES, N_ELECTRODES, N_VERTICES, SEED = 2000, 64, 642, 41
_DEPTHS_MM = (0, 3, 4, 5, 6, 8, 10, 15, 20, 30, 80)

Array = NDArray[np.float64]


def measure(step: Callable[[str], None]) -> Outcome:
    findings, tables, curves, notes = [], [], {}, []
    for n_shells in (3, 4):
        step(f"{n_shells} shells")
        radii, depths = template_sizes(n_shells)
        drawn, rdm, mag = compare(radii, depths, n_shells)
        findings += _findings(n_shells, rdm, mag)
        table = _by_depth(n_shells, drawn, rdm, mag)
        tables.append(table)
        curves[f"{n_shells} shells"] = {"depth_mm": (drawn * 1e3).tolist(), "rdm": rdm.tolist()}
        notes.append(
            f"{n_shells} shells: radii {', '.join(f'{r * 1e3:.1f}' for r in radii)} mm, dipoles "
            f"{drawn.min() * 1e3:.1f} to {drawn.max() * 1e3:.1f} mm below the innermost."
        )
    return Outcome(findings, tables, curves, notes)


def template_sizes(n_shells: int) -> tuple[Array, Array]:
    """Radii of spheres spaced as the template's surfaces are in the median, and the depths (m) of
    its cortex: distances of all 20,484 vertices to the innermost surface."""
    surfaces = template_surfaces(n_shells, n_vertices=N_VERTICES)
    inner = (3 * surfaces.innermost.volume / (4 * np.pi)) ** (1 / 3)
    gaps = [
        np.median(trimesh.proximity.closest_point(outer, mesh.vertices)[1])
        for mesh, outer in zip(surfaces.meshes[:-1], surfaces.meshes[1:], strict=True)
    ]
    depths = trimesh.proximity.closest_point(surfaces.innermost, template_mesh().positions)[1]
    return inner + np.r_[0.0, np.cumsum(gaps)], np.asarray(depths)


def compare(radii: Array, depths: Array, n_shells: int) -> tuple[Array, Array, Array]:
    """Depth (m), RDM and MAG of dipoles anywhere around the sphere, in any orientation."""
    rng = np.random.default_rng(SEED)
    conductivities = Conductivities()
    depth = rng.choice(depths, N_DIPOLES)
    places, moments = _unit(rng, N_DIPOLES), _unit(rng, N_DIPOLES)
    sources, electrodes = places * (radii[0] - depth)[:, None], radii[-1] * _upper(N_ELECTRODES)
    directions, triangles = icosphere(N_VERTICES)
    spheres = HeadSurfaces(tuple(r * directions for r in radii), (triangles,) * n_shells)
    solved = solve_bem(spheres, conductivities, sources, electrodes, moments)
    sigma = [getattr(conductivities, tissue) for tissue in TISSUES[n_shells]]
    exact = np.einsum("csk,sk->cs", sphere_leadfield(radii, sigma, sources, electrodes), moments)
    return depth, *rdm_and_mag(solved, exact)


def _findings(n_shells: int, rdm: Array, mag: Array) -> list[Finding]:
    n, kind = f"{len(rdm):,} dipoles", "95 % bootstrap"
    low, high = np.percentile(mag, [5, 95])
    wanted = ((50, "median", 0.012), (95, "95 %", 0.04))
    lines = [
        Finding(
            f"{n_shells} shells, RDM {name}",
            n,
            percentile(q)(rdm),
            interval=bootstrap(rdm, percentile(q)),
            interval_kind=kind,
            bar=at_most(bar),
        )
        for q, name, bar in wanted
    ]
    lines.append(
        Finding(
            f"{n_shells} shells, MAG median",
            n,
            percentile(50)(mag),
            interval=(float(low), float(high)),
            interval_kind="5-95 % of dipoles",
            bar=(0.97, 1.03),
        )
    )
    return lines


def _by_depth(n_shells: int, depth: Array, rdm: Array, mag: Array) -> Table:
    rows: list[list[float | str]] = []
    for low, high in pairwise(_DEPTHS_MM):
        inside = (depth * 1e3 >= low) & (depth * 1e3 < high)
        if inside.sum() < 5:
            continue
        r, m = rdm[inside], mag[inside]
        spread = [
            float(q) for q in (*np.percentile(r, [50, 95, 100]), *np.percentile(m, [5, 50, 95]))
        ]
        rows.append([f"{low}-{high}", int(inside.sum()), *spread])
    columns = (
        "depth, mm",
        "n",
        "RDM median",
        "RDM 95 %",
        "RDM max",
        "MAG 5 %",
        "MAG median",
        "MAG 95 %",
    )
    return Table(f"{n_shells} shells, by depth below the innermost surface", columns, rows)


def _unit(rng: np.random.Generator, n: int) -> Array:
    directions = rng.standard_normal((n, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _upper(n: int, lowest: float = -0.2) -> Array:
    """(n, 3) unit vectors spread evenly above ``lowest`` on a golden spiral."""
    z = 1 - (1 - lowest) * (np.arange(n) + 0.5) / n
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], axis=1)
