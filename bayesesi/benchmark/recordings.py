"""Recordings of which it is known where they came from, as cases of a benchmark.

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
#: Share of a region's area that has to be active for the region to count as active.
_HALF = 0.5


@dataclass(frozen=True)
class Recording:
    """A condition of one case.

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
        """What the case hangs on: the files' bytes."""
        crc = 0
        for name in self.files:
            crc = zlib.crc32((self.folder / name).read_bytes(), crc)
        return f"{self.name} {crc:08x}"

    def case(self, i: int, seed: int, level: int = 4) -> Case:
        """There is one; it has no seed."""
        return self.made(self.folder, level)


def recordings(data: str | Path | None) -> tuple[Recording, ...]:
    """Those whose files are in a folder.

    Raises
    ------
    InputError : no folder was named, or it has neither.
    """
    wanted = "visual_evoked (MNE-Python's test files) or ictal_p2 (DeepSIF's example)"
    if data is None:
        raise InputError(f"the task real reads recordings: name a folder that has {wanted}")
    place = Path(data).absolute()
    found = tuple(
        Recording(name, place / folder, files, made)
        for name, folder, files, made in _KNOWN
        if all((place / folder / each).is_file() for each in files)
    )
    if not found:
        raise InputError(f"{some([str(data)])} has no folder {wanted}, whole")
    return found


def seizure(folder: Path) -> mne.io.RawArray:
    """Three seconds of ``ictal_p2`` in a row, 1 to 30 Hz, electrodes as they were measured."""
    from scipy.io import loadmat

    seconds = [loadmat(folder / f"data{i}.mat")["data"] for i in (1, 2, 3)]
    table = loadmat(folder / "electrode_75.mat")["eloc75"][0]
    xyz = {str(e["labels"][0]): [1e-3 * float(e[k].item()) for k in "XYZ"] for e in table}
    places = {name: np.array([-y, x, z]) for name, (x, y, z) in xyz.items()}
    info = mne.create_info(list(places), 500.0, "eeg")
    raw = mne.io.RawArray(np.vstack(seconds).T, info, verbose="error")
    ends = places["Nz"], places["T9"], places["T10"]
    raw.set_montage(mne.channels.make_dig_montage(places, *ends, coord_frame="unknown"))
    return raw.filter(1, 30, verbose="error")


def resection(folder: Path) -> NDArray[np.bool_]:
    """(20484,) what was removed of the cortex."""
    parcels, removed = _resected_parcels(folder)
    return np.isin(parcels, removed)


def _resected_parcels(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(20484,) parcel of each vertex, and the parcels that were removed."""
    from scipy.io import loadmat

    parcels = loadmat(folder / "fs_cortex_20k_region_mapping.mat")["rm"].ravel().astype(int)
    return parcels, loadmat(folder / "resection.mat")["resection_region"].ravel().astype(int)


def _seizure_case(folder: Path, level: int) -> Case:
    raw = _filtered(folder)
    obs = observe(raw, template_forward(raw.info, level=level), "adhoc", scale="unknown")
    parcels, removed = _resected_parcels(folder)
    vertices, where = obs.source_space.vertices, template_source_space(5).positions
    assert vertices is not None
    n = int(parcels.max()) + 1
    middles = np.array([where[parcels == k].mean(axis=0) for k in range(n)])
    active = np.isin(np.arange(n), removed)
    return _case(obs, np.isin(parcels, removed), (parcels[vertices], middles, active))


@lru_cache(maxsize=1)
def _filtered(folder: Path) -> mne.io.RawArray:
    return seizure(folder)


def _visual_case(condition: str, side: str, folder: Path, level: int) -> Case:
    evoked = read_recording(folder / "visual-ave.fif", condition)
    forward = template_forward(evoked.info, level=level)
    cov = read_noise_cov(folder / "sample-cov.fif")
    obs = observe(evoked, forward, cov, tmin=0.08, tmax=0.12, baseline=(None, 0))
    atlas = template_parcellation(5)
    wanted = [atlas.names.index(f"{name}-{side}") for name in OCCIPITAL]
    return _case(obs, np.asarray(atlas.membership[wanted].any(axis=0)), None)


def _left_field(folder: Path, level: int) -> Case:
    return _visual_case("Left visual", "rh", folder, level)


def _right_field(folder: Path, level: int) -> Case:
    return _visual_case("Right visual", "lh", folder, level)


def _case(
    obs: Observation,
    inside: NDArray[np.bool_],
    parcels: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]] | None,
) -> Case:
    """Of the vertices (20484,) that are known to be active."""
    fine, atlas, vertices = template_source_space(5), template_parcellation(5), None
    weights = atlas.membership * fine.areas
    active = weights @ inside >= _HALF * weights.sum(axis=1)
    vertices = obs.source_space.vertices
    assert vertices is not None
    known = {"snr_db": obs.snr_db, "channels": float(len(obs.sensors))}
    return Case(
        obs,
        inside[vertices].astype(float)[:, None],
        fine.positions[inside],
        np.asarray(active, bool),
        np.array([known.get(name, np.nan) for name in KINDS]),
        parcels,
        places_only=True,
    )


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
