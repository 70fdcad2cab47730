"""What a network loses with what it is not shown: four short trainings, one judgement.

    python -m tests.oracle.ablations run full      # or no-scan, one-head, crime
    python -m tests.oracle.ablations report

Networks of `atoms`, on 1,284 sources, 64,000 cases each: on all there is; without the likelihood of
one more source, in its features and in its logits; on recordings of the assumed head alone; and on
those in white noise, exactly known ("inverse crime"). All are judged on the same held-out cases of
`frame-any-cap`, heads and noise drawn. Rows: ``reports/ablations/ARM.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.anatomy import template_source_space
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.loss import AtomCase, Question
from bayesesi.loss.next_source import NextSourceLoss
from bayesesi.registry import implements
from bayesesi.simulator import Batch
from bayesesi.spec import AtomsSpec, PatchSpec, Recipe, read_spec
from bayesesi.spec.loss import NextSourceSpec
from bayesesi.training import fit
from bayesesi.training.cases.atoms import AtomCases

HERE = Path(__file__).parents[2] / "reports" / "ablations"
SPECS = Path(__file__).parent / "specs"
RUNS = Path("runs") / "ablations"
ARMS = {
    "full": "all there is",
    "no-scan": "no likelihood of one more source",
    "one-head": "trained on the assumed head",
    "crime": "trained on the assumed head, in known white noise",
}
#: Columns of ``network.FEATURES`` and ``network.CONTEXT`` that come from the scan.
_SCANNED, _CONTEXT = slice(0, 6), slice(4, 7)
N_HELD = 16


class WithoutScan(AtomCases):
    """Minimum norms, lead field and what is given; nothing of the scan."""

    def microbatches(self, batch: Batch, rng: np.random.Generator) -> list[AtomCase]:
        return [blinded(case) for case in super().microbatches(batch, rng)]


def blinded(case: AtomCase) -> AtomCase:
    scene = case.inputs.scan
    features, context = scene.features.clone(), scene.context.clone()
    features[:, :, _SCANNED] = 0
    context[:, _CONTEXT] = 0
    level = torch.zeros_like(scene.log_likelihood)
    nothing = torch.zeros_like(scene.nothing)
    blind = {"features": features, "context": context}
    scan = replace(scene, log_likelihood=level, nothing=nothing, **blind)
    return replace(case, inputs=replace(case.inputs, scan=scan))


def recipe_of(arm: str) -> Recipe:
    spec = read_spec(SPECS / f"ablation-{'full' if arm == 'no-scan' else arm}.toml")
    assert isinstance(spec, Recipe)
    return spec


def run(arm: str) -> None:
    kind = WithoutScan if arm == "no-scan" else AtomCases
    recipe = recipe_of(arm)
    prior = read_spec(recipe.prior)
    assert isinstance(prior, PatchSpec)
    implements(AtomsSpec, "case")(kind)
    try:
        trained = fit(recipe, prior, RUNS / arm, "cpu", workers=1)
    finally:
        implements(AtomsSpec, "case")(AtomCases)
    assert isinstance(trained.network, AtomEstimator)
    judged = kind(recipe_of("full"), "validate")
    row = {"arm": arm, **judge(trained.network, judged), "seconds": trained.history["seconds"]}
    HERE.mkdir(parents=True, exist_ok=True)
    (HERE / f"{arm}.json").write_text(json.dumps(row, indent=1) + "\n")


def judge(network: AtomEstimator, held: AtomCases) -> dict[str, Any]:
    """Held-out nats of all questions, and mm from the likeliest first place to the true one."""
    loss = NextSourceLoss(NextSourceSpec())
    nats: list[NDArray[np.float64]] = []
    errors: list[NDArray[np.float64]] = []
    positions = template_source_space(held.recipe.ico).positions[held.atoms.centres]
    for number in range(N_HELD):
        for case in held.session(100 + 4 * number):
            question, target = Question(case, network), case.truth.target
            with torch.inference_mode():
                nats.append(loss(question).numpy())
                log_q = question.answer
            first = (case.inputs.given == 0) & (target > 0)
            maps = log_q[first, 1:].unflatten(1, (network.n_extents, -1)).logsumexp(1)
            true = (target[first] - 1) % held.atoms.n_centres
            apart = positions[maps.argmax(1).numpy()] - positions[true.numpy()]
            errors.append(1e3 * np.linalg.norm(apart, axis=1))
    every, apart = np.concatenate(nats), np.concatenate(errors)
    return {
        "cases": len(every),
        "nats": float(every.mean()),
        "nats_se": float(every.std() / len(every) ** 0.5),
        "error_mm": float(apart.mean()),
        "error_median_mm": float(np.median(apart)),
    }


def report() -> None:
    lines = [
        "# What a network loses with what it is not shown",
        "",
        "`python -m tests.oracle.ablations run ARM`, then `report`: networks of `atoms` on 1,284 "
        "sources, 64,000 cases each, judged on the same held-out cases of `frame-any-cap`. Nats: "
        "minus log of what was asked, over all questions (standard error); mm: from the likeliest "
        "first place to that of the strongest source at the scalp.",
        "",
        "| arm | nats | mm, mean | median |",
        "|---|---|---|---|",
    ]
    for arm, words in ARMS.items():
        path = HERE / f"{arm}.json"
        if path.is_file():
            r = json.loads(path.read_text())
            lines.append(
                f"| {words} | {r['nats']:.2f} ({r['nats_se']:.2f}) | {r['error_mm']:.1f} | "
                f"{r['error_median_mm']:.1f} |"
            )
    (HERE / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    run(sys.argv[2]) if sys.argv[1] == "run" else report()
