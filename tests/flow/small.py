"""Observations that are quick to infer from, on a coarse cortex."""

from __future__ import annotations

from functools import cache

import numpy as np

from bayesesi import ForwardOperator, NoiseCovariance, observe
from bayesesi.anatomy import SourceSpace, template_source_space
from bayesesi.observation import Observation

LEVEL, N_CHANNELS = 2, 30
NAMES = tuple(f"E{i}" for i in range(N_CHANNELS))
NOISE = NoiseCovariance(1e-12 * np.eye(N_CHANNELS), NAMES)
#: Where the event is: a source in the left hemisphere.
SOURCE = 40


@cache
def forward(kind: str = "cortex") -> ForwardOperator:
    """Random leadfields of a usual size, V/(A m): on the template, free on it, or in a volume."""
    rng = np.random.default_rng(1)
    space = template_source_space(LEVEL)
    if kind == "volume":
        space = SourceSpace(rng.uniform(-0.05, 0.05, (200, 3)))
    shape = (N_CHANNELS, space.n_sources, *([] if kind == "cortex" else [3]))
    return ForwardOperator(40 * rng.standard_normal(shape), space, NAMES)


def observation(moment_nAm: float = 100.0, kind: str = "cortex", seed: int = 0) -> Observation:
    """One source that follows half a sine for 40 ms, in white noise of 1 µV; 0 is noise alone."""
    rng = np.random.default_rng(seed)
    operator = forward(kind)
    column = operator.leadfield[:, SOURCE]
    column = column if column.ndim == 1 else column[:, 0]
    course = np.sin(np.linspace(0, np.pi, 11))
    volts = moment_nAm * 1e-9 * np.outer(column, course)
    volts += 1e-6 * rng.standard_normal(volts.shape)
    return observe(volts, operator, NOISE, sfreq=250.0, autocorrelation="white")


#: Of a recipe: a network as small as can be, trained for a few steps.
TINY = """
[backbone]
width = 8
source_width = 4
place_width = 1
n_blocks = 1
n_heads = 1

[optimiser]
steps = 3
warm_up = 1
"""
