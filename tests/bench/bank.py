"""The shipped bank against direct solves of heads it was not built from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import template_surfaces
from bayesesi.anatomy.template import THICKNESS_RANGE
from bayesesi.forward import (
    CONDUCTIVITY_RANGE,
    Conductivities,
    HeadSetting,
    LeadfieldBank,
    template_bank,
)
from bayesesi.forward.bem import BemDipoles, BoundaryElements, scalp_weights
from tests.bench.difference import bootstrap, percentile, rdm_and_mag
from tests.bench.outcome import Finding, Outcome, Table, at_most

TITLE = "Bank against a direct solve"
STANDS_ON = ("anatomy", "forward", "assets/template-bank.safetensors")

#: (head, number of skull thicknesses): each is assembled once and solved at 4 conductivities.
GEOMETRIES = ((0, 4), (3, 2))
#: The skull at its most and its least conductive, measured by the brain's conductivity.
CORNERS = (
    Conductivities(brain=0.2, csf=2.2, skull=0.03, scalp=0.2),
    Conductivities(brain=0.6, csf=1.2, skull=0.002, scalp=0.6),
)
N_CONDUCTIVITIES, N_ELECTRODES, N_VOLUME, LOWEST, SEED = 4, 64, 300, -0.02, 907

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Case:
    """``corner`` : at the end of the range, where interpolation is hardest; for information."""

    setting: HeadSetting
    corner: bool
    rdm: Array
    mag: Array


def measure(step: Callable[[str], None]) -> Outcome:
    bank = template_bank()
    if bank.recipe["seed"] == SEED:
        raise ValueError("the held-out settings must not come from the bank's own seed")
    n_cortex = bank.source_space(0, 4).n_sources
    solved = []
    for case in _cases(bank, np.random.default_rng(SEED)):
        solved.append(case)
        step(f"setting {len(solved)}, RDM {np.median(case.rdm):.4f}")
    cases = [c for c in solved if not c.corner]
    corners = [c for c in solved if c.corner]
    findings = [
        *_findings("cortex", cases, slice(0, n_cortex)),
        *_findings("volume", cases, slice(n_cortex, None)),
        *_at_corners(corners, n_cortex),
    ]
    ratio = [c.setting.conductivities.skull / c.setting.conductivities.brain for c in cases]
    curves = {
        "settings": {
            "skull_over_brain": ratio,
            "rdm_median": [float(np.median(c.rdm[:n_cortex])) for c in cases],
            "rdm_99": [percentile(99)(c.rdm[:n_cortex]) for c in cases],
            "shape": [float(c.setting.shape) for c in cases],
        }
    }
    note = (
        f"{bank!r}; conductivities log-uniform in the bank's ranges, skull thickness log-uniform "
        f"in {THICKNESS_RANGE[0]} to {THICKNESS_RANGE[1]}, seed {SEED}; {N_ELECTRODES} electrodes "
        f"a setting, uniform on the scalp above z = {LOWEST * 1e3:.0f} mm."
    )
    return Outcome(findings, [_by_setting(solved, n_cortex)], curves, [note])


def _cases(bank: LeadfieldBank, rng: np.random.Generator) -> Iterator[Case]:
    for shape, n_thicknesses in GEOMETRIES:
        dipoles, columns = _dipoles(bank, shape, rng)
        for thickness in _log_uniform(rng, THICKNESS_RANGE, n_thicknesses):
            surfaces = bank.shapes[shape].warp_surfaces(template_surfaces(4, thickness)).check()
            scalp = template_surfaces(1, thickness).vertices[0][bank.kept]
            elements = BoundaryElements.assemble(surfaces)
            terms = elements.source_terms(dipoles)
            drawn = [(draw_conductivities(rng), False) for _ in range(N_CONDUCTIVITIES)]
            for conductivities, corner in drawn + [(c, True) for c in CORNERS if shape == 0]:
                setting = HeadSetting(shape, conductivities, thickness)
                electrodes = draw_electrodes(bank, rng)
                placed = bank.shapes[shape].warp(bank.scalp_operator(electrodes) @ scalp)
                transfer = elements.transfer(setting.conductivities)
                direct = scalp_weights(surfaces, placed) @ transfer @ terms
                yield Case(
                    setting,
                    corner,
                    *rdm_and_mag(bank.leadfield(setting, electrodes, columns), direct),
                )


def _dipoles(
    bank: LeadfieldBank, shape: int, rng: np.random.Generator
) -> tuple[BemDipoles, NDArray[np.int64]]:
    """All sources of the level-4 cortex and some free ones of the volume, and their columns."""
    cortex, volume = bank.source_space(shape, 4), bank.source_space(shape, None)
    assert cortex.normals is not None
    chosen = np.sort(rng.choice(volume.n_sources, N_VOLUME, replace=False))
    free = BemDipoles.free(volume.positions[chosen])
    dipoles = BemDipoles(
        np.vstack([cortex.positions, free.positions]), np.vstack([cortex.normals, free.moments])
    )
    every = np.arange(len(bank.source_norm))
    of_volume = every[bank.volume].reshape(-1, 3)[chosen].ravel()
    return dipoles, np.r_[every[bank.cortex(4)], of_volume]


def draw_conductivities(rng: np.random.Generator) -> Conductivities:
    return Conductivities(
        **{t: float(_log_uniform(rng, r, 1)[0]) for t, r in CONDUCTIVITY_RANGE.items()}
    )


def draw_electrodes(bank: LeadfieldBank, rng: np.random.Generator) -> NDArray[np.float64]:
    """(64, 3) m, uniform on the template's scalp above ``LOWEST``."""
    seed = int(rng.integers(2**31))
    points, _ = trimesh.sample.sample_surface(bank.scalp.scalp, 40 * N_ELECTRODES, seed=seed)
    return np.asarray(points)[points[:, 2] > LOWEST][:N_ELECTRODES]


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float], n: int) -> list[float]:
    return np.exp(rng.uniform(*np.log(limits), n)).tolist()


def _findings(name: str, cases: list[Case], part: slice) -> list[Finding]:
    rdm, mag = (np.stack([getattr(c, what)[part] for c in cases]) for what in ("rdm", "mag"))
    n = f"{len(cases)} settings x {rdm.shape[1]:,} dipoles"
    kind = "95 % bootstrap over settings"
    lines = [
        Finding(
            f"{name}, RDM {title}",
            n,
            percentile(q)(rdm),
            interval=bootstrap(rdm, percentile(q), n=300),
            interval_kind=kind,
            bar=at_most(bar),
        )
        for q, title, bar in ((50, "median", 0.01), (99, "99 %", 0.04))
    ]
    lines += [
        Finding(
            f"{name}, MAG {title}",
            n,
            percentile(q)(mag),
            interval=bootstrap(mag, percentile(q), n=300),
            interval_kind=kind,
            bar=(0.97, 1.03),
        )
        for q, title in ((0.5, ".5 %"), (99.5, "99.5 %"))
    ]
    return lines


def _at_corners(corners: list[Case], n_cortex: int) -> list[Finding]:
    """The middle and the extremes, over settings, of what each has at its worst dipoles."""
    worst = {
        "RDM 99 %": [percentile(99)(c.rdm[:n_cortex]) for c in corners],
        "MAG .5 %": [percentile(0.5)(c.mag[:n_cortex]) for c in corners],
        "MAG 99.5 %": [percentile(99.5)(c.mag[:n_cortex]) for c in corners],
    }
    return [
        Finding(
            f"cortex, {what} at corners of the range",
            f"{len(values)} settings",
            float(np.median(values)),
            interval=(min(values), max(values)),
            interval_kind="min-max",
        )
        for what, values in worst.items()
    ]


def _by_setting(cases: list[Case], n_cortex: int) -> Table:
    rows: list[list[float | str]] = []
    for case in cases:
        c, rdm, mag = case.setting.conductivities, case.rdm[:n_cortex], case.mag[:n_cortex]
        numbers = [*np.percentile(rdm, [50, 99]), *np.percentile(mag, [0.5, 99.5])]
        rows.append(
            [
                case.setting.shape,
                round(case.setting.skull_thickness, 3),
                "corner" if case.corner else "",
                *(round(x, 4) for x in (c.brain, c.csf, c.skull, c.scalp)),
                *(float(x) for x in numbers),
            ]
        )
    columns = ("head", "skull thickness", "", "brain S/m", "csf", "skull", "scalp")
    columns += ("RDM median", "RDM 99 %", "MAG .5 %", "MAG 99.5 %")
    return Table("Cortex, setting by setting", columns, rows)
