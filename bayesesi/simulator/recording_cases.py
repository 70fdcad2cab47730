"""Simulated cases as one recording would show them: its cap, noise, window, average and power.

A simulator of a spec averages over caps, noises and windows. Here they are those of a recording
whose whitener W, covariance Sigma^ = C C' on nu degrees of freedom and time functions B are given,
and what varies is what is unknown of it: the event, the head, where the cap really sits and the
true covariance. With e the whitened noise,

    v~ = W V(event, head, cap) B + e,    e = S^(1/2) z,   S^-1 ~ Wishart(nu, I / nu),   z ~ N(0, I),

the law of the true covariance Sigma = C S C' given its estimate under Jeffreys' prior (Geisser &
Cornfield 1963, doi:10.1111/j.2517-6161.1963.tb00518.x); S = I where the covariance is no estimate.

Events are drawn with the moments of their prior, and kept where their whitened power falls into
the recording's band of powers (``power_band``); of an unknown unit, and where the prior hardly
ever reaches that power, their moments are scaled into it. Bands are fixed beforehand, so that a
recording and the cases of its band are exchangeable.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.forward import ScalpPoints
from bayesesi.observation import Observation, project
from bayesesi.prior import (
    BLOCK,
    HeadPrior,
    block_generator,
    heads_around,
    read_prior,
    read_source_prior,
)
from bayesesi.simulator.block import DrawnBlock, scalp_topographies, single
from bayesesi.simulator.simulation import Batch, Session
from bayesesi.simulator.time_course import correlate, draw_courses
from bayesesi.spec import SimulatorSpec, spec_hash

#: dB: how wide a band of powers is; the first holds everything below its end.
BAND_DB = 3.0
#: dB: below the power of any recording, noise alone included.
_LOWEST = -100.0
#: Blocks of 256 events that are drawn for one of kept cases, at most; share of events below which
#: moments are scaled, and the number of the block that tells it.
_MOST_DRAWN, _LEAST, _PILOT = 100, 0.05, 2**40
#: Part of the window in which an event may peak.
_PEAK = (0.25, 0.75)


def power_band(data_snr_db: float) -> tuple[float, float]:
    """Find the band of powers of a recording, dB: [low, high).

    Parameters
    ----------
    data_snr_db : dB of power of the whitened data (pure noise: 0).
    """
    k = int(np.floor(max(data_snr_db, 0.0) / BAND_DB))
    return (BAND_DB * k if k else _LOWEST, BAND_DB * (k + 1))


@dataclass(frozen=True, eq=False)
class RecordingSession(Session):
    """The session of one recording: a case is observed as the recording was.

    Attributes
    ----------
    observation : of the recording.
    """

    observation: Observation

    @classmethod
    def of(cls, obs: Observation) -> RecordingSession:
        """Take all that a session has from an observation.

        Parameters
        ----------
        obs : of the recording.
        """
        from bayesesi.noise import NoiseCovariance

        recording = obs.recording
        matrix = obs.whitener.colorer @ obs.whitener.colorer.T
        noise = NoiseCovariance(matrix, obs.whitener.ch_names, recording.nave, obs.whitener.dof)
        return cls(
            forward=obs.forward,
            bads=(),
            noise=noise,
            true_covariance=matrix,
            times=obs.time_basis.times,
            sfreq=recording.sfreq,
            band=recording.band,
            n_trials=max(1, round(recording.nave)),
            draws={},
            observation=obs,
        )

    def observe(
        self, volts: NDArray[np.floating], noise_scale: float = 1.0, name: str = ""
    ) -> Observation:
        """Observe ``volts`` (C, T) V with the recording's whitener; ``noise_scale`` is 1.

        ``name`` is that of the case.
        """
        obs, values = self.observation, np.asarray(volts, float)
        return replace(
            obs,
            values=np.asarray(project(values, obs.whitener, obs.time_basis), float),
            recording=replace(obs.recording, values=values, segments=None, name=name),
        )


@dataclass(frozen=True, eq=False)
class RecordingCases:
    """Simulate cases of one recording, see the module.

    Attributes
    ----------
    observation : of the recording, in the template's head. spec : whose sources, time course and
        range of SNR events have. events : whether each case has an event, or none has.
    head : name of the prior of the true head; by default that around the template's for electrodes
        of the recording's kind, measured or nominal.
    """

    observation: Observation
    spec: SimulatorSpec
    events: bool = True
    head: str = ""

    def __post_init__(self) -> None:
        obs = self.observation
        if obs.forward.banked is None or obs.source_space.ico is None:
            raise InputError(
                "cases like a recording need heads that can be redrawn, and this forward is not "
                "from the bank; use template_forward(info)"
            )
        if set(obs.sensors.kinds) != {"eeg"}:
            raise InputError("cases like a recording are of EEG, and this one has other sensors")

    def __repr__(self) -> str:
        return f"<RecordingCases | {self.said()['name']}>"

    @cached_property
    def key(self) -> str:
        """Hash of what cases depend on: two recordings of one key have the same cases."""
        obs = self.observation
        known = hashlib.sha256()
        basis, positions = obs.time_basis, obs.sensors.positions
        times = basis.times - basis.times[0]
        for array in (obs.whitener.matrix, obs.leadfield, basis.projector, times, positions):
            known.update(np.ascontiguousarray(array).tobytes())
        about = (*self.band, obs.whitener.dof, obs.scale_known)
        known.update(repr((about, spec_hash(self.spec), spec_hash(self.heads.spec))).encode())
        return f"{known.hexdigest()[:16]}-{'event' if self.events else 'noise'}"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return RecordingCases, (self.observation, self.spec, self.events, self.head)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordingCases) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def said(self) -> dict[str, str]:
        """Name and hash the cases, for a card; never by the recording's name."""
        low, high = self.band
        what = f"events of {self.spec.source}" if self.events else "noise"
        words = f"{what} as this recording shows them, {max(low, 0):g} to {high:g} dB"
        return {"name": words, "hash": self.key}

    @cached_property
    def band(self) -> tuple[float, float]:
        """Of the recording's power, dB."""
        return power_band(self.observation.snr_db)

    @cached_property
    def scaled(self) -> bool:
        """Whether moments are scaled into the band: of an unknown unit, and where fewer than one
        event in twenty has the power. Decided by events of their own, once for all cases."""
        if not self.observation.scale_known:
            return True
        with block_generator("bench", 0, _PILOT):
            return self.events and len(self._drawn(0, False)) < _LEAST * BLOCK

    @cached_property
    def heads(self) -> HeadPrior:
        """Prior of the true head and cap around the assumed ones."""
        if not self.head:
            return heads_around(self.observation.sensors.origin)
        found = read_prior(self.head)
        if not isinstance(found, HeadPrior):
            raise InputError(f"{self.head!r} is no prior of heads; see `bayesesi specs`")
        return found

    def block(self, block: int, seed: int, namespace: str, n: int = BLOCK) -> tuple[Batch, ...]:
        """Simulate the first ``n`` cases of 256, a batch each.

        Parameters
        ----------
        block : its number. seed, namespace : see ``Simulator.simulate``.
        """
        kept: list[Batch] = []
        for part in range(_MOST_DRAWN):
            with block_generator(namespace, seed, _MOST_DRAWN * block + part):
                kept += self._drawn(block * BLOCK + len(kept), self.scaled)
            if len(kept) >= n:
                return tuple(kept[:n])
        raise InputError(
            f"no event of {self.spec.source} shows the power of this recording, "
            f"{self.observation.snr_db:.1f} dB; give the covariance of its noise"
        )

    def _drawn(self, first: int, scaled: bool) -> list[Batch]:
        """Those of 256 drawn cases that have the recording's power."""
        obs, source = self.observation, read_source_prior(self.spec.source, 5, self.spec.folder)
        event = source.draw_block()
        courses = self._courses(source.n_slots)
        if "correlation" in event:
            courses = correlate(courses, event["correlation"])
        heads = self.heads.draw(BLOCK)
        if not self.events:
            event = {**event, "count": np.zeros(BLOCK, np.int64)}
        drawn = DrawnBlock(
            first,
            {**event, **heads},
            source.patterns(event).astype(np.float32),
            single(source.tangents(event)),
            single(source.volume(event)),
            courses,
            None,
            {},
            {},
        )
        points = self.heads.electrodes(drawn.draws, obs.sensors.positions)
        volts = np.zeros((BLOCK, len(obs.sensors), courses.shape[2]))
        if self.events:
            at_sensors = self._at_sensors(drawn, points).reshape(BLOCK, source.n_slots, -1)
            volts += at_sensors.swapaxes(1, 2) @ courses
        volts -= volts.mean(axis=1, keepdims=True)
        noise = self._noise()
        factor, snr, rows = self._sized(volts, noise, scaled)
        session = RecordingSession.of(obs)
        settings = self.heads.settings(drawn.draws)
        background = obs.whitener.colorer @ noise @ obs.time_basis.functions.T
        slots = source.n_slots
        return [
            Batch(
                self.spec,
                session,
                first + place,
                (factor[k] * volts[k] + background[k])[None],
                factor[k] * drawn.patterns[k * slots : (k + 1) * slots],
                None
                if drawn.tangents is None
                else factor[k] * drawn.tangents[k * slots : (k + 1) * slots],
                courses[k : k + 1],
                np.ones(1),
                snr[k : k + 1],
                settings.pick(slice(k, k + 1)),
                points.positions[k : k + 1],
                {name: value[k : k + 1] for name, value in drawn.draws.items()},
            )
            for place, k in enumerate(rows)
        ]

    def _at_sensors(self, drawn: DrawnBlock, points: ScalpPoints) -> NDArray[np.floating]:
        """(256 K, C) V of every source at its peak, in the head of its case."""
        n_slots = drawn.courses.shape[1]
        at_scalp = scalp_topographies(drawn, self.heads, n_slots)
        return points.potentials(at_scalp, np.repeat(np.arange(BLOCK), n_slots))

    def _courses(self, n_slots: int) -> NDArray[np.float64]:
        """(256, K, T): a course that peaks at time 0 is cut so that it peaks within the window."""
        times = self.observation.time_basis.times
        n = len(times)
        if n == 1:
            return np.ones((BLOCK, n_slots, 1))
        step = (times[-1] - times[0]) / (n - 1)
        longer = step * np.arange(-(n - 1), n)
        courses, _ = draw_courses(self.spec.time_course, BLOCK, n_slots, longer)
        share = _PEAK[0] + (_PEAK[1] - _PEAK[0]) * torch.rand(BLOCK).numpy()
        begin = n - 1 - np.round(share * (n - 1)).astype(int)
        index = begin[:, None, None] + np.arange(n)
        cut = np.take_along_axis(courses, index, axis=2)
        return np.asarray(cut / np.abs(cut).max(axis=2, keepdims=True))

    def _noise(self) -> NDArray[np.float64]:
        """(256, n_eff, R) whitened noise, of a covariance known as well as the recording's."""
        obs = self.observation
        z = torch.randn(BLOCK, obs.n_eff, obs.n_functions, dtype=torch.float64)
        dof = obs.whitener.dof
        if dof is None:
            return z.numpy()
        # S^(1/2) z with S^-1 = F F' is F^-T z; F by Bartlett's decomposition of a Wishart matrix
        freedom = max(float(dof), obs.n_eff + 2.0)
        factor = torch.randn(BLOCK, obs.n_eff, obs.n_eff, dtype=torch.float64).tril_(-1)
        law = torch.distributions.Chi2(freedom - torch.arange(obs.n_eff, dtype=torch.float64))
        factor += torch.diag_embed(law.sample((BLOCK,)).sqrt())
        factor /= freedom**0.5
        return torch.linalg.solve_triangular(factor.mT, z, upper=True).numpy()

    def _sized(
        self, volts: NDArray[np.float64], noise: NDArray[np.float64], scaled: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Factors on the events (256,), their SNR in dB, and which of them are kept."""
        obs = self.observation
        expected = (obs.whitener.colorer**2).sum() / len(obs.sensors)  # V²
        power = (volts**2).mean(axis=(1, 2))
        factor = np.ones(BLOCK)
        low, high = self.band
        if self.events and scaled:
            white = project(volts, obs.whitener, obs.time_basis)
            pairs = ((white, white), (white, noise), (noise, noise))
            x, b, e = ((one * other).mean(axis=(1, 2)) for one, other in pairs)
            least = max(low, 0.0)
            wanted = 10 ** ((least + (high - least) * torch.rand(BLOCK).double().numpy()) / 10)
            with np.errstate(all="ignore"):
                factor = (np.sqrt(b**2 + x * (wanted - e)) - b) / x
            factor = np.where(np.isfinite(factor) & (factor > 0), factor, 0.0)
        with np.errstate(divide="ignore"):
            snr = 10 * np.log10(factor**2 * power / expected)
        if not self.events:
            return factor, snr, np.arange(BLOCK)
        values = project(factor[:, None, None] * volts, obs.whitener, obs.time_basis) + noise
        found = 10 * np.log10((values**2).mean(axis=(1, 2)))
        inside = (found >= low) & (found < high) & (power > 0) & (factor > 0)
        if not scaled:
            inside &= (snr >= self._snr[0]) & (snr <= self._snr[1])
        return factor, snr, np.flatnonzero(inside)

    @cached_property
    def _snr(self) -> tuple[float, float]:
        """Range of SNR that the spec declares, dB."""
        declared = self.spec.snr_db
        return (-np.inf, np.inf) if declared is None else declared.bounds
