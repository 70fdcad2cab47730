"""How often the volumes of `dipole` hold the place, over simulated cases in unknown heads.

    python -m tests.oracle.dipole_coverage run frame-dipole      # or event-dipole; a few minutes
    python -m tests.oracle.dipole_coverage report

Rows, one a case: ``reports/coverage/dipole-KIND.jsonl``. Cases of the namespace ``diagnose``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesesi import load_model
from bayesesi.anatomy import template_blobs
from bayesesi.model import DipoleModel
from bayesesi.posterior.dipole import DipolePosterior
from tests.bench.dipole import KINDS, cases

HERE = Path(__file__).parents[2] / "reports" / "coverage"
N_CASES, LEVELS = 256, (0.5, 0.8, 0.9, 0.95)


def run(kind: str) -> None:
    model = load_model("dipole")
    assert isinstance(model, DipoleModel)
    lines = []
    for case in cases(model, kind, N_CASES, "diagnose"):
        post, row = case.post, {"count": case.count, "snr_db": case.snr_db}
        row["probability"] = [round(float(p), 4) for p in post.count_probability]
        if case.count:
            k = case.count
            row["efficiency"] = round(post.sample_efficiency, 4)
            row["mass"] = [round(m, 4) for m in masses(post, case.places)]
            if k in post.weighed:
                mean = post.places(k, 1000).mean(axis=0)
                row["error_mm"] = (1e3 * np.linalg.norm(mean - case.places, axis=1)).tolist()
                row["volume_cm3"] = (1e6 * post.confidence_volume(0.9, k)).tolist()
        lines.append(json.dumps(row))
    HERE.mkdir(parents=True, exist_ok=True)
    (HERE / f"dipole-{kind}.jsonl").write_text("\n".join(lines) + "\n")


def masses(post: DipolePosterior, places: NDArray[np.float64]) -> list[float]:
    """Of each true place: the probability of the cells more probable than its own, its own halved;
    none where such a count is not weighed."""
    k = len(places)
    if k not in post.weighed:
        return []
    share, cell = post.place_probability(k), template_blobs().cell(places)
    own = share[cell, np.arange(k)]
    return [float((share[share[:, j] > own[j], j]).sum() + 0.5 * own[j]) for j in range(k)]


def report() -> None:
    levels = " ".join(f"{level:.0%}" for level in LEVELS)
    lines = [
        "# How often volumes of `dipole` held the place",
        "",
        "`python -m tests.oracle.dipole_coverage run KIND`, then `report`: cases of the namespace "
        f"`diagnose`, {N_CASES} of each kind, 16 to a cap and a noise, heads unknown. Volumes of "
        f"{levels}, given how many dipoles there are; of a pair each of the two.",
        "",
        "| cases | dipoles | places | held | mean error (median), mm | 90 % volume, median cm³ |",
        "|---|---|---|---|---|---|",
    ]
    for kind, words in KINDS.items():
        path = HERE / f"dipole-{kind}.jsonl"
        if not path.is_file():
            continue
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for k in (1, 2):
            own = [row for row in rows if row["count"] == k and row.get("mass")]
            mass = np.concatenate([row["mass"] for row in own])
            error = np.concatenate([row["error_mm"] for row in own])
            volume = np.concatenate([row["volume_cm3"] for row in own])
            held = " ".join(f"{(mass <= level).mean():.2f}".lstrip("0") for level in LEVELS)
            lines.append(
                f"| {words} | {k} | {len(mass)} | {held} | {error.mean():.1f} "
                f"({np.median(error):.1f}) | {np.median(volume):.0f} |"
            )
    (HERE / "dipole.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    run(sys.argv[2]) if sys.argv[1] == "run" else report()
