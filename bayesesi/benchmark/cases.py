"""Cases of a benchmark: an observation, and the truth on its sources.

Of a cortex the truth is made on 20,484 sources, in a head that is not the assumed one, and each
source of the assumed cortex has the moments of its cell; of a volume it is on the assumed grid.
Cases without an event are passed over: their maps have no truth to be near to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace, template_source_space
from bayesesi.calibration.trial_scoring import strata_of
from bayesesi.calibration.trials import STRATA
from bayesesi.errors import InputError
from bayesesi.forward import BankedHead, ForwardOperator, HeadSetting, template_bank
from bayesesi.observation import Observation
from bayesesi.prior import BLOCK, make_prior
from bayesesi.prior.parcel import ParcelPrior
from bayesesi.simulator import Batch, Simulator, VolumeCases, VolumeSimulator
from bayesesi.spec import ParcelSpec, SimulatorSpec, VolumeFrameSpec, read_spec, spec_hash
from bayesesi.spec.quantity import Quantity

#: Purpose of the random numbers: no network, card or choice of a setting has met them.
NAMESPACE = "bench"
#: What kind of case it was.
KINDS = (*STRATA, "extent_mm")
_SPECS = (SimulatorSpec, VolumeFrameSpec)


@dataclass(frozen=True, eq=False)
class Case:
    """Hold an observation and the truth on its sources.

    Attributes
    ----------
    obs : what a method sees.
    moments : (S[, 3], T) A m, the truth on the sources of ``obs``.
    centres : (K, 3) m, where the sources are strongest.
    active : (P,) regions; none in a volume. kinds : (G,) of ``KINDS``, NaN where it has none.
    parcels : (S,) the piece of cortex that each source is in, where events are made of such, -1
        in none; with their middles (Q, 3) m and which are active (Q,).
    places_only : the truth says where and not how much: ``moments`` are 1 and 0.
    """

    obs: Observation
    moments: NDArray[np.float64]
    centres: NDArray[np.float64]
    active: NDArray[np.bool_]
    kinds: NDArray[np.float64]
    parcels: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]] | None = None
    places_only: bool = False

    @property
    def size(self) -> NDArray[np.float64]:
        """(S,) A m: root of the truth's power over the window."""
        return np.asarray(np.sqrt((self.moments**2).reshape(len(self.moments), -1).sum(axis=1)))


@dataclass(frozen=True)
class Condition:
    """Make cases of one simulator.

    Attributes
    ----------
    simulator : a spec under simulators. name : as tables call it.
    snr_db, n_sources : of a volume, instead of the spec's.
    """

    simulator: str
    name: str
    snr_db: float | None = None
    n_sources: int | None = None

    @property
    def spec(self) -> SimulatorSpec | VolumeFrameSpec:
        spec = read_spec(self.simulator)
        if not isinstance(spec, _SPECS):
            raise InputError(f"{self.simulator!r} is not a simulator; give one")
        if isinstance(spec, VolumeFrameSpec):
            changed: dict[str, Any] = {}
            if self.snr_db is not None:
                changed["snr_db"] = Quantity(family="constant", numbers=(self.snr_db,))
            if self.n_sources is not None:
                changed["n_sources"] = (self.n_sources,)
            spec = spec.model_copy(update=changed)
        return spec

    @property
    def fingerprint(self) -> str:
        """Hash of all that makes the cases beside the seed."""
        return spec_hash(self.spec)

    def case(self, i: int, seed: int, level: int = 4) -> Case:
        """Make the i-th case with an event.

        Parameters
        ----------
        i : from 0. seed : of the cases. level : of the assumed cortex.

        Raises
        ------
        InputError : a spec that is not of a simulator.
        """
        spec = self.spec
        if isinstance(spec, VolumeFrameSpec):
            return _of_volume(
                _volume_block(spec.model_dump_json(by_alias=True), i // BLOCK, seed), i % BLOCK
            )
        batches = _loud_block(self.simulator, 0, seed)
        block = 0
        while i >= len(batches):
            i, block = i - len(batches), block + 1
            batches = _loud_block(self.simulator, block, seed)
        return _of_cortex(batches[i], level)


def _of_cortex(batch: Batch, level: int) -> Case:
    obs = batch.observation(0) if level == 4 else on_level(batch, 0, level)
    fine, truth = template_source_space(5), batch.truth(0)
    centres = fine.positions[truth.centres]
    if not len(centres):  # a field has no centre but its strongest place
        energy = np.asarray(batch.energy.toarray())[0]
        centres = fine.positions[[int(energy.argmax())]]
    extent = np.mean(batch.draws["extent_mm"][0]) if "extent_mm" in batch.draws else np.nan
    kinds = np.r_[strata_of(batch, 0, obs, 0).astype(float), extent]
    parcels = _parcels(batch, obs.source_space)
    return Case(obs, batch.field(0, level), centres, batch.active[0], kinds, parcels)


def _parcels(
    batch: Batch, space: SourceSpace
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]] | None:
    spec = read_spec(batch.spec.source, batch.spec.folder)
    if not isinstance(spec, ParcelSpec):
        return None
    prior = _parcel_prior(spec.name)
    energy = np.asarray(batch.energy.toarray())[0]
    own = prior.cells >= 0
    of_parcel = np.bincount(prior.cells[own], energy[own], prior.n_parcels)
    assert space.vertices is not None
    return prior.cells_of_mesh[space.vertices], prior.middles, of_parcel > 0


def on_level(batch: Batch, k: int, level: int) -> Observation:
    """Observe case k with another number of sources assumed.

    Parameters
    ----------
    batch, k : the case. level : of the assumed cortex.
    """
    sensors = batch.session.forward.sensors
    assert sensors is not None
    banked = BankedHead(template_bank(), HeadSetting(), sensors.positions, level)
    forward = ForwardOperator(
        banked.leadfield(HeadSetting()),
        template_source_space(level),
        sensors=sensors,
        banked=banked,
    )
    session = replace(batch.session, forward=forward)
    return session.observe(batch.volts[k], float(batch.noise_scale[k]), "coarse")


def _of_volume(cases: VolumeCases, k: int) -> Case:
    obs = cases.observation(k)
    count = int(cases.draws["count"][k])
    centres = obs.source_space.positions[cases.draws["centre"][k][:count]]
    known = {
        "sources": float(count),
        "snr_db": float(20 * np.log10(cases.volts[k].std() / cases.noise_sd[k])),
        "channels": float(len(obs.sensors)),
        "extent_mm": float(cases.draws["extent_mm"][k][:count].mean()),
    }
    kinds = np.array([known.get(name, np.nan) for name in KINDS])
    moments = cases.fields[k].astype(float)[:, :, None]
    return Case(obs, moments, centres, np.zeros(0, bool), kinds)


@lru_cache(maxsize=2)
def _loud_block(simulator: str, block: int, seed: int) -> tuple[Batch, ...]:
    """Those of 256 cases that have an event, a session each."""
    spec = read_spec(simulator)
    assert isinstance(spec, SimulatorSpec)
    found = Simulator(spec, group_size=1).block(block, seed, NAMESPACE)
    return tuple(batch for batch in found if batch.active.any())


@lru_cache(maxsize=1)
def _parcel_prior(name: str) -> ParcelPrior:
    prior = make_prior(read_spec(name), ico=5)
    assert isinstance(prior, ParcelPrior)
    return prior


@lru_cache(maxsize=1)
def _volume_block(spec_json: str, block: int, seed: int) -> VolumeCases:
    simulator = _volume_simulator(spec_json)
    return simulator.simulate(BLOCK, seed, NAMESPACE, start=block * BLOCK)


@lru_cache(maxsize=8)
def _volume_simulator(spec_json: str) -> VolumeSimulator:
    return VolumeSimulator(VolumeFrameSpec.model_validate_json(spec_json))
