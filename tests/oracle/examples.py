"""The example reports under ``reports/examples``, made by the commands that its README lists.

    python -m tests.oracle.examples            # all of them
    python -m tests.oracle.examples prepare    # only the files of the seizure, for those commands

Reads ``../shared/data``; a recording that is not there is left out, with a word.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np

from bayesesi.anatomy import template_mesh
from bayesesi.benchmark.recordings import resection, seizure
from tests.oracle.seizure import DATA

ROOT = Path(__file__).parents[2]
OUT, WORK = ROOT / "reports" / "examples", Path("runs") / "examples"
_VISUAL = "../shared/data/visual_evoked"
#: Example -> what it needs, and its commands.
COMMANDS = {
    "simulated": (
        None,
        (
            "bayesesi demo -o runs/examples/simulated",
            "bayesesi report runs/examples/simulated/result-post.nc --format html,json "
            "-o reports/examples/simulated.html",
        ),
    ),
    "visual_evoked": (
        ROOT / _VISUAL,
        (
            f"bayesesi localize {_VISUAL}/visual-ave.fif --noise-cov {_VISUAL}/sample-cov.fif "
            "--condition 'Right visual' --tmin 0.08 --tmax 0.12 --subtract-baseline --sensitivity "
            "--overwrite -o runs/examples/visual_evoked",
            "bayesesi report runs/examples/visual_evoked/result-post.nc --format html,json "
            "--target left-visual=pericalcarine-lh,cuneus-lh,lingual-lh,lateraloccipital-lh "
            "-o reports/examples/visual_evoked.html",
        ),
    ),
    "ictal_p2": (
        DATA,
        (
            "python -m tests.oracle.examples prepare",
            "bayesesi localize runs/examples/ictal_raw.fif --noise-cov adhoc --unknown-scale "
            "--sensitivity --overwrite -o runs/examples/ictal_p2",
            "bayesesi report runs/examples/ictal_p2/result-post.nc --format html,json "
            "--target resection=runs/examples/resection-rh.label "
            "-o reports/examples/ictal_p2.html",
        ),
    ),
}


def prepare() -> None:
    """The seizure as FIF, and what was removed as a label of fsaverage."""
    WORK.mkdir(parents=True, exist_ok=True)
    seizure(DATA).save(WORK / "ictal_raw.fif", overwrite=True, verbose="error")
    inside, n_left = np.flatnonzero(resection(DATA)), template_mesh().n_left
    assert (inside >= n_left).all(), "all of it was on the right"
    own = inside - n_left
    mne.Label(own, np.zeros((len(own), 3)), hemi="rh", subject="fsaverage").save(
        WORK / "resection-rh.label"
    )


def make(name: str) -> None:
    needs, commands = COMMANDS[name]
    if needs is not None and not needs.is_dir():
        sys.stderr.write(f"{name}: left out, {needs} is not there\n")
        return
    for command in commands:
        program, *rest = shlex.split(command)
        found = str(Path(sys.executable).with_name(program))
        subprocess.run([found, *rest], cwd=ROOT, check=True)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["prepare"]:
        prepare()
    else:
        for each in sys.argv[1:] or COMMANDS:
            make(each)
