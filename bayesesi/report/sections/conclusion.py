"""The conclusion that a reader wrote."""

from __future__ import annotations

from typing import Any

from bayesesi.report.reading import Reading


def conclusion(reading: Reading) -> dict[str, Any] | None:
    """The reader's paragraphs, also where the model abstained: a reader may conclude from that."""
    written = reading.about.get("conclusion")
    return {k: written[k] for k in ("paragraphs", "reader")} if written else None
