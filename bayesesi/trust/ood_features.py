"""Features that separate recordings like the simulated ones from others.

None needs the truth. They describe the whitened data, how well channels predict each other, and
the posterior; their joint distribution over simulated cases is the reference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior, Summary
from bayesesi.simulator.artifacts import eye_topographies, heart_topography, muscle_topographies
from bayesesi.trust.predictive_check import held_out_channels, krige

#: Names of the signs, in their order.
OOD_FEATURES = (
    "power",  # log10 of the mean square of the whitened data
    "residual",  # log10 of that of what the answer leaves over
    "explained",  # share of it that the answer explains
    "surprise",  # log10 of the mean square error of channels foreseen by the others
    "worst_channel",  # log10 of the largest such mean square of one channel
    "foreseen",  # share of the errors of noise alone that sources take away
    "held_out",  # share of channels in the central 80 % of what draws foresee
    "held_out_score",  # log score of the channels there, squashed
    "smooth",  # share of power in the six smoothest topographies that sources can have
    "smoother",  # and in the twenty smoothest
    "one_channel",  # largest share of power of one channel, times channels, log10
    "one_dipole",  # share of power that the best single source explains
    "artifact",  # log10 of what eyes, muscles, the heart or one electrode explain over that
    "nothing",  # log odds of nothing, squashed
    "spread",  # log10 of the distance of draws from their middle, mm
    "fast",  # mean number of the time function that carries power, of all, 0 to 1
    "channels",  # log10 of independent channels
)
_SMOOTH, _SMOOTHER = 6, 20
_TINY = 1e-12


def ood_features(
    posterior: Posterior, summary: Summary, explained: NDArray[np.float64]
) -> dict[str, float]:
    """Compute the ``OOD_FEATURES`` of a recording, by name.

    Parameters
    ----------
    posterior : of the recording. summary : of its draws.
    explained : (D, n_eff, R), whitened: what the draws explain in the assumed head.
    """
    obs = posterior.obs
    values = obs.values
    power = float((values**2).mean())
    left = float(((values - explained.mean(axis=0)) ** 2).mean())
    kriged, held = krige(obs), held_out_channels(obs, explained)
    by_channel = (kriged.z**2).mean(axis=1)
    null = float(np.clip(posterior.null_probability, 1e-9, 1 - 1e-9))
    found = {
        "power": np.log10(power + _TINY),
        "residual": np.log10(left + _TINY),
        "explained": max(1 - left / (power + _TINY), -1.0),
        "surprise": np.log10(by_channel.mean() + _TINY),
        "worst_channel": np.log10(by_channel.max() + _TINY),
        "foreseen": np.clip(kriged.foreseen, -3, 1),
        "held_out": held.coverage(0.8),
        "held_out_score": _squashed(held.log_score.mean()),
        **_topographies(obs),
        "nothing": _squashed(np.log(null / (1 - null))),
        "spread": np.log10(1.0 + 1e3 * _spread(summary)),
        "fast": _fast(obs),
        "channels": np.log10(obs.n_eff),
    }
    return {name: float(found[name]) for name in OOD_FEATURES}


def _topographies(obs: Observation) -> dict[str, float]:
    leadfield = obs.leadfield.reshape(obs.n_eff, -1)
    leadfield = leadfield / np.linalg.norm(leadfield, axis=0)
    modes = np.linalg.eigh(leadfield @ leadfield.T)[1][:, ::-1]
    total = float((obs.values**2).sum()) + _TINY
    share = ((modes.T @ obs.values) ** 2).sum(axis=1) / total
    volts = ((obs.whitener.colorer @ obs.values) ** 2).sum(axis=1)
    fit = ((leadfield.T @ obs.values) ** 2).sum(axis=1)
    return {
        "smooth": float(share[:_SMOOTH].sum()),
        "smoother": float(share[:_SMOOTHER].sum()),
        "one_channel": float(np.log10(len(volts) * volts.max() / (volts.sum() + _TINY**4))),
        "one_dipole": float(fit.max() / total),
        "artifact": float(np.log10(_artifact_fit(obs) / (fit.max() + _TINY) + _TINY)),
    }


def _artifact_fit(obs: Observation) -> float:
    """Power that the best of the topographies of artifacts explains; 0 without electrodes."""
    electric = np.array([kind == "eeg" for kind in obs.sensors.kinds])
    if not electric.any():
        return 0.0
    places = obs.sensors.positions[electric]
    shapes = np.vstack(
        [*eye_topographies(places), heart_topography(places), muscle_topographies(places)]
    )
    whitener = obs.whitener.matrix[:, electric]
    seen = np.hstack([whitener @ shapes.T, whitener])
    length = np.linalg.norm(seen, axis=0)
    seen = seen[:, length > 0] / length[length > 0]
    return float(((seen.T @ obs.values) ** 2).sum(axis=1).max())


def _spread(summary: Summary) -> float:
    """m: root mean square distance of the draws' centres from their mean."""
    centre = summary.centre[~summary.silent]
    if not len(centre):
        return 0.1  # nothing anywhere
    return float(np.sqrt(((centre - centre.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _fast(obs: Observation) -> float:
    power = (obs.values**2).sum(axis=0)
    return float(power @ np.arange(len(power)) / (len(power) * power.sum() + _TINY))


def _squashed(x: float) -> float:
    return float(np.sign(x) * np.log1p(abs(x)))
