"""Check the arrays of a stored result when it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import arviz as az

#: Groups that a file may have, courses that are drawn, sources that make a map.
_MOST_GROUPS, _MOST_COURSES, _LEAST_SOURCES = 50, 10, 4


def check_arrays(data: az.InferenceData, localisable: bool) -> None:
    """Check that groups hold what a page draws: shapes that fit, and possible numbers.

    Parameters
    ----------
    data : of a result. localisable : whether it should hold maps.

    Raises
    ------
    ValueError : they do not.
    """
    there = set(data.groups())
    if len(there) > _MOST_GROUPS:
        raise ValueError(f"{len(there)} groups")
    recording = data["recording"]
    for name in ("measured", "explained"):
        if name in recording:
            _finite(recording[name].transpose("channel", "time").values, name)
    _ = recording["measured"], recording["kind"], recording["position"].transpose("channel", ...)
    _rising(recording["time"].values)
    if not localisable:
        return
    maps = data["maps"]
    n = len(maps["probability"])
    for name in ("probability", "peak_probability"):
        _shares(maps[name].values, name)
    if n < _LEAST_SOURCES or maps["peak_set"].shape != (n,) or maps["position"].shape != (n, 3):
        raise ValueError("maps that do not fit each other")
    for name in ("mean", "sd", "position"):
        _finite(maps[name].values, name)
    if len(maps["sd"]) != n or len(maps["mean"]) != n:
        raise ValueError("maps that do not fit each other")
    if not isinstance(maps.attrs.get("subject", ""), str):
        raise TypeError("the subject is no text")
    if "vertex" in maps.coords:
        vertex, side = maps["vertex"].values, maps["hemisphere"].values
        own = np.stack([side, vertex])
        known = np.isin(side, (0, 1)).all() and (vertex >= 0).all()
        if not known or len(np.unique(own, axis=1).T) != n:
            raise ValueError("vertices that are none, or twice there")
    if "regions" in there:
        _check_regions(data)


def _check_regions(data: az.InferenceData) -> None:
    regions = data["regions"]
    names = [str(name) for name in regions["region"].values]
    if not names or len(set(names)) != len(names):
        raise ValueError("regions that are none, or twice there")
    _shares(regions["probability"].values, "probability")
    calibrated = regions["calibrated"].values
    _shares(calibrated[~np.isnan(calibrated)], "calibrated")
    _finite(regions["area"].values, "area")
    if data["posterior"]["region_active"].shape[-1] != len(names):
        raise ValueError("draws of other regions")
    if "courses" not in data.groups():
        return
    courses = data["courses"]
    if not len(courses["region"]) <= _MOST_COURSES:
        raise ValueError(f"{len(courses['region'])} courses")
    if not set(map(str, courses["region"].values)) <= set(names):
        raise ValueError("courses of other regions")
    _rising(courses["time"].values)
    bands = [courses[k].transpose("region", "time").values for k in ("low", "median", "high")]
    _finite(np.stack(bands), "courses")
    if not ((bands[0] <= bands[1]).all() and (bands[1] <= bands[2]).all()):
        raise ValueError("bands that are upside down")


def _finite(values: NDArray[Any], name: str) -> None:
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name} is empty or not finite")


def _shares(values: NDArray[Any], name: str) -> None:
    # sums of shares may pass 1 by rounding
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1 + 1e-6).all()):
        raise ValueError(f"{name} is not from 0 to 1")


def _rising(times: NDArray[Any]) -> None:
    _finite(times, "time")
    if not (np.diff(times) > 0).all():
        raise ValueError("times that do not rise")
