"""A forward model of somebody's own head, from surfaces in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces, SourceSpace
from bayesesi.anatomy.surfaces import head_to_mri_matrix
from bayesesi.errors import InputError, some
from bayesesi.forward.bem import solve_bem
from bayesesi.forward.conductivity import Conductivities
from bayesesi.forward.electrodes import MAX_DISTANCE, eeg_positions
from bayesesi.forward.operator import ForwardOperator
from bayesesi.forward.sensors import Sensors

if TYPE_CHECKING:
    import mne


def make_forward(
    info: mne.Info,
    surfaces: HeadSurfaces,
    source_space: SourceSpace,
    conductivities: Conductivities | None = None,
    orientation: str = "fixed",
) -> ForwardOperator:
    """Solve a subject's own head for the EEG channels of a recording (seconds to minutes).

    Parameters
    ----------
    info : with electrode positions in the head frame.
    surfaces : 1, 3 or 4 nested shells in the head frame, see ``read_head_surfaces``.
    source_space : of the same head, see ``read_source_space``.
    conductivities : S/m.
    orientation : ``"fixed"`` along the cortical normals, or ``"free"``.

    Raises
    ------
    InputError : electrodes without a position or off the scalp, sources outside the brain.
    """
    if orientation not in ("fixed", "free"):
        raise InputError(f"orientation is 'fixed' or 'free', not {orientation!r}")
    if orientation == "fixed" and source_space.normals is None:
        raise InputError("sources in a volume have no normal; choose orientation='free'")
    names, positions = eeg_positions(info)
    lost = [n for n, p in zip(names, positions, strict=True) if np.isnan(p).any()]
    if lost:
        raise InputError(f"channel {some(lost)} has no position; call set_montage or drop it")
    distance = np.linalg.norm(surfaces.scalp.nearest.on_surface(positions)[0] - positions, axis=1)
    far = [n for n, d in zip(names, distance, strict=True) if d > MAX_DISTANCE]
    if far:
        raise InputError(
            f"electrode {some(far)} lies up to {distance.max() * 1e3:.0f} mm off the scalp; check "
            "that electrodes and surfaces are of the same subject and in the head frame"
        )
    conductivities = conductivities or Conductivities()
    leadfield = solve_bem(
        surfaces,
        conductivities,
        source_space.positions,
        positions,
        source_space.normals if orientation == "fixed" else None,
    )
    return ForwardOperator(
        leadfield,
        source_space,
        sensors=Sensors(names, ("eeg",) * len(names), positions, "measured"),
        provenance={
            "forward": f"own {len(surfaces.names)}-shell BEM",
            "head": source_space.subject,
            "conductivities_S_per_m": vars(conductivities),
            "electrodes": "measured",
        },
    )


def read_source_space(
    source: str | Path | mne.SourceSpaces, head_to_mri: NDArray[np.float64] | mne.Transform
) -> SourceSpace:
    """Read ``source``, a ``-src.fif`` file or MNE's source spaces, and bring it to the head frame.

    ``head_to_mri`` is the coregistration's ``trans``: MNE's, or (4, 4) in m.

    Raises
    ------
    InputError : a missing or foreign file, positions in another unit, or hemispheres mixed with a
        volume.
    """
    from mne._fiff.constants import FIFF

    from bayesesi.forward.mne_forward import source_space_from_mne

    name = "SourceSpaces" if isinstance(source, list) else Path(source).name
    src = source.copy() if isinstance(source, list) else _read(Path(source))
    to_head = np.linalg.inv(head_to_mri_matrix(head_to_mri))
    known = (FIFF.FIFFV_COORD_MRI, FIFF.FIFFV_COORD_HEAD)
    if any(side["coord_frame"] not in known for side in src):
        raise InputError(
            f"{name} is neither in the MRI nor in the head frame; write it again with "
            "mne.setup_source_space"
        )
    for side in src:
        if side["coord_frame"] == FIFF.FIFFV_COORD_MRI:
            side["rr"] = side["rr"] @ to_head[:3, :3].T + to_head[:3, 3]
            side["nn"] = side["nn"] @ to_head[:3, :3].T
    space = source_space_from_mne(src, name)
    size = np.ptp(space.positions, axis=0).max()
    if not 0.02 < size < 0.4:
        raise InputError(
            f"the sources of {name} span {size:.3g} m, a brain's about 0.15 m; positions must be "
            f"in metres ({'multiply' if size < 0.02 else 'divide'} by 1000)"
        )
    return space


def _read(path: Path) -> Any:
    import mne

    if not path.is_file() or not path.stat().st_size:
        state = "is empty" if path.is_file() else "does not exist"
        raise InputError(f"{path.name} {state}; give a -src.fif file")
    try:
        return mne.read_source_spaces(path, verbose="error")
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{path.name} is not a readable source space; give a -src.fif file as "
            "mne.write_source_spaces writes it"
        ) from error
