"""Networks of neural masses: what a patch of cortex does by itself, integrated in batch.

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
from typing import final

import torch
from torch import Tensor

from bayesesi.errors import InputError

#: One for all masses, or a tensor that broadcasts to (n_networks, n_regions).
Parameter = float | Tensor
#: s: noise is given by its sd over this long.
_NOISE_TIME = 1e-3
#: Fastest rate times step; with it Heun's decay over a synapse's time constant is off by 1.3 %.
_LARGEST_STEP = 0.25
#: Numbers of a chunk of noise; memory stays at a few times this.
_CHUNK = 2**20


@dataclass(frozen=True, eq=False)
class _Circuit:
    """K synapses: heights H (mV), rates κ (1/s), strengths c; d of populations 1 to K - 1; q."""

    height: tuple[Parameter, ...]
    rate: tuple[Parameter, ...]
    strength: tuple[Parameter, ...]
    into: tuple[Parameter, ...]
    slow_on_fast: Parameter = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Mass(ABC):
    """What both models share: a sigmoid, excitatory and slow inhibitory synapses, an input.

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
    def circuit(self) -> _Circuit:
        """Its synapses and populations."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class JansenRit(Mass):
    """Pyramidal cells with excitatory and inhibitory ones: six equations, state (y0 .. y5).

    y_3 to y_5 are the derivatives of y_0 to y_2. Input is 120 to 320 /s as in the paper, here
    Gaussian of the same mean and sd. Jansen & Rit 1995, Biol Cybern 73:357, doi:10.1007/BF00199471.
    """

    @property
    def circuit(self) -> _Circuit:
        return _Circuit(
            (self.A, self.A, self.B),
            (self.a, self.a, self.b),
            (1.0, 0.8 * self.C, 0.25 * self.C),
            (self.C, 0.25 * self.C),
        )


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Wendling(Mass):
    """A Jansen-Rit mass with fast inhibition, which slow inhibition holds back.

    C5 = 0.3 C, C6 = 0.1 C, C7 = 0.8 C. The paper's y_4 (slow inhibition of the fast inhibitory
    cells) obeys the equation of y_2 / C4, so eight of its ten equations are left: y_0 to y_3, then
    their derivatives (Desroches, Faugeras & Krupa 2016, doi:10.20388/omp2016.003.0038).

    Attributes
    ----------
    G, g : mV and 1/s, height and rate of fast inhibitory potentials.

    Wendling, Bartolomei, Bellanger & Chauvel 2002, Eur J Neurosci 15:1499,
    doi:10.1046/j.1460-9568.2002.01985.x.
    """

    A: Parameter = 5.0
    B: Parameter = 50.0
    G: Parameter = 15.0
    g: Parameter = 500.0
    p: Parameter = 90.0
    p_sd: Parameter = 30.0

    @property
    def circuit(self) -> _Circuit:
        return _Circuit(
            (self.A, self.A, self.B, self.G),
            (self.a, self.a, self.b, self.g),
            (1.0, 0.8 * self.C, 0.25 * self.C, 0.8 * self.C),
            (self.C, 0.25 * self.C, 0.3 * self.C),
            slow_on_fast=0.1 / 0.25,
        )


#: Model -> activity -> its parameters. Wendling's are types 1 to 6 of the 2002 paper with (B, G) as
#: later implementations give them; Jansen and Rit's spikes are the slow limit cycle beyond the fold
#: at p = 113.6 /s (Grimbert & Faugeras 2006, Neural Comput 18:3052,
#: doi:10.1162/neco.2006.18.12.3052).
ACTIVITIES: dict[str, dict[str, Mass]] = {
    "jansen-rit": {"alpha": JansenRit(), "spikes": JansenRit(p=120.0, p_sd=10.0)},
    "wendling": {
        "background": Wendling(B=50.0, G=15.0),
        "sporadic-spikes": Wendling(B=40.0, G=15.0),
        "spikes": Wendling(B=25.0, G=15.0),
        "rhythm": Wendling(B=10.0, G=15.0),
        "low-voltage-fast": Wendling(B=5.0, G=25.0),
        "ictal": Wendling(B=15.0, G=0.0),
    },
}


def least_sfreq(model: Mass) -> float:
    """Compute the smallest ``sfreq``, Hz, for ``integrate`` with ``model``; 1 kHz at least."""
    rates = [float(torch.as_tensor(rate).max()) for rate in model.circuit.rate]
    return max(1000.0, max(rates) / _LARGEST_STEP)


def integrate(
    model: Mass,
    n_networks: int,
    n_regions: int,
    duration_s: float,
    sfreq: float = 1000.0,
    *,
    coupling: Tensor | None = None,
    warm_up_s: float = 1.0,
    initial: Tensor | None = None,
    every: int = 1,
) -> Tensor:
    """Integrate the potential v_0 of pyramidal cells, (n, P, T) mV, single precision.

    Noise comes from torch's state. Stochastic Heun with step 1 / sfreq: order 2 without noise and,
    since noise is additive, weak order 2 with it (Kloeden & Platen 1992, section 15.1).

    Parameters
    ----------
    model : its parameters. n_networks, n_regions : n and P, 1 or more.
    duration_s : length without the warm-up. sfreq : Hz, steps a second.
    coupling : (P, P), pulses that reach the excitatory synapse of region i for each that pyramidal
        cells of region j fire; at once, where Jansen & Rit filter them a second time.
    warm_up_s : s that are integrated first and thrown away.
    initial : (2 K, n, P) mV and mV/s, the state (y, y') at which warm-up starts; at rest in 0.
    every : keep every nth sample, T = ceil(duration_s sfreq / every).

    Raises
    ------
    InputError : shapes that do not fit, numbers that are not finite, a step too large for a rate.
    """
    n_steps, n_warm = _steps(duration_s, sfreq, warm_up_s, every)
    if min(n_networks, n_regions) < 1:
        raise InputError(f"at least one network of one region, not {n_networks} of {n_regions}")
    flow = _Flow(model, (n_networks, n_regions), sfreq, coupling)
    flow.start(initial)
    n_times = -(-n_steps // every)
    traces = torch.empty(n_networks * n_regions, n_times)
    chunk = max(every, _CHUNK // flow.size // every * every)
    shape, kept = (chunk, flow.size), 0
    noise, trace = torch.empty(shape), torch.empty(chunk // every + 1, flow.size)
    with torch.no_grad():
        for first in range(-n_warm, n_steps, chunk):
            steps = range(first, min(first + chunk, n_steps))
            rows = iter(trace)
            for step, p in zip(steps, flow.inputs(noise[: len(steps)]), strict=True):
                flow.step(p, next(rows) if step >= 0 and step % every == 0 else None)
            samples = range(max(first, 0) + -max(first, 0) % every, steps.stop, every)
            traces[:, kept : kept + len(samples)] = trace[: len(samples)].T
            kept += len(samples)
    return flow.potential(traces).view(n_networks, n_regions, n_times)


def _steps(duration_s: float, sfreq: float, warm_up_s: float, every: int) -> tuple[int, int]:
    if not all(math.isfinite(x) for x in (duration_s, sfreq, warm_up_s)) or every < 1:
        raise InputError(
            f"duration_s, sfreq and warm_up_s are finite and every is 1 or more, not {duration_s}, "
            f"{sfreq}, {warm_up_s} and {every}"
        )
    n_steps = round(duration_s * sfreq)
    if sfreq <= 0 or warm_up_s < 0 or n_steps < 1:
        raise InputError(
            f"integrate one step or more after a warm-up of 0 s or more, not {duration_s:g} s "
            f"at {sfreq:g} Hz after {warm_up_s:g} s"
        )
    return n_steps, round(warm_up_s * sfreq)


class _Flow:
    """One step of all masses, in place.

    With x_k = r y_k and u_k = x_k + x_k' / κ_k a synapse is two equal filters in a row,
    x' = κ (u - x), u' = κ (f - u), f_k = r H_k (c_k S + [k = 1] p) / κ_k; x_1 is kept less r v0,
    which puts v0 into the input. So an Euler step of (x, u) is a lerp towards (u, f) by θ = κ h,
    one operation for all that is linear, and Heun is (y + Euler(Euler(y))) / 2. Noise that is
    additive and held over the step makes this stochastic Heun.
    """

    def __init__(
        self, model: Mass, shape: tuple[int, int], sfreq: float, coupling: Tensor | None
    ) -> None:
        self.shape, self.size = shape, shape[0] * shape[1]
        circuit = model.circuit
        height, rate, strength, into = (
            torch.stack([self._full(x) for x in xs])
            for xs in (circuit.height, circuit.rate, circuit.strength, circuit.into)
        )
        if float(rate.max()) / sfreq > _LARGEST_STEP * (1 + 1e-9):  # sfreq may be a quotient
            raise InputError(
                f"a rate of {float(rate.max()):g} /s needs at least "
                f"{float(rate.max()) / _LARGEST_STEP:g} Hz, not sfreq {sfreq:g}"
            )
        self.slope, self.threshold, p, sd = (
            self._full(x) for x in (model.r, model.v0, model.p, model.p_sd)
        )
        self.rate, self.theta = rate, rate / sfreq
        scale = self.slope * height / rate
        self.gain = scale * strength * 2 * self._full(model.e0)
        self.into, self.shift = into, -(self.slope * self.threshold).expand(into.shape).contiguous()
        self.slow_on_fast = -self._full(circuit.slow_on_fast)
        self.noise = scale[1] * sd * math.sqrt(_NOISE_TIME * sfreq)
        self.mean = scale[1] * p - self.slope * self.threshold
        self.coupling = None if coupling is None else self._coupling(coupling)
        self.coupled = scale[1] * 2 * self._full(model.e0)
        self.now, self.next = (_Stage(torch.zeros(3, *rate.shape)) for _ in range(2))
        self.last = torch.empty_like(self.now.values)

    def _full(self, value: Parameter) -> Tensor:
        """(n P,) single precision."""
        given = torch.as_tensor(value, dtype=torch.float32)
        try:
            return given.expand(self.shape).reshape(-1)
        except RuntimeError:
            raise InputError(
                f"a parameter of shape {tuple(given.shape)} does not broadcast to (networks, "
                f"regions) = {self.shape}"
            ) from None

    def _coupling(self, coupling: Tensor) -> Tensor:
        weights = torch.as_tensor(coupling, dtype=torch.float32)
        regions = self.shape[1]
        if weights.shape != (regions, regions) or not torch.isfinite(weights).all():
            raise InputError(
                f"coupling is a finite ({regions}, {regions}) matrix, not one of shape "
                f"{tuple(weights.shape)} or with nan or inf"
            )
        return weights.T.contiguous()

    def start(self, initial: Tensor | None) -> None:
        n_synapses = len(self.rate)
        shape = (2 * n_synapses, *self.shape)
        state = torch.zeros(shape) if initial is None else initial.float()
        if state.shape != shape or not torch.isfinite(state).all():
            raise InputError(
                f"initial is a finite state of shape {shape}, not of {tuple(state.shape)} or with "
                "nan or inf"
            )
        y, dy = state.reshape(2, n_synapses, self.size)
        x, u = self.now.values
        torch.mul(self.slope, y, out=x)
        torch.mul(self.slope, y + dy / self.rate, out=u)
        self.now.values[:, 1] += self.shift[0]

    def inputs(self, buffer: Tensor) -> Tensor:
        """(steps, n P): the part of f_1 that comes from outside."""
        if not self.noise.any():
            return self.mean.expand_as(buffer)
        return torch.addcmul(self.mean, buffer.normal_(), self.noise, out=buffer)

    def step(self, p: Tensor, trace: Tensor | None) -> None:
        now, ahead = self.now, self.next
        self._drive(now, p, trace)
        torch.lerp(now.values, now.targets, self.theta, out=ahead.values)
        self._drive(ahead, p, None)
        torch.lerp(ahead.values, ahead.targets, self.theta, out=self.last)
        now.values.lerp_(self.last, 0.5)

    def _drive(self, at: _Stage, p: Tensor, trace: Tensor | None) -> None:
        """f, and r (v_0 - v0) into ``trace``."""
        torch.sub(at.x[1], at.x[2], out=at.pyramidal)
        torch.addcmul(self.shift, at.x[0], self.into, out=at.others)
        if len(at.x) == 4:
            at.pyramidal.sub_(at.x[3])
            at.fast.addcmul_(at.x[2], self.slow_on_fast)
        if trace is not None:
            trace.copy_(at.pyramidal)
        at.pulses.sigmoid_()
        torch.mul(at.pulses, self.gain, out=at.drive)
        at.excitation.add_(p)
        if self.coupling is not None:
            arriving = at.pyramidal.view(self.shape) @ self.coupling
            at.excitation.addcmul_(arriving.view(-1), self.coupled)

    def potential(self, traces: Tensor) -> Tensor:
        return traces.div_(self.slope[:, None]).add_(self.threshold[:, None])


class _Stage:
    """(x, u, f) of all synapses in one buffer, pulses of all populations, and views of both.

    Views are kept since to cut a tensor takes as long as to add two.
    """

    def __init__(self, buffer: Tensor) -> None:
        self.values, self.targets = buffer[:2], buffer[1:]
        self.x, self.drive = buffer[0].unbind(0), buffer[2]
        self.excitation = buffer[2, 1]
        self.pulses = torch.empty_like(buffer[0])
        self.pyramidal, self.others, self.fast = self.pulses[0], self.pulses[1:], self.pulses[-1]
