"""The README's table, from what `bayesesi benchmark cortex-focal -o reports/benchmark` wrote.

python -m tests.oracle.readme    # fills what stands between the two marks
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bayesesi.benchmark.summary import Mean

ROOT = Path(__file__).parents[2]
README, FOUND = ROOT / "README.md", ROOT / "reports" / "benchmark" / "cortex-focal.json"
BEGIN, END = "<!-- benchmark -->\n", "<!-- end -->"
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
    README.write_text(filled(README.read_text(encoding="utf-8"), rows), encoding="utf-8")
