"""What a reader concludes, in their own words."""

from __future__ import annotations

from typing import Any

from bayesesi.report.reading import Reading


def conclusion(reading: Reading) -> dict[str, Any] | None:
    """Theirs, whatever the answer was: a reader may conclude from an abstention too."""
    said = reading.about.get("conclusion")
    return {"paragraphs": said["paragraphs"], "reader": said["reader"]} if said else None
