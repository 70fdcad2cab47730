"""Render single sources as a page: widths of point-spread and cross-talk functions, as maps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_mesh, template_source_space
from bayesesi.benchmark.page import write_page
from bayesesi.benchmark.resolution_maps import CONDITION, SingleSources
from bayesesi.benchmark.summary import Mean
from bayesesi.benchmark.tasks import RESOLUTION
from bayesesi.errors import InputError
from bayesesi.report.map_figure import Column, plot_map_rows
from bayesesi.report.result_figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name -> what it is.
MEASURES = {
    "psf_peak_mm": "mm from a source to where the estimate of it alone is largest",
    "psf_spread_mm": "mm, root mean square distance from a source of its estimate, by power",
    "ctf_peak_mm": "mm from a place to the source, of those tried, that adds most to it",
    "ctf_spread_mm": "mm, root mean square distance of the sources tried, by what they add there",
}
#: mm that the scales of maps end at: of peaks, of spreads.
_PEAK, _SPREAD = 40.0, 80.0
_COLUMNS = tuple(
    Column(f"{words},\nfrom {where} (to {end:g} mm)", k, "left", view, end)
    for k, (words, end) in enumerate(
        (
            ("PSF, peak off", _PEAK),
            ("PSF, spread", _SPREAD),
            ("CTF, peak off", _PEAK),
            ("CTF, spread", _SPREAD),
        )
    )
    for view, where in (("lateral", "outside"), ("medial", "inside"))
)


def widths(found: SingleSources, name: str) -> dict[str, NDArray[np.float64]]:
    """List the widths of a method: measure -> (K,) mm.

    Parameters
    ----------
    found : of all methods. name : of the method.
    """
    psf, ctf = found.psf[name], found.ctf[name]
    return dict(
        zip(MEASURES, (psf.peak_error, psf.spread, ctf.peak_error, ctf.spread), strict=True)
    )


def write_resolution(found: SingleSources, folder: str | Path, command: str) -> tuple[Path, ...]:
    """Write ``resolution.html``, ``.md``, ``.json`` and ``.png``; maps of sources are in the JSON.

    Parameters
    ----------
    found : of all methods. folder : to write into. command : that made it, for the page.

    Raises
    ------
    InputError : no method answered, a folder that cannot be written.
    """
    order = sorted(found.psf, key=lambda name: float(found.psf[name].peak_error.mean()))
    each = {name: widths(found, name) for name in order}
    said = {
        name: {measure: vars(_plain(values)) for measure, values in own.items()}
        for name, own in each.items()
    }
    table: dict[str, Any] = {
        "task": RESOLUTION,
        "words": (
            f"Point-spread and cross-talk of {len(found.sources)} cortical sources, one at a time: "
            f"{CONDITION.name}, noise-free data, {found.snr_db:g} dB above the assumed noise. A "
            "point-spread function (PSF) shows where among 5,124 sources one source is estimated. "
            "A cross-talk function (CTF) shows which of the tested sources contribute to the "
            "estimate at one place. PSF and CTF errors use different grids. For nonlinear methods "
            "both are valid only at this amplitude and for one active source. An empty estimate "
            "counts as a guess."
        ),
        "inverse_crime": (
            "complete: the assumed head, sources and noise are the true ones, so sparse methods "
            "find one source without error; this does not measure their accuracy"
        ),
        "command": command,
        "created": datetime.now(UTC).date().isoformat(),
        "measures": MEASURES,
        "over": f"Means over the {len(found.sources)} tested sources, with equal weights.",
        "settings": {},
        "published": [],
        "methods": said,
        "conditions": {},
        "shared": {},
        "sets": {},
        "reliability": {},
        "failures": {name: {"n": n, "reason": why} for name, (n, why) in found.failed.items()},
        "sources": found.sources.tolist(),
        "maps": {
            name: {m: values.round(2).tolist() for m, values in own.items()}
            for name, own in each.items()
        },
    }
    if not order:
        said_of = "; ".join(f"{name}: {why}" for name, (_, why) in found.failed.items())
        raise InputError(
            f"no method produced a result, so no page can be written ({said_of[:500]})"
        )
    sides = "Left hemisphere, mm; darker is worse. The JSON contains the right hemisphere."
    near = "Share of sources whose estimate peaks within a given distance."
    pictures = [(_plot_widths(found, order), sides), (_plot_shares(each), near)]
    return write_page(table, pictures, folder)


def _plain(values: NDArray[np.float64]) -> Mean:
    """The sources are the same for every method, and no sample: there is no interval."""
    return Mean(*(float(values.mean()),) * 3, len(values))


def _plot_widths(found: SingleSources, order: list[str]) -> Figure:
    """A row a method. Places between sources that were tried have the value of the nearest."""
    space = template_source_space(4)
    assert space.vertices is not None
    right = space.vertices >= template_mesh().n_left
    other = right[:, None] != right[found.sources]
    apart = np.linalg.norm(space.positions[:, None] - space.positions[found.sources], axis=2)
    nearest = (apart + other).argmin(axis=1)
    rows = {name: [values[nearest] for values in widths(found, name).values()] for name in order}
    return plot_map_rows(rows, _COLUMNS)


def _plot_shares(each: dict[str, dict[str, NDArray[np.float64]]]) -> Figure:
    import matplotlib as mpl

    figure = new_figure(8.0, 4.2, layout="constrained")
    axis = figure.subplots()
    colours = mpl.colormaps["tab20"](np.linspace(0, 1, max(len(each), 2)))
    for (name, own), colour in zip(each.items(), colours, strict=False):
        values = np.sort(own["psf_peak_mm"])
        share = np.arange(1, len(values) + 1) / len(values)
        axis.step(values, share, where="post", color=colour, lw=1.3, label=name[:30])
    axis.set(xlim=(0, 60), ylim=(0, 1))
    axis.set_xlabel("distance from the source to the peak of its estimate (mm)", fontsize=8)
    axis.set_ylabel("share of sources", fontsize=8)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, frameon=False)
    return figure
