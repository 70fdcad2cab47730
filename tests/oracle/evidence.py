"""Whether evidence between beliefs comes true: patches, smooth fields and noise, in unknown heads.

python -m tests.oracle.evidence          # writes reports/coverage/evidence.md
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bayesesi import read_simulator
from bayesesi.posterior import PRIORS, compare_priors

OUT = Path(__file__).parents[2] / "reports" / "coverage" / "evidence.md"
KINDS = ("frame-any-field", "event-any-field")
N_CASES, SESSION, SEED = 64, 4, 11
#: The simulators' own: patches in two of three, nothing in one of ten.
BEFORE = {"focal": 0.6, "distributed": 0.3, "nothing": 0.1}


def main() -> None:
    lines = [
        "# Whether evidence between beliefs comes true",
        "",
        f"`python -m tests.oracle.evidence`: {N_CASES} cases of each simulator (namespace "
        "`diagnose`), the prior that of the simulators. Mean probability of each belief, by what "
        "there was; error: of the log odds of the best two, nats.",
        "",
        "| simulator | there was | cases | focal | distributed | nothing | right | error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    nats = []
    for kind in KINDS:
        simulation = read_simulator(kind, SESSION).simulate(N_CASES, SEED, "diagnose")
        rows = []
        for k in range(N_CASES):
            truth = simulation.truth(k)
            name = "nothing"
            if truth.count:
                name = "distributed" if int(truth.latents["component"]) else "focal"
            found = compare_priors(simulation.observation(k), BEFORE)
            rows.append((name, *(found.probability[p] for p in PRIORS), found.error))
            nats.append(-np.log(max(found.probability[name], 1e-12)))
        for i, name in enumerate(PRIORS):
            own = np.array([row[1:] for row in rows if row[0] == name])
            if len(own):
                right = (own[:, :3].argmax(axis=1) == i).mean()
                cells = " | ".join(f"{p:.2f}" for p in own[:, :3].mean(axis=0))
                lines.append(
                    f"| {kind} | {name} | {len(own)} | {cells} | {right:.2f} | "
                    f"{np.median(own[:, 3]):.1f} |"
                )
    base = -sum(p * np.log(p) for p in BEFORE.values())
    lines += ["", f"Nats of what there was: {np.mean(nats):.2f}; of the prior alone {base:.2f}."]
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
