"""The README's table and that of all tasks, from what `bayesesi benchmark TASK` wrote.

python -m tests.oracle.readme    # fills what stands between the two marks, in both files
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bayesesi.benchmark.methods import methods
from bayesesi.benchmark.summary import Mean
from bayesesi.benchmark.tasks import TASKS as KNOWN

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "reports" / "benchmark"
README, FOUND, TASKS = ROOT / "README.md", RUNS / "cortex-focal.json", RUNS / "README.md"
BEGIN, END = "<!-- benchmark -->\n", "<!-- end -->"
#: Kinds of methods that are ours: networks, and posteriors that are exact.
OURS = ("learned", "exact")
#: By which all tasks are told, the less the better -> as the table calls it; mass is moved on the
#: first cases only.
MEASURES = {"peak_mm": "peak off, mm", "nemd": "nEMD", "area": "area of 90 % sets"}
#: Heading -> measure, or a part of the sets.
COLUMNS = {
    "peak off, mm": "peak_mm",
    "nEMD": "nemd",
    "AUC": "auc",
    "F1 of regions": "f1",
    "90 % sets held": "held",
    "their share of cortex": "area",
    "s a case": "seconds",
}


def table(found: dict[str, Any]) -> str:
    """The best first; of a classic by its rule and tuned, and of a rival's variants, the better."""
    lines = ["| | n | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 2)]
    seen: set[str] = set()
    for name, each in found["methods"].items():
        base = name.split(", ")[0]
        if base in seen and not name.startswith("Gaussian"):
            continue
        seen.add(base)
        known = {**each, **found["sets"].get(name, {})}
        cells = [_said(known.get(measure), measure) for measure in COLUMNS.values()]
        n = max((value["n"] for value in each.values()), default=0)
        lines.append(f"| {name} | {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def tasks_table() -> str:
    """A row a task that was run and a measure: ours, eLORETA and the best of all others, of methods
    that were given all cases."""
    lines = [
        "| task | by | n | best of ours | eLORETA | best of the others |",
        "|" + "---|" * 6,
    ]
    for path in sorted(RUNS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["task"] in KNOWN:
            lines += [row for measure in MEASURES if (row := _row(found, measure))]
    return "\n".join(lines) + "\n"


def _row(found: dict[str, Any], measure: str) -> str:
    values = {
        name: known[measure]
        for name, each in found["methods"].items()
        if measure in (known := {**each, **found["sets"].get(name, {})})
    }
    if not values:
        return ""
    n = max(each["n"] for each in values.values())
    values = {name: each for name, each in values.items() if each["n"] == n}
    ours, classics = _kinds(values, OURS), _kinds(values, ("classic", "rival", "other"))
    linear = [name for name in classics if name.startswith("eLORETA")]
    others = [name for name in classics if name not in linear]
    best = [min(names, key=lambda n: values[n]["value"]) for names in (ours, linear, others)]
    cells = " | ".join(f"{name} {Mean(**values[name])}" for name in best)
    return f"| `{found['task']}` | {MEASURES[measure]} | {n} | {cells} |"


def _kinds(names: Iterable[str], kinds: tuple[str, ...]) -> list[str]:
    known = methods()
    return [name for name in names if name in known and known[name].kind in kinds]


def _said(mean: dict[str, Any] | None, measure: str) -> str:
    if mean is None:
        return "–"
    if measure == "seconds":
        return f"{mean['value']:.2g}"
    return str(Mean(**mean))


def filled(text: str, rows: str) -> str:
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + rows + "\n" + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    rows = table(json.loads(FOUND.read_text(encoding="utf-8")))
    for path, text in ((README, rows), (TASKS, tasks_table())):
        path.write_text(filled(path.read_text(encoding="utf-8"), text), encoding="utf-8")
