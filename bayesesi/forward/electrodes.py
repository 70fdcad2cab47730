"""From a recording's electrodes to the template's scalp.

Positions come from the recording, else by name from MNE's fsaverage montage. Measured ones are
carried to the template by a similarity (rotation, shift, one scale): the most probable one when
electrodes lie on the scalp, names and fiducials about where the template has them, and heads
differ in size by a few per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces
from bayesesi.anatomy.template import template_fiducials, to_head_frame
from bayesesi.errors import InputError, some
from bayesesi.forward.sensors import Sensors

if TYPE_CHECKING:
    import mne

# Standard deviations of the alignment, m: distance of an electrode from the template's scalp, of a
# named one from its place in the 10-05 plan, of a fiducial from the template's; log of head size.
_SCALP_SD, _NAME_SD, _FIDUCIAL_SD, _LOG_SCALE_SD = 0.004, 0.015, 0.008, 0.06
# Heads differ smoothly, so neighbouring electrodes err together: all count as about this many.
_INDEPENDENT = 10
#: An electrode farther from the scalp than this, after alignment, is not on this head (m).
MAX_DISTANCE = 0.03
#: Positions that match a montage of MNE's to this (m, root mean square) were never measured.
_NOMINAL_RMS = 0.002
_MIN_MATCHED = 6
#: Names whose positions miss the 10-05 plan by more than this (m, rms) belong to another plan.
_SAME_PLAN_RMS = 0.025
_OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}


@dataclass(frozen=True, eq=False)
class Alignment:
    """template = scale * rotation @ position + shift.

    Attributes
    ----------
    rotation : (3, 3). shift : (3,) m. scale : the template's size over the subject's, a ratio.
    distance : (C,) m to the scalp before electrodes are put on it.
    """

    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    scale: float
    distance: NDArray[np.float64]

    def __call__(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move ``positions`` (n, 3) m to the template."""
        return self.scale * positions @ self.rotation.T + self.shift


def eeg_positions(info: mne.Info) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Read names and positions (C, 3) m of the EEG channels of ``info``; NaN where there are none.

    Raises
    ------
    InputError : no EEG channel, or bipolar ones.
    """
    import mne
    from mne._fiff.constants import FIFF

    if not isinstance(info, mne.Info):
        raise InputError(f"info is a recording's .info, not {type(info).__name__}")
    picks = mne.pick_types(info, meg=False, eeg=True, exclude=())
    if len(picks) == 0:
        raise InputError(
            "the recording has no EEG channels; set their types with set_channel_types"
        )
    names = tuple(info["ch_names"][i] for i in picks)
    bipolar = [info["chs"][i]["coil_type"] == FIFF.FIFFV_COIL_EEG_BIPOLAR for i in picks]
    if any(bipolar):
        raise InputError(
            f"channel {some(n for n, b in zip(names, bipolar, strict=True) if b)} is a difference "
            "of two electrodes; give the recording before the bipolar montage was made"
        )
    positions = np.array([info["chs"][i]["loc"][:3] for i in picks], float)
    positions[~np.isfinite(positions).all(axis=1) | ~positions.any(axis=1)] = np.nan
    return names, positions


def place_electrodes(info: mne.Info, scalp: HeadSurfaces) -> tuple[Sensors, Alignment]:
    """Place the EEG channels of a recording's ``info`` on the template's ``scalp``.

    Returns
    -------
    sensors : positions (C, 3) m on the template, ``origin`` measured or nominal.
    alignment : how they got there.

    Raises
    ------
    InputError : no position and no known name, positions in another unit, electrodes off the head.
    """
    names, positions = eeg_positions(info)
    lost = [n for n, p in zip(names, positions, strict=True) if np.isnan(p).any()]
    if len(lost) == len(names):
        known = nominal_positions(names)
        unknown = [n for n in names if n not in known]
        if unknown:
            raise InputError(
                f"channel {some(unknown)} has no position and no name of the 10-05 system; call "
                "set_montage, rename it, or set its type to what it is (eog, misc)"
            )
        positions = np.array([known[n] for n in names])
        return _on_scalp(names, positions, scalp, "nominal", np.eye(3), np.zeros(3), 1.0)
    if lost:
        raise InputError(
            f"channel {some(lost)} has no position while others do; call set_montage, or mark it "
            "by its true type (eog, misc) or drop it"
        )
    size = np.median(np.linalg.norm(positions - positions.mean(axis=0), axis=1))
    if not 0.02 < size < 0.3:
        raise InputError(
            f"electrodes lie {size:.3g} m from their centre, a head's about 0.1 m; positions must "
            "be in metres (divide millimetres by 1000)"
        )
    if montage := matching_montage(names, positions):
        known = nominal_positions(names)
        if len(known) == len(names):
            positions = np.array([known[n] for n in names])
            return _on_scalp(names, positions, scalp, "nominal", np.eye(3), np.zeros(3), 1.0)
    rotation, shift, scale = _align(names, positions, _fiducials(info, montage), scalp)
    origin = "nominal" if montage else "measured"
    return _on_scalp(names, positions, scalp, origin, rotation, shift, scale)


@cache
def _montage(name: str) -> dict[str, NDArray[np.float64]]:
    import mne

    return dict(mne.channels.make_standard_montage(name).get_positions()["ch_pos"])


def nominal_positions(names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Find (3,) m in the template's head frame for those ``names`` that the 10-05 system has.

    Capitals do not count. From MNE's montage on fsaverage's own scalp, and ear and mastoid names
    from its Colin27 one.
    """
    plans = [
        {k.lower(): v for k, v in _montage(m).items()} for m in ("fsaverage_1005", "colin27_1005")
    ]
    found = {}
    for name in names:
        key = name.lower().strip()
        key = _OLD_NAMES.get(key, key)
        for plan in plans:
            if key in plan:
                found[name] = to_head_frame(plan[key][None])[0]
                break
    return found


def matching_montage(names: Sequence[str], positions: NDArray[np.float64]) -> str | None:
    """Find the montage of MNE's whose plan these positions are, up to a similarity; else None.

    ``names`` are C channels, ``positions`` theirs, (C, 3) m.
    """
    import mne

    for montage in mne.channels.get_builtin_montages():
        if montage.startswith("artinis"):
            continue
        plan = {name.lower(): position for name, position in _montage(montage).items()}
        shared = [i for i, name in enumerate(names) if name.lower() in plan]
        if len(shared) < max(_MIN_MATCHED, 0.8 * len(names)):
            continue
        target = np.array([plan[names[i].lower()] for i in shared])
        off = _moved(similarity(positions[shared], target), positions[shared]) - target
        if _rms(off) < _NOMINAL_RMS:
            return montage
    return None


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Fit rotation, shift in m and scale that bring ``source`` (n, 3) m to ``target`` (n, 3) m.

    Points are matched one by one; least squares, by MNE.
    """
    import mne

    trans, scale = mne.coreg.fit_matched_points(source, target, scale=True, out="trans"), 1.0
    matrix = np.asarray(trans)[:3, :3]
    scale = float(np.cbrt(np.linalg.det(matrix)))
    return matrix / scale, np.asarray(trans)[:3, 3], scale


def _align(
    names: Sequence[str],
    positions: NDArray[np.float64],
    fiducials: NDArray[np.float64] | None,
    scalp: HeadSurfaces,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The most probable similarity, from the names' plan or the head frame as a start."""
    import trimesh
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    known = nominal_positions(names)
    named = [i for i, name in enumerate(names) if name in known]
    plan = np.array([known[names[i]] for i in named]).reshape(-1, 3)
    start = (np.eye(3), np.zeros(3), 1.0)
    fitted = similarity(positions[named], plan) if len(named) >= _MIN_MATCHED else None
    if fitted is not None and _rms(_moved(fitted, positions[named]) - plan) < _SAME_PLAN_RMS:
        start = fitted
    elif fiducials is not None:
        named, plan = [], plan[:0]
    else:
        raise InputError(
            "electrode positions are in no known frame: there are no fiducials (nasion, LPA, RPA) "
            "and fewer than 6 names where the 10-05 system has them; give a montage with fiducials"
        )
    rotation, shift, scale = start
    placed = _moved(start, positions)
    landmarks = np.empty((0, 3)) if fiducials is None else _moved(start, fiducials)
    targets = template_fiducials()[: len(landmarks)]
    centre, weight = placed.mean(axis=0), min(1.0, np.sqrt(_INDEPENDENT / len(placed)))

    def moved(x: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        turn = Rotation.from_rotvec(x[:3]).as_matrix()
        return np.exp(x[6]) * (points - centre) @ turn.T + centre + x[3:6]

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        now = moved(x, placed)
        distance = trimesh.proximity.closest_point(scalp.scalp, now)[1]
        off_plan, off_landmark = now[named] - plan, moved(x, landmarks) - targets
        log_scale = np.log(scale) + x[6]
        return np.r_[
            weight * distance / _SCALP_SD,
            weight * off_plan.ravel() / _NAME_SD,
            off_landmark.ravel() / _FIDUCIAL_SD,
            log_scale / _LOG_SCALE_SD,
        ]

    fit = least_squares(residuals, np.zeros(7), loss="soft_l1", diff_step=1e-4, max_nfev=30)
    _check_sides(moved(fit.x, placed), names)
    turn, grow = Rotation.from_rotvec(fit.x[:3]).as_matrix(), float(np.exp(fit.x[6]))
    shift = grow * turn @ (shift - centre) + centre + fit.x[3:6]
    return turn @ rotation, shift, scale * grow


def _check_sides(placed: NDArray[np.float64], names: Sequence[str]) -> None:
    """Left and right must agree with the names: a mirrored montage fits a head as well."""
    known = nominal_positions(names)
    named = [i for i, name in enumerate(names) if name in known]
    if len(named) < _MIN_MATCHED:
        return
    plan, mirror = np.array([known[names[i]] for i in named]), np.array([-1.0, 1.0, 1.0])
    if _rms(placed[named] * mirror - plan) < 0.5 * _rms(placed[named] - plan):
        raise InputError(
            "left and right are exchanged: electrodes lie where the other side's names belong; "
            "check the sign of x in the positions, or the names"
        )


def _moved(
    move: tuple[NDArray[np.float64], NDArray[np.float64], float], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    rotation, shift, scale = move
    return scale * points @ rotation.T + shift


def _rms(offsets: NDArray[np.float64]) -> float:
    return float(np.sqrt((offsets**2).sum(axis=1).mean()))


def _fiducials(info: mne.Info, montage: str | None) -> NDArray[np.float64] | None:
    """(3, 3) LPA, nasion and RPA in the head frame, which they define; None without them.

    Where positions come without fiducials MNE makes up three on one sphere; a montage of its own
    may have its own there.
    """
    from mne._fiff.constants import FIFF

    order = (FIFF.FIFFV_POINT_LPA, FIFF.FIFFV_POINT_NASION, FIFF.FIFFV_POINT_RPA)
    dig = info["dig"] or []
    found = {int(d["ident"]): d["r"] for d in dig if d["kind"] == FIFF.FIFFV_POINT_CARDINAL}
    if not all(ident in found for ident in order):
        return None
    points = np.array([found[ident] for ident in order], float)
    on_sphere = np.ptp(np.linalg.norm(points, axis=1)) < 1e-6
    return None if on_sphere and montage is None else points


def _on_scalp(
    names: tuple[str, ...],
    positions: NDArray[np.float64],
    scalp: HeadSurfaces,
    origin: str,
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    scale: float,
) -> tuple[Sensors, Alignment]:
    import trimesh

    placed = _moved((rotation, shift, scale), positions)
    on_scalp, distance, _ = trimesh.proximity.closest_point(scalp.scalp, placed)
    far = [n for n, d in zip(names, distance, strict=True) if d > MAX_DISTANCE]
    if far:
        worst = distance.max() * 1000
        raise InputError(
            f"electrode {some(far)} lies up to {worst:.0f} mm off the scalp after alignment "
            f"(allowed {MAX_DISTANCE * 1000:.0f} mm); correct its position or drop it"
        )
    sensors = Sensors(names, ("eeg",) * len(names), np.asarray(on_scalp), origin)
    return sensors, Alignment(rotation, shift, scale, distance)
