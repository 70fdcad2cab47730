"""Apply a model's calibration card to one recording: the conformal set and the p value.

A card applies to recordings like those it was made from: EEG on the template's cortex, with random
head models. For other recordings the reading holds the reason why it does not apply. A card of the
recording itself, where one was made, comes first in all that it holds.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation, template_parcellation
from bayesesi.calibration import CalibrationCard, card_of
from bayesesi.calibration.repair import LEAST_DRAWS, MomentRepair, ProbabilityRepair
from bayesesi.calibration.verdicts import SET_LEVEL
from bayesesi.conformal import Cell, ConformalSplit, Guarantee, RegionSet
from bayesesi.model import Model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, Summary
from bayesesi.posterior.conformity_scores import region_scores, source_scores
from bayesesi.posterior.draws import FieldDraws
from bayesesi.trust import standard_verdict
from bayesesi.trust.ood_features import ood_features

if TYPE_CHECKING:
    from bayesesi.calibration.recording_card import RecordingCard


@dataclass(frozen=True, eq=False)
class CardReading:
    """Hold what a card gives for one recording; see the module.

    Attributes
    ----------
    card : None where none applies; ``about`` then has the reason. own : of the recording itself.
    region_set : with its guarantee. mask : (S,) sources that hold ``level`` of the active ones, on
        average over cases. set_share : of the cortex, of the set that verdicts look at, whatever
        was asked for. unusual, odd : p-value and words, see ``trust.VerdictInputs``. off : a
        sentence where the model's own probabilities were measured to be off, else empty.
    """

    about: dict[str, Any]
    card: CalibrationCard | None = None
    own: RecordingCard | None = None
    region_set: RegionSet | None = None
    set_share: float | None = None
    unusual: float | None = None
    off: str = ""
    odd: tuple[str, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    _inside: NDArray[np.bool_] | None = field(default=None, repr=False)
    _calibrated: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def not_calibrated(self) -> str:
        """Why nothing was measured of recordings like this one; empty where it was."""
        return "" if self.card or self.own else str(self.about["why_not"])

    def columns(self, regions: Parcellation) -> dict[str, tuple[str, NDArray[Any], dict[str, str]]]:
        """List columns of the table of regions: in the set, and the repaired probability.

        Parameters
        ----------
        regions : P of them.
        """
        n, share = len(regions.regions), {"units": "1"}
        repaired = np.full(n, np.nan) if self._calibrated is None else self._calibrated
        inside = np.zeros(n, bool) if self._inside is None else self._inside
        return {
            "in_region_set": ("region", inside.astype(np.int8), share),
            "calibrated": ("region", repaired, share),
        }

    def area_about(self, areas: NDArray[np.float64], level: float) -> dict[str, Any] | None:
        """List the set of sources that holds a share of the active area, for a result.

        Parameters
        ----------
        areas : (S,) m² of the sources. level : that share, 0.5 to 0.99.
        """
        if self.mask is None or self.region_set is None:
            return None
        area = float(areas[self.mask].sum())
        words = (
            f"holds at least {level:.0%} of the area where activity reaches half of its largest "
            "density, on average over the same cases"
        )
        return {
            "level": float(level),
            "guarantee": words,
            "n_conformal": self.region_set.n_conformal,
            "area_m2": area,
            "share_of_cortex": min(area / float(areas.sum()), 1.0),
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
    own: RecordingCard | None = None,
) -> CardReading:
    """Apply the model's card, and the recording's own, to a posterior.

    Parameters
    ----------
    posterior : of the recording. model : whose card is read. level : of the set, 0.5 to 0.99.
    seed : of ties. guarantee : ``"every"``, ``"peak"`` or ``"recall"``.
    draws : ``posterior.draws(SCORE_DRAWS, seed)``. own : of the recording itself; None for none.
    """
    obs, card = posterior.obs, card_of(model)
    why = _why_not(obs, model, card)
    card = None if why else card
    if card is None and own is None:
        return CardReading({"why_not": why})
    summary = posterior.sum_up(draws)
    signs = ood_features(posterior, summary, draws.explained())
    rules = _Rules.of(card, own, obs)
    scores = region_scores(summary.region_energy, template_parcellation(4))
    # ties are broken by a seed of the recording, not of its scores: scores of noise are all equal
    lot = seed ^ zlib.crc32(np.ascontiguousarray(obs.values).tobytes())
    region_set, inside, looked_at = rules.sets(scores, level, guarantee, lot)
    about: dict[str, Any] = {"why_not": why} if card is None else _of_model(card, level)
    about |= {
        "n_conformal": len(rules.split),
        "cell": rules.cell.words,
        "signs": signs,
        "null_p": rules.split.null_p(signs["nothing"]) if rules.split.nothing else None,
        "moment": rules.region_moment(summary, level),
        "radius_mm": rules.split.radius_mm(level, rules.cell)
        if rules.split.mode_error_mm
        else None,
    }
    if own is not None:
        about["own"] = _of_recording(own)
    row = np.array(list(signs.values()))
    unusual = None if card is None else float(card.usual.p_value(row[None])[0])
    probability = rules.probability
    return CardReading(
        about | ({} if unusual is None else {"unusual": unusual}),
        card,
        own,
        region_set,
        looked_at,
        unusual,
        "" if card is None else _off(card),
        () if card is None else card.usual.odd(row),
        _mask(rules, summary, obs, level, lot),
        inside,
        None if probability is None else probability(summary.active.mean(axis=0)),
    )


@dataclass(frozen=True, eq=False)
class _Rules:
    """What sets and repairs of one recording rest on."""

    split: ConformalSplit
    cell: Cell
    population: str
    probability: ProbabilityRepair | None
    moment: MomentRepair | None

    @classmethod
    def of(
        cls, card: CalibrationCard | None, own: RecordingCard | None, obs: Observation
    ) -> _Rules:
        if own is not None:
            moment = own.region_moment
            return cls(own.split, own.cell, f": {own.population}", own.probability, moment)
        assert card is not None
        cell, repair = card.split.cell_for(len(obs.sensors), obs.snr_db), card.repair
        return cls(card.split, cell, "", repair.probability, repair.region_moment)

    def sets(
        self, scores: NDArray[np.float64], level: float, guarantee: Guarantee, lot: int
    ) -> tuple[RegionSet, NDArray[np.bool_], float]:
        """The set, which regions are in it, and the share of cortex that verdicts look at."""
        regions = template_parcellation(4)
        rule = self.split.rule(level, guarantee, self.cell)
        inside = rule.inside(scores, lot)
        share = float(regions.shares[inside].sum())
        looked_at = self.split.rule(SET_LEVEL, "every", self.cell).inside(scores, lot)
        region_set = replace(
            rule.region_set(scores, regions.names, lot),
            guarantee=rule.words + self.population,
            area_cm2=1e4 * share * float(regions.areas.sum()),
            share=share,
        )
        return region_set, inside, float(regions.shares[looked_at].sum())

    def region_moment(self, summary: Summary, level: float) -> dict[str, Any] | None:
        """Of the likeliest region, given that it is active: the interval that simulations put
        right, A m; None where few draws have it active."""
        probability = summary.active.mean(axis=0)
        first = int(probability.argmax())
        sizes = summary.region_peak[summary.active[:, first], first]
        if self.moment is None or len(sizes) < LEAST_DRAWS:
            return None
        raw = np.quantile(sizes, [(1 - level) / 2, (1 + level) / 2])
        low, high = self.moment(raw[0], raw[1], level)
        if not np.isfinite(high):
            return None
        name = template_parcellation(4).names[first]
        return {"region": name, "low": float(low), "high": float(high)}


def _of_model(card: CalibrationCard, level: float) -> dict[str, Any]:
    """What was measured of the model over all recordings of its card."""
    d = card.diagnosis
    return {
        "n": d.n,
        "ece": d.reliability.ece.value,
        "slope": d.reliability.slope.value,
        "off": bool(_off(card)),
        "deviation": {name: c.deviation.value for name, c in d.coverage.items()},
        "created": card.created,
        "said": list(d.reliability.said),
        "found": list(d.reliability.found),
        "held": _held(card, level),
    }


def _of_recording(own: RecordingCard) -> dict[str, Any]:
    """What was measured on cases as this recording shows them."""
    return {
        "n": len(own.split),
        "of_noise": len(own.split.nothing),
        "population": own.population,
        "level": own.check.level,
        "held": own.check.held,
        "area": own.check.area,
    }


def _mask(
    rules: _Rules, summary: Summary, obs: Observation, level: float, seed: int
) -> NDArray[np.bool_] | None:
    if not rules.split.mask:
        return None
    scores = source_scores(summary.source_probability, obs.source_space)
    return rules.split.mask_rule(level, rules.cell).inside(scores, seed)


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


def _why_not(obs: Observation, model: Model, card: CalibrationCard | None) -> str:
    """Return why a card does not apply to a recording; empty if it applies."""
    if card is None and obs.source_space.mesh is None:
        return "no calibration exists for sources in the volume of the brain"
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
