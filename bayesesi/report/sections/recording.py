"""What was measured."""

from __future__ import annotations

from typing import Any

from bayesesi.report import result_figure as draw
from bayesesi.report.checks import few_trials
from bayesesi.report.reading import Reading, read_volts
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
    return {
        "wide": draw.data_uri(draw.plot_window(volts)),
        "narrow": draw.data_uri(draw.plot_window(volts, narrow=True)),
        "condition": told.get("condition") or None,
        "kind": volts.kind,
        "n_channels": volts.n_channels,
        "n_all": volts.n_all,
        "n_bad": len(bads),
        "bads": listed([str(name) for name in bads]),
        "peak": str(volts.peak_ms),
        "window": f"{round(1e3 * window[0])} to {round(1e3 * window[1])}",
        "trials": counted(reading.nave, "trial"),
        "few": few_trials(reading),
        "scale_known": reading.scale_known,
        "reference": volts.kind == "EEG",
    }
