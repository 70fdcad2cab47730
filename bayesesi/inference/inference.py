"""Infer a result from an observation and a model: draws, summed up and stored."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation
from bayesesi.conformal import GUARANTEES, Guarantee
from bayesesi.errors import InputError, some
from bayesesi.inference.apply_card import CardReading, apply_card
from bayesesi.inference.groups import (
    courses_group,
    kept_text,
    maps_group,
    observed_group,
    posterior_group,
    recording_group,
    regions_group,
)
from bayesesi.inference.verdict import verdict_of
from bayesesi.model import Model, load_model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary
from bayesesi.posterior.draws import SCORE_DRAWS
from bayesesi.result import ATTRIBUTE, SCHEMA, Group, Groups, Result
from bayesesi.trust import Trust, Verdict, at_even_odds
from bayesesi.trust.predictive_check import PredictiveCheck, held_out_channels, held_out_trials

if TYPE_CHECKING:
    from bayesesi.calibration.recording_card import RecordingCard

#: Levels that a set may have, and draws that an answer may rest on.
LEVELS, DRAWS = (0.5, 0.99), (20, 100_000)
#: Sets of regions that are listed as alternatives.
_ALTERNATIVES = 10


#: What ``infer`` took by position before its options were keywords, in their order.
_OPTIONS = ("level", "draws", "seed", "progress", "compare", "guarantee", "sensitivity")


def infer(
    obs: Observation,
    model: Model | str,
    *options: Any,
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = False,
    compare: bool = False,
    guarantee: Guarantee = "every",
    sensitivity: bool = False,
    calibrate: int | RecordingCard = 0,
) -> Result:
    """Infer where the recording came from, and with what uncertainty.

    Parameters
    ----------
    obs : of ``observe``.
    model : or its name, see ``load_model``.
    options : what follows, by position; deprecated.
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
        given epochs), other heads and another belief about sources
        (``explain.perturbation``): half a minute.
    calibrate : number of events, 50 or more, simulated with this recording's cap, noise, window and
        power and solved anew, of which set, repaired probabilities and null test are then made
        (``calibration.calibrate_recording``; .3 s each of a network, kept for the same recording);
        or the card that was made of them. 0: sets rest on the model's card alone.

    Returns
    -------
    Result; where the data could be noise, or are like none that were simulated, by ``trust``, it
    has no map and no regions, and ``result.localisable`` is False.

    Raises
    ------
    InputError : numbers outside their range, and what the model does not take.
    """
    keywords = dict(
        zip(_OPTIONS, (level, draws, seed, progress, compare, guarantee, sensitivity), strict=True)
    )
    return _infer(obs, model, calibrate=calibrate, **(keywords | _by_position(options)))


def _by_position(options: tuple[Any, ...]) -> dict[str, Any]:
    """Name options that were given by position, and warn of it."""
    if not options:
        return {}
    if len(options) > len(_OPTIONS):
        raise InputError(f"infer has the options {', '.join(_OPTIONS)}, not {len(options)}")
    named = dict(zip(_OPTIONS, options, strict=False))
    warnings.warn(
        f"name the options of infer: {', '.join(f'{name}=' for name in named)} "
        "(the next version takes no option by position)",
        DeprecationWarning,
        stacklevel=3,
    )
    return named


def _infer(
    obs: Observation,
    model: Model | str,
    level: float,
    draws: int,
    seed: int,
    progress: bool,
    compare: bool,
    guarantee: Guarantee,
    sensitivity: bool,
    calibrate: int | RecordingCard,
) -> Result:
    if not isinstance(obs, Observation):
        raise InputError(
            f"infer() expects an Observation (see observe()), got {type(obs).__name__}"
        )
    model = model if isinstance(model, Model) else load_model(model)
    _check(level, draws, seed, guarantee)
    posterior = model.posterior(obs, seed)
    if not np.isfinite(posterior.null_probability):
        raise InputError(
            "the model overflows on this recording: its channels are flat or identical, or its "
            "noise covariance is almost zero; check the recording with `bayesesi observe`"
        )
    summary = posterior.summarise(draws, seed, progress=progress)
    # one set of draws for the card, for channels that are left out and for what is perturbed
    few = posterior.draws(SCORE_DRAWS, seed)
    own = _own_card(obs, model, calibrate, progress)
    earned = apply_card(posterior, model, level, seed, guarantee, few, own)
    trust = verdict_of(posterior, model, earned)
    explained = posterior.explained()
    groups = {
        "posterior": posterior_group(summary, posterior, trust),
        "recording": recording_group(obs, explained),
        "observed_data": observed_group(obs, explained),
    }
    about = _about(obs, model, posterior, trust, explained)
    about |= {"level": float(level), "n_draws": int(draws), "seed": int(seed)}
    about["calibration"] = earned.about
    about["foreseen"] = _foreseen(obs, model, few.explained(), seed, trials=sensitivity)
    if compare:
        from bayesesi.posterior import compare_priors

        about["evidence"] = compare_priors(obs, seed=seed).to_dict()
    if trust.verdict is not Verdict.ABSTAIN:
        _localise(groups, about, posterior, summary, level, earned)
        if obs.source_space.mesh is not None and sensitivity:
            from bayesesi.explain.perturbation import perturbations

            found = perturbations(obs, model, posterior, seed, progress, few)
            about["sensitivity"] = [change.to_dict() for change in found]
    return _result(groups, about)


def _own_card(
    obs: Observation, model: Model, calibrate: int | RecordingCard, progress: bool
) -> RecordingCard | None:
    """The card of the recording itself: the one that was given, or one made now."""
    from bayesesi.calibration.recording_card import RecordingCard, calibrate_recording

    if isinstance(calibrate, RecordingCard):
        if not calibrate.speaks_of(model, obs):
            raise InputError(
                f"the card that was given is of another model than {model.name!r}, or of another "
                "cap, noise, window or power; make one with calibrate_recording(model, obs)"
            )
        return calibrate
    if not calibrate:
        return None
    return calibrate_recording(model, obs, calibrate, progress=progress)


def _localise(
    groups: dict[str, Group],
    about: dict[str, Any],
    posterior: Posterior,
    summary: Summary,
    level: float,
    earned: CardReading,
) -> None:
    """Add maps and regions, of what is localised."""
    obs = posterior.obs
    maps = maps_group(posterior, summary, level)
    if earned.mask is not None:
        maps.variables["conformal_mask"] = ("source", earned.mask.astype(np.int8), {"units": "1"})
    groups["maps"] = maps
    credible: dict[str, Any] = {"level": float(level), **_peak_area(obs, maps)}
    about |= {"credible": credible, "alternatives": [], **posterior.findings(level)}
    if obs.source_space.mesh is None:
        return
    regions = posterior.parcellation
    inside = credible_regions(summary, level)
    groups["regions"] = regions_group(regions, summary, inside, level, earned)
    groups["courses"] = courses_group(obs, regions, summary, level)
    about["rise"] = _rise(obs, regions, summary, level)
    about["region_set"] = earned.set_about()
    about["area_set"] = earned.area_about(obs.source_space.areas, level)
    credible |= _set_area(regions, inside)
    about["alternatives"] = _alternatives(regions, summary)


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
        explained = half.draws(SCORE_DRAWS, seed).explained()
        found = held_out_trials(halves[0], halves[1], explained)
        table["trials"] = {"each": int(halves[0].recording.nave), **_covered(found)}
    return table


def _covered(found: PredictiveCheck) -> dict[str, Any]:
    return {
        "coverage": {f"{level:g}": found.coverage(level) for level in (0.5, 0.9)},
        "log_score": float(found.log_score.mean()),
    }


def credible_regions(summary: Summary, level: float) -> NDArray[np.bool_]:
    """Find the (P,) regions of the credible set.

    The shortest run of regions, by falling probability, such that in at least ``level`` of the
    draws with any activity every active region is in it; none where no draw has any.

    Parameters
    ----------
    summary : of the draws. level : 0 to 1.
    """
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
        raise InputError(
            f"guarantee must be one of {', '.join(GUARANTEES)}, got {some([guarantee])}"
        )
    if not (isinstance(level, Real) and LEVELS[0] <= float(level) <= LEVELS[1]):
        raise InputError(
            f"level must be a number from {LEVELS[0]} to {LEVELS[1]}, got {some([level])}"
        )
    if not (isinstance(draws, Integral) and DRAWS[0] <= int(draws) <= DRAWS[1]):
        raise InputError(f"draws must be from {DRAWS[0]} to {DRAWS[1]:,}, got {some([draws])}")
    if not (isinstance(seed, Integral) and 0 <= int(seed) < 2**32):
        raise InputError(f"seed must be an integer from 0 to 2^32 - 1, got {some([seed])}")


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


def _peak_area(obs: Observation, maps: Group) -> dict[str, Any]:
    """Cortex that holds the peak; nothing of it off the cortex."""
    if "area" not in maps:
        return {}
    area, inside = maps["area"], maps["peak_set"] > 0
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
    rows = np.packbits(summary.active[~summary.silent], axis=1)
    first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)[1:]
    names, n = regions.names, len(summary.peak)
    active, found = summary.active[~summary.silent], []
    for k in np.lexsort((first, -count))[:_ALTERNATIVES]:
        together = np.flatnonzero(active[first[k]])
        share = float(count[k]) / n
        found.append({"regions": [names[i] for i in together], "probability": share})
    return [each for each in found if each["regions"]]


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


def _result(groups: dict[str, Group], about: dict[str, Any]) -> Result:
    return Result(Groups(groups, {ATTRIBUTE: json.dumps(_plain(about))}))


def _plain(value: Any) -> Any:
    """As JSON knows it, texts from outside cut to a length."""
    if isinstance(value, dict):
        return {kept_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, int | None) else kept_text(value)
