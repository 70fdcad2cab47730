"""A seizure with known surgery: where it is said to have begun, beside MNE's inverses.

    python -m tests.oracle.seizure

Reads ``../shared/data/ictal_p2`` (DeepSIF, Clear BSD; see its README), writes
``reports/real/ictal_p2.md``. The unit of the recording is unknown, the noise covariance assumed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bayesesi
from bayesesi.anatomy import template_source_space
from bayesesi.benchmark.baselines import power_map
from bayesesi.benchmark.recordings import resection, seizure
from bayesesi.metrics.detection import otsu_threshold
from bayesesi.observation import Observation

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "ictal_p2"
OUT = Path(__file__).parents[2] / "reports" / "real"
LEVEL = 0.9
#: Of the table of regions.
COLUMNS = ["region", "lobe", "side", "probability", "in_set"]


def removed_sources() -> NDArray[np.bool_]:
    """(5124,) sources whose part of the cortex was removed."""
    coarse = template_source_space(4)
    return resection(DATA)[coarse.index_in(template_source_space(5))]


def row(name: str, inside: NDArray[np.bool_], peak: int, removed: NDArray[np.bool_]) -> str:
    space = template_source_space(4)
    area, total = space.areas[inside].sum() * 1e4, space.areas.sum() * 1e4
    apart = np.linalg.norm(space.positions[removed] - space.positions[peak], axis=1).min() * 1e3
    share = space.areas[inside & removed].sum() / space.areas[removed].sum()
    meets = "yes" if (inside & removed).any() else "no"
    contains = "yes" if inside[removed].all() else f"no ({share:.0%})"
    return f"| {name} | {area:.0f} | {area / total:.1%} | {meets} | {contains} | {apart:.0f} |"


def baseline(obs: Observation, method: Any, removed: NDArray[np.bool_]) -> str:
    """Selected are sources above Otsu's threshold of the power map."""
    power = power_map(obs, method)
    return row(f"{method}, Otsu", power > otsu_threshold(power), int(power.argmax()), removed)


def posterior(name: str, prior: str | None, obs: Observation, removed: NDArray[np.bool_]) -> Any:
    """Two rows of the table, and a paragraph."""
    began = time.perf_counter()
    result = bayesesi.infer(obs, bayesesi.load_model(name, prior), level=LEVEL)
    seconds = time.perf_counter() - began
    about = result.to_dict()
    told = [
        f"`{name}` took {seconds:.0f} s; trust: {result.trust.verdict} "
        f"({'; '.join(reason.sentence for reason in result.trust.reasons)}); residual power "
        f"{about['checks']['chi2']:.2f}; details:",
        "",
        "```",
        str({k: v for k, v in about["model"]["details"].items() if k != "extents_mm"}),
        "```",
        "",
    ]
    if not result.localisable:
        return [f"| `{name}` | no map | | | | |"], told
    maps = result.inference_data["maps"]
    regions = maps["region_index"].values
    inside = np.isin(regions, np.flatnonzero(result.inference_data["regions"]["in_credible_set"]))
    peak = int(maps["peak_probability"].values.argmax())
    rows = [
        row(f"`{name}`, 90 % credible regions", inside, peak, removed),
        row(f"`{name}`, 90 % of the peak", maps["peak_set"].values > 0, peak, removed),
    ]
    table = result.region_table().query("probability > 0").head(8)
    told += [table[COLUMNS].to_string(), ""]
    return rows, told


def main() -> None:
    raw, removed = seizure(DATA), removed_sources()
    forward = bayesesi.template_forward(raw.info)
    obs = bayesesi.observe(raw, forward, "adhoc", scale="unknown")
    asked = [("patches", "seizure-onset"), ("atoms", None), ("cortex", None)]
    found = [
        posterior(name, prior, obs, removed)
        for name, prior in asked
        if name in bayesesi.list_models()
    ]
    lines = [
        "# Seizure onset of a patient whose resection is known (`ictal_p2`)",
        "",
        "Made by `python -m tests.oracle.seizure`. Recording and resection: DeepSIF (Sun 2022), "
        "Clear BSD. Template head, electrodes measured, 1 to 30 Hz, three seconds together, unit "
        "unknown, noise assumed. Distances to the nearest source of the resection, from the mode.",
        "",
        "| | cm² | of cortex | meets the resection | contains it | mode to it, mm |",
        "|---|---|---|---|---|---|",
        *(line for rows, _ in found for line in rows),
        *(baseline(obs, method, removed) for method in ("sLORETA", "eLORETA", "MNE", "dSPM")),
        "",
        *(line for _, told in found for line in told),
    ]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "ictal_p2.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
