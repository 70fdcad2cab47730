"""The network `cortex` against MNE's inverses, case by case, and how fast it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bayesesi import load_model
from bayesesi.anatomy import template_source_space
from bayesesi.features import FieldForward
from bayesesi.model import FieldModel
from tests.bench.atoms import (
    N_CASES,
    N_CHOOSE,
    SESSION,
    Case,
    Maps,
    accuracy,
    accuracy_table,
    against,
    best_lambda,
    cases,
    median,
    models,
    seconds,
)
from tests.bench.outcome import Finding, Outcome, Skipped, Table, at_least, at_most

TITLE = "Cortex"
STANDS_ON = (
    "anatomy",
    "metrics",
    "forward",
    "model",
    "features",
    "network",
    "estimator",
    "noise",
    "observation",
    "prior",
    "posterior/diffusion",
    "simulator",
    "assets/template-bank.safetensors",
    "assets/cortex.safetensors",
)
#: m: maps of the mean's moments are smoothed by this much before their peak is taken.
WIDTH = 0.010


def measure(step: Callable[[str], None]) -> Outcome:
    model = load_model("cortex") if "cortex" in models() else None
    if not isinstance(model, FieldModel):
        raise Skipped("no weights ship; run `bayesesi train cortex`")
    findings: list[Finding] = []
    tables: list[Table] = []
    for kind, words, bars in (
        ("frame-one", "one patch", (0.5, 0.5)),
        ("frame-few", "one to three patches", (0.65, 0.7)),
    ):
        step(f"{words}: lambda of the inverses")
        best = best_lambda(list(cases(kind, N_CHOOSE, "validate")), step)
        found = accuracy("cortex", maps_of(model), list(cases(kind, N_CASES, "bench")), best, step)
        findings += against(found, words, bars, "cortex")
        tables.append(accuracy_table(found, words, best, "cortex"))
    step("speed")
    findings += _speed(model)
    history = model.history
    notes = [
        f"Weights: recipe `{model.recipe.name}`, {history['cases']:,} cases, "
        f"{history['seconds'] / 60:.0f} min on {history['device']}, two cores. Cases and rivals as "
        "of `atoms`; peaks are those of the mean's sizes, smoothed by 10 mm."
    ]
    return Outcome(findings, tables=tables, notes=notes)


def maps_of(model: FieldModel) -> Maps:
    near = _near()

    def maps(case: Case, _: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        size = np.abs(model.posterior(case.obs).mean()).sum(axis=1)
        return near @ size, size

    return maps


def _near() -> NDArray[np.float64]:
    """(S, S) Gaussian weights of neighbours on the same side."""
    space = template_source_space(4)
    square = (space.positions**2).sum(axis=1)
    apart = square[:, None] + square - 2 * space.positions @ space.positions.T
    same = space.hemisphere[:, None] == space.hemisphere
    return np.asarray(np.exp(-0.5 * apart / WIDTH**2) * same)


def _speed(model: FieldModel) -> list[Finding]:
    found = list(cases("frame-one", SESSION, "bench"))
    obs = next(case.obs for case in found if 40 <= case.obs.n_eff < 80)
    prepared = [seconds(lambda: FieldForward.of(obs.leadfield, model.level)) for _ in range(5)]
    post = model.posterior(obs)
    means = [
        seconds(lambda: model.network.mean(post.scene, post.forward))  # type: ignore[attr-defined]
        for _ in range(20)
    ]
    drawn = [seconds(lambda: post.sample(200, seed=1)) for _ in range(2)]
    rate = 200 / median(drawn)
    return [
        Finding(
            "scene → mean, forward prepared",
            "64 sensors",
            1e3 * median(means),
            "ms",
            bar=at_most(10.0),
        ),
        Finding(
            "preparing a forward", "64 sensors", 1e3 * median(prepared), "ms", bar=at_most(150.0)
        ),
        Finding("200 draws of the field", "one case", median(drawn), "s", bar=at_most(3.0)),
        Finding("draws a second", "one case, 16 together", rate, "1/s", bar=at_least(150.0)),
    ]
