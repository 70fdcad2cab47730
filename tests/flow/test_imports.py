"""Only what a job needs is loaded: looked at in fresh interpreters."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bayesesi
from bayesesi.lazy import origins

HEAVY = ("torch", "mne", "sbi", "pandas", "matplotlib", "scipy", "numpy", "arviz", "xarray")


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
