"""The model `dipole` against MNE's dipole fit and sLORETA, and its draws against the likelihood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi import load_model, read_simulator
from bayesesi.anatomy import template_blobs
from bayesesi.benchmark import baselines as linear
from bayesesi.benchmark.dipole_fit import fit_dipole
from bayesesi.features.dipole_scan import DipoleSummary
from bayesesi.model import DipoleModel
from bayesesi.observation import observe
from bayesesi.posterior.dipole import DipolePosterior
from bayesesi.simulator import Batch
from tests.bench.atoms import median, models, seconds
from tests.bench.outcome import Finding, Outcome, Skipped, Table, at_least, at_most

TITLE = "Dipole"
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
    "posterior/dipole",
    "posterior/refine.py",
    "simulator",
    "assets/template-bank.safetensors",
    "assets/dipole.safetensors",
)
KINDS = {"frame-dipole": "one moment", "event-dipole": "a window"}
#: Cases that share a cap and a noise, cases of each kind, those that choose lambda, and single
#: dipoles of each kind that are fitted by MNE as well.
SESSION, N_CASES, N_CHOOSE, N_FITTED, SEED = 16, 256, 64, 64, 7
N_RESAMPLES = 2000
GRID = tuple(10.0 ** np.arange(-2.0, 3.1, 0.5))


@dataclass(frozen=True)
class Case:
    """A posterior of one case, and what made it: (K, 3) m, the left one first.

    ``inverse`` is MNE's of the session's first case: the size of the noise, which differs between
    cases, does not matter to a standardised map.
    """

    post: DipolePosterior
    inverse: linear.LinearInverse
    places: NDArray[np.float64]
    snr_db: float

    @property
    def count(self) -> int:
        return len(self.places)


def measure(step: Callable[[str], None]) -> Outcome:
    model = load_model("dipole") if "dipole" in models() else None
    if not isinstance(model, DipoleModel):
        raise Skipped("no weights ship; run `bayesesi train dipole`")
    findings: list[Finding] = []
    efficiency, counted = [], []
    errors: dict[str, list[list[float]]] = {}
    for kind, words in KINDS.items():
        step(f"{words}: lambda of sLORETA")
        best = best_lambda(cases(model, kind, N_CHOOSE, "validate"))
        errors[words] = []
        for k, case in enumerate(cases(model, kind, N_CASES, "bench")):
            step(f"{words}: case {k + 1} of {N_CASES}")
            post = case.post
            counted.append((case.count, *post.count_probability))
            if not case.count:
                continue
            efficiency.append(post.sample_efficiency)
            if case.count == 1 and len(errors[words]) < N_FITTED:
                errors[words].append([*ours(post, case), *theirs(case, best)])
    findings += accuracy(errors)
    findings.append(
        Finding(
            "sample efficiency, median",
            f"{len(efficiency)} cases with an event",
            float(np.median(efficiency)),
            bar=at_least(0.1),
        )
    )
    findings += speed(model, step)
    return Outcome(
        findings,
        tables=[
            error_table(errors),
            count_table(np.array(counted)),
        ],
        notes=[
            f"Weights: recipe `{model.recipe.name}`, {model.history['cases']:,} cases, "
            f"{model.history['seconds'] / 60:.0f} min on {model.history['device']}. Heads, caps "
            "and covariances are unknown to every method. The estimate is the mean of the places "
            "given one dipole. MNE's fit: three-shell boundary elements of the template, the "
            "sample of "
            "most field power; sLORETA: on the same volume, its lambda chosen on other cases."
        ],
    )


def cases(model: DipoleModel, kind: str, n: int, namespace: str) -> Iterator[Case]:
    """Posteriors of a simulator's cases; those of a session share what a forward needs."""
    for batch in read_simulator(kind, SESSION).simulate(n, SEED, namespace).batches:
        yield from of_batch(model, batch)


def of_batch(model: DipoleModel, batch: Batch) -> Iterator[Case]:
    belief = model.belief
    forward = belief.forward(batch.forward, batch.whitener)
    scan, scene = belief.scan(forward), belief.scene(batch.values, forward, batch.noise_scale)
    with torch.inference_mode():
        summary = DipoleSummary.of(scene, scan, model.network.components)
    volume, inverse = model.oriented(batch.session.forward), None
    for k in range(len(batch)):
        noise = batch.session.noise
        scaled = replace(noise, matrix=noise.matrix * batch.noise_scale[k] ** 2)
        recording = batch.session.recording(batch.volts[k])
        obs = observe(recording, volume, scaled, bads=batch.session.bads)
        inverse = inverse or linear.prepare(obs)
        rows = slice(k, k + 1)
        post = DipolePosterior(
            obs, belief, forward, scene.pick(rows), summary.pick(rows), model.network, seed=k
        )
        count = int(batch.draws["count"][k])
        places = batch.draws["place"][k, :count]
        yield Case(post, inverse, places[np.argsort(places[:, 0])], float(batch.snr_db[k]))


def best_lambda(found: Iterator[Case]) -> float:
    """Of sLORETA on single dipoles: whose peaks are nearest."""
    errors = [[peak_error(case, value) for value in GRID] for case in found if case.count == 1]
    return float(GRID[int(np.mean(errors, axis=0).argmin())])


def peak_error(case: Case, lambda2: float) -> float:
    """mm"""
    obs = case.post.obs
    power = linear.power_map(obs, "sLORETA", lambda2, case.inverse)
    peak = obs.source_space.positions[power.argmax()]
    return float(np.linalg.norm(peak - case.places[0])) * 1e3


def ours(post: DipolePosterior, case: Case) -> tuple[float, float]:
    """mm from the mean, and from the most probable cell."""
    mean = post.places(1, 2000)[:, 0].mean(axis=0)
    cell = post.place_probability(1)[:, 0].argmax()
    mode = template_blobs().source_space.positions[cell]
    return tuple(float(np.linalg.norm(p - case.places[0])) * 1e3 for p in (mean, mode))


def theirs(case: Case, best: float) -> tuple[float, float]:
    """mm from MNE's fit, and from the peak of sLORETA."""
    fitted = fit_dipole(case.post.obs)[0]
    return float(np.linalg.norm(fitted - case.places[0])) * 1e3, peak_error(case, best)


def accuracy(errors: dict[str, list[list[float]]]) -> list[Finding]:
    findings = []
    for words, rows in errors.items():
        each = np.array(rows)
        rival = min((2, 3), key=lambda j: each[:, j].mean())
        picks = np.random.default_rng(0).integers(len(each), size=(N_RESAMPLES, len(each)))
        means = each[picks].mean(axis=1)
        low, high = np.quantile(means[:, 0] / means[:, rival], [0.025, 0.975])
        findings.append(
            Finding(
                f"error over that of {('MNE fit_dipole', 'sLORETA')[rival - 2]}, the better",
                f"{words}, {len(each)} single dipoles",
                float(each[:, 0].mean() / each[:, rival].mean()),
                "×",
                interval=(float(low), float(high)),
                interval_kind="95 %, cases resampled",
                bar=at_most(0.8),
            )
        )
    return findings


def error_table(errors: dict[str, list[list[float]]]) -> Table:
    head = ("single dipoles, mean (median) mm", "mean of places", "mode", "fit_dipole", "sLORETA")
    rows: list[list[float | str]] = []
    for words, found in errors.items():
        each = np.array(found)
        pairs = zip(each.mean(axis=0), np.median(each, axis=0), strict=True)
        rows.append([words, *(f"{mean:.1f} ({middle:.1f})" for mean, middle in pairs)])
    return Table("Error of the place", head, rows)


def count_table(found: NDArray[np.float64]) -> Table:
    """Mean probability of each count, by the true one."""
    rows: list[list[float | str]] = []
    for k, words in enumerate(("none", "one", "two")):
        each = found[found[:, 0] == k, 1:]
        own = f"{-np.log(each[:, k].clip(1e-12)).mean():.2f}"
        rows.append([words, len(each), *(f"{p:.2f}" for p in each.mean(axis=0)), own])
    head = ("true count", "cases", "none", "one", "two", "nats of the true one")
    return Table("How many, on average", head, rows)


def speed(model: DipoleModel, step: Callable[[str], None]) -> list[Finding]:
    step("speed")
    batch = read_simulator("frame-dipole", 1).simulate(1, SEED, "bench").batches[0]
    volume = model.oriented(batch.session.forward)
    obs = observe(batch.session.recording(batch.volts[0]), volume, batch.session.noise)
    post = model.posterior(obs)
    whole = median([seconds(lambda: model.posterior(obs)) for _ in range(3)])
    weighed = median([seconds(lambda: post.propose(1000, 1)) for _ in range(3)])
    _ = post.weighed
    drawn = median([seconds(lambda: post.dipoles(1000)) for _ in range(5)])
    words = f"{obs.n_eff} components"
    return [
        Finding("1,000 draws, forward prepared", words, drawn, "s", bar=at_most(0.2)),
        Finding("1,000 draws weighed by the likelihood", words, weighed, "s"),
        Finding("a posterior from nothing", words, whole, "s"),
    ]
