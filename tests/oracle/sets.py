"""Conformal sets of `atoms` beside those of eLORETA and sLORETA, and verdicts on gross errors.

    python -m tests.oracle.sets run WORKERS        # hours on one core; goes on where it stopped
    python -m tests.oracle.sets report

Cases are those of the card of `atoms`: purposes "conformal" (2,048) and "diagnose" (1,024), seed 1,
the same for all three. lambda2 of the linear inverses was chosen on "validate"
(`benchmark.region_scores`). Errors are of the purpose "bench", 150 cases each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesesi import conformalize, load_model
from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.region_scores import eloreta, sloreta
from bayesesi.benchmark.violations import VIOLATIONS
from bayesesi.calibration import Trials, card_of, mixture_of, run_trials, scores_of
from bayesesi.calibration.verdicts import set_shares, trust_of
from bayesesi.conformal import Guarantee
from bayesesi.trust import at_even_odds

RUNS = Path("runs")
HERE = Path(__file__).resolve().parents[2] / "reports" / "calibration"
N_CONFORMAL, N_DIAGNOSE, N_WRONG, SEED, WRONG_SEED = 2048, 1024, 150, 1, 7
LINEAR = (eloreta, sloreta)


def trials_of(solver: object, purpose: str, n: int, workers: int = 1) -> Trials:
    name = solver if isinstance(solver, str) else solver.__name__  # type: ignore[attr-defined]
    return run_trials(
        solver,  # type: ignore[arg-type]
        mixture_of(load_model("atoms")),
        n,
        SEED,
        purpose,
        RUNS / f"calibrate-{name}" / purpose,
        workers=workers,
        progress=workers > 1,
    )


def wrong_trials(name: str, workers: int = 1) -> Trials:
    return run_trials(
        "atoms",
        mixture_of(load_model("atoms")),
        N_WRONG,
        WRONG_SEED,
        "bench",
        RUNS / "violations-atoms" / f"bench-{name}",
        view=VIOLATIONS[name],
        workers=workers,
        progress=workers > 1,
    )


def run(workers: int) -> None:
    for solver in ("atoms", *LINEAR):
        for purpose, n in (("conformal", N_CONFORMAL), ("diagnose", N_DIAGNOSE)):
            trials_of(solver, purpose, n, workers)
    for name in VIOLATIONS:
        wrong_trials(name, workers)


#: What is compared: words, most sources, level, guarantee, bar.
ROWS: tuple[tuple[str, int, float, Guarantee, float], ...] = (
    ("one patch, every", 1, 0.9, "every", 0.5),
    ("one to three, every", 3, 0.8, "every", 0.6),
    ("one to three, every", 3, 0.9, "every", 0.85),
    ("one to three, recall", 3, 0.9, "recall", 0.6),
    ("one to three, peak", 3, 0.9, "peak", 0.6),
)


def report() -> None:
    lines = [*SETS]
    found = {
        name: (trials_of(s, "conformal", N_CONFORMAL), trials_of(s, "diagnose", N_DIAGNOSE))
        for name, s in (("atoms", "atoms"), ("eLORETA", eloreta), ("sLORETA", sloreta))
    }
    for least, words in ((-np.inf, "all"), (0.0, "above 0 dB"), (5.0, "above 5 dB")):
        for row in ROWS:
            lines.append(_sets_line(words, least, row, found))
    (HERE / "sets.md").write_text("\n".join(lines) + "\n")
    (HERE / "violations.md").write_text("\n".join(_violations()) + "\n")


def _sets_line(
    words: str,
    least: float,
    row: tuple[str, int, float, Guarantee, float],
    found: dict[str, tuple[Trials, Trials]],
) -> str:
    what, most, level, guarantee, bar = row
    areas, held, whole = {}, {}, {}
    for name, (behind, new) in found.items():
        behind, new = (_some(t, most, least) for t in (behind, new))
        truth = behind.peak_region if guarantee == "peak" else behind.active
        rule = conformalize(scores_of(behind), truth, level, guarantee)
        inside = rule.inside(scores_of(new))
        areas[name] = inside @ template_parcellation(4).shares
        held[name] = _held(inside, new, guarantee)
        whole[name] = float(inside.all(axis=1).mean())
    best = min(("eLORETA", "sLORETA"), key=lambda name: areas[name].mean())
    ratio, low, high = _ratio(areas["atoms"], areas[best])
    cells = [f"{areas[n].mean():.3f}" for n in found] + [f"{held[n]:.3f}" for n in found]
    verdict = "met" if ratio <= bar else "missed"
    return (
        f"| {words} | {what} | {level:.0%} | {len(areas['atoms'])} | {' | '.join(cells)} | "
        f"{whole['atoms']:.1%} | {ratio:.2f} ({low:.2f} to {high:.2f}) | {bar} | {verdict} |"
    )


def _some(trials: Trials, most: int, least: float) -> Trials:
    loud = trials.loud & (trials.stratum("sources") <= most) & (trials.stratum("snr_db") > least)
    return trials[np.flatnonzero(loud)]


def _held(inside: NDArray[np.bool_], new: Trials, guarantee: Guarantee) -> float:
    if guarantee == "peak":
        return float(inside[np.arange(len(new)), new.peak_region].mean())
    if guarantee == "every":
        return float((inside | ~new.active).all(axis=1).mean())
    return float(((inside & new.active).sum(axis=1) / new.active.sum(axis=1)).mean())


def _ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of mean areas, with a 95 % interval over cases."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(ours), (2000, len(ours)))
    again = ours[rows].mean(axis=1) / theirs[rows].mean(axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    return float(ours.mean() / theirs.mean()), float(low), float(high)


SETS = (
    "# Conformal sets: `atoms` beside eLORETA and sLORETA, the same procedure on the same cases",
    "",
    "`python -m tests.oracle.sets run 2`, then `report`. Area: mean share of the cortex of sets "
    "on cases that no rule knows; held: how often, or how much of what, they held; whole: share of "
    "sets of `atoms` that are all of the cortex; ratio: area over that of the better linear "
    "inverse, 95 % interval over cases. Inverse crime: none (truth on 20,484 sources, in another "
    "head). Rows of fewer cases have a rule from cases of their own kind.",
    "",
    "| SNR | cases | level | n | area atoms | eLORETA | sLORETA | held atoms | eLORETA | sLORETA "
    "| whole | ratio | bar | |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)


def _violations() -> list[str]:
    from sklearn.metrics import roc_auc_score

    model = load_model("atoms")
    card = card_of(model)
    assert card is not None
    usual, split = card.usual, card.split
    fine = trials_of("atoms", "diagnose", N_DIAGNOSE)
    fine = fine[np.flatnonzero(fine.loud)]

    def doubts(t: Trials) -> NDArray[np.float64]:
        """(n, 2) the share as unusual, and one minus the probability of nothing: small is odd."""
        null = [1 - at_even_odds(float(v), model.prior_null) for v in t.null]
        return np.stack([usual.p_value(t.signs), np.array(null)], axis=1)

    base = doubts(fine)
    every = [
        np.sort(base[:, 0] + 1e-9 * np.arange(len(base)) / len(base)),
        np.sort(base[:, 1]),
    ]

    def flag(d: NDArray[np.float64], surprise: NDArray[np.float64]) -> NDArray[np.float64]:
        """The lesser of both, each as a share of cases that are in order; ties by surprise."""
        each = [np.searchsorted(e, d[:, i], "right") / len(base) for i, e in enumerate(every)]
        return -np.minimum(*each) + 1e-6 * np.clip(surprise, -1e3, 1e3) / 1e3

    own = flag(base, usual.surprise_of(fine.signs))
    lines = [*WRONG]
    for name in VIOLATIONS:
        t = wrong_trials(name)
        if name not in WITHOUT:
            t = t[np.flatnonzero(t.loud)]
        verdicts = [
            str(v.verdict)
            for v in trust_of(t, set_shares(t, scores_of(t), split), usual, model.prior_null)
        ]
        wrong = flag(doubts(t), usual.surprise_of(t.signs))
        auc = roc_auc_score(np.r_[np.zeros(len(own)), np.ones(len(wrong))], np.r_[own, wrong])
        share = {v: verdicts.count(v) / len(verdicts) for v in ("reliable", "caution", "abstain")}
        lines.append(
            f"| {name.replace('_', ' ')} | {len(t)} | {auc:.3f} | "
            + " | ".join(f"{share[v]:.1%}" for v in share)
            + " |"
        )
    named = [
        str(v.verdict)
        for v in trust_of(fine, set_shares(fine, scores_of(fine), split), usual, model.prior_null)
    ]
    share = {v: named.count(v) / len(named) for v in ("reliable", "caution", "abstain")}
    cells = " | ".join(f"{share[v]:.1%}" for v in share)
    lines.append(f"| nothing is wrong | {len(fine)} | | {cells} |")
    small = card.trust.small_reliable
    return [
        *lines,
        "",
        f"Of cases in order whose 90 % set is under 15 % of the cortex {small:.1%} are called "
        "reliable (bar: 85 %).",
    ]


#: Errors that leave no event.
WITHOUT = ("artifact", "wrong_window")

WRONG = (
    "# Verdicts on recordings that are grossly wrong",
    "",
    "`python -m tests.oracle.sets run 2`, then `report`; model `atoms`, events of any SNR from -10 "
    "to 25 dB. AUC: of telling such recordings from those in order that hold an event, by the "
    "lesser of the share of simulated recordings that are as unusual and the share of events that "
    "look as much like noise (bar: .95; verdict not `reliable` in 95 %). A mirrored montage is "
    "hard to notice by its nature. No threshold was chosen on these cases.",
    "",
    "| what is wrong | n | AUC | reliable | caution | abstain |",
    "|---|---|---|---|---|---|",
)


if __name__ == "__main__":
    HERE.mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "run":
        run(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    else:
        report()
