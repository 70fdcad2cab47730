"""A subject's own three shells against MNE's boundary elements on the same surfaces."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces, read_head_surfaces
from bayesesi.forward import Conductivities, solve_bem
from tests.bench.difference import bootstrap, percentile, rdm_and_mag
from tests.bench.outcome import Finding, Outcome, Skipped, Table

TITLE = "A subject's head against MNE"
STANDS_ON = ("anatomy", "forward")
DATA = Path(
    os.environ.get("BAYESESI_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
SIGMA = Conductivities(brain=0.3, skull=0.006, scalp=0.3)
_LEAST_DEPTH = 0.005  # MNE's own default for the distance of sources to the inner skull

Array = NDArray[np.floating]


def measure(step: Callable[[str], None]) -> Outcome:
    if not DATA.is_dir():
        raise Skipped("no recordings in ../shared/data; BAYESESI_SHARED_DATA may name the folder")
    step("reading")
    surfaces, info, trans, src = _subject()
    step("our own solution")
    positions, normals = _sources(src, trans)
    electrodes = np.array([c["loc"][:3] for c in info["chs"]])
    ours = solve_bem(surfaces, SIGMA, positions, electrodes, normals)
    depth = trimesh.proximity.closest_point(surfaces.innermost, positions)[1]
    findings, rows = [], []
    for solver, method in _SOLVERS.items():
        step(f"MNE, solver={solver!r}")
        theirs = _by_mne(surfaces, info, trans, src, solver)
        rdm, mag = rdm_and_mag(ours, theirs)
        findings += _findings(f"{solver} ({method})", rdm, mag)
        for name, inside in (
            ("deeper than 5 mm", depth >= _LEAST_DEPTH),
            ("others", depth < _LEAST_DEPTH),
        ):
            if inside.any():
                spread = (
                    *np.percentile(rdm[inside], [50, 95]),
                    *np.percentile(mag[inside], [5, 50, 95]),
                )
                rows.append([solver, name, int(inside.sum()), *(float(x) for x in spread)])
    columns = ("MNE's solver", "sources", "n", "RDM median", "RDM 95 %")
    columns += ("MAG 5 %", "MAG median", "MAG 95 %")
    return Outcome(findings, [Table("By depth below the inner skull", columns, rows)], {}, _NOTES)


_SOLVERS = {"openmeeg": "the same symmetric method", "mne": "linear collocation, isolated skull"}
_NOTES = [
    "MNE's sample subject: 642 vertices a surface, 516 cortical sources along their normals, 60 "
    "digitised electrodes, .3 / .006 / .3 S/m, average reference.",
]


def _subject() -> tuple[HeadSurfaces, Any, Any, Any]:
    import mne

    folder = DATA / "sample_subject"
    trans = mne.read_trans(folder / "sample-trans.fif")
    names = ("inner_skull", "outer_skull", "outer_skin")
    surfaces = read_head_surfaces([folder / f"{n}.surf" for n in names], trans["trans"])
    evoked = mne.read_evokeds(DATA / "visual_evoked" / "visual-ave.fif", 0, verbose="error")
    info = evoked.pick("eeg", exclude=()).info
    src = mne.read_source_spaces(folder / "sample-small-src.fif.gz", verbose="error")
    return surfaces, info, trans, src


def _sources(src: Any, trans: Any) -> tuple[Array, Array]:
    """Positions (m, head frame) and normals of the sources."""
    import mne

    src = mne.SourceSpaces([s.copy() for s in src])
    parts = [mne.transform_surface_to(s, "head", trans, copy=True) for s in src]
    return tuple(np.vstack([s[k][s["vertno"]] for s in parts]) for k in ("rr", "nn"))


def _by_mne(surfaces: HeadSurfaces, info: Any, trans: Any, src: Any, solver: str) -> Array:
    """(C, S) by MNE from the same surfaces, along the normals; no source is dropped."""
    import mne
    from mne._fiff.constants import FIFF

    ids = (FIFF.FIFFV_BEM_SURF_ID_BRAIN, FIFF.FIFFV_BEM_SURF_ID_SKULL, FIFF.FIFFV_BEM_SURF_ID_HEAD)
    shells = [
        dict(
            rr=mne.transforms.apply_trans(trans["trans"], vertices),
            tris=triangles.astype(np.int32),
            np=len(vertices),
            ntri=len(triangles),
            id=surface_id,
            sigma=sigma,
            coord_frame=FIFF.FIFFV_COORD_MRI,
        )
        for vertices, triangles, surface_id, sigma in zip(
            surfaces.vertices,
            surfaces.triangles,
            ids,
            (SIGMA.brain, SIGMA.skull, SIGMA.scalp),
            strict=True,
        )
    ]
    bem = mne.make_bem_solution(shells[::-1], solver=solver, verbose="error")
    forward = mne.make_forward_solution(
        info, trans, src, bem, meg=False, mindist=0.0, verbose="error"
    )
    forward = mne.convert_forward_solution(
        forward, surf_ori=True, force_fixed=True, use_cps=False, verbose="error"
    )
    n = sum(s["nuse"] for s in src)
    if forward["nsource"] != n:
        raise ValueError(f"MNE kept {forward['nsource']} of {n} sources")
    return np.asarray(forward["sol"]["data"], float)


def _findings(name: str, rdm: Array, mag: Array) -> list[Finding]:
    n, low_high = f"{len(rdm)} sources", (float(q) for q in np.percentile(mag, [5, 95]))
    lines = [
        Finding(
            f"ours against {name}, RDM {title}",
            n,
            percentile(q)(rdm),
            interval=bootstrap(rdm, percentile(q)),
            interval_kind="95 % bootstrap",
        )
        for q, title in ((50, "median"), (95, "95 %"))
    ]
    return [
        *lines,
        Finding(
            f"ours against {name}, MAG median",
            n,
            percentile(50)(mag),
            interval=tuple(low_high),  # type: ignore[arg-type]
            interval_kind="5-95 % of sources",
        ),
    ]
