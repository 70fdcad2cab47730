"""The noise that never pauses: a stationary Gaussian process on the channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

#: Hz: below this the 1/f of background activity levels off.
_KNEE = 0.25
#: Of the filter's slopes: a Butterworth's order, forwards and backwards.
_ORDER = 4
#: Relative power of white noise on every channel that keeps the spectrum's matrix definite.
_FLOOR = 1e-9


def frequencies(n_times: int, sfreq: float) -> NDArray[np.float64]:
    """List the frequencies of a spectrum, (F,) Hz, for ``n_times`` samples at ``sfreq`` Hz.

    So fine that noise does not repeat within a window, and for 4 s at least.
    """
    size = 2 ** int(np.ceil(np.log2(max(2 * n_times, 4 * sfreq))))
    return np.asarray(np.fft.rfftfreq(size, 1 / sfreq), float)


def band_pass(grid: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Compute (F,) the share of power that a filter leaves at ``grid`` (F,) Hz.

    A zero-phase Butterworth filter; ``low`` and ``high`` are its ends in Hz.
    """
    ratio = np.divide(low, grid, out=np.full_like(grid, np.inf), where=grid > 0)
    passed = 1 / (1 + ratio ** (2 * _ORDER)) if low > 0 else np.ones_like(grid)
    return np.asarray(passed**2 / (1 + (grid / high) ** (2 * _ORDER)) ** 2)


def power_law(grid: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Compute 1/f^exponent at ``grid`` (F,) Hz, level below a knee, for an ``exponent``.

    He et al. 2010, doi:10.1016/j.neuron.2010.04.020.
    """
    return np.asarray(np.maximum(grid, _KNEE) ** -float(exponent))


def peak(grid: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    """Compute a Gaussian bump at ``grid`` (F,) Hz; ``centre`` and ``width``, its sd, are in Hz."""
    return np.asarray(np.exp(-0.5 * ((grid - centre) / width) ** 2))


@dataclass(frozen=True, eq=False)
class NoiseProcess:
    """Noise with cross-spectrum S(f) = sum_c p_c(f) Sigma_c, real: channels differ in size only.

    Attributes
    ----------
    covariances : (k, C, C) V² of each component at one moment.
    spectra : (k, F) share of a component's power in each bin of ``frequencies``; rows sum to 1.
    """

    covariances: NDArray[np.float64]
    spectra: NDArray[np.float64]

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """(C, C) V² at one moment."""
        return np.asarray(self.covariances.sum(axis=0))

    @property
    def size(self) -> int:
        """Samples of the period on which spectra live."""
        return 2 * (self.spectra.shape[1] - 1)

    @cached_property
    def autocorrelation(self) -> NDArray[np.float64]:
        """(size / 2,): of the mean over spatially whitened channels, r(0) = 1.

        Components differ in space and in spectrum, a whitener of time and space together takes
        one r for all: with W W' = Sigma^-1, r(lag) = sum_c tr(W Sigma_c W') r_c(lag) / C leaves
        whitened noise the power 1 at every frequency, on average over channels (one step of
        separable maximum likelihood, Dutilleul 1999, J Stat Comput Simul 64:105).
        """
        values, vectors = np.linalg.eigh(self.covariance)
        keep = values > _FLOOR * values[-1]
        whitener = vectors[:, keep] / np.sqrt(values[keep])
        share = np.einsum("ir,kij,jr->k", whitener, self.covariances, whitener, optimize=True)
        return np.asarray(share @ self.autocovariances[:, : self.size // 2] / share.sum())

    @cached_property
    def autocovariances(self) -> NDArray[np.float64]:
        """(k, size) of each component at unit power."""
        share = np.full(self.spectra.shape[1], 0.5)
        share[[0, -1]] = 1.0
        return np.fft.irfft(self.spectra * share, axis=1) * self.size

    @cached_property
    def _factor(self) -> torch.Tensor:
        """(C, C) of all power, for a single moment."""
        return torch.linalg.cholesky(_definite(torch.from_numpy(self.covariance)))

    @cached_property
    def _factors(self) -> torch.Tensor:
        """(F, C, C) lower triangular, S(f) = factor factor'."""
        k, c, _ = self.covariances.shape
        flat = torch.from_numpy(self.spectra.T @ self.covariances.reshape(k, -1))
        floor = _FLOOR * float(np.trace(self.covariance)) / c / self.spectra.shape[1]
        eye = torch.eye(c, dtype=torch.float64)
        return torch.linalg.cholesky(flat.reshape(-1, c, c) + floor * eye).float()

    def draw(self, n: int, n_times: int) -> NDArray[np.float32]:
        """Draw ``n`` stretches of ``n_times`` samples, (n, C, T) V, exact up to half its period.

        x(t) = sum_f [a_f cos(2 pi f t) + b_f sin(2 pi f t)] with a_f, b_f ~ N(0, S(f)).
        """
        c = self.covariances.shape[1]
        if n_times == 1:
            values = torch.randn(n, c) @ self._factor.float().T
            return values[:, :, None].numpy()
        normal = torch.randn(len(self._factors), c, 2 * n)
        waves = torch.bmm(self._factors, normal).reshape(-1, c, n, 2)
        waves *= self.size / 2
        waves[[0, -1]] *= 2  # a bin of no or the highest frequency has one wave, not two
        waves[[0, -1], ..., 1] = 0
        transform = torch.view_as_complex(waves).permute(2, 1, 0)
        return torch.fft.irfft(transform, n=self.size)[..., :n_times].contiguous().numpy()


def _definite(matrix: torch.Tensor) -> torch.Tensor:
    floor = _FLOOR * torch.trace(matrix) / len(matrix)
    return matrix + floor * torch.eye(len(matrix), dtype=matrix.dtype)
