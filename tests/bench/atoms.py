"""The network `atoms` against MNE's inverses and against the exact posteriors, case by case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi import load_model, read_prior, read_simulator
from bayesesi.anatomy import template_source_space
from bayesesi.benchmark import baselines as linear
from bayesesi.metrics.peaks import matched_peak_errors, peak_error
from bayesesi.metrics.transport import carry, normalised_emd
from bayesesi.model import AtomModel
from bayesesi.observation import Observation
from bayesesi.posterior.atoms import AtomInputs, AtomPosterior
from bayesesi.posterior.patches import make_problem
from bayesesi.posterior.patches.covariance_scan import SpreadScan
from bayesesi.posterior.patches.enumeration import Enumeration
from bayesesi.posterior.patches.scan import DrawScan
from bayesesi.posterior.patches.state_posterior import StatePosterior
from bayesesi.prior import HeadPrior, PatchPrior
from bayesesi.simulator import Simulation
from tests.bench.outcome import Finding, Outcome, Skipped, Table, at_least, at_most

TITLE = "Atoms"
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
    "posterior",
    "simulator",
    "assets/template-bank.safetensors",
    "assets/atoms.safetensors",
)
SPECS = Path(__file__).parent / "specs"
#: Cases that share a cap and a noise, cases of each kind, those that choose lambda, those whose
#: maps are moved as earth, those that the exact posteriors see.
SESSION, N_CASES, N_CHOOSE, N_EARTH, N_EXACT = 16, 256, 64, 64, 48
SEED, N_RESAMPLES = 7, 2000
#: m: a place is where the expected number of centres, smoothed by this much, is largest.
WIDTH = 0.010
GRID = tuple(10.0 ** np.arange(-1.0, 3.1, 0.5))


@dataclass(frozen=True)
class Case:
    """An observation and what made it: centres (K, 3) m, moments (5124,) and its session."""

    obs: Observation
    centres: NDArray[np.float64]
    field: NDArray[np.float64]
    session: int


def measure(step: Callable[[str], None]) -> Outcome:
    model = load_model("atoms") if "atoms" in models() else None
    if not isinstance(model, AtomModel):
        raise Skipped("no weights ship; run `bayesesi train atoms`")
    findings: list[Finding] = []
    tables: list[Table] = []
    for kind, words, bars in (
        ("frame-one", "one patch", (0.5, 0.5)),
        ("frame-few", "one to three patches", (0.65, 0.7)),
    ):
        step(f"{words}: lambda of the inverses")
        best = best_lambda(list(cases(kind, N_CHOOSE, "validate")), step)
        step(f"{words}: cases")
        found = accuracy("atoms", maps_of(model), list(cases(kind, N_CASES, "bench")), best, step)
        findings += against(found, words, bars)
        tables.append(accuracy_table(found, words, best))
    step("exact posteriors")
    findings += _scores(model, list(cases("frame-one", N_EXACT, "bench")), step)
    step("speed")
    findings += _speed(model)
    history = dict(model.history)
    notes = [
        f"Weights: recipe `{model.recipe.name}`, {history['cases']:,} cases, "
        f"{history['seconds'] / 60:.0f} min on {history['device']}, two cores; seeds of the bench "
        "are of a purpose of their own. Truth on 20,484 vertices, inverse on 5,124; the true head, "
        "the cap's error, the montage and the noise are drawn anew; MNE's inverses at the lambda "
        "that peaks nearest on separate cases. Intervals: 95 %, sessions resampled."
    ]
    return Outcome(findings, tables=tables, notes=notes)


def models() -> tuple[str, ...]:
    from bayesesi import list_models

    return list_models()


def cases(kind: str, n: int, namespace: str) -> Any:
    simulation: Simulation = read_simulator(SPECS / f"{kind}.toml", SESSION).simulate(
        n, SEED, namespace
    )
    fine = template_source_space(5).positions
    for k in range(n):
        truth = simulation.truth(k)
        field = np.abs(simulation.field(k)).sum(axis=1)
        yield Case(simulation.observation(k), fine[truth.centres], field, k // SESSION)


def errors(values: NDArray[np.float64], case: Case) -> float:
    """mm: of one patch to the peak, of more the mean over matched peaks."""
    space = case.obs.source_space
    if len(case.centres) == 1:
        return peak_error(values, space.positions, case.centres)
    return float(matched_peak_errors(values, space, case.centres).mean())


def best_lambda(found: list[Case], step: Callable[[str], None]) -> dict[str, float]:
    total = {method: np.zeros(len(GRID)) for method in linear.METHODS}
    inverse = None
    for k, case in enumerate(found):
        step(f"lambda, case {k + 1} of {len(found)}")
        inverse = linear.prepare(case.obs) if k % SESSION == 0 or inverse is None else inverse
        for method in linear.METHODS:
            maps = [linear.power_map(case.obs, method, value, inverse) for value in GRID]
            total[method] += [errors(values, case) for values in maps]
    return {method: float(GRID[int(each.argmin())]) for method, each in total.items()}


def place_map(post: StatePosterior) -> NDArray[np.float64]:
    """(S,) expected number of centres about each source."""
    positions = post.obs.source_space.positions
    count = post.centre_probability()
    some = np.flatnonzero(count)
    apart = np.linalg.norm(positions[:, None] - positions[some], axis=2)
    return np.asarray(np.exp(-0.5 * (apart / WIDTH) ** 2) @ count[some])


#: Of a case and its number: where the peak is looked for, (S,), and what is moved as earth, (S,).
Maps = Callable[[Case, int], tuple[NDArray[np.float64], NDArray[np.float64]]]


def maps_of(model: AtomModel) -> Maps:
    def maps(case: Case, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        post = model.posterior(case.obs, seed=k)
        assert isinstance(post, AtomPosterior)
        return place_map(post), np.abs(post.mean()).sum(axis=1)

    return maps


def accuracy(
    ours: str, maps_of_ours: Maps, found: list[Case], best: dict[str, float], step: Any
) -> dict[str, NDArray[np.float64]]:
    """name -> (n, 2) peak error and nEMD (NaN beyond the first cases); "session" and "sensors"."""
    out: dict[str, list[list[float]]] = {name: [] for name in (ours, *linear.METHODS)}
    inverse, coarse = None, template_source_space(3)
    for k, case in enumerate(found):
        step(f"case {k + 1} of {len(found)}")
        inverse = linear.prepare(case.obs) if k % SESSION == 0 or inverse is None else inverse
        maps = {ours: maps_of_ours(case, k)}
        for method in linear.METHODS:
            power = linear.power_map(case.obs, method, best[method], inverse)
            maps[method] = (power, np.sqrt(power))
        for name, (peaks, mass) in maps.items():
            earth = np.nan
            if k < N_EARTH:
                moved = [carry(v, case.obs.source_space, coarse) for v in (mass, case.field)]
                earth = normalised_emd(*moved, coarse.positions)
            out[name].append([errors(peaks, case), earth])
    rows = {name: np.array(values) for name, values in out.items()}
    rows["session"] = np.array([case.session for case in found])
    rows["sensors"] = np.array([case.obs.n_eff for case in found])
    return rows


def against(
    found: dict[str, NDArray[np.float64]],
    words: str,
    bars: tuple[float, float],
    name_of_ours: str = "atoms",
) -> list[Finding]:
    findings = []
    for column, what, bar in ((0, "peak error", bars[0]), (1, "nEMD", bars[1])):
        ours = found[name_of_ours][:, column]
        rivals = {m: found[m][:, column] for m in linear.METHODS}
        statistics: list[tuple[str, Callable[[Any], float]]] = [("mean", np.nanmean)]
        if column == 0:
            statistics += [("median", np.median), ("90 %", lambda x: np.quantile(x, 0.9))]
        for name, statistic in statistics:
            rival = min(rivals, key=lambda m, s=statistic: s(rivals[m]))
            ratio = statistic(ours) / statistic(rivals[rival])
            low, high = _interval(ours, rivals[rival], found["session"], statistic)
            n = int(np.isfinite(ours).sum())
            findings.append(
                Finding(
                    f"{words}: {name} {what} over that of {rival}, the best of four",
                    f"{n} cases",
                    float(ratio),
                    interval=(low, high),
                    interval_kind="95 %",
                    bar=at_most(bar),
                )
            )
    return findings


def _interval(
    ours: NDArray[np.float64],
    rival: NDArray[np.float64],
    session: NDArray[np.int64],
    statistic: Callable[[Any], float],
) -> tuple[float, float]:
    """Of the ratio, sessions drawn with replacement."""
    kept = np.isfinite(ours)
    ours, rival, session = ours[kept], rival[kept], session[kept]
    rng, names = np.random.default_rng(0), np.unique(session)
    rows = [np.flatnonzero(session == name) for name in names]
    ratios = []
    for _ in range(N_RESAMPLES):
        some = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        ratios.append(statistic(ours[some]) / statistic(rival[some]))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def accuracy_table(
    found: dict[str, NDArray[np.float64]],
    words: str,
    best: dict[str, float],
    name_of_ours: str = "atoms",
) -> Table:
    rows: list[list[float | str]] = []
    for name in (name_of_ours, *linear.METHODS):
        peak, earth = found[name].T
        by_cap = [
            float(np.median(peak[(found["sensors"] >= low) & (found["sensors"] < high)]))
            for low, high in ((0, 40), (40, 80), (80, 200))
        ]
        rows.append(
            [
                name,
                best.get(name, float("nan")),
                float(peak.mean()),
                float(np.median(peak)),
                float(np.quantile(peak, 0.9)),
                *by_cap,
                float(np.nanmean(earth)),
            ]
        )
    columns = ("", "lambda²", "mean mm", "median", "90 %", "32", "64", "128 sensors", "nEMD")
    return Table(f"{words}: distance to the peak, nEMD", columns, rows)


def _scores(model: AtomModel, found: list[Case], step: Callable[[str], None]) -> list[Finding]:
    """Negative log score of the true centre given one patch, against exact posteriors."""
    prior = read_prior(SPECS / "one.toml", ico=4)
    heads = read_prior("template-nominal")
    assert isinstance(prior, PatchPrior)
    assert isinstance(heads, HeadPrior)
    each, efficiency = [], []
    for k, case in enumerate(found):
        step(f"exact posteriors, case {k + 1} of {len(found)}")
        post = model.posterior(case.obs, seed=k)
        assert isinstance(post, AtomPosterior)
        centres = template_source_space(4).positions[model.atoms.centres]
        true = int(np.linalg.norm(centres - case.centres[0], axis=1).argmin())
        ours = np.exp(post.first[1:] - np.logaddexp.reduce(post.first[1:]))
        ours = ours.reshape(model.atoms.n_extents, -1)
        tables = [
            _exact(case.obs, prior, heads, "spread", 192, model),
            _exact(case.obs, prior, heads, "draws", 48, model),
            _exact(case.obs, prior, None, "draws", 1, model),
        ]
        each.append([-np.log(p.sum(axis=0)[true] + 1e-300) for p in (ours, *tables)])
        weight = np.where(ours > 0, tables[0] / np.maximum(ours, 1e-300), 0.0)
        efficiency.append(1 / float((ours * weight**2).sum()))
    mean = np.mean(each, axis=0)
    n = f"{len(found)} cases"
    nats = "nats"
    return [
        Finding("one patch: negative log score of atoms", n, float(mean[0]), nats),
        Finding("of patches, heads spread, as it ships", n, float(mean[1]), nats),
        Finding("of patches, one of 48 heads", n, float(mean[2]), nats),
        Finding("of patches that trusts the template", n, float(mean[3]), nats),
        Finding(
            "score of atoms less that of the best exact posterior",
            n,
            float(mean[0] - mean[1:].min()),
            nats,
            bar=at_most(0.1),
        ),
        Finding(
            "sample efficiency of atoms for patches, heads spread",
            n,
            float(np.median(efficiency)),
            bar=at_least(0.1),
        ),
    ]


def _exact(
    obs: Observation,
    prior: PatchPrior,
    heads: HeadPrior | None,
    head_model: Any,
    n_heads: int,
    model: AtomModel,
) -> NDArray[np.float64]:
    """(E, N) probabilities given one patch."""
    problem = make_problem(obs, prior, heads, head_model, n_heads, atoms=model.atoms)
    scan = DrawScan(problem) if problem.spread is None else SpreadScan(problem)
    p = Enumeration.of(scan).probability.sum(axis=(0, 3))
    return np.asarray(p / p.sum())


def _speed(model: AtomModel) -> list[Finding]:
    obs = next(iter(cases("frame-one", SESSION, "bench"))).obs
    problem = make_problem(obs, model.atoms_prior, None, atoms=model.atoms)
    prepared = [seconds(lambda: AtomInputs.of(problem, model.network)) for _ in range(5)]
    sight = AtomInputs.of(problem, model.network)
    empty = np.zeros((1, 0), np.int64)
    looks = [seconds(lambda: next(sight.next(empty))) for _ in range(20)]
    post = model.posterior(obs)
    whole = [seconds(lambda: model.posterior(obs).sample(1000)) for _ in range(5)]
    again = [seconds(lambda: post.sample(1000)) for _ in range(5)]
    threads = f"{torch.get_num_threads()} threads"
    return [
        Finding("a look, forward prepared", threads, 1e3 * median(looks), "ms", bar=at_most(10.0)),
        Finding("preparing a forward", threads, 1e3 * median(prepared), "ms", bar=at_most(150.0)),
        Finding("1,000 draws, all told", threads, median(whole), "s"),
        Finding("1,000 draws of a posterior", threads, median(again), "s", bar=at_most(0.3)),
    ]


def median(values: list[float]) -> float:
    return float(np.median(values))


def seconds(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
