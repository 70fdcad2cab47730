"""Run a recording again with something else assumed or left out, and compare the answers.

That does not test the answer against the truth. An answer that moves when a quarter of the channels
is left out, or when the skull is a little thicker, depends on that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.forward import Conductivities, HeadSetting
from bayesesi.model import Model, load_model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.posterior.draws import SCORE_DRAWS, FieldDraws
from bayesesi.spec import model_family
from bayesesi.trust import at_even_odds

#: Parts that the channels are split into, each left out once; fewest channels that may be left.
_PARTS, _LEAST = 4, 12
#: Other heads: words, skull S/m, thickness over the template's.
_HEADS: tuple[tuple[str, float, float], ...] = (
    ("a skull half as conductive", 0.005, 1.0),
    ("a skull twice as conductive", 0.02, 1.0),
    ("a skull a fifth thicker", 0.01, 1.2),
)
#: A change counts as one where probabilities of regions move by this much or more.
MOVED = 0.2


@dataclass(frozen=True)
class Perturbation:
    """Hold one re-run, beside the answer.

    Attributes
    ----------
    kind : ``"channels"``, ``"trials"``, ``"head"`` or ``"prior"``. words : which re-run.
    top : region that is most probable now, with its ``probability``; ``of_first``: the
        probability now of the region that the answer has first.
    largest : of all regions, largest difference of probabilities; ``region`` is that one, with its
        probability ``before`` and ``after``, each a share of ``SCORE_DRAWS`` draws.
    moved_mm : between the middles of the activity, given that something is active; None where
        nothing is.
    null : probability of nothing, after even odds.
    """

    kind: str
    words: str
    top: str
    probability: float
    of_first: float
    largest: float
    region: str
    before: float
    after: float
    moved_mm: float | None
    null: float

    def to_dict(self) -> dict[str, Any]:
        """List the fields, plain, for a file."""
        return dict(vars(self))


def perturbations(
    obs: Observation,
    model: Model,
    posterior: Posterior,
    seed: int = 0,
    progress: bool = False,
    draws: FieldDraws | None = None,
) -> tuple[Perturbation, ...]:
    """Run the model again with what the recording and the model allow to leave out or change.

    Parameters
    ----------
    obs : on a cortex. model : that answered. posterior : its answer. seed : of all draws.
    progress : show a bar. draws : ``posterior.draws(SCORE_DRAWS, seed)``, drawn if not given.

    Raises
    ------
    InputError : sources that are on no cortex with regions.
    """
    from rich.progress import track

    if obs.source_space.mesh is None:
        raise InputError("the sensitivity analysis needs cortical regions; these sources have none")
    names = posterior.parcellation.names
    base = _looked_at(posterior, draws or posterior.draws(SCORE_DRAWS, seed))
    first = int(base[0].argmax())
    found = []
    for kind, words, again, other in track(
        list(_reruns(obs, model)), "re-running", disable=not progress
    ):
        now = other.posterior(again, seed)
        probability, centre = _looked_at(now, now.draws(SCORE_DRAWS, seed))
        most = int(np.abs(probability - base[0]).argmax())
        moved = float(1e3 * np.linalg.norm(centre - base[1]))
        found.append(
            Perturbation(
                kind,
                words,
                names[int(probability.argmax())],
                float(probability.max()),
                float(probability[first]),
                float(abs(probability[most] - base[0][most])),
                names[most],
                float(base[0][most]),
                float(probability[most]),
                moved if np.isfinite(moved) else None,
                at_even_odds(now.null_probability, other.prior_null),
            )
        )
    return tuple(found)


def _looked_at(
    posterior: Posterior, draws: FieldDraws
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P,) probability of each region, (3,) m median middle of the activity."""
    summary = posterior.sum_up(draws)
    loud = summary.centre[~summary.silent]
    centre = np.median(loud, axis=0) if len(loud) else np.full(3, np.nan)
    return summary.active.mean(axis=0), centre


def _reruns(obs: Observation, model: Model) -> Iterator[tuple[str, str, Observation, Model]]:
    names = np.array(obs.recording.ch_names)
    if len(names) * (1 - 1 / _PARTS) >= _LEAST:
        for k in range(_PARTS):
            # every fourth channel: each part is all over the head
            out = names[k::_PARTS].tolist()
            words = f"without {len(out)} of {len(names)} channels ({k + 1} of {_PARTS})"
            yield "channels", words, obs.without(out), model
    for k, half in enumerate(obs.halves()):
        which = ("first", "second")[k]
        words = f"every second of {obs.recording.nave:.0f} trials, starting with the {which}"
        yield "trials", words, half, model
    if obs.forward.banked is not None:
        for words, skull, thickness in _HEADS:
            setting = HeadSetting(0, Conductivities(skull=skull), thickness)
            yield "head", words, obs.in_head(setting), model
    other = model_family(model.family).alternative
    if other and obs.source_space.ico == 4:
        yield "prior", other[1], obs, load_model(other[0])
