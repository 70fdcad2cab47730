"""Networks of neural masses integrated in batch, by stochastic Heun with a fixed step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bayesesi.dynamics.mass import Mass, Parameter
from bayesesi.errors import InputError

#: s: noise is given by its sd over this long.
_NOISE_TIME = 1e-3
#: Fastest rate times step; with it Heun's decay over a synapse's time constant is off by 1.3 %.
_LARGEST_STEP = 0.25
#: Numbers of a chunk of noise; memory stays at a few times this.
_CHUNK = 2**20


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
