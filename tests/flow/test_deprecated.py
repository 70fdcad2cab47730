"""Old names of modules and keywords work for one version, and say the new one."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

import bayesesi
from bayesesi.anatomy import template_source_space
from bayesesi.deprecated import MODULES, NAMES, renamed
from bayesesi.prior import PatchPrior


@pytest.mark.parametrize("old", MODULES)
def test_an_old_module_is_the_new_one_and_warns_once(old: str) -> None:
    sys.modules.pop(old, None)
    new = importlib.import_module(MODULES[old])
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MODULES[old]};") as caught:
        found = importlib.import_module(old)
    assert len(caught) == 1
    assert importlib.import_module(old) is found  # a second warning would be an error
    public = [name for name in dir(new) if not name.startswith("_")]
    assert public
    assert all(getattr(found, name) is getattr(new, name) for name in public)
    for before, now in NAMES.get(MODULES[old], {}).items():
        assert getattr(found, before) is getattr(new, now)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = found.no_such_name


def test_the_warning_points_at_the_import() -> None:
    line = "from bayesesi.target import read_target"
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", line], capture_output=True, text=True, check=True
    )
    assert run.stderr.startswith("<string>:1: DeprecationWarning: module bayesesi.target is now")


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("bayesesi.goal")


def test_level_of_a_prior_is_now_ico() -> None:
    with pytest.warns(DeprecationWarning, match="level of read_prior is now ico;") as caught:
        old = bayesesi.read_prior("focal", level=2)
    assert [warning.filename for warning in caught] == [__file__]
    assert isinstance(old, PatchPrior)
    assert old.parcellation.source_space.ico == 2


def test_level_of_a_field_and_session_of_a_simulator_have_new_names() -> None:
    with pytest.warns(DeprecationWarning, match="session of read_simulator is now group_size;"):
        simulator = bayesesi.read_simulator("spike-64", session=1)
    assert simulator.group_size == 1
    simulation = simulator.simulate(1)
    with pytest.warns(DeprecationWarning, match="level of field is now ico;"):
        old = simulation.field(0, level=3)
    assert (old == simulation.field(0, ico=3)).all()
    assert len(old) == template_source_space(3).n_sources


def test_level_of_sources_is_now_ico() -> None:
    with pytest.warns(DeprecationWarning, match=r"SourceSpace.level is now SourceSpace.ico;"):
        level = template_source_space(3).level
    assert level == 3


def test_both_names_at_once_are_an_error_and_the_new_one_alone_is_quiet() -> None:
    @renamed(old="new")
    def function(new: int = 0) -> int:
        return new

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function(new=2) == function(2) == 2
    with pytest.raises(TypeError, match="both new and old"):
        function(new=1, old=2)  # type: ignore[call-arg]
