"""Simulated recordings with the truth that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import (
    active_regions,
    region_energy,
    template_parcellation,
    template_source_space,
)
from bayesesi.deprecated import renamed
from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator, HeadSetting, HeadSettings
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation, Recording, TimeBasis, observe, project
from bayesesi.spec import SimulatorSpec


@dataclass(frozen=True, eq=False)
class Session:
    """What one recording's cases share: cap, assumed head, noise and what is known of it.

    Attributes
    ----------
    forward : of the assumed head, as a user would have it. bads : channels marked as bad.
    noise : covariance of single trials as estimated; ``true_covariance`` (C, C) V² made it.
    times : (T,) s. sfreq : Hz. band : Hz. n_trials : in an average.
    draws : what the session's priors drew.
    """

    forward: ForwardOperator
    bads: tuple[str, ...]
    noise: NoiseCovariance
    true_covariance: NDArray[np.float64]
    times: NDArray[np.float64]
    sfreq: float
    band: tuple[float, float]
    n_trials: int
    draws: Mapping[str, Any]

    @property
    def ch_names(self) -> tuple[str, ...]:
        return tuple(self.forward.ch_names)

    def recording(self, volts: NDArray[np.floating], name: str = "") -> Recording:
        """Make a recording of ``volts`` (C, T) V as a measured average would come; ``name`` it."""
        kinds = ("eeg",) * len(self.ch_names)
        return Recording(
            values=np.asarray(volts, float),
            ch_names=self.ch_names,
            kinds=kinds,
            times=self.times,
            sfreq=self.sfreq,
            nave=self.n_trials,
            band=self.band,
            name=name,
        )

    def observe(
        self, volts: NDArray[np.floating], noise_scale: float = 1.0, name: str = ""
    ) -> Observation:
        """Observe ``volts`` (C, T) V; ``noise_scale``, a factor, squared multiplies the covariance.

        ``name`` is the recording's.
        """
        noise = replace(self.noise, matrix=self.noise.matrix * noise_scale**2)
        recording = self.recording(volts, name)
        return observe(recording, self.forward, noise, bads=self.bads)


@dataclass(frozen=True, eq=False)
class Truth:
    """What made one case.

    Attributes
    ----------
    count : sources. centres : (count,) vertices of the 20,484, and ``regions`` their names.
    active : names of the active regions. snr_db : see ``SimulatorSpec.snr_db``; -inf without event.
    head : as it is. cap_shift_mm, cap_rotation_deg : of the cap against where it is assumed.
    latents : everything the priors drew for this case.
    """

    count: int
    centres: NDArray[np.int64]
    regions: tuple[str, ...]
    active: tuple[str, ...]
    snr_db: float
    head: HeadSetting
    cap_shift_mm: NDArray[np.float64]
    cap_rotation_deg: NDArray[np.float64]
    latents: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """Cases of one session, n of them.

    Attributes
    ----------
    spec : of the simulator. session : what the cases share.
    first : number of the first case in its seed.
    volts : (n, C, T) V, average reference unless the spec says otherwise.
    patterns : (n K, 20484) A m along the normal, each source at its peak.
    tangents : (n K, 61452) A m across it, x, y, z side by side; None for fixed sources.
    courses : (n, K, T), at most 1.
    noise_scale : (n,) by which the session's noise was scaled to declared SNRs.
    snr_db : (n,). heads : true ones. electrodes : (n, C, 3) m, true ones.
    draws : site -> (n, ...).
    """

    spec: SimulatorSpec
    session: Session
    first: int
    volts: NDArray[np.float32]
    patterns: sp.csr_array
    tangents: sp.csr_array | None
    courses: NDArray[np.float64]
    noise_scale: NDArray[np.float64]
    snr_db: NDArray[np.float64]
    heads: HeadSettings
    electrodes: NDArray[np.float64]
    draws: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.volts)

    def __repr__(self) -> str:
        n, c, t = self.volts.shape
        return f"<Batch | cases {self.first} to {self.first + n - 1}, {c} channels, {t} samples>"

    @cached_property
    def _door(self) -> Observation:
        """The session's whitener, time functions and leadfield, from its first case, which is
        brought to the size of the noise as the session has it."""
        return self.session.observe(self.volts[0] / self.noise_scale[0])

    @property
    def leadfield(self) -> NDArray[np.float64]:
        """(n_eff, 5124) 1/(A m), whitened, of the assumed head; over ``noise_scale`` for a case."""
        return self._door.leadfield

    @property
    def whitener(self) -> NDArray[np.float64]:
        """(n_eff, C) of the session's good channels, for noise as it was estimated."""
        return self._door.whitener.matrix

    @property
    def forward(self) -> ForwardOperator:
        """The assumed head's, for the session's good channels."""
        return self._door.forward

    @property
    def time_basis(self) -> TimeBasis:
        """Of the session."""
        return self._door.time_basis

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(n, n_eff, R): every case as ``observe`` would whiten it."""
        good = [i for i, n in enumerate(self.session.ch_names) if n not in self.session.bads]
        door = self._door
        whitened = project(self.volts[:, good].astype(float), door.whitener, door.time_basis)
        return np.asarray(whitened / self.noise_scale[:, None, None])

    def _check(self, k: int) -> None:
        if not 0 <= k < len(self):
            raise InputError(f"case {k} does not exist; this batch has 0 to {len(self) - 1}")

    def observation(self, k: int) -> Observation:
        """Observe case ``k`` as a recording would be."""
        self._check(k)
        name = f"{self.spec.name} {self.first + k}"
        return self.session.observe(self.volts[k], float(self.noise_scale[k]), name)

    def patterns_at(self, ico: int) -> sp.csr_array:
        """Sum the moments over the cells of a coarser level ``ico`` 1 to 5, (n K, S) A m."""
        return sp.csr_array(self.patterns @ _cells(ico))

    @renamed(level="ico")
    def field(self, k: int, ico: int = 4) -> NDArray[np.float64]:
        """Compute the event of case ``k`` along the normals, (S, T) A m.

        A fixed model should find this; ``ico`` 1 to 5 is of the sources.
        """
        self._check(k)
        slots = self.courses.shape[1]
        rows = self.patterns_at(ico)[k * slots : (k + 1) * slots]
        return np.asarray(rows.T @ self.courses[k])

    @cached_property
    def energy(self) -> sp.csr_array:
        """(n, S) A² m²: squared moments on the 20,484 sources, summed over the window."""
        along = _squares(self.patterns, self.courses)
        if self.tangents is None:
            return along
        across = _squares(self.tangents, self.courses)
        of_source = sp.kron(sp.eye_array(along.shape[1]), np.ones((3, 1)), format="csr")
        return sp.csr_array(along + across @ of_source)

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """(n, 68) which regions are active."""
        energy = region_energy(self.energy, template_parcellation(5))
        return active_regions(energy, self.spec.active_share)

    def truth(self, k: int) -> Truth:
        """Gather what made case ``k`` of the batch."""
        self._check(k)
        names = template_parcellation(5).names
        count = int(self.draws["count"][k])
        latents = {name: value[k] for name, value in self.draws.items()}
        centres = np.asarray(latents.get("centre", ()), np.int64)[:count]
        labels = template_parcellation(5).labels[centres]
        return Truth(
            count,
            centres,
            tuple(names[i] for i in labels if i >= 0),
            tuple(names[i] for i in np.flatnonzero(self.active[k])),
            float(self.snr_db[k]),
            self.heads[k],
            latents["cap_shift_mm"],
            latents["cap_rotation_deg"],
            latents,
        )

    def pick(self, rows: slice) -> Batch:
        """Keep the cases in ``rows``."""
        start, stop, _ = rows.indices(len(self))
        slots = self.courses.shape[1]
        return replace(
            self,
            first=self.first + start,
            volts=self.volts[rows],
            patterns=self.patterns[start * slots : stop * slots],
            tangents=None if self.tangents is None else self.tangents[start * slots : stop * slots],
            courses=self.courses[rows],
            noise_scale=self.noise_scale[rows],
            snr_db=self.snr_db[rows],
            heads=self.heads.pick(rows),
            electrodes=self.electrodes[rows],
            draws={name: value[rows] for name, value in self.draws.items()},
        )


@dataclass(frozen=True, eq=False)
class Simulation:
    """n cases of a simulator's seed, in batches that share a session.

    Attributes
    ----------
    spec : of the simulator. seed, namespace : that the cases are of. batches : in order.
    """

    spec: SimulatorSpec
    seed: int
    namespace: str
    batches: tuple[Batch, ...]

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def __repr__(self) -> str:
        return (
            f"<Simulation of {self.spec.name!r} | {len(self)} cases in {len(self.batches)} "
            f"sessions, seed {self.seed}, for {self.namespace}>"
        )

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def _find(self, k: int) -> tuple[Batch, int]:
        left = k
        for batch in self.batches:
            if 0 <= left < len(batch):
                return batch, left
            left -= len(batch)
        raise InputError(f"case {k} does not exist; there are 0 to {len(self) - 1}")

    def observation(self, k: int) -> Observation:
        """Observe case ``k`` as a recording would be."""
        batch, row = self._find(k)
        return batch.observation(row)

    def truth(self, k: int) -> Truth:
        """Gather what made case ``k``."""
        batch, row = self._find(k)
        return batch.truth(row)

    @renamed(level="ico")
    def field(self, k: int, ico: int = 4) -> NDArray[np.float64]:
        """Compute the event of case ``k`` on ``ico`` 1 to 5 of the cortex, (S, T) A m."""
        batch, row = self._find(k)
        return batch.field(row, ico)

    @property
    def active(self) -> NDArray[np.bool_]:
        """(n, 68) which regions are active."""
        return np.concatenate([batch.active for batch in self.batches])

    @property
    def snr_db(self) -> NDArray[np.float64]:
        """(n,)"""
        return np.concatenate([batch.snr_db for batch in self.batches])


def _squares(patterns: sp.csr_array, courses: NDArray[np.float64]) -> sp.csr_array:
    """(n, F): sum over the window of (sum_k pattern_k course_k)², by the courses' Gram matrix."""
    n, slots, _ = courses.shape
    gram = courses @ courses.swapaxes(1, 2)
    rows = [patterns[np.arange(n) * slots + k] for k in range(slots)]
    total = sp.csr_array((n, patterns.shape[1]))
    for k in range(slots):
        for m in range(k, slots):
            twice = (1 if k == m else 2) * gram[:, k, m]
            total = total + sp.diags_array(twice) @ rows[k].multiply(rows[m])
    return sp.csr_array(total)


def _cells(ico: int) -> sp.csr_array:
    """(20484, S): to which source of a level each of the finest belongs."""
    if ico == 5:
        return sp.eye_array(template_source_space(5).n_sources, format="csr")
    coarse = template_source_space(ico)
    cell = coarse.nearest_source
    rows = np.arange(len(cell))
    return sp.csr_array((np.ones(len(cell)), (rows, cell)), (len(cell), coarse.n_sources))
