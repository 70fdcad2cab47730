"""What must not change what `observe` gives: reference, averaging, order of channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bayesesi import ForwardOperator, NoiseCovariance, Observation, observe
from bayesesi.anatomy import SourceSpace
from tests.bench.outcome import Finding, Outcome, at_most

TITLE = "Invariances of observe"
STANDS_ON = ("anatomy", "forward", "noise", "observation")
SEED, N_REPEATS, N_SOURCES, ROUNDING = 29, 20, 200, 1e-8


def measure(step: Callable[[str], None]) -> Outcome:
    """The largest difference, over repeats, of the Gram matrix of the whitened leadfield and of
    its product with the data, each relative to its largest entry: all that a Gaussian likelihood
    knows of j, and blind to the order and sign of whitened rows."""
    worst = dict.fromkeys(_CHANGES, 0.0)
    for i in range(N_REPEATS):
        step(f"recording {i}")
        rng = np.random.default_rng((SEED, i))
        evoked, forward, noise_cov = _recording(rng)
        before = _observed(evoked, forward, noise_cov)
        for name, change in _CHANGES.items():
            after = _observed(*change(evoked, forward, noise_cov, rng))
            worst[name] = max(worst[name], _difference(before, after))
    return Outcome(
        [
            Finding(
                f"{name}, largest relative difference",
                f"{N_REPEATS} recordings",
                value,
                bar=at_most(ROUNDING),
            )
            for name, value in worst.items()
        ]
    )


def _recording(rng):
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 500.0, "eeg").set_montage(montage)
    mixing = rng.standard_normal((64, 64)) * 1e-6
    evoked = mne.EvokedArray(mixing @ rng.standard_normal((64, 300)), info, -0.1, nave=40)
    leadfield = rng.standard_normal((64, N_SOURCES, 3))
    space = SourceSpace(rng.uniform(-0.05, 0.05, (N_SOURCES, 3)))
    forward = ForwardOperator(leadfield, space, montage.ch_names)
    return evoked, forward, NoiseCovariance(40 * mixing @ mixing.T, tuple(montage.ch_names))


def _observed(evoked, forward, noise_cov) -> Observation:
    return observe(evoked, forward, noise_cov, tmin=0.05, tmax=0.15)


def _difference(a: Observation, b: Observation) -> float:
    flat = [np.asarray(o.leadfield).reshape(o.n_eff, -1) for o in (a, b)]
    pairs = [
        (flat[0].T @ flat[0], flat[1].T @ flat[1]),
        (flat[0].T @ a.values, flat[1].T @ b.values),
    ]
    return max(float(np.abs(x - y).max() / np.abs(x).max()) for x, y in pairs)


def _common_signal(evoked, forward, noise_cov, rng):
    """Another reference: the same signal on every channel, 50 µV large."""
    moved = evoked.copy()
    moved.data += 50e-6 * rng.standard_normal(moved.data.shape[1])
    return moved, forward, noise_cov


def _to_cz(evoked, forward, noise_cov, rng):
    """Referenced to Cz, which is then a flat channel; the covariance as well."""
    to_cz = np.eye(64) - np.eye(64)[evoked.ch_names.index("Cz")]
    moved = evoked.copy().set_eeg_reference(["Cz"], verbose="error")
    return moved, forward, replace(noise_cov, matrix=to_cz @ noise_cov.matrix @ to_cz.T)


def _of_forward(evoked, forward, noise_cov, rng):
    """The leadfield under another reference."""
    shifted = forward.leadfield + rng.standard_normal((1, N_SOURCES, 3))
    return evoked, replace(forward, leadfield=shifted), noise_cov


def _one_average(evoked, forward, noise_cov, rng):
    """nave = 1 with the covariance of the average, for nave = 40 with that of single trials."""
    moved = evoked.copy()
    moved.nave = 1
    return moved, forward, replace(noise_cov, matrix=noise_cov.matrix / 40)


def _covariance_of_average(evoked, forward, noise_cov, rng):
    """A covariance that says it is of the average."""
    return evoked, forward, replace(noise_cov, matrix=noise_cov.matrix / 40, nave=40)


def _reordered(evoked, forward, noise_cov, rng):
    """Channels in another order in the recording, and in a third in the covariance."""
    names = [evoked.ch_names[i] for i in rng.permutation(64)]
    other = [evoked.ch_names[i] for i in rng.permutation(64)]
    return evoked.copy().reorder_channels(names), forward, noise_cov.pick(other)


_CHANGES = {
    "reference: a common signal added": _common_signal,
    "reference: Cz, data and covariance": _to_cz,
    "reference: of the leadfield": _of_forward,
    "nave: 40 trials or one average": _one_average,
    "nave: stated by the covariance": _covariance_of_average,
    "order of channels": _reordered,
}
