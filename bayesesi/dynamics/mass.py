"""A neural mass: what a patch of cortex does by itself.

A mass is a loop of populations. Each synapse k turns pulses into a potential y_k (mV), each
population turns a potential into pulses by the sigmoid S(v) = 2 e0 / (1 + exp(r (v0 - v))):

    y_k'' = H_k κ_k (c_k S(v_k) + [k = 1] p(t)) - 2 κ_k y_k' - κ_k² y_k,
    v_0 = y_1 - y_2 (- y_3),   v_k = d_k y_0 (- q y_2 for the fast inhibitory cells),

with v_0 the membrane potential of pyramidal cells, whose currents EEG sees. Input p(t) is white:
a mean and Gaussian noise of sd ``p_sd`` over 1 ms, whatever the step, where the papers draw one
number a step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from bayesesi.errors import InputError

#: One for all masses, or a tensor that broadcasts to (n_networks, n_regions).
Parameter = float | Tensor


@dataclass(frozen=True, eq=False)
class Circuit:
    """K synapses, each parameter a number or a tensor that broadcasts to (n_networks, n_regions).

    Attributes
    ----------
    height : mV, K of H. rate : 1/s, K of κ. strength : K of c, numbers of contacts.
    into : K - 1 of d, weights of y_0 in the other populations. slow_on_fast : q, a weight.
    """

    height: tuple[Parameter, ...]
    rate: tuple[Parameter, ...]
    strength: tuple[Parameter, ...]
    into: tuple[Parameter, ...]
    slow_on_fast: Parameter = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Mass(ABC):
    """What all masses share: a sigmoid, excitatory and slow inhibitory synapses, an input.

    Every parameter is a number or a tensor that broadcasts to (n_networks, n_regions).

    Attributes
    ----------
    A, B : mV, heights of excitatory and slow inhibitory potentials.
    a, b : 1/s, their rates.
    C : mean number of contacts; C1 = C, C2 = 0.8 C, C3 = C4 = 0.25 C.
    e0, v0, r : 1/s, mV and 1/mV: half the largest rate, the potential there, the slope.
    p, p_sd : 1/s, mean input and the sd of its mean over 1 ms.
    """

    A: Parameter = 3.25
    B: Parameter = 22.0
    a: Parameter = 100.0
    b: Parameter = 50.0
    C: Parameter = 135.0
    e0: Parameter = 2.5
    v0: Parameter = 6.0
    r: Parameter = 0.56
    p: Parameter = 220.0
    p_sd: Parameter = 200 / math.sqrt(12)

    def __post_init__(self) -> None:
        signed = {"p", "v0"}
        positive = {"a", "b", "g", "C", "e0", "r"}
        for field in fields(self):
            value = torch.as_tensor(getattr(self, field.name))
            if not torch.isfinite(value).all():
                raise InputError(
                    f"{field.name} of a neural mass is finite; it came with nan or inf"
                )
            if field.name in positive and not (value > 0).all():
                raise InputError(f"{field.name} is positive, not {float(value.min()):g}")
            if field.name not in signed and not (value >= 0).all():
                raise InputError(f"{field.name} is not negative, {float(value.min()):g} came")

    @property
    @abstractmethod
    def circuit(self) -> Circuit:
        """Its synapses and populations."""
