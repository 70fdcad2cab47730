"""What every shipped model answers to twelve fixed observations.

python -m tests.golden.answers [MODEL ...]    # records them anew, in answers.json beside this file

A change of the code that is meant to change no answer reproduces every number here.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bayesesi
from bayesesi import ForwardOperator, InputError, Model, NoiseCovariance
from bayesesi.observation import Observation
from bayesesi.simulator import Batch

FILE = Path(__file__).with_suffix(".json")
MODELS = ("atoms", "cortex", "parcels", "dipole", "gaussian", "patches")
#: Seed and namespace of the simulated cases; draws behind a result, and those that are compared.
SEED, NAMESPACE, DRAWS, N_COMPARED = 26, "bench", 200, 100


@dataclass(frozen=True)
class Recorded:
    """A simulated case as a user would hold it.

    Attributes
    ----------
    data : a ``Recording`` or MNE's epochs. forward : of the assumed head. noise : of single trials.
    options : of ``observe``.
    """

    data: Any
    forward: ForwardOperator
    noise: NoiseCovariance
    options: dict[str, Any]

    def seen_by(self, model: Model) -> Observation:
        forward = model.oriented(self.forward)
        return bayesesi.observe(self.data, forward, self.noise, **self.options)


@cache
def _batches(simulator: str) -> tuple[Batch, ...]:
    return bayesesi.read_simulator(simulator).simulate(128, SEED, NAMESPACE).batches


def _case(simulator: str, session: int, k: int) -> Recorded:
    batch = _batches(simulator)[session]
    scale = float(batch.noise_scale[k])
    noise = replace(batch.session.noise, matrix=batch.session.noise.matrix * scale**2)
    recording = batch.session.recording(batch.volts[k], simulator)
    return Recorded(recording, batch.session.forward, noise, {"bads": batch.session.bads})


def _noise_alone() -> Recorded:
    counts = _batches("frame-any-cap")[1].draws["count"]
    return _case("frame-any-cap", 1, int(np.flatnonzero(counts == 0)[0]))


def _own_forward() -> Recorded:
    case = _case("event-any-cap", 0, 2)
    return replace(case, forward=replace(case.forward, banked=None))


def _unknown_unit() -> Recorded:
    case = _case("event-any-cap", 1, 3)
    return replace(case, options={**case.options, "scale": "unknown"})


def _epochs() -> Recorded:
    """Twenty trials of an event, as MNE holds them."""
    import mne

    batch, n, rng = _batches("event-any-cap")[1], 20, np.random.default_rng(SEED)
    session, k = batch.session, 5
    values, vectors = np.linalg.eigh(session.true_covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) * batch.noise_scale[k]
    trials = batch.volts[k] + root @ rng.standard_normal((n, *batch.volts[k].shape))
    info = mne.create_info(list(session.ch_names), session.sfreq, "eeg", verbose="error")
    sensors = session.forward.sensors
    assert sensors is not None
    places = dict(zip(session.ch_names, sensors.positions, strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    data = mne.EpochsArray(trials, info, tmin=float(session.times[0]), verbose="error")
    data.set_eeg_reference(verbose="error")
    case = _case("event-any-cap", 1, k)
    return Recorded(data, case.forward, case.noise, case.options)


CASES: dict[str, Callable[[], Recorded]] = {
    "moment": lambda: _case("frame-any-cap", 0, 0),
    "another moment": lambda: _case("frame-any-cap", 1, 7),
    "noise alone": _noise_alone,
    "measured electrodes": lambda: _case("frame-measured-cap", 0, 0),
    "window": lambda: _case("event-any-cap", 0, 0),
    "another window": lambda: _case("event-any-cap", 1, 1),
    "field": lambda: _case("frame-any-field", 0, 3),
    "window of a field": lambda: _case("event-any-field", 0, 1),
    "evoked response": lambda: _case("erp", 0, 0),
    "own forward": _own_forward,
    "unknown unit": _unknown_unit,
    "epochs": _epochs,
}


@cache
def recorded(case: str) -> Recorded:
    return CASES[case]()


def answer(name: str, case: str) -> dict[str, Any]:
    """What a model says of a case: plain numbers and words."""
    model = bayesesi.load_model(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            obs = recorded(case).seen_by(model)
            posterior = model.posterior(obs, 0)
        except InputError as error:
            return {"refused": str(error)[:40]}
        draws = posterior.sample(N_COMPARED, 1)
        result = bayesesi.infer(obs, model, level=0.9, draws=DRAWS)
    said: dict[str, Any] = {
        "values": digest(obs.values),
        "mean": digest(posterior.mean()),
        "sd": digest(posterior.sd()),
        "draws": digest(draws),
        "null": float(posterior.null_probability),
        "log_prob": _log_prob(posterior, draws),
        "verdict": str(result.trust.verdict),
        "codes": [str(reason.code) for reason in result.trust.reasons],
    }
    if result.has_regions:
        table = result.region_table().sort_values("region")
        said["probability"] = [float(p) for p in table.probability]
        said["credible_set"] = sorted(result.credible_set.regions)
        found = result.region_set
        said["region_set"] = None if found is None else sorted(found.regions)
    return said


def _log_prob(posterior: Any, draws: NDArray[np.float64]) -> list[float] | None:
    """Of a few draws, where the family has a density."""
    if hasattr(posterior, "log_prob_of"):
        found = posterior.log_prob_of(posterior.states[:8])
    else:
        try:
            found = posterior.log_prob(draws[:8])
        except InputError:
            return None
    return [float(value) for value in found]


def digest(values: NDArray[np.floating]) -> list[float]:
    """Norm, and four fixed projections: two arrays that differ differ in these."""
    flat = np.asarray(values, float).ravel()
    along = np.arange(len(flat))
    waves = (np.cos((0.7 + 0.37 * k) * along + k) @ flat for k in range(4))
    return [float(np.linalg.norm(flat)), *(float(wave) for wave in waves)]


def main(names: list[str]) -> None:
    found = json.loads(FILE.read_text()) if FILE.is_file() else {}
    for name in names or MODELS:
        for case in CASES:
            found.setdefault(name, {})[case] = answer(name, case)
            sys.stderr.write(f"{name}: {case}\n")
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
