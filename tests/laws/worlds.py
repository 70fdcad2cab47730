"""Trials of posteriors whose calibration is known, without a brain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import active_regions
from bayesesi.calibration.trials import (
    CLOSED_LEVELS,
    N_MASK,
    N_SELECTED,
    STRATA,
    Trials,
)
from bayesesi.trust.ood_features import OOD_FEATURES

P, D = 68, 100


def world(n: int, seed: int = 0, sure: float = 1.0, shift: float = 0.0, n_draws: int = D) -> Trials:
    """Truth and draws from one law a case: of which regions are active, and how large.

    ``sure`` sharpens what the draws come from beyond what the truth does: 1 is calibrated.
    ``shift`` of the truths moves probability to regions that the solver finds unlikely.
    """
    rng = np.random.default_rng(seed)
    logit = 2.5 * rng.standard_normal((n, P))
    of_truth = _softmax(logit * (1 - shift))
    of_draws = _softmax(logit * sure)
    doubt = rng.beta(0.3, 3.0, n)  # probability of nothing that the solver gives
    silent = rng.random(n) < doubt
    true_energy, true_moment = _fields(of_truth[:, None], rng, silent[:, None])
    drawn_silent = rng.random((n, n_draws)) < doubt[:, None]
    energy, moment = _fields(np.repeat(of_draws[:, None], n_draws, axis=1), rng, drawn_silent)
    true_energy, true_moment = true_energy[:, 0], true_moment[:, 0]
    loud = true_energy.sum(axis=1) > 0
    peak = np.where(energy.max(axis=2) > 0, energy.argmax(axis=2), -1)
    own: dict[str, Any] = {
        "scores": np.zeros((n, P)),
        "active": active_regions(true_energy),
        "true_peak": np.where(loud, true_energy.argmax(axis=1), -1),
        "energy": energy,
        "true_energy": true_energy,
        "moment": moment,
        "true_moment": true_moment,
        "peak": peak,
        "centre": _centres(energy),
        "true_centre": _centres(true_energy),
        "total": moment.sum(axis=2),
        "true_total": true_moment.sum(axis=1),
        "misfit": (energy**2).sum(axis=2),
        "true_misfit": (true_energy**2).sum(axis=1),
        "reference": rng.standard_normal((n, 3)),
        "source_pit": rng.random((n, N_SELECTED)),
        "mode_error": np.where(loud, rng.gamma(2.0, 0.005, n), np.nan),
        "mask_scores": rng.random((n, N_MASK)),
        "closed": np.tile(CLOSED_LEVELS, (n, 1)),
        "signs": _signs(doubt, rng),
        "null": doubt,
        "at_edge": np.zeros(n),
        "strata": _strata(n, rng),
        "seconds": np.full(n, 0.1),
    }
    kinds = {"active": bool, "true_peak": np.int64, "peak": np.int16}
    return Trials(**{k: np.asarray(v, kinds.get(k, np.float32)) for k, v in own.items()})


def _fields(
    law: NDArray[np.float64], rng: np.random.Generator, silent: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, k, P) energies and moments: one region or two."""
    n, k, _ = law.shape
    along = law.cumsum(axis=2)
    energy, moment = np.zeros(law.shape), np.zeros(law.shape)
    rows = np.indices((n, k)).reshape(2, -1)
    for which, share in ((0, 1.0), (1, 0.5)):
        place = (along < rng.random((n, k, 1))).sum(axis=2).clip(max=P - 1)
        there = ~silent & (rng.random((n, k)) < share)
        size = there * rng.lognormal(0.0, 0.7, (n, k)) * (1.0 if which == 0 else 0.5)
        energy[rows[0], rows[1], place.ravel()] += (size**2).ravel()
        moment[rows[0], rows[1], place.ravel()] += size.ravel()
    return energy, moment


def _signs(doubt: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    signs = rng.standard_normal((len(doubt), len(OOD_FEATURES)))
    p = np.clip(doubt, 1e-9, 1 - 1e-9)
    signs[:, OOD_FEATURES.index("nothing")] = np.log(p / (1 - p))
    return signs


def _centres(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.random.default_rng(5).standard_normal((P, 3)) * 0.05
    total = energy.sum(axis=-1, keepdims=True)
    mean = energy @ places
    return np.divide(mean, total, out=np.full(mean.shape, np.nan), where=total > 0)


def _strata(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = {
        "simulator": np.zeros(n),
        "snr_db": rng.uniform(-5, 25, n),
        "data_snr_db": rng.uniform(0, 20, n),
        "channels": rng.integers(19, 128, n),
        "n_eff": rng.integers(18, 127, n),
        "functions": np.ones(n),
        "sources": rng.integers(1, 4, n),
        "depth_mm": rng.uniform(10, 60, n),
        "skull": rng.lognormal(0, 0.5, n),
        "cap_mm": rng.gamma(3.0, 2.5, n),
    }
    return np.stack([drawn[name] for name in STRATA], axis=1)


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(p / p.sum(axis=-1, keepdims=True))
