"""The conclusion that a reader wrote."""

from __future__ import annotations

from typing import Any

from bayesesi.report.reading import Reading
from bayesesi.spec import section


@section()
def conclusion(reading: Reading) -> dict[str, Any] | None:
    """Take the reader's paragraphs from a ``reading``, also where the model abstained.

    A reader may conclude from that too.
    """
    written = reading.about.get("conclusion")
    return {k: written[k] for k in ("paragraphs", "reader")} if written else None
