"""A simulator as sbi calls one: flat numbers of an event in, flat volts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.prior import BLOCK, SbiPrior

if TYPE_CHECKING:
    from bayesesi.simulator.simulator import Simulator


class SbiSimulator:
    """x = simulator(theta): (n, d) of ``prior`` to (n, C T) µV, channel by channel.

    Head, cap and noise are drawn for every call, from the generator of torch, so that x | theta is
    marginal of them. ``simulator`` has one montage without missing channels; ``namespace`` is one
    of ``NAMESPACES``.

    Attributes
    ----------
    prior : that theta is of. shape : (C, T).

    Raises
    ------
    InputError : recordings that differ in their channels.
    """

    def __init__(self, simulator: Simulator, namespace: str = "train") -> None:
        montage = simulator.spec.montage
        if len(montage.families) > 1 or montage.missing > 0:
            raise InputError(
                f"recordings of {simulator.spec.name!r} differ in their channels, and sbi wants "
                "vectors of one length; choose a simulator of one montage without missing "
                "channels, such as 'single-frame', or train one of our networks, which accept any"
            )
        self.simulator, self.namespace = simulator, namespace
        self.prior = SbiPrior(simulator.source)
        with torch.random.fork_rng(devices=[]):
            numbers = self(self.prior.sample((1,)), seed=0).shape[1]
        n_times = len(simulator.times)
        self.shape = (numbers // n_times, n_times)

    def __call__(self, theta: Tensor, seed: int | None = None) -> Tensor:
        """Simulate (n, C T) µV of ``theta`` (n, d); ``seed``, of all else, is drawn if None."""
        flat = torch.atleast_2d(theta)
        own = int(torch.randint(2**31, (1,))) if seed is None else seed
        parts = []
        for block, some in enumerate(flat.split(BLOCK)):
            # blocks are whole: what is missing repeats the last
            rows = torch.arange(BLOCK).clamp(max=len(some) - 1)
            event = {k: v.numpy() for k, v in self.prior.draws(some[rows]).items()}
            batches = self.simulator.block(block, own, self.namespace, event)
            volts = np.concatenate([batch.volts for batch in batches])[: len(some)]
            parts.append(torch.from_numpy(1e6 * volts.astype(np.float64)).float().flatten(1))
        return torch.cat(parts)
