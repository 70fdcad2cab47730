"""A subject's own three shells against MNE's boundary elements on the same surfaces.

Where the two differ, nested spheres say who is nearer the truth.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces, read_head_surfaces
from bayesesi.anatomy.surfaces import contains
from bayesesi.forward import Conductivities, solve_bem
from tests.bench.difference import bootstrap, percentile, rdm_and_mag
from tests.bench.mne_solution import leadfield_by_mne
from tests.bench.outcome import Finding, Outcome, Skipped, Table
from tests.bench.spheres import Spheres

TITLE = "A subject's head against MNE"
STANDS_ON = ("anatomy", "forward")
DATA = Path(
    os.environ.get("BAYESESI_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
SIGMA = Conductivities(brain=0.3, skull=0.006, scalp=0.3)
N_SPHERE_DIPOLES, SEED = 500, 13
_SOLVERS = {"openmeeg": "symmetric, as ours", "mne": "linear collocation, isolated skull"}
_NOTE = (
    "MNE's sample subject: 642 vertices a surface, 515 of 516 cortical sources along their normals "
    "(one lies outside the thinned skull; the file's positions are multiplied by 1000), 60 "
    "digitised electrodes, .3 / .006 / .3 S/m, average reference. MNE's default `mindist` of 5 mm "
    "would drop {dropped} of them; the shallowest lies {least:.1f} mm below the inner skull."
)

Array = NDArray[np.floating]


def measure(step: Callable[[str], None]) -> Outcome:
    if not DATA.is_dir():
        raise Skipped("no recordings in ../shared/data; BAYESESI_SHARED_DATA may name the folder")
    step("our own solution")
    surfaces, info, trans, src = _subject()
    positions, normals = _sources(src, trans)
    electrodes = np.array([c["loc"][:3] for c in info["chs"]])
    ours = solve_bem(surfaces, SIGMA, positions, electrodes, normals)
    depth = trimesh.proximity.closest_point(surfaces.innermost, positions)[1]
    findings, rows = [], []
    for solver, method in _SOLVERS.items():
        step(f"MNE, {solver}")
        free = leadfield_by_mne(surfaces, SIGMA, info, trans, src, solver)
        theirs = np.einsum("csk,sk->cs", free, normals)
        rdm, mag = rdm_and_mag(ours, theirs)
        findings += _findings(f"{solver} ({method})", rdm, mag)
        for name, part in (("5 mm or more", depth >= 0.005), ("less", depth < 0.005)):
            rows.append([f"MNE, {solver}", name, *_spread(rdm[part], mag[part])])
    note = _NOTE.format(dropped=int((depth < 0.005).sum()), least=depth.min() * 1e3)
    by_depth = Table(
        "by depth below the inner skull", ("against", "depth", "sources", *_SPREAD), rows
    )
    return Outcome(findings, [by_depth, _on_spheres(step)], {}, [note])


def _subject() -> tuple[HeadSurfaces, Any, Any, Any]:
    import mne

    surfaces, info, trans = subject_head()
    path = DATA / "sample_subject" / "sample-small-src.fif.gz"
    src = mne.read_source_spaces(path, verbose="error")
    for side in src:  # the file's positions are 1000 times too small
        side["rr"] *= 1000
    return surfaces, info, trans, _inside(src, trans, surfaces)


def subject_head() -> tuple[HeadSurfaces, Any, Any]:
    """Three shells, the EEG channels of a recording and where the head lies in its MRI."""
    import mne

    folder = DATA / "sample_subject"
    trans = mne.read_trans(folder / "sample-trans.fif")
    names = ("inner_skull", "outer_skull", "outer_skin")
    surfaces = read_head_surfaces([folder / f"{n}.surf" for n in names], trans["trans"])
    evoked = mne.read_evokeds(DATA / "visual_evoked" / "visual-ave.fif", 0, verbose="error")
    return surfaces, evoked.pick("eeg", exclude=()).info, trans


def _inside(src: Any, trans: Any, surfaces: HeadSurfaces) -> Any:
    """The sources within the thinned inner skull: one lies just outside it."""
    import mne

    for side in src:
        head = mne.transform_surface_to(side, "head", trans, copy=True)
        kept = side["vertno"][contains(surfaces.innermost, head["rr"][side["vertno"]])]
        side.update(vertno=kept, nuse=len(kept), inuse=np.isin(np.arange(side["np"]), kept) * 1)
    return src


def _sources(src: Any, trans: Any) -> tuple[Array, Array]:
    """Positions (m, head frame) and normals of the sources."""
    import mne

    parts = [mne.transform_surface_to(s, "head", trans, copy=True) for s in src]
    positions, normals = (np.vstack([s[k][s["vertno"]] for s in parts]) for k in ("rr", "nn"))
    return positions, normals


def _findings(name: str, rdm: Array, mag: Array) -> list[Finding]:
    n = f"{len(rdm)} sources"
    low, high = (float(q) for q in np.percentile(mag, [5, 95]))
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
    spread = dict(interval=(low, high), interval_kind="5-95 % of sources")
    return [*lines, Finding(f"ours against {name}, MAG median", n, percentile(50)(mag), **spread)]


def _on_spheres(step: Callable[[str], None]) -> Table:
    """Each solver against the exact series, sizes and depths as in the template."""
    import mne

    spheres = Spheres.like_template(3, N_SPHERE_DIPOLES, SEED)
    exact = spheres.exact(SIGMA)
    names = [f"E{i}" for i in range(len(spheres.electrodes))]
    montage = mne.channels.make_dig_montage(
        dict(zip(names, spheres.electrodes, strict=True)), coord_frame="head"
    )
    info = mne.create_info(names, 500.0, "eeg").set_montage(montage)
    trans = mne.transforms.Transform("head", "mri", np.eye(4))
    src = mne.setup_volume_source_space(
        pos={"rr": spheres.sources, "nn": spheres.moments}, sphere_units="m", verbose="error"
    )
    step("spheres, ours")
    solved = {
        "ours": solve_bem(
            spheres.surfaces, SIGMA, spheres.sources, spheres.electrodes, spheres.moments
        )
    }
    for solver in _SOLVERS:
        step(f"spheres, {solver}")
        free = leadfield_by_mne(spheres.surfaces, SIGMA, info, trans, src, solver)
        solved[f"MNE, {solver}"] = np.einsum("csk,sk->cs", free, spheres.moments)
    rows: list[list[float | str]] = []
    for name, leadfield in solved.items():
        rows.append([name, *_spread(*rdm_and_mag(leadfield, exact))])
    columns = ("solver", "dipoles", *_SPREAD)
    return Table("the solvers against the exact series, three nested spheres", columns, rows)


_SPREAD = ("RDM median", "RDM 95 %", "MAG 5 %", "MAG median", "MAG 95 %")


def _spread(rdm: Array, mag: Array) -> list[float | str]:
    """How many, and the columns of ``_SPREAD``."""
    spread = (*np.percentile(rdm, [50, 95]), *np.percentile(mag, [5, 50, 95]))
    return [len(rdm), *(float(x) for x in spread)]
