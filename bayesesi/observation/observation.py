"""The one form in which data meet a posterior: v~ = L~ j + e, e ~ N(0, I)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator, HeadSetting, Sensors
from bayesesi.noise import NoiseCovariance, Whitener, make_whitener
from bayesesi.observation.sensor_data import Recording, without_bads
from bayesesi.observation.time_basis import TimeBasis

#: s: a window up to this shows one event.
_LONGEST_RISE = 0.5


@dataclass(frozen=True, eq=False)
class Observation:
    """A whitened window of a recording with the whitened leadfield that explains it.

    Attributes
    ----------
    values : (n_eff, R), unitless; pure noise is N(0, I).
    leadfield : (n_eff, S) or (n_eff, S, 3), 1/(A m).
    whitener : n_eff by C.
    time_basis : J(t) = J_R functions(t)'.
    sensors : names, kinds, positions, measured or nominal.
    forward : for these channels; ``forward.banked`` is None where the head can't be redrawn.
    scale_known : False if volts are known up to a factor only.
    recording : the window in SI units, for pictures and checks.
    provenance : what a methods section would say.
    """

    values: NDArray[np.float64]
    leadfield: NDArray[np.float64]
    whitener: Whitener
    time_basis: TimeBasis
    forward: ForwardOperator
    scale_known: bool
    recording: Recording
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source_space(self) -> SourceSpace:
        return self.forward.source_space

    @property
    def sensors(self) -> Sensors:
        assert self.forward.sensors is not None
        return self.forward.sensors

    @property
    def n_eff(self) -> int:
        return self.values.shape[0]

    @property
    def n_functions(self) -> int:
        return self.values.shape[1]

    @property
    def snr_db(self) -> float:
        """Power of the whitened data over that of noise, 10 log10(|values|² / (n_eff R))."""
        return float(10 * np.log10((self.values**2).mean()))

    @property
    def rise(self) -> tuple[int, int] | None:
        """Samples of the window at which the whitened amplitude over all channels, less what noise
        adds to its square, is half of its largest on the way up, and at which it is largest.

        None where the window does not show both: it begins above that, one sample lies between
        them at most, or it is longer than one event and holds many waves.
        """
        functions, times = self.time_basis.functions, self.time_basis.times
        if times[-1] - times[0] > _LONGEST_RISE:
            return None
        power = ((self.values @ functions.T) ** 2).sum(axis=0)
        power = power - self.n_eff * (functions**2).sum(axis=1)
        peak = int(power.argmax())
        below = np.flatnonzero(power[:peak] < power[peak] / 4)
        if not len(below) or peak - int(below[-1]) < 3:
            return None
        return int(below[-1]) + 1, peak

    def halves(self) -> tuple[Observation, ...]:
        """Average every second trial, from the first and from the second on, as many in each half.

        The window stays. There are none where single trials are not known, or fewer than four.
        """
        trials = self.recording.segments
        if trials is None or len(trials) < 4:
            return ()
        n = len(trials) // 2
        return tuple(self._averaged(trials[k::2][:n]) for k in range(2))

    def resampled(self, times: int, seed: int = 0) -> Iterator[Observation]:
        """Average as many trials drawn with replacement, ``times`` over (Efron 1979,
        doi:10.1214/aos/1176344552).

        The window stays; ``seed`` decides the draws. There are none where single trials are not
        known, or fewer than four.
        """
        trials = self.recording.segments
        if trials is None or len(trials) < 4:
            return
        rng = np.random.default_rng([seed, len(trials)])
        for _ in range(times):
            yield self._averaged(trials[rng.integers(len(trials), size=len(trials))])

    def _averaged(self, trials: NDArray[np.float64]) -> Observation:
        """Of some (N, C, T) of the trials: their noise is larger by what was not averaged."""
        recording = replace(
            self.recording, values=trials.mean(axis=0), segments=trials, nave=float(len(trials))
        )
        louder = np.sqrt(self.recording.nave / len(trials))
        matrix, colorer = self.whitener.matrix / louder, self.whitener.colorer * louder
        whitener = replace(self.whitener, matrix=matrix, colorer=colorer)
        return replace(
            self,
            values=np.asarray(project(recording.values, whitener, self.time_basis), float),
            leadfield=self.leadfield / louder,
            whitener=whitener,
            recording=recording,
            provenance={**self.provenance, "nave": recording.nave},
        )

    def with_note(self, note: Mapping[str, Any]) -> Observation:
        """Add the items of ``note`` to its provenance."""
        return replace(self, provenance={**self.provenance, **note})

    def without(self, channels: Sequence[str]) -> Observation:
        """Leave out ``channels`` of the same window and whiten anew.

        Raises
        ------
        InputError : channels that are not there, or too few left.
        """
        kept = without_bads(self.recording, channels)
        matrix = self.whitener.colorer @ self.whitener.colorer.T
        noise = NoiseCovariance(matrix, self.whitener.ch_names).pick(kept.ch_names)
        whitener = replace(make_whitener(noise, kept.kinds, kept.projectors), dof=self.whitener.dof)
        forward = self.forward.pick(kept.ch_names)
        return replace(
            self,
            values=np.asarray(project(kept.values, whitener, self.time_basis), float),
            leadfield=np.tensordot(whitener.matrix, forward.leadfield, axes=1),
            whitener=whitener,
            forward=forward,
            recording=kept,
            provenance={**self.provenance, "bads": kept.bads, "rank": whitener.n_eff},
        )

    def in_head(self, setting: HeadSetting) -> Observation:
        """Assume another head, ``setting``, for the same data.

        Raises
        ------
        InputError : a forward model that came from no bank, or a setting that the bank does not
            hold.
        """
        banked = self.forward.banked
        if banked is None:
            raise InputError(
                "another head can be assumed where the forward is the template's; this one is the "
                "user's own, so make another forward and observe again"
            )
        other = replace(
            self.forward,
            leadfield=banked.leadfield(setting.check_range()),
            banked=replace(banked, setting=setting),
        )
        leadfield = np.tensordot(self.whitener.matrix, other.leadfield, axes=1)
        return replace(self, forward=other, leadfield=leadfield)

    def __repr__(self) -> str:
        times = self.time_basis.times * 1e3
        name = f" {self.recording.name!r}" if self.recording.name else ""
        return (
            f"<Observation{name} | {times[0]:.0f} to {times[-1]:.0f} ms, {len(self.sensors)} "
            f"channels (rank {self.n_eff}) × {self.n_functions} functions, "
            f"{self.source_space.n_sources} {self.forward.orientation} sources, "
            f"{self.snr_db:+.1f} dB{'' if self.scale_known else ', scale unknown'}>"
        )


def project(
    volts: NDArray[np.floating], whitener: Whitener, time_basis: TimeBasis
) -> NDArray[np.floating]:
    """Whiten ``volts`` (..., C, T) to (..., n_eff, R): the only place where data are.

    A recording and a batch of simulated ones pass through the same two products, of ``whitener``
    over channels and of ``time_basis`` over time.
    """
    return whitener.matrix @ (volts @ time_basis.projector)
