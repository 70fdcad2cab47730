"""Doubts that the numbers of a result raise, in words and as a list of checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesesi.conformal import FALSE_ALARM
from bayesesi.explain.perturbation import MOVED
from bayesesi.report.reading import Reading
from bayesesi.report.words import counted, figures, percent, plain
from bayesesi.spec import ModelFamily, model_family
from bayesesi.trust import standard_verdict

#: An average of this many trials or fewer gets a note.
FEW_TRIALS = 10
#: Compared source priors in words; and the prior of each model.
BELIEFS = {
    "focal": "a few patches of cortex",
    "distributed": "a smooth field over the cortex",
    "nothing": "noise only",
}
#: Families of shipped models that results of former versions name by the model.
_FORMER = {"cortex": "diffusion", "parcels": "flow"}
#: Errors of a difference of evidence within which it decides nothing.
_UNDECIDED = 2.0
#: Share of changed re-runs from which a note is shown.
_MANY = 0.5


def much_left(reading: Reading) -> list[str]:
    """Return a sentence if the residual of a ``reading`` is larger than noise."""
    if float(reading.about["checks"]["chi2"]) <= chi2_band(reading)[1]:
        return []
    return [
        "The model does not explain the whole recording: the residual is larger than noise. There "
        "may be a further source, or the source may lie in another place."
    ]


def family_of(reading: Reading) -> ModelFamily:
    """Find the family of the model of a ``reading``.

    Of results of former versions by the model's name.
    """
    model = reading.about["model"]
    family = str(model["details"].get("family"))
    return model_family(_FORMER.get(family, family))


def evidence_words(reading: Reading) -> str | None:
    """Return which source prior describes the recording of a ``reading`` best.

    None if none were compared.
    """
    found = reading.about.get("evidence")
    if not found:
        return None
    (first, p), (second, q), *_ = sorted(found["probability"].items(), key=lambda kv: -float(kv[1]))
    error = float(found.get("error", 0.0))
    apart = float(np.log(max(float(p), 1e-300) / max(float(q), 1e-300)))
    odds = f"log odds {figures(apart)}\u00a0±\u00a0{figures(error)}"
    words = [BELIEFS.get(name, plain(name)) for name in (first, second)]
    if apart < _UNDECIDED * error:
        return f"The data do not decide between {words[0]} and {words[1]} ({odds})"
    return f"The recording is described best by {words[0]} ({odds})"


def other_belief(reading: Reading) -> list[str]:
    """Return a sentence if the data of a ``reading`` may prefer another source prior."""
    sentence = evidence_words(reading)
    own = family_of(reading).belief
    if sentence is None or not own:
        return []
    share = reading.about["evidence"]["probability"]
    first = max(share, key=lambda name: float(share[name]))
    if first == own and "do not decide" not in sentence:
        return []
    return [f"{sentence}; this model assumes {BELIEFS[own]}."]


def depends_on(reading: Reading) -> list[str]:
    """Return a sentence if at least half of the re-runs of a ``reading`` change the result."""
    found = reading.about.get("sensitivity") or []
    moved = [each for each in found if float(each["largest"]) >= MOVED]
    if len(moved) < _MANY * max(len(found), 1):
        return []
    return [
        f"The result changes in {len(moved)} of {len(found)} re-runs; see the sensitivity analysis."
    ]


def few_trials(reading: Reading) -> list[str]:
    """Return a sentence if few trials of a ``reading`` were averaged."""
    n = reading.nave
    if n > FEW_TRIALS:
        return []
    if n <= 1:
        return ["No trials were averaged: another segment of this length may look different."]
    return [
        f"This is an average of only {counted(n, 'trial')}: another average may look different."
    ]


def chi2_band(reading: Reading) -> tuple[float, float]:
    """Return the range for pure noise in all but 3 of 1,000 recordings, at least 0.7 to 1.3.

    Parameters
    ----------
    reading : whose number of values sets the range.
    """
    values = reading.group("observed_data")
    n = 100 if values is None else int(np.prod(values["values"].shape))
    reach = max(0.3, 3 * float(np.sqrt(2 / max(n, 1))))
    return max(0.0, 1 - reach), 1 + reach


def chi2_meaning(reading: Reading) -> str:
    """Return the meaning of the residual power of a ``reading`` in words."""
    low, high = chi2_band(reading)
    chi2 = float(reading.about["checks"]["chi2"])
    if chi2 > high:
        return (
            "The residual is larger than noise: part of the recording (a further source, an "
            "artifact, a wrong head model) is not explained."
        )
    if chi2 < low:
        return (
            "The residual is smaller than noise: the noise was overestimated, or noise was "
            "explained as if it were signal."
        )
    return "The residual looks like noise."


def is_wide(share: float) -> bool:
    """Return whether a set of this ``share`` (0 to 1) of the cortex is too large to localise."""
    return share > standard_verdict().widest_set


def checks(reading: Reading) -> list[dict[str, Any]]:
    """Return every check of a ``reading`` with its number and whether it passed."""
    found, head, asked = reading.about["checks"], reading.about["head"], standard_verdict()
    low, high = chi2_band(reading)
    rows = [
        _check(
            "There is a source",
            reading.null_at_even_odds < asked.null_caution,
            "posterior probability of no source, with equal prior odds: "
            f"{percent(reading.null_at_even_odds)}",
        ),
        _check(
            "The residual looks like noise",
            low <= found["chi2"] <= high,
            f"residual χ² per value {figures(found['chi2'], 3)}, expected {low:.1f} to {high:.1f}",
        ),
        _check(
            f"More than {FEW_TRIALS} trials were averaged",
            reading.nave > FEW_TRIALS,
            counted(reading.nave, "trial"),
        ),
        _check(
            "Sensor positions were measured",
            head["electrodes"] == "measured",
            str(head["electrodes"]),
        ),
        _check(
            "Head-model uncertainty is included",
            (head["heads_drawn"] or 0) > 1,
            counted(max(int(head["heads_drawn"] or 0), 1), "head model"),
        ),
        _check("The unit of the recording is known", reading.scale_known, ""),
        _check(
            "The sampling chains agree",
            found["r_hat"] <= asked.most_r_hat,
            f"largest R-hat {found['r_hat']:.2f}, limit {asked.most_r_hat}",
        ),
        _check(
            "The network was trained on recordings like this one",
            not found["outside"],
            ", ".join(found["outside"]),
        ),
        _check(
            "Sampling efficiency is sufficient",
            found["sample_efficiency"] >= asked.least_efficiency,
            f"sampling efficiency {percent(found['sample_efficiency'])}, "
            f"at least {percent(asked.least_efficiency)} required",
        ),
    ]
    if reading.has_regions:
        share = reading.best_set.share
        wide = f"{percent(share)} of the cortex, limit {percent(asked.widest_set)}"
        rows.append(_check("The set of regions is small", share <= asked.widest_set, wide))
    rows.append(_calibrated(reading))
    null_p = reading.about["calibration"].get("null_p")
    if null_p is not None:
        share_of_noise = (
            f"{percent(float(null_p))} of simulated noise recordings look as much like a source"
        )
        rows.append(_check("Noise rarely looks like this", null_p <= FALSE_ALARM, share_of_noise))
    return rows


def _calibrated(reading: Reading) -> dict[str, Any]:
    """Return whether the model was calibrated, and on recordings like this one."""
    found, asked = reading.about["calibration"], standard_verdict()
    if found.get("why_not") and found.get("own"):
        said = f"{int(found['own']['n']):,} cases simulated for it"
        return _check("The model was calibrated for this recording", True, said)
    if found.get("why_not"):
        return _check(
            "The model was calibrated for this kind of recording", False, str(found["why_not"])
        )
    unusual = float(found["unusual"])
    return _check(
        "The recording is like the simulated ones",
        unusual >= asked.unusual_caution,
        f"p = {figures(unusual)}, at least {asked.unusual_caution:g} required",
    )


def _check(name: str, passed: bool, value: str) -> dict[str, Any]:
    return {"name": name, "passed": bool(passed), "value": plain(value, 200)}
