"""Fit a dipole by MNE-Python to the data that every other method is given.

One equivalent current dipole of free orientation at the sample of most field power, by its
boundary element model of three shells of the template (642 vertices each, the conductivities of
``forward.Conductivities``) and its search (``mne.fit_dipole``; compare Scherg 1990).
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_surfaces
from bayesesi.errors import InputError
from bayesesi.forward import Conductivities
from bayesesi.observation import Observation

_N_VERTICES, _NAMES = 642, ("inner_skull", "outer_skull", "outer_skin")


def fit_dipole(obs: Observation) -> tuple[NDArray[np.float64], float]:
    """Fit a dipole: its place (3,) m in the head frame, and the goodness of fit, 0 to 1.

    Parameters
    ----------
    obs : of EEG, fitted at the sample of most field power.

    Raises
    ------
    InputError : sensors whose positions are not known.
    """
    import mne

    info, positions = _info(obs)
    if not np.isfinite(positions).all():
        raise InputError("a dipole is fitted to sensors whose positions are known")
    values = np.asarray(obs.recording.values, float)
    volts = obs.whitener.colorer @ obs.whitener(values)
    peak = int((volts**2).sum(axis=0).argmax())
    evoked = mne.EvokedArray(volts[:, [peak]], info, nave=1, verbose="error")
    cov = mne.Covariance(
        obs.whitener.colorer @ obs.whitener.colorer.T, list(info["ch_names"]), [], [], nfree=1
    )
    evoked.set_eeg_reference(projection=True, verbose="error")
    identity = mne.transforms.Transform("head", "mri", np.eye(4))
    rank = {"eeg": obs.n_eff}
    dipole, _ = mne.fit_dipole(evoked, cov, _bem(), identity, rank=rank, verbose="error")
    return np.asarray(dipole.pos[0], float), float(dipole.gof[0]) / 100


def dipole_map(obs: Observation) -> NDArray[np.float64]:
    """Estimate (S[, 3], R) A m: zero but at the source nearest to ``fit_dipole``.

    The moments of each function of time are fitted by MNE at that one place. A fixed source gets
    their size, with the sign of the part along its normal.

    Parameters
    ----------
    obs : of EEG.

    Raises
    ------
    InputError : sensors whose positions are not known.
    """
    import mne

    place = fit_dipole(obs)[0]
    volts = obs.whitener.colorer @ np.asarray(obs.values, float)
    evoked = mne.EvokedArray(volts, _info(obs)[0], nave=1, verbose="error")
    evoked.set_eeg_reference(projection=True, verbose="error")
    cov = mne.Covariance(
        obs.whitener.colorer @ obs.whitener.colorer.T, list(evoked.ch_names), [], [], nfree=1
    )
    identity, rank = mne.transforms.Transform("head", "mri", np.eye(4)), {"eeg": obs.n_eff}
    dipole, _ = mne.fit_dipole(evoked, cov, _bem(), identity, pos=place, rank=rank, verbose="error")
    moments = (dipole.amplitude[:, None] * dipole.ori).T
    source = int(((obs.source_space.positions - place) ** 2).sum(axis=1).argmin())
    out = np.zeros((*obs.leadfield.shape[1:], obs.n_functions))
    if obs.leadfield.ndim == 3:
        out[source] = moments
    else:
        normals = obs.source_space.normals
        along = np.ones(obs.n_functions) if normals is None else normals[source] @ moments
        out[source] = np.copysign(np.linalg.norm(moments, axis=0), along)
    return out


def _info(obs: Observation) -> tuple[Any, NDArray[np.float64]]:
    import mne

    sensors = obs.sensors
    names, positions = list(sensors.names), np.asarray(sensors.positions, float)
    info = mne.create_info(names, 1000.0, "eeg")
    montage = mne.channels.make_dig_montage(
        dict(zip(names, positions, strict=True)), coord_frame="head"
    )
    info.set_montage(montage, verbose="error")
    return info, positions


@cache
def _bem() -> Any:
    """MNE's boundary element solution of the template, from its own three shells."""
    import mne

    shells, tissues = template_surfaces(3, n_vertices=_N_VERTICES), Conductivities()
    conductivity = (tissues.brain, tissues.skull, tissues.scalp)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "template" / "bem"
        place.mkdir(parents=True)
        for name, vertices, triangles in zip(
            _NAMES, shells.vertices, shells.triangles, strict=True
        ):
            mne.write_surface(place / f"{name}.surf", vertices * 1e3, triangles)
        model = mne.make_bem_model(
            "template", ico=None, conductivity=conductivity, subjects_dir=folder, verbose="error"
        )
    return mne.make_bem_solution(model, verbose="error")
