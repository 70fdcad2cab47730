"""`atoms` and the exact posterior `patches` on the same cases: what calibration can be had.

    python -m tests.oracle.beside WORKERS        # patches take half a minute a case; resumable

Cases are the first of the diagnosis of the card of `atoms`, in its mixture.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bayesesi import load_model
from bayesesi.calibration import diagnose, mixture_of, run_trials
from tests.oracle.sets import HERE, RUNS, SEED

N = 64
HEADER = (
    "# `atoms` beside the exact posterior `patches`",
    "",
    f'`python -m tests.oracle.beside 2`; the same {N} cases, purpose "diagnose", seed {SEED}. '
    "Deviations of randomised ranks and ECE with their spread over cases: at so few cases noise "
    "alone makes some .04.",
    "",
)


def main(workers: int) -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    mixture, rows = mixture_of(load_model("atoms")), {}
    for name in ("patches", "atoms"):
        folder = Path(RUNS) / "beside" / name
        found = run_trials(
            name, mixture, N, SEED, "diagnose", folder, workers=workers, progress=True
        )
        d = diagnose(found)
        r = d.reliability
        rows[name] = {
            **{f"deviation, {key}": str(c.deviation) for key, c in d.coverage.items()},
            "reliability slope": str(r.slope),
            "ECE on .05 to .95": str(r.ece),
            "Brier skill": str(r.brier_skill),
            "energy score": str(d.scores.energy),
            "closed intervals, all sources": f"{d.closed_deviation:.3f}",
            "s a case": f"{d.seconds:.1f}",
        }
    lines = [*HEADER, f"| | {' | '.join(rows)} |", "|---|---|---|"]
    lines += [
        f"| {key} | {' | '.join(row[key] for row in rows.values())} |" for key in rows["atoms"]
    ]
    (HERE / "beside.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
