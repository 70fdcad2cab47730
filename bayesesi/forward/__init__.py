"""Forward models: what the sensors see of a dipole. No noise here."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.forward.bank import LeadfieldBank, read_bank, template_bank, write_bank
    from bayesesi.forward.bem import solve_bem
    from bayesesi.forward.conductivity import CONDUCTIVITY_RANGE, Conductivities
    from bayesesi.forward.head_setting import HeadSetting, HeadSettings
    from bayesesi.forward.head_shape import HeadShape
    from bayesesi.forward.montage import MONTAGES, montage_sensors
    from bayesesi.forward.operator import BankedHead, ForwardOperator, read_forward
    from bayesesi.forward.scalp import ScalpMap, ScalpPoints
    from bayesesi.forward.sensors import Sensors
    from bayesesi.forward.subject import make_forward, read_source_space
    from bayesesi.forward.template import template_forward
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "CONDUCTIVITY_RANGE",
    "MONTAGES",
    "BankedHead",
    "Conductivities",
    "ForwardOperator",
    "HeadSetting",
    "HeadSettings",
    "HeadShape",
    "LeadfieldBank",
    "ScalpMap",
    "ScalpPoints",
    "Sensors",
    "make_forward",
    "montage_sensors",
    "read_bank",
    "read_forward",
    "read_source_space",
    "solve_bem",
    "template_bank",
    "template_forward",
    "write_bank",
]
