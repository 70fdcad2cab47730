"""Make recordings that are grossly wrong: what trust must notice.

Each function takes case k of a simulated batch and shows it as somebody's mistake would. None is
used to choose a threshold; they measure how often a verdict is fooled.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, toeplitz
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from bayesesi.observation import Observation
from bayesesi.simulator import Batch
from bayesesi.simulator import artifacts as art

#: dB of an artifact's power over that of the noise.
_ARTIFACT_DB = (5.0, 20.0)
_JITTER = 1e-6


def permuted(batch: Batch, k: int) -> Observation:
    """Permute the channels of case ``k`` of a ``batch`` against their names."""
    volts = batch.volts[k]
    return _seen(batch, k, volts[_rng(batch, k).permutation(len(volts))])


def halves_swapped(batch: Batch, k: int) -> Observation:
    """Switch two boxes of an amplifier in case ``k`` of a ``batch``."""
    volts = batch.volts[k]
    half = len(volts) // 2
    return _seen(
        batch, k, np.concatenate([volts[half : 2 * half], volts[:half], volts[2 * half :]])
    )


def units_mixed(batch: Batch, k: int) -> Observation:
    """Give a third of the channels of case ``k`` of a ``batch`` in µV, the others in V.

    Of a half ``observe`` would refuse them.
    """
    volts = batch.volts[k].copy()
    rows = _rng(batch, k).permutation(len(volts))[: len(volts) // 3]
    volts[rows] *= 1e6
    return _seen(batch, k, volts)


def bipolar(batch: Batch, k: int) -> Observation:
    """Take differences of neighbours in a chain, read as if against one reference.

    Parameters
    ----------
    batch, k : the case.
    """
    volts = batch.volts[k]
    return _seen(batch, k, volts - np.roll(volts, -1, axis=0))


def artifact(batch: Batch, k: int) -> Observation:
    """Simulate noise and a blink, a saccade, a muscle, the heart or an electrode that pops alone.

    Parameters
    ----------
    batch, k : the case whose sensors and noise are taken.
    """
    rng, session = _rng(batch, k), batch.session
    sensors = session.forward.sensors
    assert sensors is not None
    blink, saccade = art.eye_topographies(sensors.positions)
    pop = np.eye(len(sensors))[rng.integers(len(sensors))]
    kinds: tuple[tuple[type[art.Artifact], NDArray[np.float64], float], ...] = (
        (art.Blink, blink, 0.4),
        (art.Saccade, saccade, 0.36),
        (art.MuscleBurst, art.muscle_topographies(sensors.positions), 0.5),
        (art.Heartbeat, art.heart_topography(sensors.positions), 0.5),
        (art.Pop, (pop - pop.mean())[None], 0.5),
    )
    kind, topographies, duration = kinds[rng.integers(len(kinds))]
    topography = topographies[rng.integers(len(topographies))]
    times, wave = session.times, kind(topographies, 1.0, duration)
    start = times[0] - rng.uniform(0, 0.4) * duration
    course = wave.waveform(times - start) if len(times) > 1 else np.ones(1)
    shown = topography[:, None] * course
    noise = _noise(batch, k, rng)
    db = rng.uniform(*_ARTIFACT_DB)
    size = np.sqrt((noise**2).mean() / max((shown**2).mean(), 1e-30)) * 10 ** (db / 20)
    return _seen(batch, k, noise + size * shown)


def wrong_window(batch: Batch, k: int) -> Observation:
    """Draw noise where the event of case ``k`` of a ``batch`` should be."""
    return _seen(batch, k, _noise(batch, k, _rng(batch, k)))


def mirrored(batch: Batch, k: int) -> Observation:
    """Switch left and right in case ``k`` of a ``batch``.

    That is hard to notice, since a mirrored head is as good a head.
    """
    sensors = batch.session.forward.sensors
    assert sensors is not None
    flipped = sensors.positions * [-1.0, 1.0, 1.0]
    apart = cdist(flipped, sensors.positions)
    return _seen(batch, k, batch.volts[k][linear_sum_assignment(apart)[1]])


#: What trust is to notice, by name; a mirrored montage is measured beside them.
VIOLATIONS: dict[str, Callable[[Batch, int], Observation]] = {
    view.__name__: view
    for view in (permuted, halves_swapped, units_mixed, bipolar, artifact, wrong_window, mirrored)
}


def _rng(batch: Batch, k: int) -> np.random.Generator:
    return np.random.default_rng([batch.first + k, 99])


def _seen(batch: Batch, k: int, volts: NDArray[np.floating]) -> Observation:
    return batch.session.observe(volts, float(batch.noise_scale[k]), f"{batch.spec.name} changed")


def _noise(batch: Batch, k: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(C, T) V of the session's noise in an average, at the case's size."""
    session = batch.session
    values, vectors = np.linalg.eigh(session.true_covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    n = len(session.times)
    along = np.eye(1)
    if n > 1:
        lags = session.noise.autocorrelation
        row = np.zeros(n) if lags is None else np.r_[lags, np.zeros(n)][:n]
        row[0] = 1 + _JITTER
        law = toeplitz(row)
        low = np.linalg.eigvalsh(law)[0]
        along = cholesky(law + max(0.0, _JITTER - low) * np.eye(n), lower=True)
    drawn = root @ rng.standard_normal((len(root), n)) @ along.T
    return np.asarray(drawn * batch.noise_scale[k] / np.sqrt(session.n_trials))
