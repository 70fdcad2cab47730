"""What is left of guarantees where recordings are not those a card was made from.

    python -m tests.oracle.shift run SOLVER WORKERS [N]    # of SOLVERS; resumable
    python -m tests.oracle.shift report

Each row shifts one thing in `frame-any-cap`; cases are of the purpose "bench", with the same events
in all rows and, but for the skull's, the same caps. Sets are those of the card of the model, each
recording's of its own cell; of eLORETA those of the same 2,048 cases behind them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesesi import load_model
from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.region_scores import eloreta
from bayesesi.calibration import Mixture, Trials, card_of, run_trials, scores_of, split_of
from bayesesi.calibration.trial_runner import View
from bayesesi.calibration.verdicts import set_shares, trust_of
from bayesesi.conformal import ConformalSplit
from bayesesi.model import Model
from bayesesi.observation import Observation
from bayesesi.simulator import Batch
from tests.oracle.another_person import another_person, is_there
from tests.oracle.sets import HERE, N_CONFORMAL, trials_of

RUNS = Path("runs") / "shift"
NOISE = Path("../shared/data/ictal_p2")
SEED, N_CASES = 3, 500
#: Cases of a half, for a split of it.
_FEWEST = 100
SOLVERS = ("atoms", "cortex", "parcels", "gaussian", "eloreta")
#: Of a row, after its names.
_COLUMNS = 8
_HEAD = 'schema = 1\nextend = "template-nominal"\nname = "{name}-head"\ndescription = "Shifted."\n'
_SIMULATOR = (
    'schema = 1\nextend = "frame-any-cap"\nname = "{name}"\ndescription = "Shifted: {words}."\n'
)


def skull(value: float) -> str:
    """Known to its value; the range of the bank ends at .03."""
    return f"[conductivity]\nskull_S_per_m = {value}\n"


def cap(**changed: float) -> str:
    return "[cap]\n" + "".join(f"{key} = {value}\n" for key, value in changed.items())


def patches(body: str) -> str:
    return 'schema = 1\nextend = "focal"\nname = "{name}-source"\ndescription = "Shifted."\n' + body


def noise(body: str) -> str:
    return 'schema = 1\nname = "{name}-noise"\ndescription = "Shifted."\nfamily = "sum"\n' + body


_QUIET = (
    '[[components]]\nfamily = "background"\nlevel_uV = { loguniform = [4.0, 12.0] }\n'
    '[[components]]\nfamily = "white"\nlevel_uV = { loguniform = [0.3, 1.5] }\n'
)
_ARTIFACTS = (
    _QUIET + '[[components]]\nfamily = "eyes"\nblinks_per_s = 0.5\nsaccades_per_s = 0.5\n'
    '[[components]]\nfamily = "muscle"\nlevel_uV = { loguniform = [5.0, 20.0] }\n'
    "bursts_per_s = 1.0\n"
    '[[components]]\nfamily = "pops"\npops_per_s = 0.2\n'
)


def covariance_halved(batch: Batch, k: int) -> Observation:
    """The noise is taken for half as strong as it is."""
    scale = float(batch.noise_scale[k]) * np.sqrt(0.5)
    return batch.session.observe(batch.volts[k], scale, "shifted")


#: Row -> words, which table of the simulator is another, and what that says.
ROWS: dict[str, tuple[str, str, str]] = {
    "none": ("nothing", "", ""),
    "skull-half": ("skull half as conductive", "head", skull(0.005)),
    "skull-2": ("skull twice as conductive", "head", skull(0.02)),
    "skull-3": ("skull three times as conductive", "head", skull(0.03)),
    "turned-2": ("cap turned by 2 degrees (sd)", "head", cap(rotation_deg=2.0)),
    "turned-8": ("cap turned by 8 degrees (sd)", "head", cap(rotation_deg=8.0)),
    "jitter-5": ("electrodes off by 5 mm", "head", cap(jitter_mm=5.0)),
    "jitter-10": ("electrodes off by 10 mm", "head", cap(jitter_mm=10.0)),
    "missing-25": ("a quarter of the channels missing", "", "[montage]\nmissing = 0.25\n"),
    "missing-50": ("half of the channels missing", "", "[montage]\nmissing = 0.5\n"),
    "noise": ("real resting noise, 64 channels", "noise", ""),
    "artifacts": ("blinks, muscle and pops left in", "noise", noise(_ARTIFACTS)),
    "extent": (
        "patches of 20 to 40 mm",
        "source",
        patches("extent_mm = { loguniform = [20.0, 40.0] }\n"),
    ),
    "count": (
        "four or five patches",
        "source",
        patches(
            "[count]\nnull = 0.0\nweights = [0.0, 0.0, 0.0, 0.5, 0.5]\nmin_distance_mm = 20.0\n"
        ),
    ),
    "covariance": ("covariance half of the true one", "", ""),
    "person": ("another person's skull, scalp and noise, 60 electrodes", "", ""),
}
VIEWS: dict[str, View] = {"covariance": covariance_halved, "person": another_person}


def simulator_of(name: str) -> Path | None:
    """The file of a row's simulator, written anew; None where recordings are not there."""
    words, which, body = ROWS[name]
    if name == "person" and not is_there():
        return None
    folder = RUNS / "specs"
    folder.mkdir(parents=True, exist_ok=True)
    lines = _SIMULATOR.replace("{name}", f"shift-{name}").replace("{words}", words)
    if name == "noise":
        if not NOISE.is_dir():
            return None
        _write_noise(folder / "resting-raw.fif")
        body = noise('[[components]]\nfamily = "covariance"\nfile = "resting-raw.fif"\n')
    if which:
        text = (_HEAD if which == "head" else "") + body
        (folder / f"shift-{name}-{which}.toml").write_text(text.replace("{name}", f"shift-{name}"))
        lines += f'{which} = "shift-{name}-{which}.toml"\n'
        if name == "noise":
            lines += "[montage]\nfamilies = { eeg64 = 1.0 }\n"
        body = ""
    path = folder / f"shift-{name}.toml"
    path.write_text(lines + body)
    return path


def _write_noise(path: Path) -> None:
    """The recording of four seconds, for the simulator to take its covariance from."""
    import mne
    import scipy.io

    if path.is_file():
        return
    places = scipy.io.loadmat(NOISE / "electrode_75.mat")["eloc75"].ravel()
    names = [str(place["labels"][0]) for place in places]
    data = scipy.io.loadmat(NOISE / "realistic_noise.mat")["data"]
    info = mne.create_info(names, 500.0, "eeg")
    raw = mne.io.RawArray(1e-6 * data.reshape(-1, len(names)).T, info, verbose="error")
    raw.save(path, verbose="error")


def trials_of_row(name: str, solver: str, n: int, workers: int = 1) -> Trials | None:
    path = simulator_of(name)
    if path is None:
        return None
    chosen: Callable[..., NDArray[np.float64]] | str = eloreta if solver == "eloreta" else solver
    return run_trials(
        chosen,
        Mixture.read([path]),
        n,
        SEED,
        "bench",
        RUNS / solver / name,
        view=VIEWS.get(name),
        workers=workers,
        progress=workers > 1,
    )


def run(solver: str, workers: int, n: int) -> None:
    for name in ROWS:
        trials_of_row(name, solver, n, workers)


def report() -> None:
    """What there are trials of is counted anew; the other rows stay as they were."""
    kept = HERE / "shift.json"
    rows = json.loads(kept.read_text()) if kept.is_file() else {}
    for solver in SOLVERS:
        model = None if solver == "eloreta" else load_model(solver)
        card = None if model is None else card_of(model)
        for name in ROWS:
            if not list((RUNS / solver / name).glob("*.safetensors")):
                continue
            if model is None:
                split = split_of(trials_of(eloreta, "conformal", N_CONFORMAL))
            elif card is not None:
                split = card.split
            else:
                continue
            trials = trials_of_row(name, solver, _n_done(RUNS / solver / name))
            assert trials is not None
            rows[f"{solver} {name}"] = _cells(trials, split, model)
    kept.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    lines = [
        f"| {solver} | {ROWS[name][0]} | {' | '.join(_whole(rows[f'{solver} {name}']))} |"
        for solver in SOLVERS
        for name in ROWS
        if f"{solver} {name}" in rows
    ]
    (HERE / "shift.md").write_text("\n".join([*HEADER, *lines]) + "\n")


def _whole(cells: list[str]) -> list[str]:
    """A row that was counted before its last column was."""
    return [*cells, *["–"] * (_COLUMNS - len(cells))]


def _n_done(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as file:
            total += file.get_slice("null").get_shape()[0]
    return total


def _cells(trials: Trials, split: ConformalSplit, model: Model | None) -> list[str]:
    loud = trials[np.flatnonzero(trials.loud)]
    inside, held = sets_of(loud, split)
    cells = [_share(held), _area(inside)]
    card = None if model is None else card_of(model)
    if card is None or model is None:
        cells += ["", "", "", ""]
    else:
        verdicts = np.array(
            [str(t.verdict) for t in trust_of(loud, inside, card.usual, model.prior_null)]
        )
        cells += [f"{(verdicts == v).mean():.0%}" for v in ("reliable", "caution", "abstain")]
        cells.append(_share(held[verdicts == "reliable"]))
    return [str(len(loud)), *cells, area_anew(loud)]


def sets_of(loud: Trials, split: ConformalSplit) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n, P) 90 % sets of cases with an event; (n,) whether each held every active region."""
    inside = set_shares(loud, scores_of(loud), split)
    return inside, np.asarray((inside | ~loud.active).all(axis=1))


def held_and_area(loud: Trials, split: ConformalSplit) -> list[str]:
    """As a row tells it."""
    inside, held = sets_of(loud, split)
    return [_share(held), _area(inside)]


def area_anew(loud: Trials) -> str:
    """Mean share of the cortex in sets that hold 90 % of these cases: of each half of them, by the
    split of the other. It tells what is known less from what is only calibrated otherwise."""
    halves = loud[np.arange(0, len(loud), 2)], loud[np.arange(1, len(loud), 2)]
    if min(map(len, halves)) < _FEWEST:
        return "–"
    each = [set_shares(new, scores_of(new), split_of(old)) for old, new in (halves, halves[::-1])]
    return _area(np.concatenate(each))


def _area(inside: NDArray[np.bool_]) -> str:
    return f"{(inside @ template_parcellation(4).shares).mean():.2f}"


def _share(held: NDArray[np.bool_]) -> str:
    from scipy import stats

    if not len(held):
        return "–"
    found = stats.binomtest(int(held.sum()), len(held)).proportion_ci(0.95, "wilson")
    return f"{held.mean():.2f} ({found.low:.2f} to {found.high:.2f})"


HEADER = (
    "# Guarantees under shift",
    "",
    "`python -m tests.oracle.shift run SOLVER 2`, then `report`. Held: share of 90 % sets of "
    '"every" that held every active region, with a 95 % interval; area: their mean share of the '
    "cortex; verdicts; held if reliable: of those whose verdict is reliable; split anew: the area "
    "of sets that hold 90 % under this very shift, split on half of a row's cases for the other: "
    "it grows where less is known, and not where what is known is only calibrated otherwise. "
    "Everything is as in "
    "`frame-any-cap` (one moment, 19 to 128 nominal electrodes, -5 to 25 dB) but for what is "
    "shifted. Where a card was made the skull and the cap are unknown already: a skull of one "
    "value is a part of what it knows. The cards of `cortex` and `parcels` were made on patches "
    "and smooth fields, moments and windows: here are moments of patches alone, so that their "
    "first row is a shift already, towards the cases that their sets hold less often. The last is "
    "a head that no bank holds (`tests/oracle/another_person.py`): MNE's sample subject (BSD-3), "
    "in three shells without cerebrospinal fluid, so that physics differ too; its topographies are "
    "off the template's by .28 (RDM, median; .18 to .50); that looking through turned caps as well "
    "mends little of it is in `reports/calibration/caps.md`.",
    "",
    "| solver | what is shifted | cases with an event | held | area | reliable | caution | abstain "
    "| held if reliable | area, split anew |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


if __name__ == "__main__":
    HERE.mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "run":
        run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else N_CASES)
    else:
        report()
