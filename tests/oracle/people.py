"""Sets made for one recording, in a head that no bank holds, by two priors of heads.

    python -m tests.oracle.people run K WORKERS    # jobs K, K + WORKERS...; resumable
    python -m tests.oracle.people report           # reports/calibration/people.md

The truth is MNE's sample subject: shells, 60 digitised electrodes and noise covariance, with the
template's folds laid into them (``person``) or drawn ones (``person-folded``); see
``tests.oracle.another_person``. What is assumed is the template. Nothing of that person is behind
the bank, the network, the priors of heads or the cards.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import template_mesh
from bayesesi.calibration import Mixture, RecordingCard, Trials, run_trials, scores_of
from bayesesi.calibration.recording_card import calibrate_recording, is_shown
from bayesesi.forward import ScalpPoints, solve_bem, template_forward
from bayesesi.io.atomic import atomic_file
from bayesesi.model import load_model
from bayesesi.observation import Observation, observe
from bayesesi.observation.sensor_data import Recording
from bayesesi.prior import HeadPrior, read_prior
from bayesesi.simulator import read_simulator
from bayesesi.simulator.block import DrawnBlock
from bayesesi.simulator.recording_cases import RecordingCases
from tests.bench.subject import SIGMA, subject_head
from tests.oracle.another_person import _noise, cortex_within, person_leadfield
from tests.oracle.particular import held_area
from tests.oracle.sets import HERE
from tests.oracle.shift import RUNS, _share

BANDS_DB, N_CARD, N_NEW, LEVEL, SEED = (7.5, 16.5), 300, 150, 0.9, 21
HEADS = ("template-digitised", "template-people")
ROWS = ("assumed", "person", "person-folded")
OUT, KEPT = HERE / "people.md", RUNS.parent / "people"


@lru_cache(maxsize=1)
def free_leadfield() -> NDArray[np.float64]:
    """(60, 61452) V/(A m) of that person's head, x, y and z in turn; solved once and kept."""
    path = KEPT / "free-leadfield.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False))
    surfaces, info, _ = subject_head()
    electrodes = np.array([channel["loc"][:3] for channel in info["chs"]])
    places, _ = cortex_within(surfaces)
    found = solve_bem(surfaces, SIGMA, places, electrodes).reshape(len(electrodes), -1)
    found -= found.mean(axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as draft, draft.open("wb") as file:
        np.save(file, found)
    return found


@dataclass(frozen=True, eq=False)
class PersonCases(RecordingCases):
    """The recording's cases in that person's head; ``folded``: with folds drawn for each."""

    folded: bool = False

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return PersonCases, (self.observation, self.spec, self.events, self.head, self.folded)

    def said(self) -> dict[str, str]:
        return {**super().said(), "head": "person-folded" if self.folded else "person"}

    def _at_sensors(self, drawn: DrawnBlock, points: ScalpPoints) -> NDArray[np.floating]:
        if not self.folded:
            return np.asarray((person_leadfield() @ drawn.patterns.T).T)
        people = read_prior("template-people")
        assert isinstance(people, HeadPrior)
        assert people.folds is not None
        slots = drawn.courses.shape[1]
        case = np.repeat(np.arange(len(drawn.courses)), slots)
        draws = people.draw(len(drawn.courses))
        normals = template_mesh().normals
        place = (np.repeat(np.arange(len(normals)), 3), np.arange(normals.size))
        normals = sp.csr_array((normals.ravel(), place))
        moments = drawn.patterns @ normals + people.folds.change(drawn.patterns, draws, case)
        return np.asarray((free_leadfield() @ moments.T).T)


@cache
def recording(power_db: float) -> Observation:
    """One of that person's cap and noise, of a power; what it shows does not count."""
    info, noise = subject_head()[1], _noise()
    forward = template_forward(info).fixed()
    rng, n = np.random.default_rng(0), len(noise.ch_names)
    kinds = ("eeg",) * n
    volts = 1e-6 * rng.standard_normal((n, 1))
    data = Recording(
        values=volts,
        ch_names=noise.ch_names,
        kinds=kinds,
        times=np.zeros(1),
        sfreq=500.0,
        nave=50,
        band=(0.5, 100.0),
        name="",
    )
    obs = observe(data, forward, noise, autocorrelation="white")
    values = obs.values * 10 ** ((power_db - obs.snr_db) / 20)
    return replace(obs, values=values)


def card(power_db: float, head: str) -> RecordingCard:
    folder = KEPT / f"{power_db:g}-{head}"
    return calibrate_recording(
        "atoms", recording(power_db), N_CARD, SEED, heads=head, folder=folder
    )


def new(power_db: float, row: str) -> Trials:
    obs, spec = recording(power_db), read_simulator("frame-any-cap").spec
    cases = (
        RecordingCases(obs, spec)
        if row == "assumed"
        else PersonCases(obs, spec, folded=row == "person-folded")
    )
    folder = KEPT / f"{power_db:g}-{row}"
    return run_trials("atoms", Mixture((cases,), (1.0,)), N_NEW, SEED + 1, "bench", folder)


def run(first: int, step: int) -> None:
    jobs = [(card, power, head) for power in BANDS_DB for head in HEADS]
    jobs += [(new, power, row) for power in BANDS_DB for row in ROWS]  # type: ignore[misc]
    for make, power, which in jobs[first::step]:
        make(power, which)


def report() -> None:
    atoms, found = load_model("atoms"), []
    for row in ROWS:
        for head in HEADS:
            held, area = [], []
            for power in BANDS_DB:
                own, trials = card(power, head), new(power, row)
                trials = trials[np.flatnonzero(is_shown(atoms, trials))]
                rule = own.split.rule(LEVEL, "every", own.cell)
                one, share = held_area(rule.inside(scores_of(trials)), trials)
                held.append(one)
                area.append(share)
            every = np.concatenate(held)
            found.append(
                {
                    "truth": row,
                    "heads": head,
                    "n": len(every),
                    "held": float(every.mean()),
                    "interval": _share(every),
                    "by_power": [float(h.mean()) for h in held],
                    "area": float(np.mean(area)),
                }
            )
    OUT.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "# Sets made for one recording, in another person's head",
        "",
        "`python -m tests.oracle.people run 0 1`, then `report`. 90 % sets of every active region "
        f"by `atoms`, made of {N_CARD} events for the cap and noise of MNE's sample subject (60 "
        f"digitised electrodes), in bands of powers about {BANDS_DB[0]:g} and {BANDS_DB[1]:g} dB, "
        "in heads of two priors; tried on events in the assumed prior's heads, in that person's "
        "shells with the template's folds, and there with drawn folds. Nothing was fitted on this "
        f"person. {N_NEW} new events a band, of which those count that are given a map.",
        "",
        "| truth | heads behind the sets | n | held | by band | area |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['truth']} | {r['heads']} | {r['n']} | {r['interval']} "
        f"| {', '.join(f'{h:.2f}' for h in r['by_power'])} | {r['area']:.3f} |"
        for r in found
    ]
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(int(sys.argv[2]), int(sys.argv[3]))
    else:
        report()
