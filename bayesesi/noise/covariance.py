"""What the noise is like across channels, and how well that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError, some
from bayesesi.noise.temporal import fit_autocovariance, independent_share

if TYPE_CHECKING:
    import mne

#: Standard deviations of MNE's ad hoc covariance: V, T, T/m.
ADHOC_SD = {"eeg": 0.2e-6, "mag": 20e-15, "grad": 5e-13}
#: Seconds over which an autocorrelation is kept: windows are shorter.
_MEMORY = 10.0


@dataclass(frozen=True, eq=False)
class NoiseCovariance:
    """Covariance of noise across channels, in the recording's units squared.

    Attributes
    ----------
    matrix : (C, C), of noise averaged over ``nave`` trials.
    ch_names : C.
    nave : number of trials averaged in what the covariance was computed from (1: single trials).
    dof : number of samples behind the estimate, independent ones where an autocorrelation says how
        many those are; None if it is not an estimate.
    origin : ``"given"``, ``"baseline"`` or ``"adhoc"``.
    autocorrelation : (n_lags,) at ``sfreq`` Hz, r(0) = 1, or None where unknown.
    """

    matrix: NDArray[np.float64]
    ch_names: tuple[str, ...]
    nave: float = 1
    dof: float | None = None
    origin: str = "given"
    autocorrelation: NDArray[np.float64] | None = None
    sfreq: float | None = None

    def __post_init__(self) -> None:
        matrix = real_array(self.matrix, "the noise covariance")
        names = tuple(str(name) for name in self.ch_names)
        n = len(names)
        if matrix.shape != (n, n):
            raise InputError(
                f"the noise covariance has shape {matrix.shape} for {n} channel names; it must be "
                f"({n}, {n})"
            )
        if len(set(names)) < n:
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"channel names must differ; {some(twice)} occur twice")
        if not np.isfinite(matrix).all() or (np.diag(matrix) < 0).any():
            raise InputError(
                "the noise covariance has values that are not finite or negative variances; "
                "compute it again without bad channels and segments"
            )
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * np.abs(matrix).max()):
            raise InputError("the noise covariance is not symmetric; compute it again")
        positive(self.nave, "nave, the number of averaged trials,")
        object.__setattr__(self, "matrix", (matrix + matrix.T) / 2)
        object.__setattr__(self, "ch_names", names)

    def pick(self, names: Sequence[str]) -> NoiseCovariance:
        """Keep rows and columns of the channels ``names``, in this order.

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
        """Scale to noise averaged over a number of trials, ``nave``: they average as 1/nave."""
        return replace(self, matrix=self.matrix * (self.nave / nave), nave=nave)

    @classmethod
    def from_mne(cls, cov: mne.Covariance) -> NoiseCovariance:
        """Convert ``cov`` of MNE; diagonal ones become full, ``nfree`` becomes ``dof``."""
        data = real_array(cov["data"], "the noise covariance")
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
        nave: float = 1,
        shrinkage: float | Literal["ledoit-wolf"] | None = None,
    ) -> NoiseCovariance:
        """Estimate the covariance from stretches of noise, each about its own mean.

        The matrix is that of noise at one moment: variance that went with the means is put back by
        the fitted autocorrelation, for which a stretch has to be at least 8 samples long. The
        autocorrelation kept is that of spatially whitened noise where there is enough of it: what
        is strong on the channels is slow, what whitening raises to the same level need not be.

        Parameters
        ----------
        segments : (n, C, T) or (C, T), V (T, T/m for MEG). ch_names : C. sfreq : Hz.
        nave : number of trials that each sample averages.
        shrinkage : weight in [0, 1] of independent channels of the same variances, or Ledoit &
            Wolf's (2004, doi:10.1016/S0047-259X(03)00096-4) for as many samples as are independent
            by the fitted autocorrelation, which ``dof`` counts, too.

        Raises
        ------
        InputError : another shape, values that are not finite, or fewer than 2 samples.
        """
        segments = real_array(segments, "noise segments")
        segments = segments[None] if segments.ndim == 2 else segments
        if segments.ndim != 3 or segments.shape[1] != len(ch_names):
            raise InputError(
                f"noise segments have shape {segments.shape}; for {len(ch_names)} channels they "
                f"must be (n, {len(ch_names)}, n_times)"
            )
        sfreq = positive(sfreq, "sfreq, the sampling rate in Hz,")
        if not np.isfinite(segments).all() or segments.shape[2] < 2:
            raise InputError(
                "noise segments must be finite and at least 2 samples long; remove bad segments"
            )
        n, _, length = segments.shape
        centred = segments - segments.mean(axis=2, keepdims=True)
        matrix = np.einsum("nct,ndt->cd", centred, centred, optimize=True) / (n * (length - 1))
        scaled = centred / np.sqrt(np.maximum(np.diag(matrix), 1e-300))[:, None]
        size, autocorrelation, independent = 1.0, None, 1.0
        if length >= 8:
            r = fit_autocovariance(scaled, sfreq, max(length, int(_MEMORY * sfreq)))
            size, autocorrelation = float(r[0]), r / r[0]
            independent = independent_share(r[:length])
        if shrinkage is not None:
            weight = _shrinkage_weight(shrinkage, scaled, independent)
            matrix = (1 - weight) * matrix + weight * np.diag(np.diag(matrix))
        dof = max(1.0, n * (length - 1) * independent)
        if autocorrelation is not None and dof > 2 * len(ch_names):
            whitened = _whitened(centred, matrix)
            r = fit_autocovariance(whitened, sfreq, len(autocorrelation))
            autocorrelation = r / r[0]
        return cls(
            matrix * size,
            tuple(ch_names),
            nave,
            dof,
            "baseline",
            autocorrelation,
            sfreq,
        )

    @classmethod
    def adhoc(
        cls, ch_names: Sequence[str], kinds: Sequence[str], sd: dict[str, float] | None = None
    ) -> NoiseCovariance:
        """Make independent channels with one standard deviation a kind.

        ``ch_names`` and ``kinds`` are of C channels; ``sd`` maps a kind to V, T or T/m (MNE's
        where it does not).
        """
        level = {**ADHOC_SD, **(sd or {})}
        return cls(np.diag([level[kind] ** 2 for kind in kinds]), tuple(ch_names), origin="adhoc")


def _whitened(segments: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k, T): uncorrelated channels of unit variance, on the matrix' rank."""
    values, vectors = np.linalg.eigh(matrix)
    keep = values > 1e-8 * values[-1]
    return np.asarray((vectors[:, keep] / np.sqrt(values[keep])).T @ segments)


def real_array(values: Any, what: str) -> NDArray[np.float64]:
    """Copy ``values`` that are real numbers as float64; ``what`` begins the sentence of the error.

    Raises
    ------
    InputError : values of another type, or rows of different lengths.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{what} must hold real numbers, not {array.dtype} values; convert to float first"
        )
    return array.astype(float)


def positive(value: Any, what: str) -> float:
    """Check that ``value`` is a positive, finite number; ``what`` begins the sentence of the error.

    Raises
    ------
    InputError : a value that is none.
    """
    if not (isinstance(value, Real) and 0 < float(value) < np.inf):
        raise InputError(f"{what} is a positive number, not {some([value])}")
    return float(value)


def _shrinkage_weight(
    shrinkage: float | Literal["ledoit-wolf"], scaled: NDArray[np.float64], independent: float
) -> float:
    if isinstance(shrinkage, str) and shrinkage == "ledoit-wolf":
        from sklearn.covariance import ledoit_wolf_shrinkage

        samples = np.moveaxis(scaled, 1, 2).reshape(-1, scaled.shape[1])
        # its estimate of the error takes samples for independent ones
        return min(1.0, float(ledoit_wolf_shrinkage(samples, assume_centered=True)) / independent)
    if not (isinstance(shrinkage, Real) and 0 <= float(shrinkage) <= 1):
        raise InputError(
            f"shrinkage is a weight in [0, 1] or 'ledoit-wolf', not {some([shrinkage])}"
        )
    return float(shrinkage)


def read_noise_cov(path: str | Path) -> NoiseCovariance:
    """Read the ``-cov.fif`` file at ``path``.

    Raises
    ------
    InputError : a missing or empty file, or one without a covariance.
    """
    import mne

    if not isinstance(path, str | Path):
        raise InputError(f"a -cov.fif file is named by its path, not by {type(path).__name__}")
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        state = "is empty" if path.is_file() else "is not a file"
        raise InputError(f"{path.name} {state}; give a -cov.fif file of the same recording")
    try:
        cov = mne.read_cov(path, verbose="error")
    except Exception as error:  # MNE raises many kinds for foreign files
        raise InputError(
            f"{path.name} is not a readable noise covariance; give a -cov.fif file as "
            "mne.compute_covariance(...).save writes it"
        ) from error
    return NoiseCovariance.from_mne(cov)
