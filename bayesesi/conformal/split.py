"""Cases of a conformal split, and the rules they give at any level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from bayesesi.conformal.regions import (
    ConformalRule,
    Guarantee,
    conformal_rank,
    conformalize,
)
from bayesesi.errors import InputError
from bayesesi.spec.base import Table

#: Where cells of recordings part: channels, and dB of power of the whitened data (pure noise: 0).
CHANNELS, DATA_SNR_DB = 48, (3.0, 8.0)
#: Cases that cells need to speak for themselves; else all of their power, or all cases, do.
LEAST_CASES = 300
#: How often noise alone is called an event by the null test, unless asked otherwise.
FALSE_ALARM = 0.05

_POWERS = ("faint", "middling", "loud")
CELLS: tuple[str, ...] = tuple(
    f"{power}, {few}" for few in ("few channels", "many channels") for power in _POWERS
)


def cell_of(
    channels: NDArray[np.floating] | float, data_snr_db: NDArray[np.floating] | float
) -> NDArray[np.int64]:
    """Find the cell of ``CELLS`` that each recording belongs to, as its index.

    Parameters
    ----------
    channels : scalar or (n,), number of channels.
    data_snr_db : scalar or (n,), dB of power of the whitened data (pure noise: 0).
    """
    power = np.searchsorted(DATA_SNR_DB, np.asarray(data_snr_db, float), side="right")
    many = np.asarray(channels, float) >= CHANNELS
    return np.asarray(power + len(_POWERS) * many, np.int64)


@dataclass(frozen=True, eq=False)
class Cell:
    """Name the cases that a recording is compared with.

    Attributes
    ----------
    words : which cases they are, compared with the recording. rows : (m,) their indices.
    """

    words: str
    rows: NDArray[np.int64]


class ConformalSplit(Table):
    """Hold cases that nothing else was chosen on.

    Attributes
    ----------
    active : (n,) rows, one a case in which something is active: scores of its active regions.
    peak : (n,) score of the region of the strongest activity.
    cell : see ``cell_of``. mode_error_mm : from the map's mode to the truth.
    mask : scores of truly active sources, at even quantiles.
    nothing : (m,), of each case without an event, the score of "nothing is active".
    """

    active: tuple[tuple[float, ...], ...]
    peak: tuple[float, ...]
    cell: tuple[int, ...]
    mode_error_mm: tuple[float, ...] = ()
    mask: tuple[tuple[float, ...], ...] = ()
    nothing: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _alike(self) -> ConformalSplit:
        n = len(self.active)
        for name in ("peak", "cell", "mode_error_mm", "mask"):
            if len(getattr(self, name)) not in ({n} if name in ("peak", "cell") else {0, n}):
                raise ValueError(f"{name} has another number of cases than active, {n}")
        if any(len(row) != len(self.mask[0]) for row in self.mask) or () in self.mask:
            raise ValueError("mask has as many numbers for each case, one at least")
        if any(error < 0 for error in self.mode_error_mm):
            raise ValueError("mode_error_mm is of distances, 0 or more")
        if not all(self.active):
            raise ValueError("a case of active has no region")
        if any(not 0 <= c < len(CELLS) for c in self.cell):
            raise ValueError(f"cell goes from 0 to {len(CELLS) - 1}")
        return self

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        active: NDArray[np.bool_],
        peak: NDArray[np.integer],
        channels: NDArray[np.floating],
        data_snr_db: NDArray[np.floating],
        nothing: NDArray[np.floating] | None = None,
        mode_error_mm: NDArray[np.floating] | None = None,
        mask: NDArray[np.floating] | None = None,
    ) -> ConformalSplit:
        """Collect the cases; one without an active region is a case of nothing.

        Parameters
        ----------
        scores : (n, P), larger where a region is more plausible. active : (n, P) mask.
        peak : (n,) the strongest region, valid wherever something is active.
        channels : (n,) number of channels. data_snr_db : (n,) dB of power of the whitened data.
        nothing : (n,) score of "nothing is active". mode_error_mm : (n,) mm, NaN where unknown.
        mask : (n, Q) scores of truly active sources at Q even quantiles.
        """
        loud = active.any(axis=1)
        own = np.take_along_axis(np.asarray(scores, float), peak[:, None], axis=1)[:, 0]
        cells = cell_of(channels, data_snr_db)
        found: dict[str, Any] = {}
        if nothing is not None:
            found["nothing"] = _plain(nothing[~loud])
        if mode_error_mm is not None:
            found["mode_error_mm"] = _plain(np.nan_to_num(mode_error_mm[loud], nan=_FAR_MM))
        if mask is not None:
            found["mask"] = tuple(_plain(row) for row in mask[loud])
        return cls(
            active=tuple(
                _plain(np.sort(s[a])) for s, a in zip(scores[loud], active[loud], strict=True)
            ),
            peak=_plain(own[loud]),
            cell=tuple(int(c) for c in cells[loud]),
            **found,
        )

    def __len__(self) -> int:
        return len(self.active)

    def __repr__(self) -> str:
        return f"<ConformalSplit | {len(self)} cases with an event, {len(self.nothing)} without>"

    __str__ = __repr__

    def cell_for(self, channels: float, data_snr_db: float) -> Cell:
        """Choose the cases that a recording is compared with: its cell, all of its power, or all.

        Recordings and cases are parted alike: where one of two cells has too few cases both use
        those of their power, and where one power has too few all use all. Otherwise cases of a
        cell with a rule of its own would stand behind sets of another.

        Parameters
        ----------
        channels : number of channels. data_snr_db : dB of power of the whitened data.
        """
        own, every = int(cell_of(channels, data_snr_db)), np.array(self.cell, int)
        count = np.bincount(every, minlength=len(CELLS)).reshape(2, len(_POWERS))
        power = own % len(_POWERS)
        many = "many" if own >= len(_POWERS) else "few"
        if count.sum(axis=0).min() < LEAST_CASES:
            return Cell("of any signal power and number of channels", np.arange(len(every)))
        if count[:, power].min() < LEAST_CASES:
            inside = every % len(_POWERS) == power
            words = "with similar signal power and any number of channels"
            return Cell(words, np.flatnonzero(inside))
        words = f"with similar signal power and similarly {many} channels"
        return Cell(words, np.flatnonzero(every == own))

    def rule(
        self,
        level: float = 0.9,
        guarantee: Guarantee = "every",
        cell: Cell | None = None,
        confidence: float | None = None,
    ) -> ConformalRule:
        """Make the rule of sets of regions from the cases of a cell, or from all.

        Parameters
        ----------
        level : 0.5 to 0.99. guarantee : one of ``GUARANTEES``. cell : its cases; None for all.
        confidence : for ``"recall"``, see ``conformalize``: a probability, 0.5 to 0.99.

        Raises
        ------
        InputError : no cases, a level outside its range.
        """
        rows = np.arange(len(self)) if cell is None else cell.rows
        if not len(rows):
            raise InputError("this card has no cases with an event, so no set has a guarantee")
        if guarantee == "peak":
            scores = np.array(self.peak)[rows, None]
            return conformalize(scores, np.ones(scores.shape, bool), level, "peak", step=_STEP)
        scores, active = _padded([self.active[i] for i in rows])
        return conformalize(scores, active, level, guarantee, step=_STEP, confidence=confidence)

    def served(
        self,
        scores: NDArray[np.floating],
        channels: NDArray[np.floating],
        data_snr_db: NDArray[np.floating],
        level: float = 0.9,
        guarantee: Guarantee = "every",
    ) -> NDArray[np.bool_]:
        """Make the sets of n recordings as an (n, P) mask, each by the rule of its own cell.

        Parameters
        ----------
        scores : (n, P). channels : (n,) number of channels. data_snr_db : (n,) dB.
        level : 0.5 to 0.99. guarantee : one of ``GUARANTEES``.
        """
        cells, inside = cell_of(channels, data_snr_db), np.zeros(scores.shape, bool)
        for cell in np.unique(cells):
            rows = np.flatnonzero(cells == cell)
            own = self.cell_for(channels[rows[0]], data_snr_db[rows[0]])
            inside[rows] = self.rule(level, guarantee, own).inside(scores[rows])
        return inside

    def radius_mm(self, level: float = 0.9, cell: Cell | None = None) -> float:
        """Find the mm about the map's mode within which the truth is in a share ``level`` of cases.

        inf where the cases are too few.

        Parameters
        ----------
        level : 0.5 to 0.99. cell : the cases to use; None for all.

        Raises
        ------
        InputError : a split without distances from a mode.
        """
        errors = np.sort(np.array(self.mode_error_mm)[slice(None) if cell is None else cell.rows])
        if not len(errors):
            raise InputError("this card has no distances from the mode")
        rank = conformal_rank(len(errors), level)
        return float(errors[rank - 1]) if rank <= len(errors) else float("inf")

    def mask_rule(self, level: float = 0.9, cell: Cell | None = None) -> ConformalRule:
        """Make the rule of a mask of sources that holds a share of the active ones, on average.

        Parameters
        ----------
        level : that share, 0.5 to 0.99. cell : the cases to use; None for all.

        Raises
        ------
        InputError : a split without scores of sources.
        """
        if not self.mask:
            raise InputError("this card has no scores of sources")
        scores = np.array(self.mask)[slice(None) if cell is None else cell.rows]
        return conformalize(scores, np.ones(scores.shape, bool), level, "recall", step=_STEP)

    def null_p(self, nothing: float) -> float:
        """Compute the p-value of "nothing is active": small where there is an event.

        At most a share alpha of noise has p <= alpha, over cases exchangeable with those here.

        Parameters
        ----------
        nothing : score of "nothing is active", a scalar without unit.

        Raises
        ------
        InputError : a split without cases of nothing.
        """
        if not self.nothing:
            raise InputError("this card has no cases without an event")
        below = int((np.array(self.nothing) <= _plain(np.array([nothing]))[0]).sum())
        return (below + 1) / (len(self.nothing) + 1)


#: Scores that differ by less are told apart by lot; and mm that stand for "nowhere near".
_STEP, _FAR_MM = 1e-9, 300.0


def _plain(values: NDArray[np.floating]) -> tuple[float, ...]:
    """As a file keeps them: what a recording brings is rounded likewise before it is compared."""
    return tuple(float(f"{v:.6g}") for v in np.asarray(values, np.float32))


def _padded(
    rows: Sequence[tuple[float, ...]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n, most) scores, and which of them are there."""
    most = max(map(len, rows))
    scores = np.zeros((len(rows), most))
    there = np.zeros((len(rows), most), bool)
    for i, row in enumerate(rows):
        scores[i, : len(row)], there[i, : len(row)] = row, True
    return scores, there
