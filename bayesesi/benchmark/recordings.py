"""Recordings with known source locations, as cases of a benchmark.

Two public sets, read from a folder that the user names; no array of them is kept.

``visual_evoked`` (MNE-Python's test files, BSD-3-Clause): a checkerboard in one half of the visual
field, an average of six trials, 80 to 120 ms. Active is the occipital cortex of the other side.

``ictal_p2`` (DeepSIF, Sun et al. 2022, doi:10.1073/pnas.2201128119, Clear BSD): three seconds of a
seizure's onset, 75 electrodes, 1 to 30 Hz, unit unknown, and the 26 of 994 parcels that surgery
removed. A resection is not the onset: it holds what had to go, and more or less than that.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation, template_source_space
from bayesesi.benchmark.cases import KINDS, Case
from bayesesi.errors import InputError, some
from bayesesi.forward import template_forward
from bayesesi.noise import read_noise_cov
from bayesesi.observation import Observation, observe, read_recording

#: Where the response to the checkerboard is: regions of the atlas, without their side.
OCCIPITAL = ("pericalcarine", "cuneus", "lingual", "lateraloccipital")
#: Of the seizure: samples a second, electrodes, parcels of the cortex.
_SAMPLES, _CHANNELS, _PARCELS = 500, 75, 994


@dataclass(frozen=True)
class Recording:
    """Hold a condition of one case.

    Attributes
    ----------
    name : as tables call it. folder : of its files. files : that it is made of.
    made : of the folder and the level of the cortex, the case.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    made: Callable[[Path, int], Case]

    @property
    def fingerprint(self) -> str:
        """Name with a checksum of the files."""
        crc = 0
        for name in self.files:
            crc = zlib.crc32((self.folder / name).read_bytes(), crc)
        return f"{self.name} {crc:08x}"

    def case(self, i: int, seed: int, level: int = 4) -> Case:
        """Make the case; there is one, and it has no seed.

        Parameters
        ----------
        i, seed : not used. level : of the assumed cortex.

        Raises
        ------
        InputError : naming the file that is not what it should be.
        """
        return self.made(self.folder, level)


def recordings(data: str | Path | None) -> tuple[Recording, ...]:
    """Find the recordings whose folders are in a folder.

    Parameters
    ----------
    data : the folder, with ``visual_evoked``, ``ictal_p2`` or both.

    Raises
    ------
    InputError : no folder was named, it has neither, or one lacks a file.
    """
    wanted = "visual_evoked (MNE-Python's test files) or ictal_p2 (DeepSIF's example)"
    if data is None:
        raise InputError(f"the task real reads recordings: --data names a folder with {wanted}")
    place, found = Path(data).absolute(), []
    for name, folder, files, made in _KNOWN:
        if not (place / folder).is_dir():
            continue
        lacking = [each for each in files if not (place / folder / each).is_file()]
        if lacking:
            raise InputError(f"{folder} lacks {some(lacking)}; complete it or remove it")
        found.append(Recording(name, place / folder, files, made))
    if not found:
        raise InputError(f"{some([str(data)])} has no folder {wanted}")
    return tuple(found)


def seizure(folder: Path) -> mne.io.RawArray:
    """Read three seconds of ``ictal_p2`` in a row, 1 to 30 Hz, electrodes as they were measured.

    Parameters
    ----------
    folder : of the files, ``ictal_p2``.

    Raises
    ------
    InputError : naming the file that is not what it should be.
    """
    path = folder / "electrode_75.mat"
    try:
        table = _mat(path, "eloc75")[0]
        xyz = {str(e["labels"][0]): [1e-3 * float(e[k].item()) for k in "XYZ"] for e in table}
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path.name} has no table of labels and X, Y, Z in mm") from error
    if len(xyz) != _CHANNELS or not {"Nz", "T9", "T10"} <= set(xyz):
        raise InputError(
            f"{path.name} has {len(xyz)} electrodes, {some(xyz)}; it should have {_CHANNELS}, with "
            "Nz, T9 and T10 among them"
        )
    seconds = [
        _shaped(folder / f"data{i}.mat", "data", (_SAMPLES, _CHANNELS)).astype(float)
        for i in (1, 2, 3)
    ]
    places = {name: np.array([-y, x, z]) for name, (x, y, z) in xyz.items()}
    info = mne.create_info(list(places), 500.0, "eeg")
    raw = mne.io.RawArray(np.vstack(seconds).T, info, verbose="error")
    ends = places["Nz"], places["T9"], places["T10"]
    raw.set_montage(mne.channels.make_dig_montage(places, *ends, coord_frame="unknown"))
    return raw.filter(1, 30, verbose="error")


def resection(folder: Path) -> NDArray[np.bool_]:
    """Read what was removed of the cortex, (20484,).

    Parameters
    ----------
    folder : of the files, ``ictal_p2``.

    Raises
    ------
    InputError : naming the file that is not what it should be.
    """
    parcels, removed = _resected_parcels(folder)
    return np.isin(parcels, removed)


def _resected_parcels(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(20484,) parcel of each vertex, and the parcels that were removed: ``resection_region``."""
    n = template_source_space(5).n_sources
    path = folder / "fs_cortex_20k_region_mapping.mat"
    parcels = _numbered(path, "rm")
    if len(parcels) != n:
        raise InputError(f"{path.name} has parcels of {len(parcels)} vertices; it should be {n:,}")
    return parcels, _numbered(folder / "resection.mat", "resection_region")


def _numbered(path: Path, key: str) -> NDArray[np.int64]:
    """Numbers of parcels, from 0."""
    values = _mat(path, key).ravel()
    whole = values.dtype.kind in "iuf" and np.isfinite(values).all() and (values % 1 == 0).all()
    if not (whole and len(values) and values.min() >= 0 and values.max() < _PARCELS):
        raise InputError(f"{key} of {path.name} should be numbers of parcels, 0 to {_PARCELS - 1}")
    return values.astype(np.int64)


def _shaped(path: Path, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    values = _mat(path, key)
    if values.shape != shape or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise InputError(f"{key} of {path.name} should be {shape} finite numbers")
    return values


def _mat(path: Path, key: str) -> NDArray[Any]:
    """One variable of a MATLAB file."""
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(path, variable_names=[key])[key])
    except KeyError as error:
        raise InputError(f"{path.name} holds no {key}; take the file as it is published") from error
    except Exception as error:  # a file from anywhere fails in any way
        raise InputError(f"{path.name} is not a readable MATLAB file; fetch it again") from error


def _seizure_case(folder: Path, level: int) -> Case:
    raw = _filtered(folder)
    obs = observe(raw, template_forward(raw.info, ico=level), "adhoc", scale="unknown")
    parcels, removed = _resected_parcels(folder)
    vertices, where = obs.source_space.vertices, template_source_space(5).positions
    assert vertices is not None
    known = np.unique(parcels)
    if len(known) != _PARCELS:
        raise InputError(f"the map of parcels has {len(known)}; it should have {_PARCELS}")
    middles = np.array([where[parcels == k].mean(axis=0) for k in known])
    told = parcels[vertices], middles, np.isin(known, removed)
    # no region of the atlas was removed as a whole: of regions nothing is told
    return _case(obs, np.isin(parcels, removed), np.zeros(0, bool), told)


@lru_cache(maxsize=1)
def _filtered(folder: Path) -> mne.io.RawArray:
    return seizure(folder)


def _visual_case(condition: str, side: str, folder: Path, level: int) -> Case:
    evoked = read_recording(folder / "visual-ave.fif", condition)
    forward = template_forward(evoked.info, ico=level)
    cov = read_noise_cov(folder / "sample-cov.fif")
    obs = observe(evoked, forward, cov, tmin=0.08, tmax=0.12, baseline=(None, 0))
    atlas = template_parcellation(5)
    active = np.isin(atlas.names, [f"{name}-{side}" for name in OCCIPITAL])
    return _case(obs, np.asarray(atlas.membership[active].any(axis=0)), active, None)


def _left_field(folder: Path, level: int) -> Case:
    return _visual_case("Left visual", "rh", folder, level)


def _right_field(folder: Path, level: int) -> Case:
    return _visual_case("Right visual", "lh", folder, level)


def _case(
    obs: Observation,
    inside: NDArray[np.bool_],
    active: NDArray[np.bool_],
    parcels: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]] | None,
) -> Case:
    """Of the vertices (20484,) that are known to be active, and the regions that are."""
    vertices = obs.source_space.vertices
    assert vertices is not None
    known = {"channels": float(len(obs.sensors))}
    return Case(
        obs,
        inside[vertices].astype(float)[:, None],
        template_source_space(5).positions[inside],
        active,
        np.array([known.get(name, np.nan) for name in KINDS]),
        parcels,
        places_only=True,
    )


#: Folder -> what is known of it, for a page.
KNOWN_OF = {
    "visual_evoked": (
        "A checkerboard in one half of the visual field, six trials: the four occipital regions of "
        "the other side (MNE-Python's test files, BSD-3-Clause)."
    ),
    "ictal_p2": (
        "A seizure's onset: the 26 of 994 parcels that surgery removed, which is not the same (Sun "
        "et al. 2022, DeepSIF, Clear BSD); no region of the atlas was removed whole, so that of "
        "regions nothing is told."
    ),
}
_VISUAL = ("visual-ave.fif", "sample-cov.fif")
_SEIZURE = (
    *("data1.mat", "data2.mat", "data3.mat", "electrode_75.mat"),
    *("fs_cortex_20k_region_mapping.mat", "resection.mat"),
)
_KNOWN = (
    ("left half of the field", "visual_evoked", _VISUAL, _left_field),
    ("right half of the field", "visual_evoked", _VISUAL, _right_field),
    ("a seizure's onset", "ictal_p2", _SEIZURE, _seizure_case),
)
