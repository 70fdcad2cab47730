"""Every shipped model answers as recorded: a change that is meant to change no answer changes none.

Norms and projections agree to 1e-6 of the norm, probabilities and log densities to 1e-6; sets,
verdicts and reasons are the same. Nothing is drawn at random here, so that there is no false alarm.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.golden import answers

RECORDED = json.loads(answers.FILE.read_text(encoding="utf-8"))
#: What `make test` looks at; `make oracle` looks at all.
QUICK = {
    ("atoms", "moment"),
    ("atoms", "window"),
    ("gaussian", "moment"),
    ("gaussian", "unknown unit"),
    ("dipole", "moment"),
    ("cortex", "moment"),
    ("parcels", "noise alone"),
}
TOLERANCE = 1e-6


def differences(found: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Names of what is not as it was."""
    other = sorted(set(found) ^ set(recorded))
    for name in sorted(set(found) & set(recorded)):
        now, then = found[name], recorded[name]
        if isinstance(then, list) and then and isinstance(then[0], float):
            size = abs(then[0]) if name in ("values", "mean", "sd", "draws") else 1.0
            same = len(now) == len(then) and np.allclose(now, then, 0, TOLERANCE * max(size, 1e-30))
        elif isinstance(then, float):
            same = abs(now - then) <= TOLERANCE
        else:
            same = now == then
        if not same:
            other.append(name)
    return other


@pytest.mark.parametrize(
    ("model", "case"),
    [
        pytest.param(
            model,
            case,
            marks=[] if (model, case) in QUICK else pytest.mark.slow,
            id=f"{model}-{case}",
        )
        for model in answers.MODELS
        for case in answers.CASES
        if case in RECORDED.get(model, {})
    ],
)
def test_a_model_answers_as_recorded(model: str, case: str) -> None:
    assert differences(answers.answer(model, case), RECORDED[model][case]) == []


def test_every_model_was_recorded_on_every_case() -> None:
    assert set(RECORDED) == set(answers.MODELS)
    assert all(set(RECORDED[model]) == set(answers.CASES) for model in RECORDED)


@pytest.mark.parametrize("name", ["mean", "draws", "null", "probability", "verdict"])
def test_a_changed_answer_is_noticed(name: str) -> None:
    """The twin: one number moved by 1e-5 of its size, or one word."""
    recorded = RECORDED["atoms"]["moment"]
    value = recorded[name]
    if isinstance(value, list):
        moved = [value[0] + 1e-5 * max(abs(value[0]), 0.1), *value[1:]]
    else:
        moved = f"not {value}" if isinstance(value, str) else value + 1e-5
    assert differences({**recorded, name: moved}, recorded) == [name]
