"""The recording."""

from __future__ import annotations

from typing import Any

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import few_trials
from bayesesi.report.picture import Picture
from bayesesi.report.reading import Reading, Volts, read_volts
from bayesesi.report.words import (
    counted,
    listed,
)
from bayesesi.spec import section


@section("window")
def recording(reading: Reading) -> dict[str, Any] | None:
    """Describe the analysed window of a ``reading``, its channels and trials."""
    volts = read_volts(reading)
    if volts is None:
        return None
    provenance = reading.provenance
    window = provenance.get("window_s") or (volts.times[0] / 1e3, volts.times[-1] / 1e3)
    bads = provenance.get("bads") or []
    words = f"{round(1e3 * window[0])} to {round(1e3 * window[1])}"
    return {
        "pictures": [_window(volts, words)],
        "condition": provenance.get("condition") or None,
        "kind": volts.kind,
        "n_channels": volts.n_channels,
        "n_all": volts.n_all,
        "n_bad": len(bads),
        "bads": listed([str(name) for name in bads]),
        "window": words,
        "trials": counted(reading.nave, "trial")
        if reading.nave > 1
        else "one segment (no averaging)",
        "few": few_trials(reading),
        "scale_known": reading.scale_known,
    }


def _window(volts: Volts, words: str) -> Picture:
    reference = ", average reference" if volts.kind == "EEG" else ""
    return Picture(
        "window",
        f"All {volts.n_channels} {volts.kind} channels over the window of {words} ms, and their "
        f"map at {volts.peak_ms} ms, the sample of largest power.",
        f"All {volts.kind} channels in the analysed window{reference}. The line marks the largest "
        f"power, at {volts.peak_ms}\u00a0ms; the map shows the same time, nose up. Blue is "
        "negative, yellow positive; negative contours are dashed.",
        lambda: draw.plot_window(volts),
        draw_narrow=lambda: draw.plot_window(volts, narrow=True),
    )
