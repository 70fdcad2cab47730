"""The calibration card of a model: what was measured of it, and what its guarantees rest on."""

from __future__ import annotations

import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from bayesesi.anatomy import template_parcellation
from bayesesi.calibration.diagnosis import ASKED_LEVELS, KINDS, QUANTITIES, Diagnosis
from bayesesi.calibration.repair import Repair
from bayesesi.calibration.trials import CLOSED_LEVELS, Trials
from bayesesi.calibration.verdicts import TrustCard
from bayesesi.conformal import (
    CELLS,
    GUARANTEES,
    ConformalSplit,
    Guarantee,
    cell_of,
    conformal_rank,
)
from bayesesi.errors import InputError
from bayesesi.io.atomic import write_text
from bayesesi.io.folders import data_folder, plain_name
from bayesesi.io.store import make_folder
from bayesesi.model import Model
from bayesesi.posterior.conformity_scores import region_scores
from bayesesi.posterior.draws import SCORE_DRAWS
from bayesesi.spec.base import Table
from bayesesi.trust.ood import OODDetector

SCHEMA = 1
#: Levels at which sets are checked; bytes of a file.
SET_LEVELS, _LARGEST = (0.8, 0.9, 0.95), 5_000_000
#: How often a guarantee that holds may fail its test.
FALSE_ALARM = 0.01


class SetCheck(Table):
    """Hold a check of conformal sets of one guarantee and level on cases of the diagnosis.

    Attributes
    ----------
    guarantee : one of ``GUARANTEES``. level : 0 to 1. held : share of sets that held what they
        must, or mean share that they held, of ``n`` cases with an event, ``n_conformal`` behind
        the rule. area : mean share of the cortex, whole : share of sets that are all of it.
    p_value : two-sided probability, of the law of a split's coverage; None for "recall", whose law
        is not known. served, served_area : shares held and of the cortex of the sets that
        recordings get, each by the rule of its own cell; by_cell : both shares and the number of
        cases in each cell of recordings.
    """

    guarantee: Guarantee
    level: float
    held: float
    area: float
    whole: float
    n: int
    n_conformal: int
    p_value: float | None
    served: float
    served_area: float
    by_cell: tuple[tuple[float, float, int], ...]


class CalibrationCard(Table):
    """Hold what was measured of a model, and what its guarantees rest on; kept beside its weights.

    Attributes
    ----------
    model, fingerprint : whose. version, created : of bayesesi, and the day.
    simulators : names, hashes and shares of where cases came from.
    seed : of all cases. score_draws : that scores rest on; a recording's rest on as many.
    diagnosis : of cases of their own, raw and repaired. repair : of probabilities and intervals.
    split : cases behind sets. sets : checks of them. usual : the law of OOD features.
    trust : how often a verdict errs.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    model: str = Field(max_length=80)
    fingerprint: str = Field("", max_length=80)
    version: str = Field(max_length=40)
    created: str = Field(max_length=40)
    simulators: tuple[dict[str, Any], ...]
    seed: int
    score_draws: int
    diagnosis: Diagnosis
    repair: Repair
    split: ConformalSplit
    sets: tuple[SetCheck, ...]
    usual: OODDetector
    trust: TrustCard

    @model_validator(mode="after")
    def _whole(self) -> CalibrationCard:
        if self.score_draws != SCORE_DRAWS:
            raise ValueError(f"score_draws is {SCORE_DRAWS} in this version")
        d = self.diagnosis
        told = {frozenset(d.coverage)}
        if d.repaired is not None:
            told.add(frozenset(d.repaired.deviation))
        if told != {frozenset(QUANTITIES)}:
            raise ValueError("diagnosis has other quantities than this version")
        for c in d.coverage.values():
            alike = len(c.at) == len(c.found) == len(ASKED_LEVELS) and set(c.by_kind) == set(KINDS)
            if not alike or any(len(c.by_kind[k]) != len(KINDS[k][1]) + 1 for k in KINDS):
                raise ValueError("diagnosis.coverage lacks levels or kinds")
        tables = [d.reliability, *([] if d.repaired is None else [d.repaired.reliability])]
        if any(not len(r.said) == len(r.found) == len(r.n) >= 1 for r in tables):
            raise ValueError("diagnosis.reliability has bins that do not fit")
        if len(d.closed) != len(CLOSED_LEVELS) or not self.trust.risk:
            raise ValueError("diagnosis.closed or trust.risk lacks numbers")
        asked = {(c.guarantee, c.level) for c in self.sets}
        if asked != {(g, level) for g in GUARANTEES for level in SET_LEVELS}:
            raise ValueError("sets are not those of this version")
        if any(len(c.by_cell) != len(CELLS) for c in self.sets):
            raise ValueError("sets.by_cell has other kinds of recording")
        if any(not isinstance(each.get("name"), str) for each in self.simulators):
            raise ValueError("simulators have names")
        if d.repaired is not None:
            for rows in (d.repaired.intervals.get("region"), d.repaired.intervals.get("total")):
                if not rows or 0.9 not in {row[0] for row in rows}:
                    raise ValueError("diagnosis.repaired.intervals lacks the level .9")
        return self

    def __repr__(self) -> str:
        d = self.diagnosis
        return (
            f"<CalibrationCard | {self.model}, {d.n} cases, ECE {d.reliability.ece.value:.3f}, "
            f"{len(self.split)} behind sets>"
        )

    __str__ = __repr__

    def speaks_of(self, model: Model) -> bool:
        """Tell whether the card was made of these weights.

        Parameters
        ----------
        model : whose name and fingerprint are compared.
        """
        return (self.model, self.fingerprint) == (model.name, model.fingerprint)

    def summary(self) -> dict[str, str]:
        """List the findings, raw and repaired, by name."""
        d, r = self.diagnosis, self.diagnosis.reliability
        after = d.repaired
        repaired = after.reliability if after is not None else r
        rows = {
            "cases": f"{d.n} for the diagnosis, {self.repair.n} for recalibration, "
            f"{len(self.split)} with and {len(self.split.nothing)} without an event for sets; "
            f"seed {self.seed}",
        }
        for name, c in d.coverage.items():
            put = f"; recalibrated {after.deviation[name].value:.3f}" if after is not None else ""
            rows[f"deviation, {name}"] = f"{c.deviation}{put}"
        rows["reliability slope"] = f"{r.slope}; recalibrated {repaired.slope}"
        rows["ECE on .05 to .95"] = f"{r.ece}; recalibrated {repaired.ece}"
        rows["Brier skill"] = f"{r.brier_skill}; recalibrated {repaired.brier_skill}"
        s = d.scores
        rows["CRPS, total moment"] = f"{s.crps_total} of its mean"
        rows["energy score, regions"] = f"{s.energy} of the truth's length"
        rows["interval score at 90%, total moment"] = f"{s.interval} of its mean"
        rows["closed intervals, all sources"] = (
            f"deviation {d.closed_deviation:.3f} (CaliBrain's measure: mostly inactive sources)"
        )
        for which in ("region", "total"):
            if after is not None:
                coverage = {
                    level: f"{raw:.2f}, recalibrated {put:.2f}"
                    for level, raw, put in after.intervals[which]
                }
                rows[f"90% interval, moment of {which}"] = f"coverage {coverage[0.9]}"
        rows["ranks not uniform"] = ", ".join(d.failed) or "none"
        for check in self.sets:
            rows[f"{check.level:.0%} sets, {check.guarantee}"] = (
                f"coverage {check.held:.3f}, area {check.area:.1%} of the cortex, whole cortex "
                f"{check.whole:.1%}, {check.n} cases; rules by kind of recording: "
                f"{check.served:.3f}, {check.served_area:.1%}"
            )
        for verdict, rate in self.trust.rates.items():
            held = "" if rate.held is None else f"; coverage of their 90% sets {rate.held:.3f}"
            rows[f"verdict {verdict}"] = (
                f"{rate.share:.1%} of cases with an event, {rate.of_noise:.1%} of noise{held}"
            )
        rows["small sets with verdict reliable"] = f"{self.trust.small_reliable:.1%}"
        return rows

    def write(self, path: str | Path) -> Path:
        """Write the card to a JSON file, whole or not at all.

        Parameters
        ----------
        path : of the file.

        Raises
        ------
        InputError : a place that cannot be written.
        """
        make_folder(Path(path).parent)
        return write_text(path, self.model_dump_json(by_alias=True))


def read_card(path: str | Path) -> CalibrationCard:
    """Read a card from a JSON file.

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    InputError : a missing or damaged file, or one of another schema.
    """
    path = Path(path)
    table = _table(path)
    if table["schema"] != SCHEMA:
        raise InputError(
            f"{path.name} has schema {str(table['schema'])[:20]}, this version reads {SCHEMA}; "
            "calibrate again"
        )
    try:
        return CalibrationCard.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise InputError(
            f"{path.name} is a damaged calibration card ({where}: {first['msg'][:120]}); calibrate "
            "again"
        ) from error


def _table(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path.name} is larger than any calibration card; take another file")
        table = dict(json.loads(path.read_text(encoding="utf-8")))
        _ = table["schema"]
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path.name} is not a calibration card ({type(error).__name__}); make one with "
            "`bayesesi calibrate`"
        ) from error
    return table


@lru_cache(maxsize=8)
def _read_once(path: Path, changed: int, size: int) -> CalibrationCard:
    """The card of a file as it is; read anew when its time of change or its size is another."""
    return read_card(path)


def card_of(model: Model) -> CalibrationCard | None:
    """Read the card of a model; None where there is none, or it is of other weights.

    Parameters
    ----------
    model : whose card in the user's data folder is read, else that at its ``card_path``.

    Raises
    ------
    InputError : a damaged card, or one of another schema.
    """
    for path in (kept_card(model), model.card_path):
        if path is not None and path.is_file():
            about = path.stat()
            card = _read_once(path, about.st_mtime_ns, about.st_size)
            if card.speaks_of(model):
                return card
    return None


def kept_card(model: Model) -> Path:
    """Return where the card of ``model`` is kept in the user's data folder."""
    known = zlib.crc32(f"{model.name} {model.fingerprint}".encode())
    return data_folder() / "cards" / f"{plain_name(model.name)}-{known:08x}.card.json"


def scores_of(trials: Trials) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Compute the (n, P) scores of regions, as a recording's would be.

    Parameters
    ----------
    trials : n, with draws or with scores alone.
    """
    if not trials.n_draws:
        return trials.scores.astype(float)
    return region_scores(trials.energy, template_parcellation(4))


def split_of(trials: Trials) -> ConformalSplit:
    """Collect the cases behind sets.

    Parameters
    ----------
    trials : that nothing else was chosen on.
    """
    drawn = trials.n_draws > 0
    return ConformalSplit.of(
        scores_of(trials),
        trials.active,
        trials.peak_region,
        trials.stratum("channels"),
        trials.stratum("data_snr_db"),
        nothing=trials.sign("nothing") if drawn else None,
        mode_error_mm=1e3 * trials.mode_error if drawn else None,
        mask=trials.mask_scores if drawn else None,
    )


def check_sets(split: ConformalSplit, trials: Trials) -> tuple[SetCheck, ...]:
    """Check sets of every guarantee on trials that the split knows nothing of.

    Parameters
    ----------
    split : cases behind the sets. trials : other ones.
    """
    trials = trials[np.flatnonzero(trials.loud)]
    scores = scores_of(trials)
    cells = cell_of(trials.stratum("channels"), trials.stratum("data_snr_db"))
    guarantees: tuple[Guarantee, ...] = ("every", "recall", "peak")
    return tuple(
        _check(split, guarantee, level, scores, trials, cells)
        for guarantee in guarantees
        for level in SET_LEVELS
    )


def _check(
    split: ConformalSplit,
    guarantee: Guarantee,
    level: float,
    scores: np.ndarray[Any, Any],
    trials: Trials,
    cells: np.ndarray[Any, Any],
) -> SetCheck:
    rule = split.rule(level, guarantee)
    held, area, whole = _held(rule.inside(scores), trials, guarantee)
    channels, power = trials.stratum("channels"), trials.stratum("data_snr_db")
    own = split.served(scores, channels, power, level, guarantee)
    own_held, own_area, _ = _held(own, trials, guarantee)
    parts = [cells == cell for cell in range(len(CELLS))]
    by_cell = [(_mean(own_held[p]), _mean(own_area[p]), int(p.sum())) for p in parts]
    return SetCheck(
        guarantee=guarantee,
        level=level,
        held=_mean(held),
        area=_mean(area),
        whole=_mean(whole),
        n=len(trials),
        n_conformal=rule.n,
        p_value=None if guarantee == "recall" else _p_value(held, rule.n, level),
        served=_mean(own_held),
        served_area=_mean(own_area),
        by_cell=tuple(by_cell),
    )


def _held(
    inside: np.ndarray[Any, Any], trials: Trials, guarantee: Guarantee
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(n,) each: how much of what it must hold a set holds, its share of cortex, is it all."""
    active = trials.active
    if guarantee == "peak":
        held = inside[np.arange(len(trials)), trials.peak_region].astype(float)
    elif guarantee == "every":
        held = np.asarray((inside | ~active).all(axis=1), float)
    else:
        held = (inside & active).sum(axis=1) / active.sum(axis=1)
    return held, inside @ template_parcellation(4).shares, inside.all(axis=1).astype(float)


def _p_value(held: np.ndarray[Any, Any], n_conformal: int, level: float) -> float:
    """Of a split's coverage: beta-binomial, for thresholds that do not tie."""
    from scipy import stats

    k = conformal_rank(n_conformal, level)
    if k > n_conformal:
        return 1.0
    law = stats.betabinom(len(held), k, n_conformal + 1 - k)
    found = int(held.sum())
    return float(f"{min(1.0, 2 * min(law.cdf(found), law.sf(found - 1))):.3g}")


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(f"{values.mean():.4g}") if len(values) else 0.0
