"""Two dipoles 3 cm apart, and a symmetric pair, in heads that are not known: what `dipole` says.

    python -m tests.oracle.dipole_pictures

writes reports/figures/dipole-pairs.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesesi import load_model, read_simulator
from bayesesi.anatomy import template_blobs
from bayesesi.model import DipoleModel
from bayesesi.prior import BLOCK
from bayesesi.report.result_figure import new_figure
from tests.bench.dipole import Case, of_batch

OUT = Path(__file__).parents[2] / "reports" / "figures" / "dipole-pairs.png"
#: Words, places (m, the left one first), directions.
SCENES = (
    (
        "3 cm apart",
        np.array([[0.025, -0.02, 0.075], [0.05, -0.036, 0.07]]),
        np.array([[0.0, 1.0, 0.3], [0.9, 0.0, 0.4]]),
    ),
    (
        "a symmetric pair",
        np.array([[-0.045, 0.01, 0.055], [0.045, 0.01, 0.055]]),
        np.array([[0.15, 0.4, 0.9], [-0.15, 0.4, 0.9]]),
    ),
)
KINDS = ("frame-dipole", "event-dipole")
SEED, N_DRAWS, SNR = 5, 400, (12.0, 18.0)
_INK, _ONE, _LEFT, _RIGHT = "#1f2a36", "#8a929b", "#1d5b8a", "#b3590a"
_VIEWS = (("from above", (0, 1)), ("from behind", (0, 2)), ("from the right", (1, 2)))


def case_of(
    model: DipoleModel, kind: str, places: NDArray[np.float64], ways: NDArray[np.float64]
) -> Case:
    """The first case of a usual signal-to-noise ratio under a cap of 50 channels or more."""
    event = {
        "count": np.full(BLOCK, 2),
        "place": np.tile(places, (BLOCK, 1, 1)),
        "extent_mm": np.full((BLOCK, 2), 6.0),
        "moment_nAm": np.full((BLOCK, 2), 60.0),
        "direction": np.tile(ways, (BLOCK, 1, 1)),
    }
    for batch in read_simulator(kind, 16).block(0, SEED, "validate", event):
        fit = np.flatnonzero((batch.snr_db > SNR[0]) & (batch.snr_db < SNR[1]))
        if len(batch.session.ch_names) >= 50 and len(fit):
            return next(of_batch(model, batch.pick(slice(int(fit[0]), int(fit[0]) + 1))))
    raise AssertionError("no such case")


def main() -> None:
    model = load_model("dipole")
    assert isinstance(model, DipoleModel)
    brain = template_blobs().source_space.positions * 1e3
    figure = new_figure(8.4, 11.0, layout="constrained")
    axes = figure.subplots(len(SCENES) * len(KINDS), 3)
    rows = [(scene, kind) for scene in SCENES for kind in KINDS]
    for row, ((words, places, ways), kind) in zip(axes, rows, strict=True):
        post = case_of(model, kind, places, ways).post
        share = post.count_probability
        draws = {k: post.places(k, N_DRAWS) * 1e3 for k in post.weighed}
        for axis, (title, plane) in zip(row, _VIEWS, strict=True):
            _outline(axis, brain[:, list(plane)])
            for k, colours in ((1, (_ONE,)), (2, (_LEFT, _RIGHT))):
                for j, colour in enumerate(colours if k in draws else ()):
                    dots = draws[k][:, j][:, list(plane)]
                    axis.plot(*dots.T, ".", color=colour, ms=2.5, alpha=0.35)
            axis.plot(*(places * 1e3)[:, list(plane)].T, "x", color="k", ms=8, mew=2)
            axis.set(aspect="equal")
            axis.set_axis_off()
            axis.set_title(title, fontsize=8, color=_INK)
        moment = "one moment" if kind == "frame-dipole" else "a window"
        row[1].set_title(
            f"{words}, {moment}: one {share[1]:.2f}, two {share[2]:.2f}\nfrom behind",
            fontsize=9,
            color=_INK,
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT, dpi=110)


def _outline(axis: object, seen: NDArray[np.float64]) -> None:
    from scipy.spatial import ConvexHull

    hull = seen[ConvexHull(seen).vertices]
    axis.fill(*hull.T, fc="#f4f5f7", ec="#c5ccd3", lw=1)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
