"""Apply a model's calibration card to one recording: the conformal set and the p value.

A card applies to recordings like those it was made from: EEG on the template's cortex, with random
head models. For other recordings the reading holds the reason why it does not apply.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation, template_parcellation
from bayesesi.calibration import CalibrationCard, card_of
from bayesesi.calibration.repair import LEAST_DRAWS
from bayesesi.calibration.verdicts import SET_LEVEL
from bayesesi.conformal import Cell, Guarantee, RegionSet
from bayesesi.model import Model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary
from bayesesi.posterior.conformity_scores import region_scores, source_scores
from bayesesi.posterior.draws import FieldDraws
from bayesesi.trust import standard_verdict
from bayesesi.trust.ood_features import ood_features


@dataclass(frozen=True, eq=False)
class CardReading:
    """Hold what a card gives for one recording; see the module.

    Attributes
    ----------
    card : None where none applies; ``about`` then has the reason.
    region_set : with its guarantee. mask : (S,) sources that hold ``level`` of the active ones, on
        average over cases. set_share : of the cortex, of the set that verdicts look at, whatever
        was asked for. unusual, odd : p-value and words, see ``trust.VerdictInputs``. off : a
        sentence where the model's own probabilities were measured to be off, else empty.
    """

    about: dict[str, Any]
    card: CalibrationCard | None = None
    region_set: RegionSet | None = None
    set_share: float | None = None
    unusual: float | None = None
    off: str = ""
    odd: tuple[str, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    _inside: NDArray[np.bool_] | None = field(default=None, repr=False)
    _probability: NDArray[np.float64] | None = field(default=None, repr=False)

    def columns(self, regions: Parcellation) -> dict[str, tuple[str, NDArray[Any], dict[str, str]]]:
        """List columns of the table of regions: in the set, and the repaired probability.

        Parameters
        ----------
        regions : P of them.
        """
        n, share = len(regions.regions), {"units": "1"}
        none = np.full(n, np.nan)
        repaired = none
        if self.card is not None and self._probability is not None:
            repaired = self.card.repair.probability(self._probability)
        inside = np.zeros(n, bool) if self._inside is None else self._inside
        return {
            "in_region_set": ("region", inside.astype(np.int8), share),
            "calibrated": ("region", repaired, share),
        }

    def set_about(self) -> dict[str, Any] | None:
        """List the set with its guarantee, for a result; None without one."""
        found = self.region_set
        if found is None:
            return None
        return {
            "level": found.level,
            "guarantee": found.guarantee,
            "n_conformal": found.n_conformal,
            "whole": found.whole,
            "area_m2": found.area_cm2 * 1e-4,
            "share_of_cortex": found.share,
        }


def apply_card(
    posterior: Posterior,
    model: Model,
    level: float,
    seed: int,
    guarantee: Guarantee,
    draws: FieldDraws,
) -> CardReading:
    """Apply the model's card to its posterior.

    Parameters
    ----------
    posterior : of the recording. model : whose card is read. level : of the set, 0.5 to 0.99.
    seed : of ties. guarantee : ``"every"``, ``"peak"`` or ``"recall"``.
    draws : ``posterior.draws(SCORE_DRAWS, seed)``.
    """
    obs, card = posterior.obs, card_of(model)
    why = _why_not(obs, model, card)
    if why or card is None:
        return CardReading({"why_not": why})
    summary = posterior.sum_up(draws)
    found = ood_features(posterior, summary, draws.explained())
    signs = np.array(list(found.values()))
    regions = template_parcellation(4)
    scores = region_scores(summary.region_energy, regions)
    cell = card.split.cell_for(len(obs.sensors), obs.snr_db)
    rule = card.split.rule(level, guarantee, cell)
    # ties are broken by a seed of the recording, not of its scores: scores of noise are all equal
    lot = seed ^ zlib.crc32(np.ascontiguousarray(obs.values).tobytes())
    inside = rule.inside(scores, lot)
    unusual = float(card.usual.p_value(signs[None])[0])
    share = float(regions.shares[inside].sum())
    looked_at = card.split.rule(SET_LEVEL, "every", cell).inside(scores, lot)
    region_set = replace(
        rule.region_set(scores, regions.names, lot),
        area_cm2=1e4 * share * float(regions.areas.sum()),
        share=share,
    )
    d = card.diagnosis
    about = {
        "n": d.n,
        "n_conformal": len(card.split),
        "cell": cell.words,
        "ece": d.reliability.ece.value,
        "slope": d.reliability.slope.value,
        "off": bool(_off(card)),
        "deviation": {name: c.deviation.value for name, c in d.coverage.items()},
        "created": card.created,
        "said": list(d.reliability.said),
        "found": list(d.reliability.found),
        "held": _held(card, level),
        "unusual": unusual,
        "signs": found,
        "null_p": card.split.null_p(found["nothing"]) if card.split.nothing else None,
        "moment": _moment(card, summary, level),
        "radius_mm": card.split.radius_mm(level, cell) if card.split.mode_error_mm else None,
    }
    return CardReading(
        about,
        card,
        region_set,
        float(regions.shares[looked_at].sum()),
        unusual,
        _off(card),
        card.usual.odd(signs),
        _mask(card, summary, obs, level, cell, lot),
        inside,
        summary.active.mean(axis=0),
    )


def _mask(
    card: CalibrationCard,
    summary: Summary,
    obs: Observation,
    level: float,
    cell: Cell,
    seed: int,
) -> NDArray[np.bool_] | None:
    if not card.split.mask:
        return None
    scores = source_scores(summary.source_probability, obs.source_space)
    return card.split.mask_rule(level, cell).inside(scores, seed)


def _off(card: CalibrationCard) -> str:
    """Whether raw probabilities mean what they say, by the card's own bars."""
    reliability, asked = card.diagnosis.reliability, standard_verdict()
    slope, ece = reliability.slope.value, reliability.ece.value
    low, high = asked.slopes
    if low <= slope <= high and ece <= asked.largest_ece:
        return ""
    return (
        f"probabilities of the model {card.model!r} differ from observed frequencies by "
        f"{100 * ece:.0f} percentage points on average on simulated recordings (slope {slope:.2f}, "
        f"required {low:g} to {high:g}); use the calibrated probabilities"
    )


def _held(card: CalibrationCard, level: float) -> dict[str, float]:
    """How often sets of "every" held all, at the checked level that is nearest to the one asked."""
    checks = [c for c in card.sets if c.guarantee == "every"]
    nearest = min(checks, key=lambda c: abs(c.level - level))
    return {"level": nearest.level, "held": nearest.served, "n": nearest.n}


def _moment(card: CalibrationCard, summary: Summary, level: float) -> dict[str, Any] | None:
    """Of the likeliest region, given that it is active: the interval that simulations put right,
    A m; None where few draws have it active."""
    probability = summary.active.mean(axis=0)
    first = int(probability.argmax())
    sizes = summary.region_peak[summary.active[:, first], first]
    if len(sizes) < LEAST_DRAWS:
        return None
    raw = np.quantile(sizes, [(1 - level) / 2, (1 + level) / 2])
    low, high = card.repair.region_moment(raw[0], raw[1], level)
    if not np.isfinite(high):
        return None
    name = template_parcellation(4).names[first]
    return {"region": name, "low": float(low), "high": float(high)}


def _why_not(obs: Observation, model: Model, card: CalibrationCard | None) -> str:
    """Return why a card does not apply to a recording; empty if it applies."""
    if card is None and model.card_path is None:
        return "this model was not read from a file, so it has no calibration card"
    if card is None:
        return (
            f"the model {model.name!r} has no calibration card; make one with `bayesesi calibrate`"
        )
    if set(obs.sensors.kinds) != {"eeg"}:
        return "the calibration card applies to EEG only, and this recording has other sensors"
    if obs.source_space.ico != 4 or obs.forward.banked is None:
        return (
            "calibration applies to the template cortex with random head models, not to your own "
            "forward model"
        )
    if not obs.scale_known:
        return "calibration applies to recordings in volts, and the unit of this one is unknown"
    return ""
