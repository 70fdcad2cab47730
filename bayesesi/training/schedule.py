"""How the learning rate goes."""

from __future__ import annotations

import math

from bayesesi.spec import Optimiser


def rate_at(step: int, spec: Optimiser) -> float:
    """Compute the share of the largest learning rate at ``step``, by ``spec``.

    A line up, half a cosine down to a hundredth.
    """
    if step < spec.warm_up:
        return (step + 1) / spec.warm_up
    left = max(spec.steps - spec.warm_up, 1)
    along = min((step - spec.warm_up) / left, 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))
