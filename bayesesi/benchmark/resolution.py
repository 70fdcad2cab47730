"""Resolution of an inverse: point-spread and cross-talk functions and their widths.

Of a linear inverse K and noise-free data, j^ = K L~ j: column s of the resolution matrix K L~ is
the point-spread function (PSF) of source s, row s the cross-talk function (CTF) of an estimate at
s (Liu et al. 2002, doi:10.1002/hbm.10024; Hauk et al. 2022, doi:10.1016/j.neuroimage.2022.119177).
Of any other method the point-spread functions of chosen sources can be had at a stated size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.observation import Observation


class Width(NamedTuple):
    """Hold how wide K point-spread or cross-talk functions are, NaN where a function is 0.

    Attributes
    ----------
    peak_error : (K,) mm from a source to where its function is largest. spread : (K,) mm, the root
        mean square distance from it, weighted by power (Molins et al. 2008,
        doi:10.1016/j.neuroimage.2008.05.064).
    """

    peak_error: NDArray[np.float64]
    spread: NDArray[np.float64]


@dataclass(frozen=True)
class Resolution:
    """Hold maps over all sources (S,).

    Attributes
    ----------
    psf, ctf : widths of their point-spread and their cross-talk functions.
    """

    psf: Width
    ctf: Width


def resolution(
    kernel: NDArray[np.floating],
    leadfield: NDArray[np.floating],
    positions: NDArray[np.float64],
) -> Resolution:
    """Compute the widths of both kinds of function, see ``resolution_matrix``.

    Parameters
    ----------
    kernel : (S, n_eff) or (S, 3, n_eff). leadfield : (n_eff, S) or (n_eff, S, 3), whitened.
    positions : (S, 3) m.

    Raises
    ------
    InputError : shapes that do not fit.
    """
    matrix = resolution_matrix(kernel, leadfield)
    return Resolution(width(matrix, positions), width(matrix.T, positions))


def resolution_matrix(
    kernel: NDArray[np.floating], leadfield: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute sizes |K L~|, (S, S): column s what a unit source at s becomes everywhere.

    Over axes the root of the sum of squares, so that three axes of a source give 3^1/2 times the
    root mean square over its directions.

    Parameters
    ----------
    kernel : (S, n_eff) or (S, 3, n_eff), as ``LinearInverse.kernel`` gives it.
    leadfield : (n_eff, S) or (n_eff, S, 3), whitened.

    Raises
    ------
    InputError : shapes that do not fit.
    """
    n, s = leadfield.shape[:2]
    if kernel.shape[0] != s or kernel.shape[-1] != n:
        raise InputError(
            f"a kernel of shape {kernel.shape} does not invert a leadfield of shape "
            f"{leadfield.shape}; give (S[, 3], n_eff) and (n_eff, S[, 3])"
        )
    rows = np.asarray(kernel, float).reshape(s, -1, n)
    columns = np.asarray(leadfield, float).reshape(n, s, -1)
    out = np.zeros((s, s))
    for i in range(rows.shape[1]):
        for j in range(columns.shape[2]):
            out += (rows[:, i] @ columns[:, :, j]) ** 2
    return np.sqrt(out)


def width(
    functions: NDArray[np.floating],
    positions: NDArray[np.float64],
    sources: Sequence[int] | NDArray[np.integer] | None = None,
) -> Width:
    """Measure the widths of functions about sources.

    Parameters
    ----------
    functions : (S, K), any unit. positions : (S, 3) m.
    sources : (K,) indices; by default all S of them.

    Raises
    ------
    InputError : another number of functions than of sources.
    """
    size = np.abs(np.asarray(functions, float))
    about = np.arange(len(size)) if sources is None else np.asarray(sources, int)
    if size.shape != (len(positions), len(about)):
        raise InputError(
            f"functions have shape {size.shape}; of {len(about)} sources among {len(positions)} "
            f"it is ({len(positions)}, {len(about)})"
        )
    where = np.asarray(positions) - np.mean(positions, axis=0)
    own, largest = where[about], size.max(axis=0)
    silent = ~(largest > 0)
    peaks = np.linalg.norm(where[size.argmax(axis=0)] - own, axis=1)
    power = (size / np.where(silent, 1.0, largest)) ** 2
    total = np.where(silent, 1.0, power.sum(axis=0))
    # sum_t p_t |r_t - r_s|² without an (S, K, 3) array
    square = power.T @ (where**2).sum(axis=1) - 2 * ((power.T @ where) * own).sum(axis=1)
    square = square / total + (own**2).sum(axis=1)
    spread = np.sqrt(np.maximum(square, 0))
    return Width(*(np.where(silent, np.nan, 1e3 * x) for x in (peaks, spread)))


def point_spreads(
    solve: Callable[[Observation], NDArray[np.floating]],
    obs: Observation,
    sources: Sequence[int] | NDArray[np.integer],
    snr_db: float,
) -> NDArray[np.float64]:
    """Compute (S, K) sizes: what any method makes of single sources.

    Data without noise, but as large as ``snr_db`` says beside it: what is not linear depends on it.

    Parameters
    ----------
    solve : from an observation to a map (S,). obs : that is changed. sources : (K,) indices.
    snr_db : dB of the source's power over the noise's.

    Raises
    ------
    InputError : see ``single_source``.
    """
    maps = [np.abs(solve(single_source(obs, int(s), snr_db))) for s in sources]
    return np.asarray(np.stack(maps, axis=1), float)


def single_source(obs: Observation, source: int, snr_db: float) -> Observation:
    """Make the observation as it would be of one source and no noise, of the power ``snr_db``.

    All of it in the function of time that holds most of the data; of three axes the source has
    the normal's direction, or the one seen best where it has none.

    Parameters
    ----------
    obs : that is changed. source : its index. snr_db : dB of the source's power over the noise's.

    Raises
    ------
    InputError : a source that is not there, or that no sensor sees.
    """
    if not 0 <= source < obs.source_space.n_sources:
        raise InputError(
            f"source {source} is none of the {obs.source_space.n_sources}, counted from 0"
        )
    topography = np.asarray(obs.leadfield[:, source], float)
    normals = obs.source_space.normals
    if topography.ndim == 2:
        along = np.linalg.svd(topography)[2][0] if normals is None else normals[source]
        topography = topography @ along
    size = np.linalg.norm(topography)
    if not size > 0:
        raise InputError(f"no sensor sees source {source}; leave it out")
    course = np.zeros(obs.n_functions)
    course[(obs.values**2).sum(axis=0).argmax()] = 1.0
    length = np.sqrt(10 ** (snr_db / 10) * obs.values.size)
    values = length * np.outer(topography / size, course)
    volts = obs.whitener.colorer @ values @ obs.time_basis.functions.T
    recording = replace(obs.recording, values=volts, segments=None)
    return replace(obs, values=values, recording=recording)
