"""Our boundary elements against the exact series for nested spheres, at the template's sizes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bayesesi.forward import Conductivities, solve_bem
from tests.bench.difference import bootstrap, percentile, rdm_and_mag
from tests.bench.outcome import Finding, Outcome, Table, at_most
from tests.bench.spheres import Spheres

TITLE = "Boundary elements against the exact series"
STANDS_ON = ("anatomy", "forward")

N_DIPOLES, SEED = 2000, 41
_DEPTHS_MM = (0, 4, 5, 6, 8, 10, 15, 20, 30, 80)

Array = NDArray[np.float64]


def measure(step: Callable[[str], None]) -> Outcome:
    findings, tables, curves, notes = [], [], {}, []
    for n_shells in (3, 4):
        step(f"{n_shells} shells")
        spheres, sigma = Spheres.like_template(n_shells, N_DIPOLES, SEED), Conductivities()
        solved = solve_bem(
            spheres.surfaces, sigma, spheres.sources, spheres.electrodes, spheres.moments
        )
        rdm, mag = rdm_and_mag(solved, spheres.exact(sigma))
        depth_mm = spheres.depth * 1e3
        findings += _findings(n_shells, rdm, mag)
        tables.append(_by_depth(n_shells, depth_mm, rdm, mag))
        curves[f"{n_shells} shells"] = {
            "depth_mm": [round(float(d), 3) for d in depth_mm],
            "rdm": [round(float(r), 6) for r in rdm],
        }
        radii = ", ".join(f"{r * 1e3:.1f}" for r in spheres.radii)
        notes.append(
            f"{n_shells} shells: radii {radii} mm, 642 vertices each, 64 electrodes; dipoles "
            f"{depth_mm.min():.1f} to {depth_mm.max():.1f} mm below the innermost, as deep as "
            "template cortex."
        )
    return Outcome(findings, tables, curves, notes)


def _findings(n_shells: int, rdm: Array, mag: Array) -> list[Finding]:
    def line(what: str, values: Array, q: float, bar: tuple[float, float]) -> Finding:
        statistic = percentile(q)
        return Finding(
            f"{n_shells} shells, {what}",
            f"{len(values):,} dipoles",
            statistic(values),
            interval=bootstrap(values, statistic),
            interval_kind="95 % bootstrap",
            bar=bar,
        )

    return [
        line("RDM median", rdm, 50, at_most(0.012)),
        line("RDM 95 %", rdm, 95, at_most(0.04)),
        line("MAG 5 %", mag, 5, (0.97, 1.03)),
        line("MAG median", mag, 50, (0.97, 1.03)),
        line("MAG 95 %", mag, 95, (0.97, 1.03)),
    ]


def _by_depth(n_shells: int, depth_mm: Array, rdm: Array, mag: Array) -> Table:
    rows: list[list[float | str]] = []
    for low, high in pairwise(_DEPTHS_MM):
        inside = (depth_mm >= low) & (depth_mm < high)
        if inside.sum() < 5:
            continue
        r, m = rdm[inside], mag[inside]
        spread = (*np.percentile(r, [50, 95, 100]), *np.percentile(m, [5, 50, 95]))
        rows.append([f"{low}-{high}", int(inside.sum()), *(float(x) for x in spread)])
    columns = ("depth, mm", "n", "RDM median", "RDM 95 %", "RDM max")
    columns += ("MAG 5 %", "MAG median", "MAG 95 %")
    return Table(f"{n_shells} shells, by depth below the innermost surface", columns, rows)
