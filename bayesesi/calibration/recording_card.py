"""A calibration card of one recording: cases with its cap, noise, window and power, solved anew.

A card of a model averages over caps, noises and powers; its sets hold on average over all of them,
and in each of them more or less. Here all cases are as the recording at hand shows them (see
``simulator.recording_cases``), so that what is guaranteed is a mean over events and heads alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayesesi.anatomy import template_parcellation
from bayesesi.calibration.calibration import mixture_of
from bayesesi.calibration.card import card_of, scores_of, split_of
from bayesesi.calibration.mixture import Mixture, SimulatorCases
from bayesesi.calibration.repair import (
    MomentRepair,
    ProbabilityRepair,
    drawn_active,
    likeliest_moment,
)
from bayesesi.calibration.trial_runner import is_repeatable, run_trials, solver_name
from bayesesi.calibration.trial_scoring import Solver
from bayesesi.calibration.trials import Trials
from bayesesi.conformal import Cell, ConformalSplit, conformalize
from bayesesi.errors import InputError, some
from bayesesi.io.folders import run_folder
from bayesesi.model import Model, load_model
from bayesesi.observation import Observation
from bayesesi.simulator.recording_cases import RecordingCases
from bayesesi.spec import SimulatorSpec
from bayesesi.spec.base import Table
from bayesesi.trust import Verdict, VerdictInputs, assess, at_even_odds

#: Events that may be asked for; share of all cases that are of noise alone.
RECORDING_CASES, _OF_NOISE = (50, 100_000), 0.25
#: Prior of the true head behind sets: in another person's they hold .83, and not .70, of .90.
HEADS = "template-people"
#: Events that are given a map below which all stand behind the sets.
_LEAST_SHOWN = 40
#: Parts of a card's own check, and the level that it is made at.
_PARTS, _LEVEL = 5, 0.9


class OwnCheck(Table):
    """Hold how sets of a card of a recording do on its own cases, each part by the others.

    Attributes
    ----------
    level : 0 to 1. held : share of sets that held every active region. area : mean share of the
        cortex. n : number of cases.
    """

    level: float
    held: float
    area: float
    n: int


class RecordingCard(Table):
    """Hold what sets of one recording rest on.

    Attributes
    ----------
    model, fingerprint : whose. key : hash of cap, noise, window, power band and priors.
    version, created : of bayesesi, and the day. simulators : what cases are.
    sources, heads : names of the priors. power_db : ends of the band of powers, dB.
    split : cases behind sets, of events those that a result is given for. shown : share of events
        that are. probability : repair of "this region is active". region_moment : of its moment.
        Both are None of a solver that gives scores alone. check : see ``OwnCheck``.
    """

    model: str = Field(max_length=80)
    fingerprint: str = Field("", max_length=80)
    key: str = Field(max_length=80)
    version: str = Field(max_length=40)
    created: str = Field(max_length=40)
    simulators: tuple[dict[str, Any], ...]
    sources: tuple[str, ...]
    heads: str
    power_db: tuple[float, float]
    shown: float
    split: ConformalSplit
    probability: ProbabilityRepair | None = None
    region_moment: MomentRepair | None = None
    check: OwnCheck

    def __repr__(self) -> str:
        return (
            f"<RecordingCard | {self.model}, {len(self.split)} events and "
            f"{len(self.split.nothing)} of noise, as one recording shows them>"
        )

    __str__ = __repr__

    @property
    def population(self) -> str:
        """Say what cases are, for a reader."""
        return (
            f"simulated events of the prior {' or '.join(map(repr, self.sources))} in heads of the "
            f"prior {self.heads!r}, with this recording's cap, noise, window and power, for which "
            "a map is given"
        )

    @property
    def cell(self) -> Cell:
        """All cases: each is as the recording."""
        return Cell(
            "with the cap, noise, window and power of this recording", np.arange(len(self.split))
        )

    def speaks_of(self, model: Model, obs: Observation) -> bool:
        """Tell whether the card was made of these weights and of such a recording.

        Parameters
        ----------
        model : whose name and fingerprint are compared. obs : whose key is.
        """
        own = (self.model, self.fingerprint) == (model.name[:80], model.fingerprint)
        return own and self.key == _key(_sources(model, obs), obs, self.heads)

    def summary(self) -> dict[str, str]:
        """List the findings by name."""
        check, low = self.check, max(self.power_db[0], 0.0)
        return {
            "cases": f"{len(self.split)} with and {len(self.split.nothing)} without an event, of "
            "this recording's cap, noise and window",
            "given a map": f"{self.shown:.0%} of events",
            "events": f"of the prior {' or '.join(self.sources)}, in heads of {self.heads}",
            "power of the whitened data": f"{low:g} to {self.power_db[1]:g} dB",
            f"{check.level:.0%} sets": f"coverage {check.held:.3f}, area {check.area:.1%} of the "
            f"cortex, {check.n} cases, each part by the others",
        }


def calibrate_recording(
    model: Model | Solver | str | Path,
    like: Observation,
    n: int = 300,
    seed: int = 1,
    *,
    heads: str = HEADS,
    folder: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> RecordingCard:
    """Calibrate a model for one recording: its cap, noise, window and power.

    Parameters
    ----------
    model : or its name, or a file of weights, or any function, see ``calibrate``.
    like : the recording, on the template's cortex, with a head that can be redrawn.
    n : events behind the sets, 50 or more; a third as many cases of noise are behind the null
        test.
    seed : of the cases.
    heads : name of the prior of the true head; by default that of people, whose cortices have folds
        of their own. ``""`` is that around the template's, whose sets are smaller and miss more in
        a real person's head.
    folder : where trials are kept, one in the user's cache folder by default: they serve again for
        the same cap, noise, window and band of powers.
    workers, scheduler : see ``parallel.run_jobs``; several processes need a model by its name.
    progress : show bars, and print ``folder``.

    Raises
    ------
    InputError : too few cases, sensors that are not EEG, a forward of your own.
    """
    low, high = RECORDING_CASES
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not low <= n <= high:
        raise InputError(f"a recording is calibrated on {low} to {high:,} events, not {some([n])}")
    found: Model | Solver = load_model(model) if isinstance(model, str | Path) else model
    specs = _sources(found, like)
    name, _, fingerprint = solver_name(found).partition(" ")
    key = _key(specs, like, heads)
    if folder is None and not is_repeatable(found):
        with TemporaryDirectory() as made:
            return calibrate_recording(
                model, like, n, seed, heads=heads, folder=made, progress=progress
            )
    if folder is None:
        folder = run_folder("calibrate-like", name, f"{fingerprint} {key} {seed}", progress)
    mixture = _mixture(specs, like, heads)
    trials = run_trials(
        str(model) if isinstance(model, str | Path) else found,
        mixture,
        round(n / (1 - _OF_NOISE)),
        seed,
        "conformal",
        folder,
        workers=workers,
        scheduler=scheduler,
        progress=progress,
    )
    drawn = trials.n_draws > 0
    shown = is_shown(found, trials, like.scale_known)
    kept = trials[np.flatnonzero(shown | ~trials.loud)]
    events = trials[np.flatnonzero(shown & trials.loud)]
    from bayesesi import __version__

    return RecordingCard(
        model=name[:80],
        fingerprint=fingerprint,
        key=key,
        version=__version__,
        created=datetime.now(UTC).date().isoformat(),
        simulators=tuple(mixture.said()),
        sources=tuple(dict.fromkeys(spec.source for spec in specs)),
        heads=RecordingCases(like, specs[0], head=heads).heads.spec.name,
        power_db=RecordingCases(like, specs[0]).band,
        shown=float(f"{shown[trials.loud].mean():.4g}"),
        split=split_of(kept),
        probability=_probability(events) if drawn else None,
        region_moment=_moment(events) if drawn else None,
        check=_check(scores_of(events), events.active),
    )


def is_shown(model: Model | Solver, trials: Trials, scale_known: bool = True) -> NDArray[np.bool_]:
    """Tell for which trials a result would be given, (n,): for them alone guarantees are read.

    By the verdict's own rules for abstaining, which no trial is behind. All where too few would be
    left, and of a solver that gives scores alone.

    Parameters
    ----------
    model : whose prior probability of nothing and card are used. trials : of the model.
    scale_known : whether the card applies, which speaks of recordings in volts.
    """
    every = np.ones(len(trials), bool)
    if not trials.n_draws or not isinstance(model, Model):
        return every
    card = card_of(model) if scale_known else None
    unusual = [None] * len(trials) if card is None else card.usual.p_value(trials.signs)
    verdicts = [
        assess(VerdictInputs(at_even_odds(float(null), model.prior_null), unusual=rare)).verdict
        for null, rare in zip(trials.null, unusual, strict=True)
    ]
    shown = np.array([verdict is not Verdict.ABSTAIN for verdict in verdicts])
    return shown if (shown & trials.loud).sum() >= _LEAST_SHOWN else every


def _sources(model: Model | Solver, obs: Observation) -> tuple[SimulatorSpec, ...]:
    """Specs whose events a recording may show: those of moments for a moment, else of windows."""
    every = [each.spec for each in mixture_of(model).simulators if isinstance(each, SimulatorCases)]
    moment = len(obs.time_basis.times) == 1
    fit = [spec for spec in every if (spec.time_course.family == "frame") == moment] or every
    # caps, heads and noise are the recording's: specs that differ in nothing else are one
    return tuple(
        {(s.source, s.time_course.family, str(s.snr_db)): s for s in reversed(fit)}.values()
    )


def _mixture(specs: Sequence[SimulatorSpec], obs: Observation, heads: str) -> Mixture:
    """Events of each spec alike, and noise."""
    events = tuple(RecordingCases(obs, spec, head=heads) for spec in specs)
    shares = (*((1 - _OF_NOISE) / len(specs),) * len(specs), _OF_NOISE)
    return Mixture((*events, RecordingCases(obs, specs[0], events=False, head=heads)), shares)


def _key(specs: Sequence[SimulatorSpec], obs: Observation, heads: str) -> str:
    return "+".join(RecordingCases(obs, spec, head=heads).key for spec in specs)[:80]


def _probability(events: Trials) -> ProbabilityRepair:
    return ProbabilityRepair.of(drawn_active(events).mean(axis=1), events.active)


def _moment(events: Trials) -> MomentRepair | None:
    truth, draws = likeliest_moment(events, drawn_active(events))
    try:
        return MomentRepair.of(truth, draws)
    except InputError:  # the likeliest region is hardly ever the right one
        return None


def _check(scores: NDArray[np.float64], active: NDArray[np.bool_]) -> OwnCheck:
    """Sets of each part by the other parts."""
    part, shares = np.arange(len(scores)) % _PARTS, template_parcellation(4).shares
    held, area = [], []
    for k in range(_PARTS):
        rule = conformalize(scores[part != k], active[part != k], _LEVEL, "every")
        inside = rule.inside(scores[part == k])
        held.append((inside | ~active[part == k]).all(axis=1))
        area.append(inside @ shares)
    return OwnCheck(
        level=_LEVEL,
        held=float(f"{np.concatenate(held).mean():.4g}"),
        area=float(f"{np.concatenate(area).mean():.4g}"),
        n=len(scores),
    )
