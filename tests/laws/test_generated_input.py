"""Laws on generated input: what no list of examples would have thought of.

Hypothesis draws the same examples every time (``derandomize``), so that there is no false alarm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesesi import NoiseCovariance
from bayesesi.noise import make_whitener
from bayesesi.spec import read_spec
from bayesesi.spec.base import Spec
from bayesesi.spec.files import SCHEMA, SpecError

FEW = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KEYS = st.sampled_from(
    "family name count extent_mm moment_nAm place orientation profile weights null extends "
    "time_course source head noise lognormal within schema level_uV montage".split()
)
WORDS = st.sampled_from(["patch", "dipole", "smooth", "focal", "cortex", "", "x", "\u00e9"])
LEAVES = st.none() | st.booleans() | st.integers(-5, 200) | st.floats(-1e3, 1e3) | WORDS
TABLES = st.recursive(
    LEAVES.filter(lambda leaf: leaf is not None),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


def toml(value: Any) -> str:
    """A value as TOML has it, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def outcome(path: Path) -> str:
    """``"spec"`` or ``"mistake"``: a spec, or an error that names the file."""
    try:
        spec = read_spec(path)
    except SpecError as error:
        return "mistake" if path.name in str(error) else str(error)
    return "spec" if isinstance(spec, Spec) else type(spec).__name__


@FEW
@given(table=st.dictionaries(KEYS, TABLES, max_size=8), start=st.sampled_from(["", "patch"]))
def test_any_table_is_a_spec_or_a_mistake_that_is_named(
    tmp_path: Path, table: dict[str, Any], start: str
) -> None:
    table = {"schema": SCHEMA, **({"family": start, "name": "mine"} if start else {}), **table}
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in table.items()), "utf-8")
    assert outcome(path) in ("spec", "mistake")


@FEW
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 12), shift=st.floats(-1e-3, 1e-3))
def test_a_whitener_whitens_whatever_the_reference_and_the_order(
    seed: int, n: int, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n + 3)) * 1e-6
    names = tuple(f"E{i}" for i in range(n))
    white = make_whitener(NoiseCovariance(root @ root.T, names), ("eeg",) * n)
    unit = white.matrix @ root @ root.T @ white.matrix.T
    np.testing.assert_allclose(unit, np.eye(white.n_eff), atol=1e-6)
    volts = rng.standard_normal((n, 4)) * 1e-5
    np.testing.assert_allclose(white(volts + shift), white(volts), atol=1e-6)
    order = rng.permutation(n)
    other = root[order] @ root[order].T
    turned = make_whitener(NoiseCovariance(other, tuple(names[i] for i in order)), ("eeg",) * n)
    sizes = np.linalg.norm(white(volts), axis=0)
    np.testing.assert_allclose(np.linalg.norm(turned(volts[order]), axis=0), sizes, rtol=1e-6)


def test_a_whitener_of_another_noise_is_noticed() -> None:
    """The twin: the noise of one channel is twice as large."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 9)) * 1e-6
    names = tuple(f"E{i}" for i in range(6))
    white = make_whitener(NoiseCovariance(root @ root.T, names), ("eeg",) * 6)
    root[2] *= 2
    unit = white.matrix @ root @ root.T @ white.matrix.T
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(unit, np.eye(white.n_eff), atol=1e-6)
