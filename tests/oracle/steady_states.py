"""Steady states of a neural mass without noise, and whether they are stable: an oracle.

Where stability changes with a parameter the activity changes its kind: an eigenvalue that crosses
zero is a fold, a pair that crosses the imaginary axis a Hopf point, where a rhythm begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.dynamics import Mass
from bayesesi.errors import InputError

#: Points on which steady states are bracketed; two closer than a step of it are not told apart.
_GRID = 20_001


def fixed_points(model: Mass, p: float | None = None) -> NDArray[np.float64]:
    """(m, 2 K): every steady state (y, 0) of one mass without noise, by rising v_0.

    All y are explicit in v_0, so steady states are the roots of one function of it, bracketed on
    20,001 points of the interval that it cannot leave and refined by Brent's method.

    Raises
    ------
    InputError : parameters that differ between masses.
    """
    from scipy.optimize import brentq

    circuit = _numbers(model)
    at = float(model.p if p is None else p)
    if not math.isfinite(at):
        raise InputError(f"input p is a finite number of pulses a second, not {at}")

    def excess(v: NDArray[np.float64] | float) -> NDArray[np.float64]:
        y = _steady(model, circuit, v, at)
        return np.asarray(y[1] - y[2:].sum(axis=0) - v)

    swing = 2 * float(model.e0) * circuit.height / circuit.rate * circuit.strength
    floor = circuit.height[1] / circuit.rate[1] * at
    margin = 1e-6 * (swing.sum() + abs(floor) + 1)
    v = np.linspace(floor - swing[2:].sum() - margin, floor + swing[1] + margin, _GRID)
    sign = np.sign(excess(v))
    roots = [v[i] for i in np.flatnonzero(sign == 0)]
    for i in np.flatnonzero(sign[:-1] * sign[1:] < 0):
        roots.append(brentq(lambda x: float(excess(x)), v[i], v[i + 1], xtol=1e-13, rtol=1e-14))
    y = _steady(model, circuit, np.sort(np.array(roots)), at)
    return np.concatenate([y, np.zeros_like(y)]).T


def jacobian(model: Mass, state: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2 K, 2 K): derivative of (y', y'') by (y, y') at a state of one mass; seconds throughout.

    Raises
    ------
    InputError : parameters that differ between masses, or a state of another size.
    """
    circuit = _numbers(model)
    n = len(circuit.rate)
    given = np.asarray(state, float)
    if given.shape != (2 * n,):
        raise InputError(f"a state of this model has shape {(2 * n,)}, not {given.shape}")
    weights = np.zeros((n, n))
    weights[0, 1:] = [1, *([-1] * (n - 2))]
    weights[1:, 0] = circuit.into
    if n == 4:
        weights[3, 2] = -circuit.slow_on_fast
    v = weights @ given[:n]
    share = _firing(model, v) / (2 * float(model.e0))
    slope = 2 * float(model.e0) * float(model.r) * share * (1 - share)
    drive = (circuit.height * circuit.rate * circuit.strength * slope)[:, None] * weights
    rate = np.diag(circuit.rate)
    return np.block([[np.zeros((n, n)), np.eye(n)], [drive - rate**2, -2 * rate]])


def is_stable(model: Mass, state: NDArray[np.floating]) -> bool:
    """Whether small perturbations of a steady state die out: no eigenvalue has a real part >= 0."""
    return bool(np.linalg.eigvals(jacobian(model, state)).real.max() < 0)


@dataclass(frozen=True, eq=False)
class _Numbers:
    """A circuit of one mass."""

    height: NDArray[np.float64]
    rate: NDArray[np.float64]
    strength: NDArray[np.float64]
    into: NDArray[np.float64]
    slow_on_fast: float


def _numbers(model: Mass) -> _Numbers:
    several = [f.name for f in fields(model) if torch.as_tensor(getattr(model, f.name)).numel() > 1]
    if several:
        raise InputError(
            f"steady states are those of one mass, and {', '.join(several)} has several values"
        )
    c = model.circuit
    columns = (c.height, c.rate, c.strength, c.into)
    height, rate, strength, into = (np.array([float(x) for x in xs]) for xs in columns)
    return _Numbers(height, rate, strength, into, float(c.slow_on_fast))


def _firing(model: Mass, v: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(2 * float(model.e0) * expit(float(model.r) * (v - float(model.v0))))


def _steady(
    model: Mass, circuit: _Numbers, v: NDArray[np.float64] | float, p: float
) -> NDArray[np.float64]:
    """(K, ...): potentials at rest of all synapses when pyramidal cells are held at v."""
    height = circuit.height / circuit.rate
    y = [height[0] * _firing(model, np.asarray(v, float))]
    for k in range(1, len(height)):
        potential = circuit.into[k - 1] * y[0] - (circuit.slow_on_fast * y[2] if k == 3 else 0)
        pulses = circuit.strength[k] * _firing(model, potential) + (p if k == 1 else 0)
        y.append(height[k] * pulses)
    return np.array(y)
