"""Virtual laboratories: simulated recordings whose truth is known."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.simulator.export import to_epochs, to_evoked, to_raw, write_fif
    from bayesesi.simulator.simulation import Batch, Session, Simulation, Truth
    from bayesesi.simulator.simulator import SESSION, Simulator, read_simulator
    from bayesesi.simulator.store import read_simulation, write_simulation
    from bayesesi.simulator.volume import (
        VolumeCases,
        VolumeSimulator,
        read_volume_simulator,
        write_volume_cases,
    )
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "SESSION",
    "Batch",
    "Session",
    "Simulation",
    "Simulator",
    "Truth",
    "VolumeCases",
    "VolumeSimulator",
    "read_simulation",
    "read_simulator",
    "read_volume_simulator",
    "to_epochs",
    "to_evoked",
    "to_raw",
    "write_fif",
    "write_simulation",
    "write_volume_cases",
]
