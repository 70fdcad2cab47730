"""How the size of a source goes through the window, in batch.

Every family is a Pyro program with cases and slots as plates; courses are scaled so that their
largest size within the window is 1, so that a source's moment is that at its peak.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.dynamics import ACTIVITIES, integrate, least_sfreq
from bayesesi.errors import InputError
from bayesesi.prior import distribution_of
from bayesesi.spec.simulator import (
    Erp,
    Frame,
    Ictal,
    NeuralMass,
    Oscillation,
    Spike,
    TimeCourse,
)

Sites = dict[str, Tensor]
#: s: masses are cut anywhere in this long, so that rhythms that began together are out of step.
_ANYWHERE = 1.0
#: s that a mass gets to forget where it started: near a Hopf point it rings for long.
_WARM_UP = 4.0


def draw_courses(
    spec: TimeCourse, n: int, n_slots: int, times: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
    """Draw courses (n, K, T) of a family ``spec`` and their sites, from the random state.

    K is ``n_slots`` for each of ``n`` cases; ``times`` (T,) in s. The largest size is 1.

    Raises
    ------
    InputError : a course that is zero all over the window.
    """
    t = torch.from_numpy(np.asarray(times, float))
    with pyro.plate("courses_of", n, dim=-1), pyro.plate("course_slots", n_slots, dim=-2):
        courses, sites = _FAMILIES[spec.family](spec, (n_slots, n), t)
    values = courses.transpose(0, 1).numpy()
    largest = np.abs(values).max(axis=2, keepdims=True)
    if not (np.isfinite(largest).all() and (largest > 0).all()):
        raise InputError(
            f"a time course of family {spec.family!r} is zero all over the window; choose one that "
            "is not over before it, or begins after it"
        )
    return values / largest, {name: v.transpose(0, 1).numpy() for name, v in sites.items()}


def correlate(
    courses: NDArray[np.float64], correlation: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Mix every course but the first with it to a correlation, (n, K, T).

    With c1 the first of ``courses`` (n, K, T) and c the part of another that is orthogonal to it,
    both of unit norm, rho c1 + sqrt(1 - rho²) c; then of largest size 1. rho is ``correlation``
    (n,); NaN leaves a case as it is; courses that are alike stay so; one moment has no correlation.
    """
    if courses.shape[1] == 1 or courses.shape[2] == 1:
        return courses
    first = courses[:, :1] / np.linalg.norm(courses[:, :1], axis=2, keepdims=True)
    others = courses[:, 1:]
    left = others - (others * first).sum(axis=2, keepdims=True) * first
    norm = np.linalg.norm(left, axis=2, keepdims=True)
    # what is left of a course that is nearly the first one is rounding
    alike = norm < 1e-6 * np.linalg.norm(others, axis=2, keepdims=True)
    left = np.where(alike, 0, left / np.where(alike, 1, norm))
    rho = np.asarray(correlation, float)[:, None, None]
    free = np.isnan(rho)
    rho = np.where(alike, np.where(rho < 0, -1.0, 1.0), np.clip(np.nan_to_num(rho), -1, 1))
    mixed = rho * first + np.sqrt(1 - rho**2) * left
    mixed /= np.abs(mixed).max(axis=2, keepdims=True)
    return np.concatenate([courses[:, :1], np.where(free, others, mixed)], axis=1)


def _frame(spec: Frame, shape: tuple[int, int], t: Tensor) -> tuple[Tensor, Sites]:
    return torch.ones(*shape, len(t), dtype=torch.float64), {}


def _erp(spec: Erp, shape: tuple[int, int], t: Tensor) -> tuple[Tensor, Sites]:
    """Gaussian waves of alternating sign; every further one of half to full size."""
    total = torch.zeros(*shape, len(t), dtype=torch.float64)
    sites: Sites = {}
    for k in range(spec.n_components):
        latency = _site(sites, f"latency_ms_{k}", spec.latency_ms)
        width = _site(sites, f"width_ms_{k}", spec.width_ms)
        size = _unit(sites, f"size_{k}", 0.5, 1.0)
        total += (-1) ** k * size[..., None] * _bump(t, latency, width)
    return total, sites


def _spike(spec: Spike, shape: tuple[int, int], t: Tensor) -> tuple[Tensor, Sites]:
    """A sharp wave at time 0, faster up than down, and a slow wave of the other sign behind it."""
    sites: Sites = {}
    width = _site(sites, "width_ms", spec.width_ms)
    wave = _site(sites, "wave_ms", spec.wave_ms)
    share = _site(sites, "wave_share", spec.wave_share)
    delay = _unit(sites, "delay_ms", 0.0, 10.0)
    sharp = torch.where(
        t < delay[..., None] * 1e-3, _bump(t, delay, 0.7 * width), _bump(t, delay, 1.3 * width)
    )
    slow = _bump(t, delay + 2.5 * width + 1.5 * wave, wave)
    return sharp - share[..., None] * slow, sites


def _oscillation(spec: Oscillation, shape: tuple[int, int], t: Tensor) -> tuple[Tensor, Sites]:
    """A sine under a Gaussian envelope, anywhere in the window."""
    sites: Sites = {}
    frequency = _site(sites, "frequency_Hz", spec.frequency_Hz)
    duration = _site(sites, "duration_ms", spec.duration_ms)
    phase = _unit(sites, "phase", 0.0, 2 * np.pi)
    middle = _unit(sites, "middle", 0.25, 0.75)
    at = (t[0] + middle * (t[-1] - t[0]))[..., None]
    wave = torch.cos(2 * np.pi * frequency[..., None] * (t - at) + phase[..., None])
    return wave * _bump(t, at[..., 0] * 1e3, duration / 2.355), sites  # duration: width at half


def _ictal(spec: Ictal, shape: tuple[int, int], t: Tensor) -> tuple[Tensor, Sites]:
    """A rhythm with its first harmonic whose size grows by e^growth while it slows."""
    sites: Sites = {}
    frequency = _site(sites, "frequency_Hz", spec.frequency_Hz)[..., None]
    slowing = _site(sites, "slowing", spec.slowing)[..., None]
    growth = _site(sites, "growth", spec.growth)[..., None]
    harmonic = _unit(sites, "harmonic", 0.1, 0.6)[..., None]
    phase = _unit(sites, "phase", 0.0, 2 * np.pi)[..., None]
    length = (t[-1] - t[0]).clamp(min=1e-9)
    u = (t - t[0]) / length
    angle = 2 * np.pi * frequency * length * (u - slowing * u**2 / 2) + phase
    return torch.exp(growth * (u - 1)) * (
        torch.cos(angle) + harmonic * torch.cos(2 * angle + 1.0)
    ), sites


def _neural_mass(spec: NeuralMass, shape: tuple[int, int], t: Tensor) -> tuple[Tensor, Sites]:
    """Independent masses, each from a moment of its own, less their mean over the window."""
    sites: Sites = {}
    mass = ACTIVITIES[spec.model][spec.activity]
    mass = replace(
        mass,
        A=mass.A * _site(sites, "excitation_ratio", spec.excitation_ratio),
        B=mass.B * _site(sites, "slow_inhibition_ratio", spec.slow_inhibition_ratio),
        p=mass.p * _site(sites, "input_ratio", spec.input_ratio),
        p_sd=mass.p_sd * _site(sites, "noise_ratio", spec.noise_ratio),
    )
    least = least_sfreq(mass)
    sfreq = (len(t) - 1) / float(t[-1] - t[0]) if len(t) > 1 else least
    every = math.ceil(least / sfreq)
    spare = math.ceil(_ANYWHERE * sfreq)
    volts = integrate(
        mass,
        *shape,
        (len(t) + spare) / sfreq,
        every * sfreq,
        every=every,
        warm_up_s=_WARM_UP,
    )
    onset = _unit(sites, "onset", 0.0, 1.0)
    at = (onset * spare).long()[..., None] + torch.arange(len(t))
    course = volts.gather(2, at).double()
    return course - course.mean(dim=2, keepdim=True), sites


_FAMILIES: dict[str, Callable[[Any, tuple[int, int], Tensor], tuple[Tensor, Sites]]] = {
    "frame": _frame,
    "erp": _erp,
    "spike": _spike,
    "oscillation": _oscillation,
    "ictal": _ictal,
    "neural-mass": _neural_mass,
}


def _site(sites: Sites, name: str, quantity: Any) -> Tensor:
    sites[name] = pyro.sample(name, distribution_of(quantity)).double()
    return sites[name]


def _unit(sites: Sites, name: str, low: float, high: float) -> Tensor:
    sites[name] = pyro.sample(name, dist.Uniform(low, high)).double()
    return sites[name]


def _bump(t: Tensor, centre_ms: Tensor, width_ms: Tensor) -> Tensor:
    """(..., T): a Gaussian, ``width_ms`` its standard deviation."""
    return torch.exp(-0.5 * ((t * 1e3 - centre_ms[..., None]) / width_ms[..., None]) ** 2)
