"""Doubts about a result that its own numbers raise, in words and as a list of checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesesi.conformal import FALSE_ALARM
from bayesesi.explain.perturbation import MOVED
from bayesesi.report.reading import Reading
from bayesesi.report.words import counted, figures, percent, plain
from bayesesi.trust import standard_verdict

#: An average of this many trials or fewer is called one of few.
FEW_TRIALS = 10
#: What evidence is of, in words; and of which of them each model is.
BELIEFS = {
    "focal": "a few patches of cortex",
    "distributed": "a smooth field over the cortex",
    "nothing": "noise alone",
}
_BELIEF_OF = {"atoms": "focal", "patches": "focal", "gaussian": "distributed"}
#: Errors of a difference of evidence within which it decides nothing.
_UNDECIDED = 2.0
#: Share of the re-runs that change an answer from which it hangs on them.
_MANY = 0.5


def much_left(reading: Reading) -> list[str]:
    """A sentence where the answer leaves more than noise unexplained."""
    if float(reading.about["checks"]["chi2"]) <= chi2_band(reading)[1]:
        return []
    return [
        "The answer does not explain all of the recording: more is left over than noise would "
        "leave, so there may be another source, or another place than this one."
    ]


def evidence_words(reading: Reading) -> str | None:
    """Which description of the recording the data prefer, if they do; None where nobody asked."""
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
    return f"{words[0][:1].upper()}{words[0][1:]} describes the recording best ({odds})"


def other_belief(reading: Reading) -> list[str]:
    """A sentence where the data prefer, or may prefer, another description than the model's."""
    said = evidence_words(reading)
    own = _BELIEF_OF.get(str(reading.about["model"]["name"]))
    if said is None or own is None:
        return []
    share = reading.about["evidence"]["probability"]
    first = max(share, key=lambda name: float(share[name]))
    if first == own and "do not decide" not in said:
        return []
    return [f"{said}; this answer supposes {BELIEFS[own]}."]


def hangs_on(reading: Reading) -> list[str]:
    """A sentence where re-runs change the answer as often as not."""
    found = reading.about.get("sensitivity") or []
    moved = [each for each in found if float(each["largest"]) >= MOVED]
    if len(moved) < _MANY * max(len(found), 1):
        return []
    return [
        f"The answer changes in {len(moved)} of {len(found)} re-runs: see what would change it."
    ]


def few_trials(reading: Reading) -> list[str]:
    """A sentence where little was averaged."""
    n = reading.nave
    if n > FEW_TRIALS:
        return []
    if n <= 1:
        return ["Nothing was averaged: another stretch as short may look different."]
    return [f"This is an average of only {counted(n, 'trial')}: another may look different."]


def chi2_band(reading: Reading) -> tuple[float, float]:
    """What pure noise gives in all but three of a thousand recordings, and at least 0.7 to 1.3."""
    values = reading.group("observed_data")
    n = 100 if values is None else int(np.prod(values["values"].shape))
    reach = max(0.3, 3 * float(np.sqrt(2 / max(n, 1))))
    return max(0.0, 1 - reach), 1 + reach


def chi2_meaning(reading: Reading) -> str:
    """What the power that is left over says."""
    low, high = chi2_band(reading)
    chi2 = float(reading.about["checks"]["chi2"])
    if chi2 > high:
        return (
            "more is left over than noise explains: something in the recording (a further source, "
            "an artifact, another head) is not in the answer"
        )
    if chi2 < low:
        return (
            "less is left over than noise should leave: the noise was taken for larger than it is, "
            "or noise was explained as if it were signal"
        )
    return "what is left over looks like noise"


def is_wide(share: float) -> bool:
    """Whether a set of this share of the cortex is too large to say where."""
    return share > standard_verdict().widest_set


def checks(reading: Reading) -> list[dict[str, Any]]:
    """Every check, its number, and whether it raised a doubt."""
    found, head, asked = reading.about["checks"], reading.about["head"], standard_verdict()
    low, high = chi2_band(reading)
    rows = [
        _check(
            "Something is there",
            reading.null_at_even_odds < asked.null_caution,
            "probability that nothing is active, after even odds: "
            f"{percent(reading.null_at_even_odds)}",
        ),
        _check(
            "What is left over looks like noise",
            low <= found["chi2"] <= high,
            f"left over per number: {figures(found['chi2'], 3)}, expected {low:.1f} to {high:.1f}",
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
            "Doubt about the head is in the numbers",
            (head["heads_drawn"] or 0) > 1,
            counted(max(int(head["heads_drawn"] or 0), 1), "head"),
        ),
        _check("The unit of the recording is known", reading.scale_known, ""),
        _check(
            "Sampling chains agree",
            found["r_hat"] <= asked.most_r_hat,
            f"largest R-hat {found['r_hat']:.2f}, wanted up to {asked.most_r_hat}",
        ),
        _check(
            "The network met recordings like this one",
            not found["outside"],
            ", ".join(found["outside"]),
        ),
        _check(
            "Enough draws weigh something",
            found["sample_efficiency"] >= asked.least_efficiency,
            f"sample efficiency {percent(found['sample_efficiency'])}, "
            f"wanted {percent(asked.least_efficiency)} or more",
        ),
    ]
    if reading.has_regions:
        share = reading.best_set.share
        wide = f"{percent(share)} of the cortex, wanted {percent(asked.widest_set)} or less"
        rows.append(_check("The set of regions is small", share <= asked.widest_set, wide))
    rows.append(_calibrated(reading))
    null_p = reading.about["calibration"].get("null_p")
    if null_p is not None:
        said = f"{percent(float(null_p))} of simulated noise looks as much like an event"
        rows.append(_check("Noise would rarely look like this", null_p <= FALSE_ALARM, said))
    return rows


def _calibrated(reading: Reading) -> dict[str, Any]:
    """Whether the model was measured, and on recordings like this one."""
    found, asked = reading.about["calibration"], standard_verdict()
    if found.get("why_not"):
        return _check("The answer's sureness was measured", False, str(found["why_not"]))
    unusual = float(found["unusual"])
    return _check(
        "Recordings like this one were simulated",
        unusual >= asked.unusual_caution,
        f"{percent(unusual)} of the simulated ones are at least as unusual, wanted "
        f"{percent(asked.unusual_caution)} or more",
    )


def _check(name: str, passed: bool, value: str) -> dict[str, Any]:
    return {"name": name, "passed": bool(passed), "value": plain(value, 200)}
