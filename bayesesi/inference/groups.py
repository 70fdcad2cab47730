"""The arrays that a result stores, a group at a time, in SI units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation, template_mesh
from bayesesi.inference.apply_card import CardReading
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary
from bayesesi.result import Group
from bayesesi.trust import Trust, Verdict

#: Characters of a text from outside.
_LONGEST = 10_000
#: Moments of a map: more are thinned out evenly.
_MOMENTS = 300
#: Regions whose moment is shown over time, and the probability from which one is.
_COURSES, _LEAST_COURSE = 3, 0.1


def posterior_group(summary: Summary, posterior: Posterior, trust: Trust) -> Group:
    """Store draws as one chain; of regions only where a map is given.

    Parameters
    ----------
    summary : of the draws. posterior : that they are of. trust : the verdict.
    """

    def chain(values: NDArray[Any], unit: str) -> tuple[tuple[str, ...], NDArray[Any], Any]:
        dims = ("chain", "draw", "region")[: values.ndim + 1]
        return dims, values[None], {"units": unit}

    units = {"log_likelihood": "nats", "log_prior": "nats"}
    group = {
        name: chain(np.asarray(v), units.get(name, "1")) for name, v in summary.latents.items()
    }
    group["silent"] = chain(summary.silent.astype(np.int8), "1")
    coords: dict[str, Any] = {"chain": [0], "draw": np.arange(len(summary.peak))}
    if trust.verdict is not Verdict.ABSTAIN and summary.active.shape[1]:
        group["region_energy"] = chain(summary.region_energy.astype(np.float32), "A2")
        group["region_active"] = chain(summary.active.astype(np.int8), "1")
        group["region_peak"] = chain(summary.region_peak.astype(np.float32), "A m")
        coords["region"] = _words(posterior.parcellation.names)
    return Group(group, coords)


def recording_group(obs: Observation, explained: NDArray[np.float64]) -> Group:
    """Store measured and explained volts in the reference in which they were compared.

    Parameters
    ----------
    obs : the data. explained : (n_eff, R), whitened.
    """
    whitener, sensors = obs.whitener, obs.sensors
    measured = whitener.colorer @ whitener(obs.recording.values)
    modelled = whitener.colorer @ explained @ obs.time_basis.functions.T
    volts, dims = {"units": "V (T, T/m for magnetometers, gradiometers)"}, ("channel", "time")
    group = {
        "measured": (dims, measured, volts),
        "explained": (dims, modelled, volts),
        "position": (("channel", "axis"), sensors.positions, {"units": "m"}),
        "kind": ("channel", _words(sensors.kinds)),
    }
    coords = {"channel": _words(sensors.names), "time": ("time", obs.time_basis.times)}
    return Group(group, coords)


def observed_group(obs: Observation, explained: NDArray[np.float64]) -> Group:
    """Store the whitened data and what is explained of them.

    Parameters
    ----------
    obs : the data. explained : (n_eff, R), whitened.
    """
    dims = ("component", "function")
    white = {"units": "standard deviations of the noise"}
    return Group({"values": (dims, obs.values, white), "explained": (dims, explained, white)})


def maps_group(posterior: Posterior, summary: Summary, level: float) -> Group:
    """Store mean, sd and probability of every source.

    Parameters
    ----------
    posterior : of the data. summary : of its draws. level : of the set that holds the peak, 0 to 1.
    """
    obs = posterior.obs
    moments = slice(None, None, -(-len(obs.time_basis.times) // _MOMENTS))
    space, functions = obs.source_space, obs.time_basis.functions[moments]
    mean, sd = posterior.mean() @ functions.T, posterior.sd()
    sd = np.sqrt(np.maximum(sd**2 @ (functions**2).T, 0.0))
    if mean.ndim == 3:
        mean, sd = np.linalg.norm(mean, axis=1), np.linalg.norm(sd, axis=1)
    loud = summary.peak[~summary.silent]
    peak = np.bincount(loud, minlength=space.n_sources) / max(len(loud), 1)
    moment, share = {"units": "A m"}, {"units": "1"}
    coords: dict[str, Any] = {
        "time": ("time", obs.time_basis.times[moments], {"units": "s"}),
        "position": (("source", "axis"), space.positions, {"units": "m"}),
    }
    if space.mesh is not None and space.vertices is not None:
        side = space.hemisphere
        coords |= {
            "vertex": ("source", space.vertices - side * np.int64(space.mesh.n_left)),
            "hemisphere": ("source", side.astype(np.int8)),
            "area": ("source", space.areas, {"units": "m2"}),
            "region_index": ("source", posterior.parcellation.labels.astype(np.int16)),
        }
    maps = {
        "mean": (("source", "time"), mean.astype(np.float32), moment),
        "sd": (("source", "time"), sd.astype(np.float32), moment),
        "probability": ("source", summary.source_probability, share),
        "peak_probability": ("source", peak, share),
        "peak_set": ("source", _peak_set(peak, level).astype(np.int8), share),
    }
    return Group(maps, coords, {"subject": _anatomy(obs), "level": _template_level(obs)})


def _peak_set(probability: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """(S,) the fewest sources that hold the peak with probability ``level``."""
    order = np.argsort(-probability, kind="stable")
    total = np.cumsum(probability[order])
    inside = np.zeros(len(order), bool)
    inside[order[: int(np.searchsorted(total, level - 1e-9)) + 1]] = True
    return inside


def _anatomy(obs: Observation) -> str:
    """The template's name; a subject's own is left out, it may be that of a person."""
    subject = obs.source_space.subject
    return subject if subject == template_mesh().subject else ""


def _template_level(obs: Observation) -> int:
    """Of the template's cortex, -1 for other sources."""
    level = obs.source_space.ico
    return -1 if level is None else level


def regions_group(
    regions: Parcellation,
    summary: Summary,
    inside: NDArray[np.bool_],
    level: float,
    earned: CardReading,
) -> Group:
    """Store probability and moment of every region.

    Parameters
    ----------
    regions : P of them. summary : of the draws. inside : (P,) the credible set.
    level : of central intervals, 0 to 1. earned : the card's columns.
    """
    peaks = np.where(summary.active, summary.region_peak, np.nan)
    tails = np.array([0.5, (1 - level) / 2, (1 + level) / 2])
    quantiles = np.full((3, len(regions.regions)), np.nan)
    ever = summary.active.any(axis=0)
    quantiles[:, ever] = np.nanquantile(peaks[:, ever], tails, axis=0)
    share, moment = {"units": "1"}, {"units": "A m"}
    group = {
        "probability": ("region", summary.active.mean(axis=0), share),
        "in_credible_set": ("region", inside.astype(np.int8), share),
        **earned.columns(regions),
        "peak_median": ("region", quantiles[0], moment),
        "peak_low": ("region", quantiles[1], moment),
        "peak_high": ("region", quantiles[2], moment),
        "area": ("region", regions.areas, {"units": "m2"}),
        "lobe": ("region", _words(r.lobe for r in regions.regions)),
        "side": ("region", _words(r.side for r in regions.regions)),
    }
    return Group(group, {"region": _words(regions.names)})


def courses_group(obs: Observation, regions: Parcellation, summary: Summary, level: float) -> Group:
    """Store (region, time) summed moments of the likeliest regions, given that each is active.

    Out of the cortex above 0, or their size where sources are free to turn.

    Parameters
    ----------
    obs : the data. regions : P of them. summary : of the draws. level : of intervals, 0 to 1.
    """
    moments = slice(None, None, -(-len(obs.time_basis.times) // _MOMENTS))
    probability = summary.active.mean(axis=0)
    shown = np.argsort(-probability, kind="stable")[:_COURSES]
    shown = shown[probability[shown] >= _LEAST_COURSE]
    tails = [(1 - level) / 2, 0.5, (1 + level) / 2]
    bands = np.empty((len(shown), 3, len(obs.time_basis.times[moments])))
    for k, region in enumerate(shown):
        own = summary.region_moment[summary.active[:, region], region]
        course = own @ obs.time_basis.functions[moments].T
        course = course if course.ndim == 2 else np.linalg.norm(course, axis=1)
        bands[k] = np.quantile(course, tails, axis=0)
    dims, moment = ("region", "time"), {"units": "A m"}
    group = {
        name: (dims, bands[:, k].astype(np.float32), moment)
        for k, name in enumerate(("low", "median", "high"))
    }
    names = _words(regions.names[region] for region in shown)
    return Group(group, {"region": names, "time": obs.time_basis.times[moments]})


def _words(values: Any) -> NDArray[Any]:
    """Texts as netCDF stores them."""
    return np.array([kept_text(value) for value in values], dtype=object)


def kept_text(value: object) -> str:
    """Cut ``value`` to 10,000 characters, none of which ends a text in C or is unassigned."""
    kept = str(value)[:_LONGEST].replace("\0", " ")
    return kept.encode("utf-8", "replace").decode("utf-8")
