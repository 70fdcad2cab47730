"""The draws of 256 cases at once, their topographies on the scalp and the size of their noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import template_source_space, template_volume
from bayesesi.forward import template_bank
from bayesesi.prior import HeadPrior


@dataclass(frozen=True, eq=False)
class DrawnBlock:
    """All that is drawn for 256 cases; the batches of sessions are cut from it.

    Attributes
    ----------
    first : number of its first case. draws : site -> (256, ...).
    patterns : (256 K, S) A m, patterns of K slots a case on S sources. tangents, volume : the same
        of dipoles along the cortex (256 K, 3 S) and in the volume (256 K, 3 V), where there are
        any.
    courses : (256, K, T) at most 1. snr : (256,) dB, where it is declared.
    noise_heads, noise : site -> (n_sessions, ...).
    """

    first: int
    draws: dict[str, NDArray[Any]]
    patterns: sp.csr_array
    tangents: sp.csr_array | None
    volume: sp.csr_array | None
    courses: NDArray[np.float64]
    snr: NDArray[np.float64] | None
    noise_heads: dict[str, NDArray[Any]]
    noise: dict[str, NDArray[Any]]


def single(rows: sp.csr_array | None) -> sp.csr_array | None:
    """Cast ``rows`` (n, S) to single precision where there are any."""
    return None if rows is None else rows.astype(np.float32)


@cache
def _to_volume() -> sp.csr_array:
    """(3 S, 3 V): across the normal a source is seen as the nearest point of the volume would be.

    The bank holds cortical dipoles along the normal alone, and free ones in the volume, the
    nearest of them 4 mm away (median; 99 %: 7 mm).
    """
    cortex, volume = template_source_space(5).positions, template_volume().positions
    nearest = KDTree(volume).query(cortex)[1]
    place = (np.arange(len(cortex)), nearest)
    points = sp.csr_array((np.ones(len(cortex), np.float32), place), (len(cortex), len(volume)))
    return sp.csr_array(sp.kron(points, np.eye(3, dtype=np.float32), format="csr"))


def scalp_topographies(block: DrawnBlock, head: HeadPrior, n_slots: int) -> NDArray[np.float32]:
    """Return (256 K, V) V: every source at its peak, in its case's own head, all over the scalp.

    Parameters
    ----------
    block : of 256 cases. head : the prior that their heads were drawn from.
    n_slots : K, sources that a case may have.
    """
    held = np.diff(block.patterns.indptr)
    used = np.flatnonzero(held if block.volume is None else held + np.diff(block.volume.indptr))
    case = used // n_slots
    bank = template_bank()
    modes = bank.to_modes(block.patterns[used], slice(0, block.patterns.shape[1]))
    if head.folds is not None:
        change = head.folds.change(block.patterns[used], block.draws, case)
        modes += bank.to_free_modes(change)
    if block.tangents is not None:
        modes += bank.to_modes(block.tangents[used] @ _to_volume(), bank.volume)
    if block.volume is not None:
        modes += bank.to_modes(block.volume[used], bank.volume)
    at_scalp = bank.scalp_potentials(head.settings(block.draws), modes, case)
    size = block.draws["size"][case, None].astype(np.float32)
    every = np.zeros((block.patterns.shape[0], at_scalp.shape[1]), np.float32)
    every[used] = at_scalp / size**2
    return every


def noise_scale(
    event: NDArray[np.float32],
    expected: NDArray[np.floating],
    snr_db: NDArray[np.float64] | None,
    rows: slice,
    before: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute (n,) factors on the noise, and (n,) SNR in dB that cases then have.

    Where an SNR is declared, noise takes its size from the event; a case without one takes that of
    the case before it, so that the size of noise does not tell whether there is an event.

    Parameters
    ----------
    event : (n, C, T) V. expected : (n,) V², mean square of the noise of each case, level changes
        included. snr_db : (256,) of the block, or None. rows : of the block, that the cases are.
    before : factor of the last case before these.
    """
    power = (event.astype(float) ** 2).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        ratio = 10 * np.log10(power / expected)
    if snr_db is None:
        return np.ones(len(event)), ratio
    wanted = snr_db[rows]
    active = np.flatnonzero(power > 0)
    scale = np.full(len(event), before)
    if len(active):
        scale[active] = 10 ** ((ratio[active] - wanted[active]) / 20)
        order = np.searchsorted(active, np.arange(len(event)), "right") - 1
        scale = scale[active[order]]  # -1, before the first active one, is the last
    return scale, np.where(power > 0, wanted, -np.inf)
