"""A head that no bank holds: the skull and scalp of MNE's sample subject, as truth.

Events are those of the template's cortex, whose folds are laid into that person's inner skull by an
affine map; electrodes are 60, digitised on that person; noise has that person's covariance. What
is assumed is the template head, as for any recording. Three shells, .3, .006 and .3 S/m.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import mne
import numpy as np
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces, template_source_space
from bayesesi.anatomy.surfaces import contains
from bayesesi.anatomy.template import template_surfaces
from bayesesi.forward import ForwardOperator, solve_bem, template_forward
from bayesesi.io.atomic import atomic_file
from bayesesi.noise import NoiseCovariance, read_noise_cov
from bayesesi.observation import Observation
from bayesesi.simulator import Batch
from tests.bench.subject import DATA, SIGMA, subject_head

KEPT = Path("runs") / "shift" / "another-person.npy"
#: m that sources keep from the inner skull, where boundary elements of this size fail.
_CLEAR = 0.003
#: Times that closest points are looked for anew.
_STEPS = 60


def is_there() -> bool:
    return (DATA / "sample_subject").is_dir() and (DATA / "visual_evoked").is_dir()


def another_person(batch: Batch, k: int) -> Observation:
    """Case k of a batch as that person's recording, at the same signal-to-noise ratio."""
    noise, session = _noise(), batch.session
    own = replace(
        session,
        forward=_assumed(),
        bads=(),
        noise=noise,
        true_covariance=noise.matrix,
    )
    event, n = person_leadfield() @ batch.field(k, 5), len(noise.ch_names)
    scale = 1.0
    if event.any():
        expected = np.trace(noise.matrix) / n / session.n_trials
        scale = float(np.sqrt((event**2).mean() / expected / 10 ** (batch.snr_db[k] / 10)))
    rng = np.random.default_rng([batch.first + k, 11])
    values, vectors = np.linalg.eigh(noise.matrix / session.n_trials)
    root = vectors * np.sqrt(np.maximum(values, 0))
    volts = event + scale * root @ rng.standard_normal((n, event.shape[1]))
    return own.observe(volts, scale, "another person")


@lru_cache(maxsize=1)
def person_leadfield() -> NDArray[np.float64]:
    """(60, 20484) V/(A m), average reference; solved once and kept."""
    if KEPT.is_file():
        return np.asarray(np.load(KEPT, allow_pickle=False))
    surfaces, info, _ = subject_head()
    electrodes = np.array([channel["loc"][:3] for channel in info["chs"]])
    places, normals = cortex_within(surfaces)
    found = solve_bem(surfaces, SIGMA, places, electrodes, normals)
    found -= found.mean(axis=0)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(KEPT) as draft, draft.open("wb") as file:
        np.save(file, found)
    return found


def cortex_within(
    surfaces: HeadSurfaces,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(20484, 3) m and normals: the template's cortex, its inner skull laid onto the person's.

    By an affine map, fitted to closest points from the boxes around both on (Besl & McKay 1992,
    doi:10.1109/34.121791): how a brain is pitched against the ears differs by ten degrees here.
    """
    space = template_source_space(5)
    assert space.normals is not None
    ours, theirs = template_surfaces()["inner_skull"], surfaces.innermost
    matrix = np.diag(theirs.extents / ours.extents)
    shift = theirs.bounds.mean(axis=0) - matrix @ ours.bounds.mean(axis=0)
    points = np.c_[ours.vertices, np.ones(len(ours.vertices))]
    for _ in range(_STEPS):
        laid = ours.vertices @ matrix.T + shift
        nearest = trimesh.proximity.closest_point(theirs, laid)[0]
        found = np.linalg.lstsq(points, nearest, rcond=None)[0]
        matrix, shift = found[:3].T, found[3]
    normals = space.normals @ np.linalg.inv(matrix)
    places = space.positions @ matrix.T + shift
    return _pulled_in(places, theirs), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _pulled_in(places: NDArray[np.float64], skull: trimesh.Trimesh) -> NDArray[np.float64]:
    """Those nearer than ``_CLEAR`` to the skull, or beyond it, moved towards the middle."""
    middle, moved = skull.bounds.mean(axis=0), places.copy()
    for _ in range(40):
        near = trimesh.proximity.closest_point(skull, moved)[1] < _CLEAR
        near |= ~contains(skull, moved)
        if not near.any():
            return moved
        moved[near] += 0.02 * (middle - moved[near])
    raise ValueError("the cortex does not fit into that skull")


@lru_cache(maxsize=1)
def _info() -> mne.Info:
    return subject_head()[1]


@lru_cache(maxsize=1)
def _noise() -> NoiseCovariance:
    found = read_noise_cov(DATA / "visual_evoked" / "sample-cov.fif").pick(_info().ch_names)
    return replace(found, autocorrelation=None)


@lru_cache(maxsize=1)
def _assumed() -> ForwardOperator:
    return template_forward(_info())
