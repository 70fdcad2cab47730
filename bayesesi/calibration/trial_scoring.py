"""Score a solver's posterior on one case against the truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import Parcellation, template_parcellation, template_surfaces
from bayesesi.calibration.ranks import randomised_ranks
from bayesesi.calibration.trials import CLOSED_LEVELS, N_MASK, N_SELECTED, SELECTED, STRATA, Trials
from bayesesi.errors import InputError
from bayesesi.forward import HeadSetting
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary
from bayesesi.posterior.conformity_scores import source_scores
from bayesesi.posterior.draws import SCORE_DRAWS, FieldDraws
from bayesesi.simulator import Batch
from bayesesi.trust.ood_features import OOD_FEATURES, ood_features

#: Of an observation and a seed: a posterior, draws (D, S, R) of the field, or scores (P,) of the
#: regions, larger where one is more plausible.
Solver = Callable[[Observation, int], Posterior | NDArray[np.floating]]


def trial_of(
    solver: Solver, obs: Observation, batch: Batch, k: int, seed: int, simulator: int = 0
) -> Trials:
    """Solve case k of a batch, as an observation shows it, and score the answer: one trial.

    Parameters
    ----------
    solver : see ``Solver``. obs : of the case. batch, k : whose truth is compared.
    seed : of the draws. simulator : its number in a mixture.

    Raises
    ------
    InputError : a solver that fails, or gives neither a posterior nor draws nor scores.
    """
    if obs.source_space.ico is None:
        raise InputError("trials are on the template's cortex; use a forward of that")
    began = time.perf_counter()
    try:
        posterior, scores = _posterior(solver(obs, seed), obs)
    except InputError:
        raise
    except Exception as error:
        said = str(error).splitlines()[0][:200] if str(error) else ""
        raise InputError(
            f"the solver failed on case {batch.first + k} of {batch.spec.name} "
            f"({type(error).__name__}: {said}); correct it and run again"
        ) from error
    row: dict[str, Any] = {"seconds": np.float32(time.perf_counter() - began)}
    row |= {"scores": scores, "strata": strata_of(batch, k, obs, simulator), **_true(batch, k)}
    row |= _unsaid(len(scores)) if posterior is None else _said(posterior, batch, k, seed)
    return Trials.of_arrays({name: np.asarray(value)[None] for name, value in row.items()})


def scored(posterior: Posterior, seed: int) -> tuple[FieldDraws, Summary]:
    """Draw the D fields that scores and OOD features rest on, of a trial and a recording alike.

    Parameters
    ----------
    posterior : of one observation. seed : of its ``SCORE_DRAWS`` draws.
    """
    draws = posterior.draws(SCORE_DRAWS, seed)
    return draws, posterior.sum_up(draws)


@dataclass(frozen=True, eq=False)
class DrawsPosterior(Posterior):
    """Hold a posterior of which only draws are known.

    Attributes
    ----------
    held : (D, S, R) A m.
    """

    held: NDArray[np.float64]

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Pick ``n`` draws by lot, none twice where there are as many; ``seed`` is of the lot."""
        twice = n > len(self.held)
        chosen = np.random.default_rng(seed).choice(len(self.held), n, replace=twice)
        return self.held[chosen]

    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self.held.mean(axis=0))

    def sd(self) -> NDArray[np.float64]:
        return np.asarray(self.held.std(axis=0))

    @property
    def null_probability(self) -> float:
        return float((self.held == 0).all(axis=tuple(range(1, self.held.ndim))).mean())


def _posterior(found: Any, obs: Observation) -> tuple[Posterior | None, NDArray[np.float32]]:
    none = np.zeros(len(template_parcellation(4).names), np.float32)
    if isinstance(found, Posterior):
        return found, none
    if np.iscomplexobj(found):
        raise InputError("a solver must return real numbers, got complex ones")
    values = np.asarray(found, float)
    if values.shape == none.shape and np.isfinite(values).all():
        return None, values.astype(np.float32)
    fits = values.ndim > 2 and values.shape[1:] == (*obs.leadfield.shape[1:], obs.n_functions)
    if fits and np.isfinite(values).all():
        if len(values) < SCORE_DRAWS:
            raise InputError(
                f"a solver gives {SCORE_DRAWS} draws of the field or more, not {len(values)}: "
                "ranks among fewer are rough"
            )
        return DrawsPosterior(obs, values), none
    raise InputError(
        f"a solver gives a posterior, draws (D, {obs.leadfield.shape[1]}, {obs.n_functions}) of "
        f"the field or {len(none)} scores of the regions, all finite, not an array {values.shape}"
    )


def _true(batch: Batch, k: int) -> dict[str, Any]:
    """What is told on the finest sources."""
    energy = np.asarray(batch.energy[[k]].toarray())[0]
    fine = template_parcellation(5)
    density = np.sqrt(energy) / fine.source_space.areas
    peak = int(fine.labels[density.argmax()]) if density.any() else -1
    total = energy.sum()
    centre = energy @ fine.source_space.positions / total if total > 0 else np.full(3, np.nan)
    return {
        "active": batch.active[k],
        "true_peak": np.int64(peak),
        "true_centre": centre.astype(np.float32),
    }


def _said(posterior: Posterior, batch: Batch, k: int, seed: int) -> dict[str, Any]:
    """All that is compared of draws and of the truth."""
    obs, regions = posterior.obs, posterior.parcellation
    rng = np.random.default_rng([seed, 7])
    draws, summary = scored(posterior, seed)
    assert obs.source_space.ico is not None
    field = batch.field(k, obs.source_space.ico)
    coefficients = (field @ obs.time_basis.projector)[None]
    truth = posterior.sum_up(coefficients)
    true_energy = posterior.energy(coefficients)
    signs = ood_features(posterior, summary, draws.explained())
    return {
        "energy": summary.region_energy.astype(np.float32),
        "true_energy": truth.region_energy[0].astype(np.float32),
        "moment": summary.region_peak.astype(np.float32),
        "true_moment": truth.region_peak[0].astype(np.float32),
        "peak": _region_of(summary.peak, regions),
        "centre": summary.centre.astype(np.float32),
        "true_centre": truth.centre[0].astype(np.float32),
        "total": summary.total.astype(np.float32),
        "true_total": np.float32(truth.total[0]),
        "misfit": summary.misfit.astype(np.float32),
        "true_misfit": np.float32(truth.misfit[0]),
        "reference": _best_fit(obs).astype(np.float32),
        **_selected(summary, draws, true_energy[0], rng),
        **_mapped(summary, truth, obs),
        "closed": _closed(draws, coefficients[0]),
        "signs": np.array(list(signs.values()), np.float32),
        "null": np.float32(posterior.null_probability),
        "at_edge": np.float32(len(posterior.outside)),
    }


def _unsaid(n: int) -> dict[str, Any]:
    """Of a solver that gives n scores alone."""
    none = np.float32(np.nan)
    empty = {"energy": n, "moment": n, "centre": 3}
    selected = np.full(N_SELECTED, np.nan, np.float32)
    return {
        **{name: np.zeros((0, width), np.float32) for name, width in empty.items()},
        **{name: np.zeros(0, np.float32) for name in ("total", "misfit")},
        **{f"true_{name}": np.full(n, np.nan, np.float32) for name in ("energy", "moment")},
        "true_total": none,
        "true_misfit": none,
        "peak": np.zeros(0, np.int16),
        "reference": np.full(3, np.nan, np.float32),
        "source_pit": selected,
        "mode_error": none,
        "mask_scores": np.full(N_MASK, np.nan, np.float32),
        "closed": np.full(len(CLOSED_LEVELS), np.nan, np.float32),
        "signs": np.full(len(OOD_FEATURES), np.nan, np.float32),
        "null": none,
        "at_edge": np.float32(0),
    }


def _region_of(source: NDArray[np.int64], regions: Parcellation) -> NDArray[np.int16]:
    """(D,) -1 where there is no source, or it lies in no region."""
    return np.where(source < 0, -1, regions.labels[source]).astype(np.int16)


def _selected(
    summary: Summary,
    draws: FieldDraws,
    truth: NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float32]]:
    """Ranks of the energy of sources that the posterior selects."""
    pit = np.full(N_SELECTED, np.nan, np.float32)
    chosen = np.flatnonzero(summary.source_probability * (~summary.silent).mean() >= SELECTED)
    if len(chosen):
        chosen = rng.permutation(chosen)[:N_SELECTED]
        energy = draws.energy()[:, chosen]
        energy = energy.toarray() if sp.issparse(energy) else energy
        pit[: len(chosen)] = randomised_ranks(truth[chosen], energy.T, rng)
    return {"source_pit": pit}


def _mapped(summary: Summary, truth: Summary, obs: Observation) -> dict[str, NDArray[np.float32]]:
    """What sets of sources are made from."""
    space, drawn = obs.source_space, bool((~summary.silent).any())
    scores = source_scores(summary.source_probability, space)
    mode, true = space.positions[scores.argmax()], truth.peak[0]
    error = np.linalg.norm(space.positions[true] - mode) if true >= 0 and drawn else np.nan
    active = scores[truth.source_probability > 0] if true >= 0 else np.full(1, np.nan)
    return {
        "mode_error": np.asarray(error, np.float32),
        "mask_scores": np.quantile(active, _middles(N_MASK), method="nearest").astype(np.float32),
    }


def _middles(n: int) -> NDArray[np.float64]:
    return (np.arange(n) + 0.5) / n


def _closed(draws: FieldDraws, truth: NDArray[np.float64]) -> NDArray[np.float32]:
    """(L,) share of coefficients within the closed central interval of each level."""
    sources = draws.sources()
    tails, held = np.array(CLOSED_LEVELS), truth[sources].ravel()
    # sorted once, a coefficient a row: many times as fast as quantiles along the first axis
    ranked = np.sort(draws.dense(sources).reshape(len(draws), -1).T, axis=1)
    ends = [_at_rank(ranked, share) for share in ((1 - tails) / 2, (1 + tails) / 2)]
    inside = ((ends[0] <= held) & (held <= ends[1])).sum(axis=1)
    # where every draw is 0 so are both ends of every interval
    elsewhere = np.count_nonzero(truth == 0) - np.count_nonzero(held == 0)
    return np.asarray((inside + elsewhere) / truth.size, np.float32)


def _at_rank(ranked: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L, C): quantiles of sorted rows (C, D), between two numbers on the straight line."""
    place = share * (ranked.shape[1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, ranked.shape[1] - 1)
    return np.asarray((ranked[:, low] + (place - low) * (ranked[:, high] - ranked[:, low])).T)


def _best_fit(obs: Observation) -> NDArray[np.float64]:
    """(3,) m: the source whose topography explains most of the data."""
    leadfield = obs.leadfield / np.linalg.norm(obs.leadfield, axis=0)
    fit = ((leadfield.T @ obs.values) ** 2).sum(axis=1)
    return np.asarray(obs.source_space.positions[fit.argmax()])


@cache
def _scalp() -> KDTree:
    return KDTree(template_surfaces(4).scalp.vertices)


def strata_of(batch: Batch, k: int, obs: Observation, simulator: int) -> NDArray[np.float32]:
    """Describe what kind of case it is: (G,) ``STRATA``.

    Parameters
    ----------
    batch, k : the case. obs : that shows it. simulator : its number in a mixture.
    """
    energy = np.asarray(batch.energy[[k]].toarray())[0]
    fine = template_parcellation(5).source_space
    place = fine.positions[energy.argmax()]
    depth = 1e3 * _scalp().query(place)[0] if energy.any() else np.nan
    true, assumed = batch.heads[k].conductivities, HeadSetting().conductivities
    turn = np.linalg.norm(np.deg2rad(batch.draws["cap_rotation_deg"][k])) * 0.09  # m from a centre
    shift = 1e-3 * np.linalg.norm(batch.draws["cap_shift_mm"][k])
    values = {
        "simulator": simulator,
        "snr_db": batch.snr_db[k],
        "data_snr_db": obs.snr_db,
        "channels": len(obs.sensors),
        "n_eff": obs.n_eff,
        "functions": obs.n_functions,
        "sources": batch.draws["count"][k],
        "depth_mm": depth,
        "skull": true.skull / assumed.skull,
        "cap_mm": 1e3 * np.hypot(turn, shift),
    }
    return np.array([values[name] for name in STRATA], np.float32)
