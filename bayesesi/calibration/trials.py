"""What a solver says of simulated cases, beside what was true: all that calibration needs of them.

A trial is one case: the scores that a posterior's draws give to statistics of the field, the same
statistics of the truth, and what kind of case it was. Truth and draws meet on the sources of the
observation; which regions are truly active is told on the finest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import Parcellation, template_parcellation, template_surfaces
from bayesesi.calibration.ranks import randomised_ranks
from bayesesi.errors import InputError
from bayesesi.forward import HeadSetting
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary
from bayesesi.posterior.conformity_scores import source_scores
from bayesesi.simulator import Batch
from bayesesi.trust.ood_features import OOD_FEATURES, ood_features

#: Of an observation and a seed: a posterior, draws (D, S, R) of the field, or scores (P,) of the
#: regions, larger where one is more plausible.
Solver = Callable[[Observation, int], Posterior | NDArray[np.floating]]

#: Draws that scores, ranks and statistics rest on; scores of a recording rest on as many.
SCORE_DRAWS = 100
#: Sources that a posterior selects: with this probability of half of the peak or more; as many of
#: them as are kept, evenly chosen.
SELECTED, N_SELECTED = 0.3, 24
#: Quantiles by which scores of sources are kept.
N_MASK = 16
#: What kind of case it was.
STRATA = (
    "simulator",
    "snr_db",
    "data_snr_db",
    "channels",
    "n_eff",
    "functions",
    "sources",
    "depth_mm",
    "skull",
    "cap_mm",
)
#: Levels of CaliBrain's coverage.
CLOSED_LEVELS: tuple[float, ...] = tuple(np.linspace(0, 1, 11).round(1).tolist())


@dataclass(frozen=True, eq=False)
class Trials:
    """n cases of a solver, D draws each, P regions.

    Attributes
    ----------
    scores : (n, P), of a solver that gives no draws; else 0.
    active : (n, P) true. true_peak : (n,) region of the largest moment density, -1 for none.
    energy, moment : (n, D, P) of draws, as ``Summary`` has them; true_energy, true_moment (n, P).
    peak : (n, D) region of each draw's largest moment density, -1 for none.
    centre : (n, D, 3), total, misfit : (n, D); true_centre (n, 3), true_total, true_misfit (n,).
    reference : (n, 3) m, the source whose topography fits the data best.
    source_pit : (n, N_SELECTED) ranks of the energy of sources that the
        posterior selects; NaN beyond them.
    mode_error : (n,) m from the source that the posterior selects first to that of the largest true
        moment density; NaN where either is none.
    mask_scores : (n, N_MASK) scores of truly active sources (half of the largest density or more),
        at even quantiles.
    closed : (n, L) share of all sources whose true coefficient lies in the closed central interval
        of ``CLOSED_LEVELS`` (Diaz et al., CaliBrain 1.0: its quantity, to compare).
    signs : (n, F) see ``trust.ood_features``. null : (n,) probability of nothing.
    at_edge : (n,) 1 where the observation is beyond what a network met.
    strata : (n, G) see ``STRATA``. seconds : (n,) of inference.
    """

    scores: NDArray[np.float32]
    active: NDArray[np.bool_]
    true_peak: NDArray[np.int64]
    energy: NDArray[np.float32]
    true_energy: NDArray[np.float32]
    moment: NDArray[np.float32]
    true_moment: NDArray[np.float32]
    peak: NDArray[np.int16]
    centre: NDArray[np.float32]
    true_centre: NDArray[np.float32]
    total: NDArray[np.float32]
    true_total: NDArray[np.float32]
    misfit: NDArray[np.float32]
    true_misfit: NDArray[np.float32]
    reference: NDArray[np.float32]
    source_pit: NDArray[np.float32]
    mode_error: NDArray[np.float32]
    mask_scores: NDArray[np.float32]
    closed: NDArray[np.float32]
    signs: NDArray[np.float32]
    null: NDArray[np.float32]
    at_edge: NDArray[np.float32]
    strata: NDArray[np.float32]
    seconds: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.active)

    def __repr__(self) -> str:
        return f"<Trials | {len(self)} cases, {self.n_draws} draws each>"

    @property
    def n_draws(self) -> int:
        """0 of a solver that gives scores alone."""
        return self.energy.shape[1]

    @property
    def peak_region(self) -> NDArray[np.int64]:
        """(n,) that of the largest moment density; where it lies in no region, the active one of
        the most energy; -1 where nothing is active."""
        energy = np.where(self.active, np.nan_to_num(self.true_energy, nan=1.0), -1.0)
        other = np.where(self.loud, energy.argmax(axis=1), -1)
        return np.where((self.true_peak >= 0) & self.loud, self.true_peak, other)

    @property
    def loud(self) -> NDArray[np.bool_]:
        """(n,) cases in which something is active."""
        return np.asarray(self.active.any(axis=1))

    def sign(self, name: str) -> NDArray[np.float64]:
        """(n,) of ``OOD_FEATURES``."""
        return np.asarray(self.signs[:, OOD_FEATURES.index(name)], float)

    def stratum(self, name: str) -> NDArray[np.float64]:
        """(n,) of ``STRATA``."""
        return np.asarray(self.strata[:, STRATA.index(name)], float)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Trials:
        return Trials(**{name: value[rows] for name, value in self.to_arrays().items()})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Trials:
        return cls(**{f.name: arrays[f.name] for f in fields(cls)})

    def checked(self) -> Trials:
        """Itself, where its arrays fit each other and this version.

        Raises
        ------
        ValueError : they do not.
        """
        n, p = self.active.shape
        regions = len(template_parcellation(4).names)
        fits = all(len(v) == n for v in self.to_arrays().values())
        wide = p == regions == self.energy.shape[2] == self.scores.shape[1]
        known = self.signs.shape[1] == len(OOD_FEATURES) and self.strata.shape[1] == len(STRATA)
        sound = self.n_draws == 0 or (
            np.isfinite(self.energy).all()
            and (self.energy >= 0).all()
            and np.isfinite(self.signs).all()
        )
        if not (fits and wide and known and sound and (self.true_peak < regions).all()):
            raise ValueError("arrays that do not belong together")
        return self

    @classmethod
    def joined(cls, parts: Sequence[Trials]) -> Trials:
        """One after the other."""
        each = [part.to_arrays() for part in parts]
        return cls(**{name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]})


def trial_of(
    solver: Solver, obs: Observation, batch: Batch, k: int, seed: int, simulator: int = 0
) -> Trials:
    """The one trial of case k of a batch, as an observation shows it; ``simulator`` is its number
    in a mixture.

    Raises
    ------
    InputError : a solver that fails, or gives neither a posterior nor draws nor scores.
    """
    if obs.source_space.level is None:
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
            f"({type(error).__name__}: {said}); mend it and go on"
        ) from error
    row: dict[str, Any] = {"seconds": np.float32(time.perf_counter() - began)}
    row |= {"scores": scores, "strata": strata_of(batch, k, obs, simulator), **_true(batch, k)}
    row |= _unsaid(len(scores)) if posterior is None else _said(posterior, batch, k, seed)
    return Trials.of_arrays({name: np.asarray(value)[None] for name, value in row.items()})


def scored(posterior: Posterior, seed: int) -> tuple[NDArray[np.float64], Summary]:
    """The draws that scores and signs rest on, of a trial and of a recording alike."""
    draws = posterior.sample(SCORE_DRAWS, seed)
    return draws, posterior.sum_up(draws)


@dataclass(frozen=True, eq=False)
class DrawsPosterior(Posterior):
    """A posterior of which nothing is known but draws (D, S, R)."""

    draws: NDArray[np.float64]

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """n of them by lot, none twice where there are as many."""
        twice = n > len(self.draws)
        chosen = np.random.default_rng(seed).choice(len(self.draws), n, replace=twice)
        return self.draws[chosen]

    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self.draws.mean(axis=0))

    def sd(self) -> NDArray[np.float64]:
        return np.asarray(self.draws.std(axis=0))

    @property
    def null_probability(self) -> float:
        return float((self.draws == 0).all(axis=tuple(range(1, self.draws.ndim))).mean())


def _posterior(found: Any, obs: Observation) -> tuple[Posterior | None, NDArray[np.float32]]:
    none = np.zeros(len(template_parcellation(4).names), np.float32)
    if isinstance(found, Posterior):
        return found, none
    if np.iscomplexobj(found):
        raise InputError("a solver gives real numbers, not complex ones")
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
    assert obs.source_space.level is not None
    field = batch.field(k, obs.source_space.level)
    coefficients = (field @ obs.time_basis.projector)[None]
    truth = posterior.sum_up(coefficients)
    energy, true_energy = posterior.energy(draws), posterior.energy(coefficients)
    explained = obs.leadfield @ draws
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
        **_selected(summary, energy, true_energy[0], rng),
        **_mapped(summary, truth, obs),
        "closed": _closed(draws, coefficients[0]),
        "signs": np.array(list(ood_features(posterior, summary, explained).values()), np.float32),
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
    energy: NDArray[np.float64],
    truth: NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float32]]:
    """Ranks of the energy of sources that the posterior selects."""
    pit = np.full(N_SELECTED, np.nan, np.float32)
    chosen = np.flatnonzero(summary.source_probability * (~summary.silent).mean() >= SELECTED)
    if len(chosen):
        chosen = rng.permutation(chosen)[:N_SELECTED]
        pit[: len(chosen)] = randomised_ranks(truth[chosen], energy[:, chosen].T, rng)
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


def _closed(draws: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float32]:
    """(L,) share of coefficients within the closed central interval of each level."""
    tails = np.array(CLOSED_LEVELS)
    low, high = np.quantile(draws, [(1 - tails) / 2, (1 + tails) / 2], axis=0)
    inside = (low <= truth) & (truth <= high)
    return np.asarray(inside.mean(axis=(1, 2)), np.float32)


def _best_fit(obs: Observation) -> NDArray[np.float64]:
    """(3,) m: the source whose topography explains most of the data."""
    leadfield = obs.leadfield / np.linalg.norm(obs.leadfield, axis=0)
    fit = ((leadfield.T @ obs.values) ** 2).sum(axis=1)
    return np.asarray(obs.source_space.positions[fit.argmax()])


@cache
def _scalp() -> KDTree:
    return KDTree(template_surfaces(4).scalp.vertices)


def strata_of(batch: Batch, k: int, obs: Observation, simulator: int) -> NDArray[np.float32]:
    """(G,) what kind of case it is: ``STRATA``."""
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
