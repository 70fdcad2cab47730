"""The network `parcels` against eLORETA's parcel values with errors of matched size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesesi import load_model, read_simulator
from bayesesi.anatomy import Parcels
from bayesesi.benchmark import baselines as linear
from bayesesi.model import FlowModel
from bayesesi.observation import Observation
from tests.bench.atoms import median, models, seconds
from tests.bench.outcome import Finding, Outcome, Skipped, Table, at_most

TITLE = "Parcels"
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
    "posterior/flow",
    "simulator",
    "assets/template-bank.safetensors",
    "assets/parcels.safetensors",
)
KINDS = ("erp", "resting", "event-any-field")
#: Cases that choose lambda and the size of errors, those reported, draws of each.
N_CHOOSE, N_CASES, N_DRAWS, SEED, SESSION = 48, 128, 200, 7, 4
N_RESAMPLES = 2000
LAMBDAS = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Case:
    """An observation with an event; activity (P, R) A m, along its functions of time."""

    obs: Observation
    activity: NDArray[np.float64]


def measure(step: Callable[[str], None]) -> Outcome:
    model = load_model("parcels") if "parcels" in models() else None
    if not isinstance(model, FlowModel):
        raise Skipped("no weights ship; run `bayesesi train parcels`")
    parcels = model.network.parcels
    findings: list[Finding] = []
    rows: list[tuple[str, ...]] = []
    for kind in KINDS:
        step(f"{kind}: errors of eLORETA")
        rival = Rival.fitted(list(cases(kind, N_CHOOSE, "validate", parcels)), parcels, step)
        each = []
        for k, case in enumerate(cases(kind, N_CASES, "bench", parcels)):
            step(f"{kind}: case {k + 1} of {N_CASES}")
            post = model.posterior(case.obs)
            ours = post.parcel_moments(N_DRAWS, seed=k)
            loud = np.abs(ours).max(axis=(1, 2)) > 0
            theirs = rival.draws(case.obs, parcels, N_DRAWS, k)
            each.append([score(draws, case.activity) for draws in (ours[loud], theirs)])
        scores = np.array(each)
        ratio = float(scores[:, 0].mean() / scores[:, 1].mean())
        low, high = interval(scores)
        words = f"{kind}, {len(scores)} cases"
        findings.append(
            Finding(
                "energy score over eLORETA's",
                f"{words} ({low:.2f} to {high:.2f})",
                ratio,
                "×",
                bar=at_most(0.7),
            )
        )
        means = scores.mean(axis=0)
        better = float((scores[:, 0] < scores[:, 1]).mean())
        rows.append((kind, f"{means[0]:.3f}", f"{means[1]:.3f}", f"{better:.0%}"))
    step("speed")
    obs = next(cases("erp", 1, "bench", parcels)).obs
    post = model.posterior(obs)
    post.parcel_moments(10)
    drawn = [seconds(lambda: post.parcel_moments(1000, seed=1)) for _ in range(3)]
    findings.append(
        Finding("1,000 draws, forward prepared", "64 sensors", median(drawn), "s", bar=at_most(0.2))
    )
    history = model.history
    notes = [
        f"Weights: recipe `{model.recipe.name}`, {history['cases']:,} cases, "
        f"{history['seconds'] / 60:.0f} min on {history['device']}, two cores. Score: of the "
        "activity of all parcels over the window, over the truth's length; cases with an event. "
        "eLORETA's activity is scaled, and given Gaussian errors, parcel by parcel, as fit best on "
        "separate cases of the same simulator, at the lambda that then scores best."
    ]
    head = ("cases", "parcels", "eLORETA", "parcels better in")
    return Outcome(findings, tables=[Table("Energy scores, means", head, tuple(rows))], notes=notes)


def cases(kind: str, n: int, namespace: str, parcels: Parcels) -> Iterator[Case]:
    simulation = read_simulator(kind, SESSION).simulate(n, SEED, namespace)
    for k in range(n):
        field = simulation.field(k)
        if np.abs(field).max() > 0:
            obs = simulation.observation(k)
            yield Case(obs, summed(field, parcels) @ obs.time_basis.projector)


def summed(field: NDArray[np.float64], parcels: Parcels) -> NDArray[np.float64]:
    """(P, R) of (S, R)."""
    inside = parcels.labels >= 0
    out = np.zeros((len(parcels), field.shape[1]))
    np.add.at(out, parcels.labels[inside], parcels.signs[inside, None] * field[inside])
    return out


def score(draws: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """E|Y - y| - E|Y - Y'| / 2 over the length of y, of draws (n, P, R)."""
    flat = draws.reshape(len(draws), -1)
    far = np.linalg.norm(flat - truth.ravel(), axis=1).mean()
    square = (flat**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0)).sum()
    n = max(len(flat), 2)
    return float((far - 0.5 * apart / (n * (n - 1))) / np.linalg.norm(truth))


def interval(scores: NDArray[np.float64]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    picks = rng.integers(len(scores), size=(N_RESAMPLES, len(scores)))
    means = scores[picks].mean(axis=1)
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Rival:
    """eLORETA's activity x, as c x + N(0, sd² u²) with u the size of x over all parcels.

    Attributes
    ----------
    scale, spread : (P,) c and sd.
    """

    regularisation: float
    scale: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fitted(cls, found: list[Case], parcels: Parcels, step: Callable[[str], None]) -> Rival:
        tried = []
        for value in LAMBDAS:
            step(f"lambda {value:g}")
            pairs = []
            for case in found:
                x = activity_of(case.obs, value, parcels)
                pairs.append((x / size_of(x), case.activity / size_of(x)))
            products = sum((x * y).sum(axis=1) for x, y in pairs)
            squares = sum((x * x).sum(axis=1) for x, _ in pairs)
            scale = np.full(len(parcels), products.sum() / squares.sum())
            left = sum(((y - scale[:, None] * x) ** 2).mean(axis=1) for x, y in pairs)
            tried.append(cls(value, scale, np.sqrt(left / len(pairs))))
        totals = [
            np.mean(
                [score(r.draws(c.obs, parcels, 50, k), c.activity) for k, c in enumerate(found)]
            )
            for r in tried
        ]
        return tried[int(np.argmin(totals))]

    def draws(self, obs: Observation, parcels: Parcels, n: int, seed: int) -> NDArray[np.float64]:
        x = activity_of(obs, self.regularisation, parcels)
        noise = np.random.default_rng(seed).standard_normal((n, *x.shape))
        error = size_of(x) * self.spread[:, None] * noise
        return np.asarray(self.scale[:, None] * x + error)


def size_of(x: NDArray[np.float64]) -> float:
    return float(np.sqrt((x**2).mean()))


def activity_of(obs: Observation, regularisation: float, parcels: Parcels) -> NDArray[np.float64]:
    return summed(linear.estimate(obs, "eLORETA", regularisation), parcels)
