"""What was measured."""

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


def recording(reading: Reading) -> dict[str, Any] | None:
    """The window that was looked at, as it was measured."""
    volts = read_volts(reading)
    if volts is None:
        return None
    told = reading.provenance
    window = told.get("window_s") or (volts.times[0] / 1e3, volts.times[-1] / 1e3)
    bads = told.get("bads") or []
    words = f"{round(1e3 * window[0])} to {round(1e3 * window[1])}"
    return {
        "pictures": [_window(volts, words)],
        "condition": told.get("condition") or None,
        "kind": volts.kind,
        "n_channels": volts.n_channels,
        "n_all": volts.n_all,
        "n_bad": len(bads),
        "bads": listed([str(name) for name in bads]),
        "window": words,
        "trials": counted(reading.nave, "trial") if reading.nave > 1 else "nothing: one stretch",
        "few": few_trials(reading),
        "scale_known": reading.scale_known,
    }


def _window(volts: Volts, words: str) -> Picture:
    reference = ", average reference" if volts.kind == "EEG" else ""
    return Picture(
        "window",
        f"All {volts.n_channels} {volts.kind} channels over the window of {words} ms, and their "
        f"map at {volts.peak_ms} ms, the moment of most power.",
        f"Every {volts.kind} channel over the window that was analysed{reference}; the line marks "
        f"the moment of most power, {volts.peak_ms}\u00a0ms. The map is at that moment, nose up: "
        "blue is negative, yellow positive, negative contours are dashed.",
        lambda: draw.plot_window(volts),
        draw_narrow=lambda: draw.plot_window(volts, narrow=True),
    )
