"""Check whether each channel is as the others predict, and one half of the trials as the other.

Checks on a real recording, without a truth.

The whitener W (n_eff, C) takes the reference out; Q = W' W is then the precision of noise whose
reference is unknown (the limit of (C + a 11')^-1 for a -> infinity). A channel given all others,
its noise and a draw J is Gaussian, with the standardised error

    z_c = (W_c' (v~ - L~ J)) / |W_c|,

so that its predictive probability is a mean of normal ones over draws. Draws have seen the channel;
weights 1 / p(v_c | v_-c, J) take that back (leave-one-out by importance; Gelfand, Dey & Chang 1992;
Vehtari, Gelman & Gabry 2017, doi:10.1007/s11222-016-9696-4), cut off at sqrt(D) of their mean.

Without a posterior, all sources alike and Gaussian with power t: K = I + t L~ L~' stands for I, and
z_c = (W_c' K^-1 v~) / sqrt(W_c' K^-1 W_c) (kriging; Dubrule 1983, doi:10.1007/BF01033232).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from bayesesi.errors import InputError
from bayesesi.observation import Observation, project

#: Powers of the sources over that of the noise that are tried, of mean variance 1 a channel.
_POWERS = 10.0 ** np.linspace(-2, 4, 25)


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Hold predictions of the numbers of a recording, each left out.

    Attributes
    ----------
    pit : (C, R) probability of less than what was measured: uniform if predicted rightly.
    log_score : (C, R) log density of what was measured, in units of its noise.
    """

    pit: NDArray[np.float64]
    log_score: NDArray[np.float64]

    def coverage(self, level: float) -> float:
        """Compute the share of numbers in the central interval of a level.

        Parameters
        ----------
        level : 0 to 1.
        """
        return float((np.abs(2 * self.pit - 1) <= level).mean())


def held_out_channels(obs: Observation, explained: NDArray[np.float64]) -> PredictiveCheck:
    """Predict each channel from the others, see the module.

    Parameters
    ----------
    obs : the data. explained : (D, n_eff, R), whitened, by draws of the posterior.
    """
    columns = obs.whitener.matrix / np.linalg.norm(obs.whitener.matrix, axis=0)
    z = columns.T @ (obs.values - explained)  # (D, C, R)
    log_density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    log_weight = -log_density
    log_weight -= logsumexp(log_weight, axis=0)
    cut = np.minimum(log_weight, -0.5 * np.log(len(z)))
    cut -= logsumexp(cut, axis=0)
    return PredictiveCheck(
        np.asarray((np.exp(cut) * ndtr(z)).sum(axis=0)),
        np.asarray(logsumexp(cut + log_density, axis=0)),
    )


def held_out_trials(
    obs: Observation, other: Observation, explained: NDArray[np.float64]
) -> PredictiveCheck:
    """Check whether other trials are as draws of the posterior of ``obs`` predict them.

    Given a draw the whitened numbers of the others are N(L~ J, 1); ranks and log densities are
    means over draws. Where the posterior is calibrated the ranks are uniform on (0, 1).

    Parameters
    ----------
    obs : the data. other : the average of as many trials of the same session and window.
    explained : (D, n_eff, R), whitened, by draws of the posterior of ``obs``.

    Raises
    ------
    InputError : another window or other channels, another number of trials.
    """
    alike = obs.whitener.ch_names == other.whitener.ch_names
    times = (obs.recording.times, other.recording.times)
    alike = alike and times[0].shape == times[1].shape and np.allclose(*times)
    alike = alike and obs.recording.values.shape == other.recording.values.shape
    if not alike:
        raise InputError("held-out trials need the same channels and window as the others")
    if obs.recording.nave != other.recording.nave:
        raise InputError(
            f"held-out trials are as many as the others, {other.recording.nave:g} are not "
            f"{obs.recording.nave:g}: their noise would differ"
        )
    values = project(other.recording.values, obs.whitener, obs.time_basis)
    z = values - explained
    log_density = logsumexp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi), axis=0) - np.log(len(z))
    return PredictiveCheck(np.asarray(ndtr(z).mean(axis=0)), np.asarray(log_density))


@dataclass(frozen=True, eq=False)
class Kriging:
    """Hold channels predicted by the others from the lead field alone.

    Attributes
    ----------
    z : (C, R) standardised errors. power : t at the largest likelihood, ratio to the noise.
    foreseen : share of the squared errors that remain if noise alone predicts each channel, which
        the sources take away; may be below 0.
    """

    z: NDArray[np.float64]
    power: float
    foreseen: float


def krige(obs: Observation) -> Kriging:
    """Predict each channel from the others by the lead field alone, see the module.

    Parameters
    ----------
    obs : the data.
    """
    leadfield = obs.leadfield.reshape(obs.n_eff, -1)
    leadfield = leadfield / np.linalg.norm(leadfield, axis=0)  # places alike, deep ones too
    values, vectors = np.linalg.eigh(leadfield @ leadfield.T)
    values = np.maximum(values, 0) / values.mean()
    turned, across = vectors.T @ obs.values, vectors.T @ obs.whitener.matrix
    power = (turned**2).sum(axis=1)
    spectrum = 1 + _POWERS[:, None] * values
    fit = -0.5 * (obs.n_functions * np.log(spectrum) + power / spectrum).sum(axis=1)
    best = int(fit.argmax())
    precision = 1 / spectrum[best]
    raw = across.T @ (precision[:, None] * turned)
    width = ((across**2) * precision[:, None]).sum(axis=0)[:, None]
    alone, noise = obs.whitener.matrix.T @ obs.values, (obs.whitener.matrix**2).sum(axis=0)[:, None]
    missed = ((raw / width) ** 2 * noise).sum() / ((alone / noise) ** 2 * noise).sum()
    return Kriging(raw / np.sqrt(width), float(_POWERS[best]), float(1 - missed))
