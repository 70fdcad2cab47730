"""Trials: a solver's draws on simulated cases beside the truth, which calibration reads.

A trial is one case: the scores that a posterior's draws give to statistics of the field, the same
statistics of the truth, and what kind of case it was. Truth and draws meet on the sources of the
observation; which regions are truly active is read on the finest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.trust.ood_features import OOD_FEATURES

#: Sources that a posterior selects: with this probability of half of the peak or more; as many of
#: them as are kept, evenly chosen.
SELECTED, N_SELECTED = 0.3, 24
#: Quantiles by which scores of sources are kept.
N_MASK = 16
#: What kind of case it was.
STRATA = (
    "simulator",
    "snr_db",
    "data_snr_db",
    "channels",
    "n_eff",
    "functions",
    "sources",
    "depth_mm",
    "skull",
    "cap_mm",
)
#: Levels of CaliBrain's coverage.
CLOSED_LEVELS: tuple[float, ...] = tuple(np.linspace(0, 1, 11).round(1).tolist())


@dataclass(frozen=True, eq=False)
class Trials:
    """Hold n cases of a solver, D draws each, P regions.

    Attributes
    ----------
    scores : (n, P), of a solver that gives no draws; else 0.
    active : (n, P) true. true_peak : (n,) region of the largest moment density, -1 for none.
    energy, moment : (n, D, P) of draws, as ``Summary`` has them, A² and A m.
    true_energy, true_moment : (n, P) of the truth.
    peak : (n, D) region of each draw's largest moment density, -1 for none.
    centre : (n, D, 3) m. total, misfit : (n, D) A m and unitless. true_centre : (n, 3) m.
    true_total, true_misfit : (n,).
    reference : (n, 3) m, the source whose topography fits the data best.
    source_pit : (n, N_SELECTED) ranks of the energy of sources that the
        posterior selects; NaN beyond them.
    mode_error : (n,) m from the source that the posterior selects first to that of the largest true
        moment density; NaN where either is none.
    mask_scores : (n, N_MASK) scores of truly active sources (half of the largest density or more),
        at even quantiles.
    closed : (n, L) share of all sources whose true coefficient lies in the closed central interval
        of ``CLOSED_LEVELS`` (Diaz et al., CaliBrain 1.0: its quantity, to compare).
    signs : (n, F) see ``trust.ood_features``. null : (n,) probability of nothing.
    at_edge : (n,) 1 where the observation is beyond what a network met.
    strata : (n, G) see ``STRATA``. seconds : (n,) of inference.
    """

    scores: NDArray[np.float32]
    active: NDArray[np.bool_]
    true_peak: NDArray[np.int64]
    energy: NDArray[np.float32]
    true_energy: NDArray[np.float32]
    moment: NDArray[np.float32]
    true_moment: NDArray[np.float32]
    peak: NDArray[np.int16]
    centre: NDArray[np.float32]
    true_centre: NDArray[np.float32]
    total: NDArray[np.float32]
    true_total: NDArray[np.float32]
    misfit: NDArray[np.float32]
    true_misfit: NDArray[np.float32]
    reference: NDArray[np.float32]
    source_pit: NDArray[np.float32]
    mode_error: NDArray[np.float32]
    mask_scores: NDArray[np.float32]
    closed: NDArray[np.float32]
    signs: NDArray[np.float32]
    null: NDArray[np.float32]
    at_edge: NDArray[np.float32]
    strata: NDArray[np.float32]
    seconds: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.active)

    def __repr__(self) -> str:
        return f"<Trials | {len(self)} cases, {self.n_draws} draws each>"

    @property
    def n_draws(self) -> int:
        """0 of a solver that gives scores alone."""
        return self.energy.shape[1]

    @property
    def peak_region(self) -> NDArray[np.int64]:
        """(n,) the region of the largest moment density; where it lies in none, the active one of
        the most energy; -1 where nothing is active."""
        energy = np.where(self.active, np.nan_to_num(self.true_energy, nan=1.0), -1.0)
        other = np.where(self.loud, energy.argmax(axis=1), -1)
        return np.where((self.true_peak >= 0) & self.loud, self.true_peak, other)

    @property
    def loud(self) -> NDArray[np.bool_]:
        """(n,) cases in which something is active."""
        return np.asarray(self.active.any(axis=1))

    def sign(self, name: str) -> NDArray[np.float64]:
        """Take one of ``OOD_FEATURES``, (n,).

        Parameters
        ----------
        name : of the feature.
        """
        return np.asarray(self.signs[:, OOD_FEATURES.index(name)], float)

    def stratum(self, name: str) -> NDArray[np.float64]:
        """Take one of ``STRATA``, (n,).

        Parameters
        ----------
        name : of the stratum.
        """
        return np.asarray(self.strata[:, STRATA.index(name)], float)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Trials:
        return Trials(**{name: value[rows] for name, value in self.to_arrays().items()})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """List the arrays by name, for a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Trials:
        """Read trials from arrays by name.

        Parameters
        ----------
        arrays : (n, ...) each, as ``to_arrays`` gives them.
        """
        return cls(**{f.name: arrays[f.name] for f in fields(cls)})

    def checked(self) -> Trials:
        """Check that the arrays fit each other and this version, and return these trials.

        Raises
        ------
        ValueError : they do not.
        """
        n, p = self.active.shape
        regions = len(template_parcellation(4).names)
        fits = all(len(v) == n for v in self.to_arrays().values())
        wide = p == regions == self.energy.shape[2] == self.scores.shape[1]
        known = self.signs.shape[1] == len(OOD_FEATURES) and self.strata.shape[1] == len(STRATA)
        sound = self.n_draws == 0 or (
            np.isfinite(self.energy).all()
            and (self.energy >= 0).all()
            and np.isfinite(self.signs).all()
        )
        if not (fits and wide and known and sound and (self.true_peak < regions).all()):
            raise ValueError("arrays that do not belong together")
        return self

    @classmethod
    def joined(cls, parts: Sequence[Trials]) -> Trials:
        """Join trials one after the other.

        Parameters
        ----------
        parts : of one solver; one at least.
        """
        each = [part.to_arrays() for part in parts]
        return cls(**{name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]})
