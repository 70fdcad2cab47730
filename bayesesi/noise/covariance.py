"""What the noise is like across channels, and how well that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.noise.temporal import fit_autocorrelation

if TYPE_CHECKING:
    import mne

#: Standard deviations of MNE's ad hoc covariance: V, T, T/m.
ADHOC_SD = {"eeg": 0.2e-6, "mag": 20e-15, "grad": 5e-13}


@dataclass(frozen=True, eq=False)
class NoiseCovariance:
    """Covariance of noise across channels, in the recording's units squared.

    Attributes
    ----------
    matrix : (C, C), of noise averaged over ``nave`` trials.
    ch_names : C.
    nave : trials averaged in what the covariance was computed from (1: single trials).
    dof : independent samples behind the estimate; None if it is not an estimate.
    origin : ``"given"``, ``"baseline"`` or ``"adhoc"``.
    autocorrelation : (n_lags,) at ``sfreq`` Hz, r(0) = 1, or None where unknown.
    """

    matrix: NDArray[np.float64]
    ch_names: tuple[str, ...]
    nave: int = 1
    dof: float | None = None
    origin: str = "given"
    autocorrelation: NDArray[np.float64] | None = None
    sfreq: float | None = None

    def __post_init__(self) -> None:
        n = len(self.ch_names)
        matrix = np.asarray(self.matrix, float)
        if matrix.shape != (n, n):
            raise InputError(
                f"the noise covariance has shape {matrix.shape} for {n} channel names; it must be "
                f"({n}, {n})"
            )
        if not np.isfinite(matrix).all() or (np.diag(matrix) < 0).any():
            raise InputError(
                "the noise covariance has values that are not finite or negative variances; "
                "compute it anew without bad channels and segments"
            )
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * np.abs(matrix).max()):
            raise InputError("the noise covariance is not symmetric; compute it anew")
        if self.nave < 1:
            raise InputError(f"nave is the number of averaged trials, at least 1, not {self.nave}")
        object.__setattr__(self, "matrix", (matrix + matrix.T) / 2)

    def pick(self, names: Sequence[str]) -> NoiseCovariance:
        """Rows and columns of these channels.

        Raises
        ------
        InputError : naming channels the covariance does not have.
        """
        place = {name: i for i, name in enumerate(self.ch_names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise InputError(
                f"the noise covariance has no channel {some(missing)}; compute it from the same "
                "channels as the recording, or mark them as bad"
            )
        chosen = np.array([place[name] for name in names], dtype=np.int64)
        return replace(self, matrix=self.matrix[np.ix_(chosen, chosen)], ch_names=tuple(names))

    def for_average(self, nave: float) -> NoiseCovariance:
        """Of noise averaged over ``nave`` trials: independent trials average as 1/nave."""
        return replace(self, matrix=self.matrix * (self.nave / nave), nave=max(1, round(nave)))

    @classmethod
    def from_mne(cls, cov: mne.Covariance) -> NoiseCovariance:
        """An ``mne.Covariance``; diagonal ones become full."""
        data = np.asarray(cov["data"], float)
        return cls(
            np.diag(data) if data.ndim == 1 else data,
            tuple(cov["names"]),
            dof=float(cov["nfree"]) if cov.get("nfree", 0) > 0 else None,
        )

    @classmethod
    def from_samples(
        cls,
        segments: NDArray[np.floating],
        ch_names: Sequence[str],
        sfreq: float,
        nave: int = 1,
        shrinkage: float | Literal["ledoit-wolf"] | None = None,
    ) -> NoiseCovariance:
        """From stretches of noise (n, C, T) or (C, T), each about its own mean.

        ``shrinkage`` pulls towards a multiple of the identity on the scale of each channel: a
        weight in [0, 1] or Ledoit & Wolf's (2004, doi:10.1016/S0047-259X(03)00096-4). The
        degrees of freedom count samples that are independent by the fitted autocorrelation.

        Raises
        ------
        InputError : values that are not finite, or fewer than 2 samples.
        """
        segments = np.atleast_3d(np.asarray(segments, float))
        if segments.shape[1] != len(ch_names):
            segments = np.asarray(segments, float).reshape(-1, len(ch_names), segments.shape[1])
        if not np.isfinite(segments).all() or segments.shape[2] < 2:
            raise InputError(
                "noise segments must be finite and at least 2 samples long; cut out bad stretches"
            )
        n, _, length = segments.shape
        centred = segments - segments.mean(axis=2, keepdims=True)
        matrix = np.einsum("nct,ndt->cd", centred, centred, optimize=True) / (n * (length - 1))
        if shrinkage is not None:
            matrix = _shrink(matrix, centred, shrinkage)
        autocorrelation, independent = None, 1.0
        if length >= 8:
            sd = np.sqrt(np.maximum(np.diag(matrix), 1e-300))[:, None]
            autocorrelation = fit_autocorrelation(centred / sd, sfreq, max(length, int(sfreq)))
            independent = 1 / (1 + 2 * (autocorrelation[1:length] ** 2).sum())
        return cls(
            matrix,
            tuple(ch_names),
            nave,
            max(1.0, n * (length - 1) * independent),
            "baseline",
            autocorrelation,
            sfreq,
        )

    @classmethod
    def adhoc(
        cls, ch_names: Sequence[str], kinds: Sequence[str], sd: dict[str, float] | None = None
    ) -> NoiseCovariance:
        """Independent channels with a standard deviation a kind (MNE's unless given)."""
        level = {**ADHOC_SD, **(sd or {})}
        return cls(np.diag([level[kind] ** 2 for kind in kinds]), tuple(ch_names), origin="adhoc")


def _shrink(
    matrix: NDArray[np.float64],
    centred: NDArray[np.float64],
    shrinkage: float | Literal["ledoit-wolf"],
) -> NDArray[np.float64]:
    sd = np.sqrt(np.diag(matrix))
    if shrinkage == "ledoit-wolf":
        from sklearn.covariance import ledoit_wolf_shrinkage

        samples = np.moveaxis(centred / sd[:, None], 1, 2).reshape(-1, len(sd))
        weight = float(ledoit_wolf_shrinkage(samples, assume_centered=True))
    else:
        weight = float(shrinkage)
    if not 0 <= weight <= 1:
        raise InputError(f"shrinkage is a weight in [0, 1] or 'ledoit-wolf', not {shrinkage!r}")
    return (1 - weight) * matrix + weight * np.diag(sd**2)


def read_noise_cov(path: str | Path) -> NoiseCovariance:
    """Read a ``-cov.fif`` file.

    Raises
    ------
    InputError : a missing or empty file, or one without a covariance.
    """
    import mne

    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        state = "is empty" if path.is_file() else "does not exist"
        raise InputError(f"{path.name} {state}; give a -cov.fif file of the same recording")
    try:
        cov = mne.read_cov(path, verbose="error")
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{path.name} is no readable noise covariance; give a -cov.fif file as "
            "mne.compute_covariance(...).save writes it"
        ) from error
    return NoiseCovariance.from_mne(cov)
