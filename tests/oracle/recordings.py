"""A recording, once for MNE and once as an observation of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import mne
import numpy as np

from bayesesi import observe, template_forward
from bayesesi.observation import Observation


@cache
def recorded(loose: float) -> tuple[mne.Evoked, mne.Forward, mne.Covariance, Observation]:
    """64 channels, 1,284 sources, a covariance that is not white; ``loose`` 0 for fixed ones."""
    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    rng = np.random.default_rng(3)
    mixing = 1e-6 * rng.standard_normal((64, 90)) / 9
    values = mixing @ rng.standard_normal((90, 20))
    evoked = mne.EvokedArray(values, info, nave=1, verbose="error")
    evoked.set_eeg_reference("average", projection=True, verbose="error")
    evoked.apply_proj(verbose="error")
    cov = mne.Covariance(mixing @ mixing.T, montage.ch_names, [], [], 1000)
    forward = template_forward(info, ico=3)
    if loose:
        along = forward.source_space.normals
        assert along is not None
        across = np.roll(forward.leadfield, 1, axis=1)[:, :, None] * np.roll(along, 1, axis=1)
        free = forward.leadfield[:, :, None] * along + across
        forward = replace(forward, leadfield=free.astype(np.float32), banked=None, loose=loose)
    obs = observe(evoked, forward, cov, time_basis="samples", autocorrelation="white")
    return evoked, forward.to_mne(), cov, obs
