"""From an observation and a model to a result: draws, summed up and stored."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation, template_mesh
from bayesesi.calibration import SCORE_DRAWS
from bayesesi.conformal import GUARANTEES, Guarantee
from bayesesi.earned import Earned, earn
from bayesesi.errors import InputError, some
from bayesesi.model import LearnedModel, Model, load_model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary, compare_priors
from bayesesi.posterior.foreseen import HeldOut, held_out_channels, held_out_trials
from bayesesi.result import ATTRIBUTE, SCHEMA, Result
from bayesesi.sensitivity import changes
from bayesesi.trust import Evidence, Trust, Verdict, assess, at_even_odds

if TYPE_CHECKING:
    import xarray as xr

#: Levels that a set may have, and draws that an answer may rest on.
LEVELS, DRAWS = (0.5, 0.99), (20, 100_000)
#: Sets of regions that are listed as alternatives, and characters of a text from outside.
_ALTERNATIVES, _LONGEST = 10, 10_000
#: Moments of a map: more are thinned out evenly.
_MOMENTS = 300
#: Regions whose moment is shown over time, and the probability from which one is.
_COURSES, _LEAST_COURSE = 3, 0.1


def infer(
    obs: Observation,
    model: Model | str,
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = False,
    compare: bool = False,
    guarantee: Guarantee = "every",
    sensitivity: bool = False,
) -> Result:
    """Where the recording came from and how sure that is.

    Parameters
    ----------
    model : or its name, see ``load_model``.
    level : of credible sets and intervals, .5 to .99.
    draws : of the posterior, 20 to 100,000; probabilities are shares of them.
    seed : the same one gives the same result.
    progress : show a bar.
    compare : also weigh a few patches, a smooth field and nothing against each other
        (``posterior.compare_priors``), some seconds.
    guarantee : of ``result.region_set``: ``"every"``, ``"peak"`` or ``"recall"``, see
        ``conformal``. There is such a set where the model has a calibration card that speaks of
        the recording.
    sensitivity : also re-run with channels left out, half of the trials (where ``observe`` was
        given epochs), other heads and another belief about sources (``sensitivity.changes``): half
        a minute.

    Returns
    -------
    Result; where the data could be noise, or are like none that were simulated, by ``trust``, it
    has no map and no regions, and ``result.localisable`` is False.

    Raises
    ------
    InputError : numbers outside their range, and what the model does not take.
    """
    if not isinstance(obs, Observation):
        raise InputError(f"infer takes what observe gives, not {type(obs).__name__}")
    model = model if isinstance(model, Model) else load_model(model)
    _check(level, draws, seed, guarantee)
    posterior = model.posterior(obs, seed)
    if not np.isfinite(posterior.null_probability):
        raise InputError(
            "the model's numbers overflow on this recording: its channels are flat or all alike, "
            "or its noise covariance is next to nothing; look at it with `bayesesi observe`"
        )
    summary = posterior.summarise(draws, seed, progress=progress)
    earned = earn(posterior, model, level, seed, guarantee)
    trust = assess(
        Evidence(
            null=at_even_odds(posterior.null_probability, model.prior_null),
            r_hat=posterior.r_hat,
            sample_efficiency=posterior.sample_efficiency,
            outside=posterior.outside,
            caveat=(posterior.caveat or _own_head(obs)) if earned.card is None else earned.off,
            unusual=earned.unusual,
            odd=earned.odd,
            set_share=earned.set_share,
            channels=len(obs.sensors),
            eeg=not isinstance(model, LearnedModel) or set(obs.sensors.kinds) == {"eeg"},
        )
    )
    explained = posterior.explained()
    groups = {
        "posterior": _posterior_group(summary, posterior, trust),
        "recording": _recording_group(obs, explained),
        "observed_data": _observed_group(obs, explained),
    }
    about = _about(obs, model, posterior, trust, explained)
    about |= {"level": float(level), "n_draws": int(draws), "seed": int(seed)}
    about["calibration"] = earned.about
    by_draws = earned.explained
    if by_draws is None:
        by_draws = _explained_by_draws(posterior, seed)
    about["foreseen"] = _foreseen(obs, model, by_draws, seed, trials=sensitivity)
    if compare:
        about["evidence"] = compare_priors(obs, seed=seed).to_dict()
    if trust.verdict is not Verdict.ABSTAIN:
        maps = _maps_group(posterior, summary, level)
        if earned.mask is not None:
            maps["conformal_mask"] = ("source", earned.mask.astype(np.int8), {"units": "1"})
        groups["maps"] = maps
        credible: dict[str, Any] = {"level": float(level), **_peak_area(obs, maps)}
        about |= {"credible": credible, "alternatives": [], **posterior.findings(level)}
        if obs.source_space.mesh is not None:
            regions = posterior.parcellation
            inside = credible_regions(summary, level)
            groups["regions"] = _regions_group(regions, summary, inside, level, earned)
            groups["courses"] = _courses_group(obs, regions, summary, level)
            about["rise"] = _rise(obs, regions, summary, level)
            about["region_set"] = earned.set_about()
            credible |= _set_area(regions, inside)
            about["alternatives"] = _alternatives(regions, summary)
            if sensitivity:
                found = changes(obs, model, posterior, seed, progress)
                about["sensitivity"] = [change.to_dict() for change in found]
    return _result(groups, about)


def _own_head(obs: Observation) -> str:
    """What a head that cannot be drawn anew leaves unsaid, where no card speaks either."""
    if obs.forward.banked is not None:
        return ""
    return (
        "the head is taken for known, and nothing was measured of answers in it: where it is "
        "another, they are too sure"
    )


def _foreseen(
    obs: Observation, model: Model, by_draws: NDArray[np.float64], seed: int, trials: bool
) -> dict[str, Any]:
    """How well draws foresee channels that are left out and, if asked and known, other trials:
    calibration on the recording itself, without a truth."""
    found = held_out_channels(obs, by_draws)
    score = found.log_score.mean(axis=1)
    table: dict[str, Any] = {"channels": _covered(found)}
    table["channels"]["least"] = obs.recording.ch_names[int(score.argmin())]
    halves = obs.halves() if trials else ()
    if halves:
        half = model.posterior(halves[0], seed)
        found = held_out_trials(halves[0], halves[1], _explained_by_draws(half, seed))
        table["trials"] = {"each": int(halves[0].recording.nave), **_covered(found)}
    return table


def _explained_by_draws(posterior: Posterior, seed: int) -> NDArray[np.float64]:
    """(D, n_eff, R)"""
    leadfield = posterior.obs.leadfield.reshape(posterior.obs.n_eff, -1)
    draws = posterior.sample(SCORE_DRAWS, seed)
    return np.asarray(leadfield @ draws.reshape(len(draws), leadfield.shape[1], -1))


def _covered(found: HeldOut) -> dict[str, Any]:
    return {
        "coverage": {f"{level:g}": found.coverage(level) for level in (0.5, 0.9)},
        "log_score": float(found.log_score.mean()),
    }


def credible_regions(summary: Summary, level: float) -> NDArray[np.bool_]:
    """(P,) in the credible set: the shortest run of regions, by falling probability, such that in
    at least ``level`` of the draws with any activity every active region is in it; none where no
    draw has any."""
    active = summary.active[~summary.silent]
    if not len(active):
        return np.zeros(summary.active.shape[1], bool)
    order = np.argsort(-active.sum(axis=0), kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(1, len(order) + 1)
    worst = np.sort((active * rank).max(axis=1, initial=0))
    return np.asarray(rank <= worst[_count(level, len(worst)) - 1])


def _count(level: float, n: int) -> int:
    """The fewest of n draws that are a share of ``level``."""
    return max(1, int(np.ceil(level * n - 1e-9)))


def _check(level: Any, draws: Any, seed: Any, guarantee: Any) -> None:
    if not (isinstance(guarantee, str) and guarantee in GUARANTEES):
        raise InputError(f"guarantee is one of {', '.join(GUARANTEES)}, not {some([guarantee])}")
    if not (isinstance(level, Real) and LEVELS[0] <= float(level) <= LEVELS[1]):
        raise InputError(f"level is a number from {LEVELS[0]} to {LEVELS[1]}, not {some([level])}")
    if not (isinstance(draws, Integral) and DRAWS[0] <= int(draws) <= DRAWS[1]):
        raise InputError(f"draws are {DRAWS[0]} to {DRAWS[1]:,}, not {some([draws])}")
    if not (isinstance(seed, Integral) and 0 <= int(seed) < 2**32):
        raise InputError(f"seed is a whole number from 0 to 2^32 - 1, not {some([seed])}")


def _posterior_group(summary: Summary, posterior: Posterior, trust: Trust) -> xr.Dataset:
    """Draws as one chain; of regions only where a map is given."""
    import xarray as xr

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
    return xr.Dataset(group, coords)


def _maps_group(posterior: Posterior, summary: Summary, level: float) -> xr.Dataset:
    import xarray as xr

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
    return xr.Dataset(maps, coords, {"subject": _anatomy(obs), "level": _template_level(obs)})


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
    level = obs.source_space.level
    return -1 if level is None else level


def _regions_group(
    regions: Parcellation,
    summary: Summary,
    inside: NDArray[np.bool_],
    level: float,
    earned: Earned,
) -> xr.Dataset:
    import xarray as xr

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
    return xr.Dataset(group, {"region": _words(regions.names)})


def _courses_group(
    obs: Observation, regions: Parcellation, summary: Summary, level: float
) -> xr.Dataset:
    """(region, time) summed moments of the likeliest regions, over draws in which each is active:
    out of the cortex above 0, or their size where sources are free to turn."""
    import xarray as xr

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
    return xr.Dataset(group, {"region": names, "time": obs.time_basis.times[moments]})


def _rise(
    obs: Observation, regions: Parcellation, summary: Summary, level: float
) -> dict[str, Any] | None:
    """Where draws are strongest half-way up the rise and at the peak, and how far apart."""
    if obs.rise is None:
        return None
    pairs = summary.on_rise[~summary.silent]
    if not len(pairs):
        return None
    places = obs.source_space.positions
    apart = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    low, middle, high = np.quantile(apart, [(1 - level) / 2, 0.5, (1 + level) / 2])
    label = regions.labels[pairs]
    same = (label[:, 0] == label[:, 1]) | (pairs[:, 0] == pairs[:, 1])
    found: dict[str, Any] = {
        "same_region": float(same.mean()),
        "apart_mm": {"low": 1e3 * low, "median": 1e3 * middle, "high": 1e3 * high},
    }
    for k, when in enumerate(("rise", "peak")):
        share = np.bincount(label[label[:, k] >= 0, k], minlength=len(regions.regions)) / len(pairs)
        top = int(share.argmax())
        found[when] = {
            "time_s": float(obs.time_basis.times[obs.rise[k]]),
            "region": regions.names[top],
            "probability": float(share[top]),
        }
    return found


def _recording_group(obs: Observation, explained: NDArray[np.float64]) -> xr.Dataset:
    """Both in the reference and projection in which they were compared."""
    import xarray as xr

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
    return xr.Dataset(group, coords)


def _observed_group(obs: Observation, explained: NDArray[np.float64]) -> xr.Dataset:
    import xarray as xr

    dims = ("component", "function")
    white = {"units": "standard deviations of the noise"}
    return xr.Dataset({"values": (dims, obs.values, white), "explained": (dims, explained, white)})


def _peak_area(obs: Observation, maps: xr.Dataset) -> dict[str, Any]:
    """Cortex that holds the peak; nothing of it off the cortex."""
    if "area" not in maps.coords:
        return {}
    area, inside = maps["area"].values, maps["peak_set"].values > 0
    total = float(area.sum())
    return {
        "peak_area_m2": float(area[inside].sum()),
        "peak_share": float(area[inside].sum()) / total,
    }


def _set_area(regions: Parcellation, inside: NDArray[np.bool_]) -> dict[str, Any]:
    area = float(regions.areas[inside].sum())
    return {
        "n_regions": int(inside.sum()),
        "area_m2": area,
        "share_of_cortex": area / float(regions.areas.sum()),
    }


def _alternatives(regions: Parcellation, summary: Summary) -> list[dict[str, Any]]:
    """The sets of regions that are active together most often, and in what share of all draws."""
    found = Counter(tuple(np.flatnonzero(row).tolist()) for row in summary.active[~summary.silent])
    names, n = regions.names, len(summary.peak)
    return [
        {"regions": [names[i] for i in together], "probability": count / n}
        for together, count in found.most_common(_ALTERNATIVES)
        if together
    ]


def _about(
    obs: Observation,
    model: Model,
    posterior: Posterior,
    trust: Trust,
    explained: NDArray[np.float64],
) -> dict[str, Any]:
    from bayesesi import __version__

    details = {**posterior.details(), **model.details(obs)}
    residual, power = ((obs.values - explained) ** 2).mean(), (obs.values**2).mean()
    return {
        "schema": SCHEMA,
        "version": __version__,
        "created": datetime.now(UTC).date().isoformat(),
        "model": {"name": model.name, "details": details},
        "observation": dict(obs.provenance),
        "scale_known": obs.scale_known,
        "trust": trust.to_dict(),
        "checks": {
            "chi2": float(residual),
            "explained_share": float(1 - residual / power),
            "snr_db": obs.snr_db,
            "null_probability": float(posterior.null_probability),
            "null_at_even_odds": at_even_odds(posterior.null_probability, model.prior_null),
            "r_hat": float(posterior.r_hat),
            "sample_efficiency": float(posterior.sample_efficiency),
            "outside": list(posterior.outside),
        },
        "head": {
            "forward": "own" if obs.forward.banked is None else "template",
            "electrodes": obs.sensors.origin,
            "heads_drawn": int(details.get("n_heads", 0)),
        },
    }


def _result(groups: dict[str, xr.Dataset], about: dict[str, Any]) -> Result:
    import arviz as az

    text = json.dumps(_plain(about))
    data: Any = az.InferenceData  # its signature has no room for groups of one's own
    return Result(data(attrs={ATTRIBUTE: text}, **groups))


def _plain(value: Any) -> Any:
    """As JSON knows it, texts from outside cut to a length."""
    if isinstance(value, dict):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, int | None) else _text(value)


def _text(value: object) -> str:
    """Up to 10,000 characters without those that end a text in C or belong to no alphabet."""
    kept = str(value)[:_LONGEST].replace("\0", " ")
    return kept.encode("utf-8", "replace").decode("utf-8")


def _words(values: Any) -> NDArray[Any]:
    """Texts as netCDF stores them."""
    return np.array([_text(value) for value in values], dtype=object)
