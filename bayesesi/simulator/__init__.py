"""Virtual laboratories: simulated recordings whose truth is known."""

from bayesesi.simulator.simulation import Batch, Session, Simulation, Truth
from bayesesi.simulator.simulator import SESSION, Simulator, read_simulator

__all__ = [
    "SESSION",
    "Batch",
    "Session",
    "Simulation",
    "Simulator",
    "Truth",
    "read_simulator",
]
