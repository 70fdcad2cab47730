"""Prepare a cortex that a reader can turn: numbers that the page's own script draws.

Colours, threshold and hover are the script's (``templates/turning.js``); here are the surfaces, the
probability of every place, and the region it lies in.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.report.cortex_picture import on_template, surface_of
from bayesesi.report.reading import Reading
from bayesesi.report.words import chance, region_words

#: mm between the two inflated hemispheres, and colours of the scale.
_GAP, _STEPS = 12.0, 32
_VIEWS = {
    "left": (-90, 0),
    "right": (90, 0),
    "above": (0, 90),
    "below": (0, -90),
    "front": (180, 0),
    "back": (0, 0),
}


def turning(reading: Reading, probability: NDArray[np.float64], limit: float) -> dict[str, Any]:
    """Make ``data`` for the script and ``views`` for its buttons.

    Parameters
    ----------
    reading : of the result. probability : (S,), 0 to 1, of sources at vertices of the template.
    limit : probability at which colours end, above 0.
    """
    vertices = reading.template_vertices
    assert vertices is not None
    names = template_parcellation(5).names
    said = reading.regions.set_index("region").probability if reading.has_regions else {}
    inflated, folded = _places("infl"), _places("pial")
    _, left, sulci_left = surface_of("infl", "left")
    _, right, sulci_right = surface_of("infl", "right")
    faces = np.r_[left, right + len(sulci_left)]
    data = {
        "inflated": _packed(_whole(inflated)),
        "folded": _packed(_whole(folded)),
        "faces": _packed(faces.astype("<u2")),
        "sulcus": _packed((np.r_[sulci_left, sulci_right] > 0).astype("u1")),
        "value": _packed(np.round(255 * on_template(probability, vertices)).astype("u1")),
        "label": _packed(np.where(_labels() < 0, 255, _labels()).astype("u1")),
        "names": [region_words(name) for name in names],
        "said": [chance(float(said.get(name, 0.0))) for name in names],
        "limit": limit,
        "scale": _colours().tolist(),
        "views": {name: list(angles) for name, angles in _VIEWS.items()},
    }
    return {"data": data, "views": list(_VIEWS)}


def _places(kind: str) -> NDArray[np.float64]:
    """(20484, 3) mm, both sides, about their middle."""
    left, right = surface_of(kind, "left")[0], surface_of(kind, "right")[0]
    if kind == "infl":
        left = left - [left[:, 0].max() + _GAP / 2, 0, 0]
        right = right - [right[:, 0].min() - _GAP / 2, 0, 0]
    both = np.r_[left, right].astype(float)
    return np.asarray(both - (both.max(axis=0) + both.min(axis=0)) / 2)


def _whole(places: NDArray[np.float64]) -> NDArray[np.int16]:
    """Hundredths of a mm."""
    return np.round(100 * places).astype("<i2")


def _labels() -> NDArray[np.int64]:
    return np.asarray(template_parcellation(5).labels, np.int64)


def _colours() -> NDArray[np.int64]:
    import matplotlib as mpl

    shades = mpl.colormaps["viridis_r"](np.linspace(0, 1, _STEPS))[:, :3]
    return np.round(255 * shades).astype(int)


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
