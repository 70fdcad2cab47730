"""Neural masses: models of what patches of cortex do by themselves, and their integration."""

from bayesesi.dynamics.activities import ACTIVITIES
from bayesesi.dynamics.integration import integrate, least_sfreq
from bayesesi.dynamics.jansen_rit import JansenRit
from bayesesi.dynamics.mass import Circuit, Mass, Parameter
from bayesesi.dynamics.wendling import Wendling

__all__ = [
    "ACTIVITIES",
    "Circuit",
    "JansenRit",
    "Mass",
    "Parameter",
    "Wendling",
    "integrate",
    "least_sfreq",
]
