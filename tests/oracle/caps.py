"""Whether `atoms` is to be asked through turned caps as well, so that sets hold in other heads.

    python -m tests.oracle.caps run [N]     # resumable; some 20 minutes on a core
    python -m tests.oracle.caps report      # reports/calibration/caps.md

How a brain is pitched against the ears differs by degrees between people, which no fit of
electrodes can tell. Draws of five posteriors, of the cap as it is taken to be and of it pitched and
rolled either way, are those of a prior of heads that is as much wider, but for the weights that
data would give the five. Cases are those of the shift table.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bayesesi import load_model
from bayesesi.anatomy import template_parcellation
from bayesesi.calibration import Mixture, Trials, card_of, run_trials, scores_of
from bayesesi.calibration.verdicts import set_shares
from bayesesi.errors import InputError
from bayesesi.forward import BankedHead, HeadSetting, template_bank
from bayesesi.model import Model
from bayesesi.observation import Observation
from bayesesi.posterior.draws import SCORE_DRAWS
from tests.oracle.sets import HERE
from tests.oracle.shift import ROWS, RUNS, SEED, VIEWS, area_anew, simulator_of

OUT, KEPT = HERE / "caps.md", RUNS.parent / "caps"
#: Rows of the shift table; cases of each.
ASKED, N_CASES = ("none", "turned-8", "person"), 256
#: Degrees about the axis through the ears, and through the nose; m above the ears that stays.
_PITCH, _ROLL, _STILL = 6.0, 4.2, np.array([0.0, 0.0, 0.04])
TURNS = np.deg2rad([[0, 0, 0], [_PITCH, 0, 0], [-_PITCH, 0, 0], [0, _ROLL, 0], [0, -_ROLL, 0]])


@lru_cache(maxsize=1)
def atoms() -> Model:
    return load_model("atoms")


def one_cap(obs: Observation, seed: int) -> NDArray[np.float64]:
    return np.asarray(atoms().posterior(obs).sample(SCORE_DRAWS, seed))


def five_caps(obs: Observation, seed: int) -> NDArray[np.float64]:
    """As many draws in all."""
    each = [
        atoms().posterior(turned(obs, turn)).sample(SCORE_DRAWS // len(TURNS), seed + k)
        for k, turn in enumerate(TURNS)
    ]
    return np.concatenate(each)


def turned(obs: Observation, turn: NDArray[np.float64]) -> Observation:
    """The observation, its cap worn otherwise; by less where the bank holds no scalp there."""
    for share in (1.0, 0.5, 0.0):
        if not share * np.any(turn):
            break
        found = _leadfield(obs.sensors.positions.tobytes(), tuple(share * turn))
        if found is not None:
            return replace(obs, leadfield=obs.whitener.matrix @ found)
    return obs


@lru_cache(maxsize=64)
def _leadfield(positions: bytes, turn: tuple[float, ...]) -> NDArray[np.float64] | None:
    """(C, S) V/(A m), average reference."""
    places = np.frombuffer(positions).reshape(-1, 3) - _STILL
    worn = Rotation.from_rotvec(turn).apply(places) + _STILL
    try:
        found = BankedHead(template_bank(), HeadSetting(), worn, 4).leadfield(HeadSetting())
    except InputError:
        return None
    return np.asarray(found - found.mean(axis=0))


SOLVERS = {"one cap": one_cap, "five caps": five_caps}


def trials_of_row(name: str, words: str, n: int) -> Trials | None:
    path = simulator_of(name)
    if path is None:
        return None
    place = KEPT / words.replace(" ", "-") / name
    mixture = Mixture.read([path])
    return run_trials(SOLVERS[words], mixture, n, SEED, "bench", place, view=VIEWS.get(name))


def run(n: int) -> None:
    for name in ASKED:
        for words in SOLVERS:
            trials_of_row(name, words, n)


def report(n: int) -> None:
    card, shares = card_of(atoms()), template_parcellation(4).shares
    assert card is not None
    lines = list(HEADER)
    for name in ASKED:
        for words in SOLVERS:
            trials = trials_of_row(name, words, n)
            if trials is None:
                continue
            loud = trials[np.flatnonzero(trials.loud)]
            inside = set_shares(loud, scores_of(loud), card.split)
            held = (inside | ~loud.active).all(axis=1)
            cells = [ROWS[name][0], words, len(loud), f"{held.mean():.2f}"]
            cells += [f"{(inside @ shares).mean():.2f}", area_anew(loud)]
            cells.append(f"{np.median(loud.seconds):.2f}")
            lines.append(f"| {' | '.join(map(str, cells))} |")
    OUT.write_text("\n".join(lines) + "\n")


HEADER = (
    "# Looking through turned caps",
    "",
    "`python -m tests.oracle.caps run`, then `report`. `atoms` as it is, and as many draws from "
    f"five looks: the cap as it is taken to be, pitched by {_PITCH:g} degrees and rolled by "
    f"{_ROLL:g} either way. By six degrees the brain of the last head is pitched beyond what the "
    "fit of its electrodes tells, so that its row flatters. Held, area: of 90 % sets by the card "
    "of `atoms`, in the first cases of the shift table; split anew: the area of sets that hold "
    "90 % under this very shift. An experiment: nothing that ships does so.",
    "",
    "| what is shifted | looks | cases with an event | held | area | area, split anew | s a case |",
    "|---|---|---|---|---|---|---|",
)


if __name__ == "__main__":
    n = int(sys.argv[2]) if len(sys.argv) > 2 else N_CASES
    run(n) if sys.argv[1] == "run" else report(n)
