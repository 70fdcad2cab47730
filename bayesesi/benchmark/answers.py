"""Convert a method's answer to one form: a map, and where there are draws, scores of regions.

Anything that a callable of an observation and a seed returns is one of: a ``Posterior``; draws
(D, S[, 3], R) of the field; moments or a statistic (S[, 3], R); a map (S,) not below 0; scores (P,)
of regions; or an object with ``mean`` (S[, 3], R) and ``draws(n, seed)``, as rivals give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.baselines import power_of
from bayesesi.benchmark.region_scores import region_sizes
from bayesesi.calibration.trial_scoring import DrawsPosterior
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.posterior.conformity_scores import region_scores
from bayesesi.posterior.draws import SCORE_DRAWS


@dataclass(frozen=True, eq=False)
class Answer:
    """Hold a method's answer to one case, in the form in which answers are compared.

    Attributes
    ----------
    size : (S,) root of the power over the window, of the mean or, where ``sizes`` was asked for,
        the mean of that of draws; 0 everywhere where the answer is that nothing is active; None of
        scores alone.
    moments : (S[, 3], R) A m or a statistic; None of a map. draws : (D, S[, 3], R) A m, or None.
    scores : (P,) larger where a region is more plausible; none in a volume.
    probability : (P,) that a region is active, of draws; else None.
    """

    size: NDArray[np.float64] | None
    moments: NDArray[np.float64] | None
    draws: NDArray[np.float64] | None
    scores: NDArray[np.float64]
    probability: NDArray[np.float64] | None


def answer_of(found: Any, obs: Observation, seed: int, sizes: bool = False) -> Answer:
    """Read an answer.

    Parameters
    ----------
    found : what a method returned, see the module. obs : the case. seed : of the draws.
    sizes : the map of a posterior is the mean size of draws, and not the size of their mean, in
        which directions of free sources cancel that the data do not tell apart.

    Raises
    ------
    InputError : of another shape, not finite.
    """
    if isinstance(found, Posterior):
        return _of_draws(obs, found.sample(SCORE_DRAWS, seed), found.mean(), found, sizes)
    if hasattr(found, "draws") and hasattr(found, "mean"):
        return _of_draws(obs, found.draws(SCORE_DRAWS, seed), np.asarray(found.mean), None, sizes)
    values = _finite(found)
    field, level = (*obs.leadfield.shape[1:], obs.n_functions), obs.source_space.ico
    if values.shape[1:] == field and len(values) >= SCORE_DRAWS:
        return _of_draws(obs, values, values.mean(axis=0), None, sizes)
    if values.shape in (field, field[:1]):
        whole = values.shape == field
        size = np.sqrt(power_of(obs, values)) if whole else np.abs(values)
        scores = np.zeros(0) if level is None else region_sizes(size, level)
        return Answer(size, values if whole else None, None, scores, None)
    regions = 0 if level is None else len(template_parcellation(level).names)
    if values.shape == (regions,) and regions:
        return Answer(None, None, None, values, None)
    raise InputError(
        f"a method returns a posterior, {SCORE_DRAWS} draws or more of shape {field}, moments "
        f"{field}, a map {field[:1]} or scores ({regions},), not an array {values.shape}"
    )


def _of_draws(
    obs: Observation,
    draws: NDArray[np.float64],
    mean: NDArray[np.float64],
    posterior: Posterior | None,
    sizes: bool,
) -> Answer:
    draws, mean = _finite(draws), _finite(mean)
    size = np.sqrt(power_of(obs, mean))
    if sizes:
        size = np.mean([np.sqrt(power_of(obs, draw)) for draw in draws], axis=0)
    level = obs.source_space.ico
    if level is None:
        return Answer(size, mean, draws, np.zeros(0), None)
    summary = (posterior or DrawsPosterior(obs, draws)).sum_up(draws)
    scores = region_scores(summary.region_energy[None], template_parcellation(level))[0]
    return Answer(size, mean, draws, scores, summary.active.mean(axis=0))


def _finite(found: Any) -> NDArray[np.float64]:
    try:
        values = np.asarray(found, float)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a method must return an array of numbers, got {type(found).__name__}"
        ) from error
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} of its values are not finite")
    return values
