"""MNE's own boundary element solution of three given surfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces
from bayesesi.forward import Conductivities
from bayesesi.forward.bem import _quiet


def leadfield_by_mne(
    surfaces: HeadSurfaces, sigma: Conductivities, info: Any, trans: Any, src: Any, solver: str
) -> NDArray[np.float64]:
    """(C, S, 3) V/(A m), free, head axes; no source is dropped.

    ``trans`` from head to MRI; ``solver``: ``"mne"`` (linear collocation, isolated skull:
    Mosher et al. 1999, doi:10.1109/10.748978; Hämäläinen & Sarvas 1989, doi:10.1109/10.16463) or
    ``"openmeeg"`` (symmetric).
    """
    import mne

    with _quiet():
        bem = mne.make_bem_solution(_shells(surfaces, sigma, trans), solver=solver, verbose="error")
        forward = mne.make_forward_solution(
            info, trans, src, bem, meg=False, mindist=0.0, verbose="error"
        )
    wanted = sum(s["nuse"] for s in src)
    if forward["nsource"] != wanted:
        raise ValueError(f"MNE kept {forward['nsource']} of {wanted} sources")
    gain = np.asarray(forward["sol"]["data"], float)
    return gain.reshape(len(gain), -1, 3)


def _shells(surfaces: HeadSurfaces, sigma: Conductivities, trans: Any) -> list[dict[str, Any]]:
    """As MNE wants them: scalp first, in MRI coordinates."""
    import mne
    from mne._fiff.constants import FIFF

    parts = zip(
        surfaces.vertices,
        surfaces.triangles,
        (FIFF.FIFFV_BEM_SURF_ID_BRAIN, FIFF.FIFFV_BEM_SURF_ID_SKULL, FIFF.FIFFV_BEM_SURF_ID_HEAD),
        (sigma.brain, sigma.skull, sigma.scalp),
        strict=True,
    )
    shells = [
        dict(
            rr=mne.transforms.apply_trans(trans["trans"], vertices),
            tris=triangles.astype(np.int32),
            np=len(vertices),
            ntri=len(triangles),
            id=surface_id,
            sigma=conductivity,
            coord_frame=FIFF.FIFFV_COORD_MRI,
        )
        for vertices, triangles, surface_id, conductivity in parts
    ]
    return shells[::-1]
