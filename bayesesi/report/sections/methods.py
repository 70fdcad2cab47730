"""Checks, methods and provenance."""

from __future__ import annotations

from typing import Any

from bayesesi.report.checks import checks
from bayesesi.report.citations import citations
from bayesesi.report.reading import Reading
from bayesesi.report.words import (
    plain,
    plain_tree,
    value_words,
)
from bayesesi.spec import section

#: Characters of a detail of the model.
_DETAIL_LENGTH = 160


@section()
def methods(reading: Reading) -> dict[str, Any]:
    """List the checks, the model, the recording, settings and versions of a ``reading``."""
    about = reading.about
    model = plain_tree(about["model"], _DETAIL_LENGTH)
    details = {k: v for k, v in model.items() if k not in ("name", "details")}
    details |= model.get("details") or {}
    rows = checks(reading)
    return {
        "failed": [row for row in rows if not row["passed"]],
        "passed": [row for row in rows if row["passed"]],
        "citations": citations(reading),
        "model": _rows({"model": model["name"], **details}),
        "recording": _rows(reading.provenance),
        "run": _rows(
            {
                "level": reading.level,
                "draws": int(about["n_draws"]),
                "seed": int(about["seed"]),
                "whitened power relative to noise (dB)": about["checks"].get("snr_db"),
                "computed": about.get("created"),
                "bayesesi": about["version"],
                "result schema": about["schema"],
            }
        ),
    }


def _rows(table: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (plain(key.replace("_", " ")), plain(value_words(value), 300))
        for key, value in table.items()
    ]
