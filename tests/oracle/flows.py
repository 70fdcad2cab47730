"""Flows and one-pass heads on the same cases: zuko against nflows, ensembles against one member.

    python -m tests.oracle.flows data       # some 25 minutes on two cores; goes on where it stopped
    python -m tests.oracle.flows run        # trainings on them, a minute or two each
    python -m tests.oracle.flows report

Every arm is the estimator of ``dipole`` with another density, trained on the same summaries of
``N_TRAIN`` sessions with the same budget, and judged on ``N_HELD`` others, and on as many of heads
beyond what it met (the skull 2.4 times as conductive, the cap off by twice as much). Two ensembles,
of three zuko splines each, differ in where their members begin. Rows:
``reports/flows/ARM.json``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.estimator.dipole import DipoleEstimator, DipoleStates
from bayesesi.estimator.dipole_density import flat, of_flat
from bayesesi.features.dipole_scan import DipoleSummary
from bayesesi.loss import Case, DipoleCase, DipoleTruth, Question
from bayesesi.loss.dipole_nll import dipole_nats
from bayesesi.spec import DipolesSpec, MixtureShare, Recipe, read_spec
from bayesesi.training.cases.dipole import DipoleCases

HERE = Path(__file__).parents[2] / "reports" / "flows"
SPECS = Path(__file__).parent / "specs"
RUNS = Path("runs") / "flows"
ARMS = ("zuko_nsf", "zuko_maf", "nsf", "maf", "gaussian", "evidential")
MEMBERS = (0, 1, 2)
#: Sessions of 64 that are trained on and held out; steps of 64 cases, and the rate.
N_TRAIN, N_HELD, STEPS, RATE = 64, 16, 1200, 2e-3
LEVELS = (0.5, 0.8, 0.9, 0.95)
N_DRAWS = 400


def recipe_of() -> Recipe:
    spec = read_spec("dipole")
    assert isinstance(spec, Recipe)
    return spec


def estimator_of(density: str) -> DipolesSpec:
    found = recipe_of().estimator
    assert isinstance(found, DipolesSpec)
    return found.model_copy(update={"density": density})


def data() -> None:
    """Summaries of every session, a file each."""
    from safetensors.torch import save_file

    plain = DipoleCases(recipe_of(), "validate")
    shifted = recipe_of().model_copy(
        update={"mixture": (MixtureShare(simulator=str(SPECS / "frame-dipole-shifted.toml")),)}
    )
    kinds = {
        "train": (plain, N_TRAIN, 1000),
        "held": (plain, N_HELD, 2000),
        "shifted": (DipoleCases(shifted, "validate"), N_HELD, 3000),
    }
    RUNS.mkdir(parents=True, exist_ok=True)
    for name, (examples, n, first) in kinds.items():
        for k in range(n):
            path = RUNS / f"{name}-{k}.safetensors"
            if not path.is_file():
                pieces = examples.session(4 * (first + k) + k % 4)
                save_file(_tensors(pieces), path)


def _tensors(pieces: list[DipoleCase]) -> dict[str, Tensor]:
    return {
        "summary": torch.cat([flat(p.inputs) for p in pieces]).contiguous(),
        "count": torch.cat([p.truth.count for p in pieces]),
        "place": torch.cat([p.truth.states.place for p in pieces]).contiguous(),
        "extent": torch.cat([p.truth.states.extent for p in pieces]).contiguous(),
        "skull": torch.cat([p.truth.states.skull for p in pieces]),
    }


def read(name: str, like: DipoleSummary) -> DipoleCase:
    from safetensors.torch import load_file

    parts = [load_file(path) for path in sorted(RUNS.glob(f"{name}-*.safetensors"))]
    whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    truth = DipoleStates(whole["place"], whole["extent"], whole["skull"])
    return Case(of_flat(whole["summary"], like), DipoleTruth(whole["count"], truth))


def one_like() -> DipoleSummary:
    """A summary of the right shapes."""
    recipe = recipe_of()
    return DipoleCases(recipe, "validate").session(0)[0].inputs


def nats(network: DipoleEstimator, example: DipoleCase) -> Tensor:
    """(B,) minus log q of everything."""
    of_count, of_rest = dipole_nats(Question(example, network))
    return of_count + of_rest


def picked(example: DipoleCase, rows: Tensor) -> DipoleCase:
    return Case(
        example.inputs.pick(rows),
        DipoleTruth(example.truth.count[rows], example.truth.states.pick(rows)),
    )


def trained(estimator: str, seed: int, cases: DipoleCase) -> tuple[DipoleEstimator, float, int]:
    """The network, seconds, and warnings."""
    network = DipoleEstimator(estimator_of(estimator), seed)
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    generator = torch.Generator().manual_seed(seed)
    began = perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(STEPS):
            rows = torch.randint(len(cases), (64,), generator=generator)
            optimiser.zero_grad()
            nats(network, picked(cases, rows)).mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return network.eval(), perf_counter() - began, len(told)


def covered(networks: list[DipoleEstimator], example: DipoleCase) -> NDArray[np.float64]:
    """(n,) of single dipoles: Mahalanobis rank of the true place among draws of the mixture."""
    ranks = []
    for row in (example.truth.count == 1).nonzero()[:, 0].tolist():
        one = example.inputs.pick(slice(row, row + 1))
        drawn = torch.cat([net.sample(N_DRAWS, 1, one).place[:, 0] for net in networks])
        apart = drawn - drawn.mean(0)
        cov = apart.T @ apart / len(apart) + 1e-10 * torch.eye(3)
        far = (apart @ torch.linalg.inv(cov) * apart).sum(1)
        true = example.truth.states.place[row, 0] - drawn.mean(0)
        ranks.append(float((far < true @ torch.linalg.inv(cov) @ true).float().mean()))
    return np.array(ranks)


def judge(networks: list[DipoleEstimator], example: DipoleCase) -> dict[str, Any]:
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        each = torch.stack([-nats(net, example) for net in networks])
        score = -(each.logsumexp(0) - float(np.log(len(networks))))
        ranks = covered(networks, example)
    return {
        "cases": len(score),
        "nats": float(score.mean()),
        "nats_se": float(score.std() / len(score) ** 0.5),
        "covered": [float((ranks < level).mean()) for level in LEVELS],
        "singles": len(ranks),
    }


def run() -> None:
    like = one_like()
    cases, held, shifted = (read(name, like) for name in ("train", "held", "shifted"))
    HERE.mkdir(parents=True, exist_ok=True)
    for arm in ARMS:
        members = []
        for seed in MEMBERS if arm == "zuko_nsf" else MEMBERS[:1]:
            members.append(trained(arm, seed, cases))
        networks = [member[0] for member in members]
        rows = {f"{arm}-{i}" if i else arm: [networks[i]] for i in range(len(networks))}
        if len(networks) > 1:
            rows[f"{arm}-ensemble"] = networks
        for name, each in rows.items():
            row = {
                "arm": name,
                "seconds": members[0][1],
                "warnings": members[0][2],
                "parameters": sum(p.numel() for p in each[0].parameters()),
                "held": judge(each, held),
                "shifted": judge(each, shifted),
            }
            (HERE / f"{name}.json").write_text(json.dumps(row, indent=1) + "\n")


def report() -> None:
    lines = [
        "# Flows, one-pass heads and ensembles on the same cases",
        "",
        f"`python -m tests.oracle.flows`: the estimator of `dipole` with other densities, "
        f"{STEPS:,} steps of 64 of the same {64 * N_TRAIN:,} cases, judged on {64 * N_HELD:,} "
        f"others and on {64 * N_HELD:,} in heads beyond what was met (skull 2.4 times as "
        "conductive, the cap off "
        "by twice as much). Nats: minus log q of the count, places, extents and skull (standard "
        "error over cases). Covered: how often ellipsoids of 50, 80, 90, 95 % of draws held a "
        "single dipole. Draws are not weighed by the likelihood here.",
        "",
        "| density | seconds | warnings | nats | covered | shifted: nats | covered |",
        "|---|---|---|---|---|---|---|",
    ]
    names = [n for arm in ARMS for n in (arm, f"{arm}-1", f"{arm}-2", f"{arm}-ensemble")]
    for name in names:
        path = HERE / f"{name}.json"
        if not path.is_file():
            continue
        r = json.loads(path.read_text())
        cells = []
        for kind in ("held", "shifted"):
            found = r[kind]
            held = " ".join(f"{c:.2f}".lstrip("0") for c in found["covered"])
            cells += [f"{found['nats']:.2f} ({found['nats_se']:.2f})", held]
        lines.append(
            f"| {name.replace('_', ' ')} | {r['seconds']:.0f} | {r['warnings']} | "
            + " | ".join(cells)
            + " |"
        )
    (HERE / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    {"data": data, "run": run, "report": report}[sys.argv[1]]()
