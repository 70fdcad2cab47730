"""A virtual laboratory: events in unknown heads, under noise, as a recording would show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.anatomy import template_source_space
from bayesesi.deprecated import renamed
from bayesesi.errors import InputError, some
from bayesesi.forward import (
    BankedHead,
    ForwardOperator,
    HeadSetting,
    Sensors,
    montage_sensors,
    template_bank,
)
from bayesesi.prior import (
    BLOCK,
    HeadPrior,
    NoisePrior,
    SourcePrior,
    block_generator,
    blocks_of,
    read_prior,
)
from bayesesi.simulator.block import DrawnBlock, noise_scale, scalp_topographies, single
from bayesesi.simulator.recording_noise import RecordingNoise, make_place, make_recording_noise
from bayesesi.simulator.simulation import Batch, Session, Simulation
from bayesesi.simulator.time_course import correlate, draw_courses
from bayesesi.spec import SimulatorSpec, VolumeFrameSpec, read_spec

if TYPE_CHECKING:
    from bayesesi.simulator.sbi_simulator import SbiSimulator

#: Cases that share a session: a quarter of a block.
SESSION = 64
_SESSIONS = tuple(2**i for i in range(BLOCK.bit_length()))
#: Times its noise: what a bad channel shows.
_BAD = 20.0


@renamed(session="group_size")
def read_simulator(name_or_path: str | Path, group_size: int = SESSION) -> Simulator:
    """Read a simulator; ``name_or_path`` is a name that ships or a TOML file of your own.

    ``group_size`` is how many cases share a recording: see ``Simulator``. Protocols on a volume of
    free dipoles are read by ``read_volume_simulator``.

    Raises
    ------
    SpecError : a spec with mistakes. InputError : one that is no simulator, or that names a spec of
        the wrong kind.
    """
    spec = read_spec(name_or_path)
    if isinstance(spec, VolumeFrameSpec):
        raise InputError(
            f"{spec.name!r} simulates free dipoles in a volume; read it with "
            f"bayesesi.simulator.read_volume_simulator({spec.name!r})"
        )
    if not isinstance(spec, SimulatorSpec):
        raise InputError(
            f"{spec.name!r} is not a simulator but a prior of {spec.kind}; draw from it with "
            f"bayesesi.read_prior({spec.name!r})"
        )
    return Simulator(spec, group_size)


@dataclass(frozen=True, eq=False)
class Simulator:
    """v = L(true head) J + noise, then referenced as the recording is.

    Every case has a head and a misplaced cap of its own; every ``group_size`` cases share montage,
    assumed head, noise and its estimated covariance. 64 make training quick; cases of one session
    err together, so that calibration and conformal sets want ``group_size=1``. Case k depends on
    seed, namespace, group size and k alone. ``spec`` names its priors.
    """

    spec: SimulatorSpec
    group_size: int = SESSION

    def __post_init__(self) -> None:
        if self.group_size not in _SESSIONS:
            raise InputError(
                f"group_size is a power of 2 up to {BLOCK}, not {self.group_size!r}: how many "
                "cases share a montage and a noise covariance"
            )

    def __repr__(self) -> str:
        s = self.spec
        return f"<Simulator {s.name!r} | {s.source}, {s.head}, {s.noise}, {s.time_course.family}>"

    @cached_property
    def source(self) -> SourcePrior:
        return _of_kind(self.spec, "source", SourcePrior)

    @cached_property
    def head(self) -> HeadPrior:
        return _of_kind(self.spec, "head", HeadPrior)

    @cached_property
    def noise(self) -> NoisePrior:
        return _of_kind(self.spec, "noise", NoisePrior)

    def check(self) -> None:
        """Check that what the spec names is there and of the right kind.

        Raises
        ------
        InputError : in one sentence, what is not.
        """
        for family in self.spec.montage.families:
            self._reference_of(family)
        _ = self.head, self.noise
        self.source.check()

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """(T,) s."""
        first, last = (round(ms * 1e-3 * self.spec.sfreq_Hz) for ms in self.spec.window_ms)
        return np.arange(first, last + 1) / self.spec.sfreq_Hz

    def simulate(
        self, n: int, seed: int = 0, namespace: str = "train", start: int = 0
    ) -> Simulation:
        """Simulate ``n`` cases of ``seed`` for ``namespace``, from case ``start`` on.

        Raises
        ------
        InputError : no case, or a namespace that does not exist.
        """
        if n < 1:
            raise InputError(f"simulate at least one case, not {n}")
        batches = []
        for block, rows in blocks_of(start, start + n):
            for batch in self.block(block, seed, namespace, n=rows.stop):
                first = batch.first - block * BLOCK
                low, high = max(rows.start - first, 0), min(rows.stop - first, len(batch))
                if low < high:
                    batches.append(batch.pick(slice(low, high)))
        return Simulation(self.spec, seed, namespace, tuple(batches))

    def stream(self, seed: int = 0, namespace: str = "train", start: int = 0) -> Iterator[Batch]:
        """Yield batches of one session each, without end, from the block of case ``start`` on;
        ``seed`` and ``namespace`` as in ``simulate``."""
        block = start // BLOCK
        while True:
            yield from self.block(block, seed, namespace)
            block += 1

    def block(
        self,
        block: int,
        seed: int,
        namespace: str,
        event: dict[str, NDArray[Any]] | None = None,
        n: int = BLOCK,
    ) -> tuple[Batch, ...]:
        """Simulate the 256 cases of ``block``, a batch a session. All that is random is drawn here.

        ``seed``, ``namespace`` as in ``simulate``; ``event``: sites (256, ...) of the source prior
        that are given instead of drawn; ``n``: of 256 cases, those whose sessions are made, the
        first. They are the same for any n.
        """
        with block_generator(namespace, seed, block):
            event = self.source.draw_block() if event is None else event
            courses, sites = draw_courses(
                self.spec.time_course, BLOCK, self.source.n_slots, self.times
            )
            if "correlation" in event:
                courses = correlate(courses, event["correlation"])
            heads = self.head.draw(BLOCK)
            sessions = range(0, BLOCK, self.group_size)
            drawn = DrawnBlock(
                block * BLOCK,
                {**event, **{f"course/{k}": v for k, v in sites.items()}, **heads},
                self.source.patterns(event).astype(np.float32),
                single(self.source.tangents(event)),
                single(self.source.volume(event)),
                courses,
                self._draw_snr(),
                self.head.draw(len(sessions)),
                self.noise.draw(len(sessions)),
            )
            topographies = scalp_topographies(drawn, self.head, self.source.n_slots)
            batches, scale = [], 1.0
            for i, first in enumerate(sessions[: -(-n // self.group_size)]):
                rows = slice(first, first + self.group_size)
                batches.append(self._batch(drawn, topographies, i, rows, scale))
                scale = float(batches[-1].noise_scale[-1])
            return tuple(batches)

    def as_sbi_simulator(self, namespace: str = "train") -> SbiSimulator:
        """Make theta -> x as sbi calls it, of ``source.as_sbi_prior()``, for ``namespace``.

        Raises
        ------
        InputError : recordings that differ in their channels, which are no vector of one length.
        """
        from bayesesi.simulator.sbi_simulator import SbiSimulator

        return SbiSimulator(self, namespace)

    def _draw_snr(self) -> NDArray[np.float64] | None:
        from bayesesi.prior import distribution_of

        if self.spec.snr_db is None:
            return None
        drawn: torch.Tensor = distribution_of(self.spec.snr_db).expand([BLOCK]).sample()
        return drawn.double().numpy()

    def _batch(
        self, block: DrawnBlock, at_scalp: NDArray[np.float32], i: int, rows: slice, before: float
    ) -> Batch:
        """Session i; ``before`` is the noise scale of the last case of the session before it."""
        spec, n, slots = self.spec, rows.stop - rows.start, self.source.n_slots
        forward, bads = self._cap()
        sensors = forward.sensors
        assert sensors is not None
        draws = {name: value[rows] for name, value in block.draws.items()}
        points = self.head.electrodes(draws, sensors.positions)
        volts_of = points.potentials(
            at_scalp[rows.start * slots : rows.stop * slots], np.repeat(np.arange(n), slots)
        )
        courses = block.courses[rows].astype(np.float32)
        event = volts_of.reshape(n, slots, -1).swapaxes(1, 2) @ courses
        noise = self._noise(block, i, sensors)
        changes = self.noise.draw_level_changes(n)
        expected = noise.level**2 / spec.n_trials * changes**2
        scale, snr = noise_scale(event, expected, block.snr, rows, before)
        size = (changes * scale).astype(np.float32)[:, None, None]
        volts = event + size * noise.draw(n, self.times, spec.n_trials)
        estimate = noise.estimate(
            sensors.names,
            spec.sfreq_Hz,
            float(block.noise["baseline_s"][i]),
            self.noise.spec.estimate.shrinkage,
        )
        bad = [sensors.names.index(name) for name in bads]
        loud = _BAD * noise.level * torch.randn(n, len(bad), volts.shape[2]).numpy()
        volts[:, bad] += loud.astype(np.float32)
        kept = tuple(name for name in sensors.names if name != spec.montage.reference)
        index = sensors.indices(kept)
        if len(kept) < len(sensors):
            volts = volts - volts[:, [sensors.names.index(spec.montage.reference)]]
        session = Session(
            forward.pick(kept),
            tuple(name for name in bads if name in kept),
            estimate.pick(kept),
            noise.covariance[np.ix_(index, index)],
            self.times,
            spec.sfreq_Hz,
            (spec.band_Hz[0], spec.band_Hz[1]),
            spec.n_trials,
            {name: value[i] for name, value in block.noise.items()},
        )
        return Batch(
            spec,
            session,
            block.first + rows.start,
            volts[:, index],
            block.patterns[rows.start * slots : rows.stop * slots],
            None
            if block.tangents is None
            else block.tangents[rows.start * slots : rows.stop * slots],
            block.courses[rows],
            scale,
            snr,
            self.head.settings(draws),
            points.positions[:, index],
            {**draws, "level_change": changes},
        )

    def _cap(self) -> tuple[ForwardOperator, tuple[str, ...]]:
        """A session's electrodes on the assumed head, and which of them are bad."""
        montage, cap = self.spec.montage, self.head.spec.cap
        families = list(montage.families)
        weights = torch.tensor([montage.families[family] for family in families])
        family = families[int(torch.multinomial(weights, 1))]
        plan, reference = montage_sensors(family), self._reference_of(family)
        there = torch.rand(len(plan)).numpy() >= montage.missing
        bad = (torch.rand(len(plan)).numpy() < montage.bad) & there
        if reference is not None:
            there[reference], bad[reference] = True, False
        names = np.array(plan.names)
        if cap.worn_shift_mm or cap.worn_rotation_deg:
            worn = self.head.worn(plan.positions)
            forward = template_forward_of(replace(plan, positions=worn, origin="measured"))
        else:
            forward = self._planned(plan)
        return forward.pick(tuple(map(str, names[there]))), tuple(map(str, names[bad]))

    def _reference_of(self, family: str) -> int | None:
        """Which electrode of a montage volts are measured against; None for their average."""
        name, names = self.spec.montage.reference, montage_sensors(family).names
        if name == "average":
            return None
        if name not in names:
            raise InputError(
                f"{self.spec.name}: montage.reference = {name[:40]!r} is not a channel of "
                f"{family}, which has {some(names)}; choose one of those, or 'average'"
            )
        return names.index(name)

    def _planned(self, plan: Sensors) -> ForwardOperator:
        """One a montage, kept as long as the simulator is."""
        if plan not in self._plans:
            self._plans[plan] = template_forward_of(plan)
        return self._plans[plan]

    @cached_property
    def _plans(self) -> dict[Sensors, ForwardOperator]:
        return {}

    def _noise(self, block: DrawnBlock, i: int, sensors: Sensors) -> RecordingNoise:
        """A session's noise, made in a head of its own, under the same cap."""
        head = {name: value[i : i + 1] for name, value in block.noise_heads.items()}
        place = make_place(
            sensors.names,
            self.head.settings(head)[0],
            self.head.electrodes(head, sensors.positions),
            len(self.times),
            self.spec.sfreq_Hz,
            self.spec.band_Hz,
        )
        return make_recording_noise(self.noise.spec, block.noise, i, place)


def template_forward_of(sensors: Sensors) -> ForwardOperator:
    """Compute the template's forward of ``sensors``, as ``template_forward`` gives it to a user."""
    banked = BankedHead(template_bank(), HeadSetting(), sensors.positions, 4)
    return ForwardOperator(
        banked.leadfield(HeadSetting()),
        template_source_space(4),
        sensors=sensors,
        banked=banked,
        provenance={"forward": "template", "electrodes": sensors.origin},
    )


def _of_kind(spec: SimulatorSpec, key: str, kind: type[Any]) -> Any:
    name = getattr(spec, key)
    prior = read_prior(name, folder=spec.folder)
    if not isinstance(prior, kind):
        raise InputError(
            f"{spec.name}: {key} = {name!r} is not a prior of that kind; see `bayesesi specs`"
        )
    return prior
