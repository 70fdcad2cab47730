"""The door between ``mne.Forward`` and ``ForwardOperator``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SOURCES_AT_LEVEL, CorticalMesh, SourceSpace, template_mesh
from bayesesi.errors import InputError
from bayesesi.forward.electrodes import matching_montage
from bayesesi.forward.sensors import Sensors

if TYPE_CHECKING:
    import mne

    from bayesesi.forward.operator import ForwardOperator


def read_mne_forward(path: str | Path) -> mne.Forward:
    """Read the ``-fwd.fif`` file at ``path`` with MNE.

    Raises
    ------
    InputError : a missing or empty file, or one without a forward solution.
    """
    import mne

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path.name} does not exist; give the path of a -fwd.fif file")
    if not path.stat().st_size:
        raise InputError(f"{path.name} is empty; write the forward solution again")
    try:
        return mne.read_forward_solution(path, verbose="error")
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{path.name} is not a readable forward solution ({_first_line(error)}); give a "
            "-fwd.fif file as mne.write_forward_solution writes it"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def operator_from_mne(forward: mne.Forward, name: str) -> ForwardOperator:
    """Convert ``forward`` to an operator; ``name`` stands in errors and in its provenance.

    Raises
    ------
    InputError : another frame than the head's, or sources that are no whole cortex and no volume.
    """
    import mne
    from mne._fiff.constants import FIFF

    from bayesesi.forward.operator import ForwardOperator

    if int(forward["coord_frame"]) != FIFF.FIFFV_COORD_HEAD:
        raise InputError(
            f"{name} is in MNE's coordinate frame {int(forward['coord_frame'])}, sensors are in "
            "the head frame (4); read it with mne.read_forward_solution, which converts it"
        )
    fixed = mne.forward.is_fixed_orient(forward)
    if not fixed:
        forward = mne.convert_forward_solution(forward, surf_ori=False, verbose="error")
    gain = np.asarray(forward["sol"]["data"], float)
    space = source_space_from_mne(forward["src"], name)
    if fixed:  # perhaps means over patches of cortex, not the normals at the vertices
        space = replace(space, normals=np.asarray(forward["source_nn"], float))
    names = tuple(forward["sol"]["row_names"])
    leadfield = gain if fixed else gain.reshape(len(names), -1, 3)
    sensors = _sensors(forward, names)
    return ForwardOperator(
        leadfield, space, sensors=sensors, provenance={"forward": name, "head": "own"}
    )


def source_space_from_mne(src: Any, name: str) -> SourceSpace:
    """Convert ``src``, both hemispheres' cortical sources or those of a volume.

    Positions keep the frame of ``src``; ``name`` stands in errors.

    Raises
    ------
    InputError : one hemisphere, or a cortex mixed with a volume.
    """
    kinds = {s["type"] for s in src}
    subject = str(src[0].get("subject_his_id") or "")
    if kinds == {"surf"} and len(src) == 2:
        mesh, vertices = _cortex(src, subject)
        ico = _fsaverage_level(mesh, vertices)
        if ico is not None and mesh.n_vertices == template_mesh().n_vertices:
            # the same vertices, hence the same registration
            mesh = replace(mesh, sphere=template_mesh().sphere)
        return SourceSpace.on_mesh(mesh, vertices, ico)
    if "surf" in kinds:
        raise InputError(
            f"{name} mixes cortical and volume sources, or has one hemisphere; give both "
            "hemispheres or a volume alone"
        )
    positions = np.vstack([s["rr"][s["vertno"]] for s in src]).astype(float)
    return SourceSpace(positions, subject=subject)


def _cortex(src: Any, subject: str) -> tuple[CorticalMesh, NDArray[np.int64]]:
    left, right = src
    offset = len(left["rr"])
    mesh = CorticalMesh(
        positions=np.vstack([left["rr"], right["rr"]]).astype(float),
        normals=np.vstack([left["nn"], right["nn"]]).astype(float),
        triangles=np.vstack([left["tris"], right["tris"] + offset]).astype(np.int64),
        n_left=offset,
        subject=subject,
    )
    return mesh, np.r_[left["vertno"], right["vertno"] + offset].astype(np.int64)


def _fsaverage_level(mesh: CorticalMesh, vertices: NDArray[np.int64]) -> int | None:
    """The level, when these are exactly a level's vertices of fsaverage (163,842 a side) or of
    fsaverage5 (10,242), whose vertices are the first of it."""
    if "fsaverage" not in mesh.subject or mesh.n_vertices not in (2 * 10_242, 2 * 163_842):
        return None
    for ico, n in SOURCES_AT_LEVEL.items():
        wanted = np.r_[np.arange(n // 2), mesh.n_left + np.arange(n // 2)]
        if np.array_equal(vertices, wanted):
            return ico
    return None


def _sensors(forward: mne.Forward, names: tuple[str, ...]) -> Sensors:
    import mne

    info = forward["info"]
    index = [info["ch_names"].index(n) for n in names]
    kinds = [mne.channel_type(info, i) for i in index]
    positions = np.array([info["chs"][i]["loc"][:3] for i in index], float)
    positions[~np.isfinite(positions).all(axis=1) | ~positions.any(axis=1)] = np.nan
    meg = np.array([kind != "eeg" for kind in kinds])
    if meg.any() and info["dev_head_t"] is not None:
        positions[meg] = mne.transforms.apply_trans(info["dev_head_t"], positions[meg])
    return Sensors(names, tuple(kinds), positions, _origin(names, positions, ~meg))


def _origin(names: tuple[str, ...], positions: NDArray[np.float64], eeg: NDArray[np.bool_]) -> str:
    if not np.isfinite(positions).all():
        return "unknown"
    if eeg.any() and matching_montage(np.array(names)[eeg].tolist(), positions[eeg]):
        return "nominal"
    return "measured"


def operator_to_mne(operator: ForwardOperator) -> mne.Forward:
    """Convert ``operator`` to an ``mne.Forward``, by hand: MNE has no constructor from arrays.

    Raises
    ------
    InputError : sensors without a position, MEG sensors, or fixed sources without normals.
    """
    import mne
    from mne._fiff.constants import FIFF

    if operator.sensors is None or not np.isfinite(operator.sensors.positions).all():
        raise InputError(
            "this forward has sensors without a position, which an mne.Forward needs; give "
            "ForwardOperator(..., sensors=Sensors(...)) with positions"
        )
    if set(operator.sensors.kinds) != {"eeg"}:
        raise InputError("only EEG forwards are written for MNE; MEG ones came from MNE already")
    fixed = operator.leadfield.ndim == 2
    if fixed and operator.source_space.normals is None:
        raise InputError(
            "this forward is fixed along normals it does not have, which an mne.Forward needs; "
            "give SourceSpace(positions, normals)"
        )
    info = _info(operator.sensors, operator.source_space.subject)
    src = _mne_source_spaces(operator.source_space)
    rows, columns = list(operator.ch_names), operator.matrix.shape[1]
    solution = dict(
        data=np.asarray(operator.matrix, np.float32),
        row_names=rows,
        col_names=[str(i) for i in range(columns)],
        nrow=len(rows),
        ncol=columns,
    )
    orientation = FIFF.FIFFV_MNE_FIXED_ORI if fixed else FIFF.FIFFV_MNE_FREE_ORI
    normals = operator.source_space.normals if fixed else None
    n = operator.n_sources
    return mne.Forward(
        sol=solution,
        _orig_sol=solution["data"].copy(),
        sol_grad=None,
        source_ori=orientation,
        _orig_source_ori=orientation,
        surf_ori=fixed,
        source_rr=operator.source_space.positions,
        source_nn=np.tile(np.eye(3), (n, 1)) if normals is None else normals,
        nsource=n,
        nchan=len(rows),
        coord_frame=FIFF.FIFFV_COORD_HEAD,
        src=src,
        info=info,
        mri_head_t=info["mri_head_t"],
    )


def _info(sensors: Sensors, subject: str) -> Any:
    """What ``mne.make_forward_solution`` keeps of an info: channels, transforms, file names."""
    import mne

    from bayesesi.anatomy.template import SUBJECT, head_to_mri

    full = mne.create_info(list(sensors.names), 1000.0, "eeg")
    full.set_montage(
        mne.channels.make_dig_montage(
            dict(zip(sensors.names, sensors.positions, strict=True)), coord_frame="head"
        )
    )
    for channel in full["chs"]:
        channel["loc"][3:6] = 0.0  # the reference electrode: not known
    to_mri = head_to_mri() if subject == SUBJECT else np.eye(4)
    info = mne.Info(
        chs=full["chs"],
        comps=full["comps"],
        dev_head_t=full["dev_head_t"],
        bads=[],
        mri_head_t=mne.transforms.Transform("mri", "head", np.linalg.inv(to_mri)),
        mri_file="",
        meas_file="",
        meas_id=None,
        working_dir=".",
        command_line="",
        mri_id=dict(machid=np.zeros(2, np.int32), version=0, secs=0, usecs=0),
    )
    info._update_redundant()
    return info


def _mne_source_spaces(space: SourceSpace) -> Any:
    import mne
    from mne._fiff.constants import FIFF

    common = dict(coord_frame=FIFF.FIFFV_COORD_HEAD, subject_his_id=space.subject or None)
    if space.mesh is None or space.vertices is None:
        n = space.n_sources
        discrete = dict(
            type="discrete",
            id=FIFF.FIFFV_MNE_SURF_UNKNOWN,
            rr=space.positions,
            nn=np.tile([0.0, 0.0, 1.0], (n, 1)),
            np=n,
            ntri=0,
            tris=np.zeros((0, 3), int),
            inuse=np.ones(n, int),
            nuse=n,
            vertno=np.arange(n),
            **_EMPTY,
            **common,
        )
        return mne.SourceSpaces([discrete], dict(working_dir=".", command_line=""))
    mesh, sides = space.mesh, []
    ids = (FIFF.FIFFV_MNE_SURF_LEFT_HEMI, FIFF.FIFFV_MNE_SURF_RIGHT_HEMI)
    for side, surface_id in enumerate(ids):
        part = slice(0, mesh.n_left) if side == 0 else slice(mesh.n_left, None)
        offset = side * mesh.n_left
        chosen = space.vertices[mesh.hemisphere[space.vertices] == side] - offset
        triangles = mesh.triangles[(mesh.triangles[:, 0] >= mesh.n_left) == bool(side)] - offset
        n = len(mesh.positions[part])
        sides.append(
            dict(
                type="surf",
                id=surface_id,
                rr=mesh.positions[part],
                nn=mesh.normals[part],
                np=n,
                ntri=len(triangles),
                tris=triangles.astype(np.int32),
                inuse=np.isin(np.arange(n), chosen).astype(int),
                nuse=len(chosen),
                vertno=chosen,
                **_EMPTY,
                **common,
            )
        )
    return mne.SourceSpaces(sides, dict(working_dir=".", command_line=""))


_EMPTY: dict[str, Any] = dict(
    use_tris=np.zeros((0, 3), np.int32),
    nuse_tri=0,
    dist=None,
    dist_limit=None,
    nearest=None,
    nearest_dist=None,
    pinfo=None,
    patch_inds=None,
)
