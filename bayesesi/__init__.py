"""bayesesi: Bayesian EEG source imaging with calibrated uncertainty.

forward = bayesesi.template_forward(evoked.info)
obs = bayesesi.observe(evoked, forward, noise_cov, tmin=0.07, tmax=0.13)
result = bayesesi.infer(obs, "patches", level=0.9)
bayesesi.make_report(result).save("report.html")
sim = bayesesi.read_simulator("spike-64").simulate(1000, seed=0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bayesesi.deprecated import install as _install

_install()

__version__ = "0.1.0.dev0"

# name -> module that defines it; loaded on first use, so that the import is quick
_PUBLIC = {
    "CalibrationCard": "bayesesi.calibration",
    "Conductivities": "bayesesi.forward",
    "CredibleSet": "bayesesi.result",
    "ForwardOperator": "bayesesi.forward",
    "HeadSetting": "bayesesi.forward",
    "InputError": "bayesesi.errors",
    "Model": "bayesesi.model",
    "NoiseCovariance": "bayesesi.noise",
    "Observation": "bayesesi.observation",
    "Result": "bayesesi.result",
    "Trust": "bayesesi.trust",
    "RegionSet": "bayesesi.conformal",
    "calibrate": "bayesesi.calibration",
    "conformalize": "bayesesi.conformal",
    "infer": "bayesesi.inference",
    "list_models": "bayesesi.model",
    "load_model": "bayesesi.model",
    "make_report": "bayesesi.report",
    "observe": "bayesesi.observation",
    "plot_map": "bayesesi.report",
    "read_forward": "bayesesi.forward",
    "read_noise_cov": "bayesesi.noise",
    "read_prior": "bayesesi.prior",
    "read_recording": "bayesesi.observation",
    "read_result": "bayesesi.result",
    "read_simulation": "bayesesi.simulator",
    "read_simulator": "bayesesi.simulator",
    "template_forward": "bayesesi.forward",
    "train": "bayesesi.model",
}

__all__ = [
    "CalibrationCard",
    "Conductivities",
    "CredibleSet",
    "ForwardOperator",
    "HeadSetting",
    "InputError",
    "Model",
    "NoiseCovariance",
    "Observation",
    "RegionSet",
    "Result",
    "Trust",
    "__version__",
    "calibrate",
    "conformalize",
    "infer",
    "list_models",
    "load_model",
    "make_report",
    "observe",
    "plot_map",
    "read_forward",
    "read_noise_cov",
    "read_prior",
    "read_recording",
    "read_result",
    "read_simulation",
    "read_simulator",
    "template_forward",
    "train",
]

if TYPE_CHECKING:
    from bayesesi.calibration import CalibrationCard, calibrate
    from bayesesi.conformal import RegionSet, conformalize
    from bayesesi.errors import InputError
    from bayesesi.forward import (
        Conductivities,
        ForwardOperator,
        HeadSetting,
        read_forward,
        template_forward,
    )
    from bayesesi.inference import infer
    from bayesesi.model import Model, list_models, load_model, train
    from bayesesi.noise import NoiseCovariance, read_noise_cov
    from bayesesi.observation import Observation, observe, read_recording
    from bayesesi.prior import read_prior
    from bayesesi.report import make_report, plot_map
    from bayesesi.result import CredibleSet, Result, read_result
    from bayesesi.simulator import read_simulation, read_simulator
    from bayesesi.trust import Trust


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bayesesi' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
