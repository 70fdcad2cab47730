"""How long the parts take that a user waits for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bayesesi import NoiseCovariance, observe, template_forward
from bayesesi.anatomy import template_source_space, template_surfaces
from bayesesi.anatomy.template import THICKNESS_RANGE
from bayesesi.forward import Conductivities, HeadSetting, template_bank
from bayesesi.forward.bem import BemDipoles, BoundaryElements, scalp_weights
from tests.bench.bank import draw_conductivities, draw_electrodes
from tests.bench.outcome import Finding, Outcome, at_least, at_most

TITLE = "Speed"
STANDS_ON = ("anatomy", "forward", "noise", "observation", "assets/template-bank.safetensors")
SEED = 5


def measure(step: Callable[[str], None]) -> Outcome:
    step("import")
    bare, loaded = (_import_seconds(code) for code in (_BARE, _LOADED))
    step("bank")
    bank = _bank_seconds()
    step("observe")
    door = _observe_seconds()
    with threadpool_limits(1):
        bank_alone, door_alone = _bank_seconds(), _observe_seconds()
    step("template_forward")
    template = _template_seconds()
    step("direct solve")
    direct = _direct_seconds()
    milli = dict(unit="ms", interval_kind="min-max")
    ratio = sum(direct.values()) / np.median(bank)
    return Outcome(
        [
            _timed("bank.leadfield, 64 x 5,124, new head and electrodes", bank, at_most(20), milli),
            Finding("the same by a direct solve", "1 run", sum(direct.values()), "s"),
            Finding("direct solve over bank", "1 run", float(ratio), bar=at_least(1000)),
            _timed("observe, 64 channels, 100 ms, 5,124 sources", door, at_most(10), milli),
            _timed("bank.leadfield on one thread", bank_alone, None, milli),
            _timed("observe on one thread", door_alone, None, milli),
            _timed("template_forward(info), 64 channels", template, None, milli),
            _timed("import bayesesi, a new process", bare, at_most(1000), milli),
            _timed("import and load its public names", loaded, None, milli),
        ],
        notes=[
            "Direct solve: "
            + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in direct.items())
            + "."
        ],
    )


_BARE = "import bayesesi"
_LOADED = "import bayesesi; [getattr(bayesesi, name) for name in bayesesi.__all__]"


def _timed(
    what: str, seconds: list[float], bar: tuple[float, float] | None, style: dict[str, Any]
) -> Finding:
    ms = np.array(seconds) * 1e3
    spread = (float(ms.min()), float(ms.max()))
    return Finding(what, f"{len(ms)} runs", float(np.median(ms)), interval=spread, bar=bar, **style)


def _repeat(n: int, call: Callable[[], object], warm_up: int = 1) -> list[float]:
    seconds = []
    for _ in range(n + warm_up):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return seconds[warm_up:]


def _import_seconds(code: str) -> list[float]:
    return _repeat(5, lambda: subprocess.run([sys.executable, "-c", code], check=True))


def _bank_seconds() -> list[float]:
    bank, rng = template_bank(), np.random.default_rng(SEED)
    columns, seconds = bank.cortex(4), []
    for _ in range(31):
        shape, thickness = int(rng.integers(bank.n_shapes)), float(rng.uniform(*THICKNESS_RANGE))
        setting = HeadSetting(shape, draw_conductivities(rng), thickness)
        electrodes = draw_electrodes(bank, rng)
        seconds += _repeat(1, lambda s=setting, e=electrodes: bank.leadfield(s, e, columns), 0)
    return seconds[1:]


def _direct_seconds() -> dict[str, float]:
    """Assembly, source terms and factorisation of the template's four shells, once."""
    space, surfaces = template_source_space(4), template_surfaces(4)
    assert space.normals is not None
    electrodes = draw_electrodes(template_bank(), np.random.default_rng(SEED))
    start = perf_counter()
    elements = BoundaryElements.assemble(surfaces)
    assembled = perf_counter()
    terms = elements.source_terms(BemDipoles(space.positions, space.normals))
    sourced = perf_counter()
    _ = scalp_weights(surfaces, electrodes) @ elements.transfer(Conductivities()) @ terms
    solved = perf_counter()
    return {
        "assembly": assembled - start,
        "source terms": sourced - assembled,
        "factorisation and solution": solved - sourced,
    }


def _recording() -> tuple[Any, NoiseCovariance]:
    """-200 to 500 ms of noise at 500 Hz on BioSemi's 64 electrodes."""
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 500.0, "eeg").set_montage(montage)
    rng = np.random.default_rng(SEED)
    noise = 1e-6 * rng.standard_normal((64, 64)) @ rng.standard_normal((64, 351)) / 8
    evoked = mne.EvokedArray(noise, info, tmin=-0.2, nave=50)
    trials = 7e-6 * rng.standard_normal((64, 4000))
    return evoked, NoiseCovariance(np.cov(trials), tuple(montage.ch_names))


def _observe_seconds() -> list[float]:
    evoked, noise_cov = _recording()
    forward = template_forward(evoked.info)
    return _repeat(50, lambda: observe(evoked, forward, noise_cov, tmin=0.05, tmax=0.15), 3)


def _template_seconds() -> list[float]:
    evoked, _ = _recording()
    return _repeat(5, lambda: template_forward(evoked.info))
