"""Only what a job needs is loaded: looked at in fresh interpreters."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import bayesesi
from bayesesi.anatomy import template_surfaces
from bayesesi.errors import InputError
from bayesesi.forward.bem import BoundaryElements
from bayesesi.lazy import origins
from bayesesi.metrics.transport import emd

HEAVY = ("torch", "mne", "sbi", "pandas", "matplotlib", "scipy", "numpy", "arviz", "xarray")


#: What `infer` with atoms has no use for.
NOT_FOR_ATOMS = (
    *("sbi", "zuko", "nflows", "mapie", "openmeeg", "ot", "sklearn", "matplotlib.pyplot"),
    *("scipy.stats", "lightning", "tensorboard", "arviz", "xarray", "pandas"),
)
INFER = """
import mne, numpy as np, bayesesi
names = mne.channels.make_standard_montage("biosemi64").ch_names
info = mne.create_info(list(names), 500.0, "eeg").set_montage("biosemi64")
forward = bayesesi.template_forward(info)
volts = 20e-9 * forward.leadfield[:, 1000] + 1e-6 * np.random.default_rng(0).standard_normal(64)
noise = bayesesi.NoiseCovariance(1e-12 * np.eye(64), tuple(names))
obs = bayesesi.observe(volts, forward, noise, autocorrelation="white")
bayesesi.infer(obs, "atoms", draws=100)
"""


def loaded(code: str, names: tuple[str, ...]) -> set[str]:
    """Which of the modules ``names`` a fresh interpreter has loaded when ``code`` has run."""
    tail = f"\nimport sys\nprint('LOADED', *[name for name in {names!r} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + tail],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in run.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


def packages() -> Iterator[str]:
    for found in pkgutil.walk_packages(bayesesi.__path__, "bayesesi."):
        if found.ispkg and origins(found.name):
            yield found.name


def test_the_package_alone_loads_nothing_heavy() -> None:
    assert loaded("import bayesesi", HEAVY) == set()


def test_a_module_that_is_loaded_is_noticed() -> None:
    assert loaded("import bayesesi, pandas", HEAVY) == {"pandas", "numpy"}


@pytest.mark.parametrize("package", list(packages()))
def test_every_name_that_loads_on_first_use_is_there(package: str) -> None:
    """And is no module of its package: on the import of one, Python replaces the name by it."""
    module = importlib.import_module(package)
    assert set(origins(package)) <= set(module.__all__)
    folder = Path(module.__path__[0])
    for name in origins(package):
        assert getattr(module, name) is not None
        assert not (folder / f"{name}.py").exists(), name
        assert not (folder / name).is_dir(), name


def test_a_name_that_no_package_has_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"bayesesi\.anatomy.*'nowhere'"):
        _ = importlib.import_module("bayesesi.anatomy").nowhere


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['bayesesi', '--help']\nfrom bayesesi.cli import app\n"
    code += "try:\n    app()\nexcept SystemExit:\n    pass"
    assert loaded(code, HEAVY) == set()


def test_an_answer_of_atoms_loads_only_what_it_needs() -> None:
    assert loaded(INFER, NOT_FOR_ATOMS) == set()


@pytest.mark.parametrize(
    ("module", "extra", "ask"),
    [
        ("openmeeg", "bem", lambda: BoundaryElements.assemble(template_surfaces(3))),
        ("ot", "benchmark", lambda: emd(np.ones(2), np.ones(2), np.eye(3)[:2])),
    ],
)
def test_a_missing_extra_is_named_with_its_command(
    module: str, extra: str, ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"pip install 'bayesesi\[{extra}\]'"):
        ask()
