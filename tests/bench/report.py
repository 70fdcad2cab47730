"""The committed evidence: `reports/bench/NAME.json`, `.md` and the figure between them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesesi.io.atomic import write_text
from tests.bench.outcome import Finding, Outcome
from tests.bench.store import ROOT

FOLDER = ROOT / "reports" / "bench"
COMMAND = "make bench"


@dataclass(frozen=True)
class Report:
    """Rows of the benchmark that are read together."""

    name: str
    title: str
    rows: tuple[str, ...]


REPORTS = (
    Report(
        "forward",
        "The forward model, the noise and the door, measured",
        ("boundary_elements", "bank", "speed", "noise", "invariance", "subject"),
    ),
    Report("simulators", "The simulators, measured", ("simulator",)),
    Report("posteriors", "Exact posteriors, measured", ("patches",)),
    Report("learned", "Learned posteriors, measured", ("atoms",)),
    Report("fields", "A learned posterior of fields, measured", ("cortex",)),
    Report("parcels", "A learned posterior of parcels, measured", ("parcels",)),
    Report("dipoles", "Dipoles in the volume, measured", ("dipole",)),
    Report("inference", "The time an answer takes, measured", ("inference",)),
)


def write_report(results: dict[str, dict[str, Any]]) -> None:
    """``results`` by row name: a stored row, or its title and why it was skipped."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for report in REPORTS:
        rows = {name: results[name] for name in report.rows}
        if not any("outcome" in row for row in rows.values()):
            continue  # nothing new: what stands there stays
        plain = {"command": COMMAND, "rows": {n: _without_curves(r) for n, r in rows.items()}}
        text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
        write_text(FOLDER / f"{report.name}.json", text)
        outcomes = {n: Outcome.from_json(r["outcome"]) for n, r in rows.items() if "outcome" in r}
        drawn = _draw(outcomes)
        write_text(FOLDER / f"{report.name}.md", _markdown(report, rows, outcomes, drawn))


def _without_curves(result: dict[str, Any]) -> dict[str, Any]:
    """The figure shows them; the tables hold their quantiles."""
    if "outcome" not in result:
        return result
    return {**result, "outcome": {**result["outcome"], "curves": {}}}


def _markdown(
    report: Report, results: dict[str, dict[str, Any]], outcomes: dict[str, Outcome], drawn: bool
) -> str:
    judged = [f.met for o in outcomes.values() for f in o.findings if f.met is not None]
    lines = [
        f"# {report.title}",
        "",
        f"`{COMMAND}` wrote this file; `{report.name}.json` beside it holds every number. "
        f"{sum(judged)} of {len(judged)} bars are met.",
        "",
    ]
    for name, result in results.items():
        lines += [f"## {result['title']}", ""]
        if "skipped" in result:
            lines += [f"Not measured: {result['skipped']}.", ""]
            continue
        lines += [_findings(outcomes[name].findings), ""]
        lines += [note + "\n" for note in outcomes[name].notes]
        lines += [_measured(result), ""]
    if drawn:
        lines += ["## Where the errors are", "", "![RDM by depth and by head](forward.png)", ""]
    for name, outcome in outcomes.items():
        for table in outcome.tables:
            lines += [f"### {results[name]['title']}: {table.title}", ""]
            lines += [_table(table.columns, [[_cell(x) for x in row] for row in table.rows]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _findings(findings: list[Finding]) -> str:
    rows = []
    for f in findings:
        value = f"{_number(f.value)} {f.unit}".strip()
        if f.interval is not None:
            value += f" ({_number(f.interval[0])} to {_number(f.interval[1])}, {f.interval_kind})"
        met = {True: "yes", False: "**no**", None: ""}[f.met]
        rows.append([f.what, f.n, value, _bar(f), met])
    return _table(("what", "n", "measured", "bar", "met"), rows)


def _bar(f: Finding) -> str:
    if f.bar is None:
        return ""
    low, high = f.bar
    if math.isinf(low):
        return f"≤ {_number(high)} {f.unit}".strip()
    if math.isinf(high):
        return f"≥ {_number(low)} {f.unit}".strip()
    return f"{_number(low)} to {_number(high)}"


def _measured(result: dict[str, Any]) -> str:
    c = result["conditions"]
    dirty = ", `bayesesi/` with uncommitted changes" if c["uncommitted"] else ""
    versions = ", ".join(f"{name} {c[name]}" for name in ("openmeeg", "mne", "numpy", "scipy"))
    load = "" if c["load"] is None else f", load {c['load']:.1f} at the start"
    return (
        f"{c['date']}, commit `{c['commit']}`{dirty}; {c['threads']} threads on {c['cores']} "
        f"cores{load}; Python {c['python']}, {versions}; {result['seconds']:.0f} s."
    )


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(x: float | str) -> str:
    return x if isinstance(x, str) else _number(x)


def _number(x: float) -> str:
    """Four digits that count; whole numbers stay whole."""
    if isinstance(x, int) or (float(x).is_integer() and abs(x) >= 1):
        return f"{int(x):,}"
    if 0.95 < abs(x) < 1.05:
        return f"{x:.4f}"
    if abs(x) < 1e-4:
        return f"{x:.1e}"
    return f"{x:.3g}" if abs(x) < 1000 else f"{x:,.0f}"


def _draw(outcomes: dict[str, Outcome]) -> bool:
    """RDM of the boundary elements by depth, and of the bank by the skull it interpolates."""
    spheres, bank = outcomes.get("boundary_elements"), outcomes.get("bank")
    if spheres is None or bank is None:
        return False
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullLocator

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for name, curve in spheres.curves.items():
        left.plot(curve["depth_mm"], curve["rdm"], ".", ms=2.5, alpha=0.6, label=name)
    left.axhline(0.012, color="0.5", lw=0.8, ls=":")
    left.axhline(0.04, color="0.5", lw=0.8, ls="--")
    left.set(
        xscale="log", yscale="log", xlabel="depth below the innermost surface, mm", ylabel="RDM"
    )
    left.set_title("boundary elements against the exact series", fontsize=10)
    left.set_xticks([3, 5, 10, 20, 50], labels=["3", "5", "10", "20", "50"])
    left.xaxis.set_minor_locator(NullLocator())
    left.legend(markerscale=4, frameon=False, loc="lower left")
    curve = {k: np.asarray(v) for k, v in bank.curves["settings"].items()}
    for shape, marker in zip(np.unique(curve["shape"]), "os^v", strict=False):
        mine = curve["shape"] == shape
        label = "template" if shape == 0 else f"head {shape:.0f}"
        (line,) = right.plot(
            curve["skull_over_brain"][mine],
            curve["rdm_median"][mine],
            marker,
            ls="",
            label=f"{label}, median",
        )
        right.plot(
            curve["skull_over_brain"][mine],
            curve["rdm_99"][mine],
            marker,
            ls="",
            mfc="none",
            color=line.get_color(),
            label=f"{label}, 99 %",
        )
    right.axhline(0.01, color="0.5", lw=0.8, ls=":")
    right.axhline(0.04, color="0.5", lw=0.8, ls="--")
    right.set(
        xscale="log", yscale="log", xlabel="conductivity of skull over brain", ylabel="RDM, cortex"
    )
    right.set_title("bank against a direct solve, held-out settings", fontsize=10)
    right.set_ylim(0.002, 0.12)
    right.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    figure.savefig(FOLDER / "forward.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True
