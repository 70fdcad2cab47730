"""What is usual, what is odd, and what a verdict makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from bayesesi import infer, load_model, read_simulator
from bayesesi.model import LearnedModel, dropout_ensemble
from bayesesi.spec import VerdictSpec
from bayesesi.trust import ReasonCode, Verdict, VerdictInputs, assess, standard_verdict
from bayesesi.trust.ood import OODDetector
from bayesesi.trust.ood_features import OOD_FEATURES


def signs(n: int, seed: int) -> np.ndarray:
    """Two kinds of recording, and signs that hang together."""
    rng = np.random.default_rng(seed)
    turn = np.random.default_rng(0).standard_normal((len(OOD_FEATURES), len(OOD_FEATURES)))
    kind = rng.integers(0, 2, (n, 1))
    return np.asarray(3.0 * kind + rng.standard_normal((n, len(OOD_FEATURES))) @ turn)


@pytest.fixture(scope="module")
def usual() -> OODDetector:
    return OODDetector.of(signs(1200, 1), signs(1200, 2))


def test_the_share_as_unusual_is_what_it_says(usual: OODDetector) -> None:
    """At most a share alpha of recordings like those simulated has alpha or less: 3,000 others, 4
    standard errors of both samples."""
    found = usual.p_value(signs(3000, 3))
    for alpha in (0.01, 0.05, 0.2):
        error = np.sqrt(alpha * (1 - alpha) * (1 / 3000 + 1 / 1200))
        assert (found <= alpha).mean() < alpha + 4 * error
    assert (found <= 0.2).mean() > 0.05  # twice the lesser of two: careful, not blind


def test_what_is_unlike_is_noticed(usual: OODDetector) -> None:
    """Signs that each are usual and together are not; the twin draws them as they belong."""
    rng = np.random.default_rng(4)
    mixed = signs(2000, 5)
    mixed = np.stack([rng.permutation(column) for column in mixed.T], axis=1)
    assert (usual.p_value(mixed) < 0.05).mean() > 0.8
    assert (usual.p_value(signs(500, 6)) < 0.05).mean() < 0.1
    artifact = signs(1, 7)
    artifact[0, OOD_FEATURES.index("artifact")] += 100.0
    assert usual.p_value(artifact)[0] < 0.005
    assert any("eyes" in words for words in usual.odd(artifact[0]))


def test_the_law_survives_a_file(usual: OODDetector) -> None:
    again = OODDetector.model_validate_json(usual.model_dump_json())
    some = signs(20, 8)
    assert np.array_equal(again.p_value(some), usual.p_value(some))
    with pytest.raises(ValidationError, match="one number per name"):
        OODDetector.model_validate({**usual.model_dump(), "centre": (0.0,)})


@pytest.mark.parametrize(
    ("change", "verdict", "code"),
    [
        ({}, "reliable", None),
        ({"unusual": 0.5}, "reliable", None),
        ({"unusual": 0.03}, "caution", ReasonCode.UNUSUAL),
        ({"unusual": 0.001}, "abstain", ReasonCode.UNUSUAL),
        ({"set_share": 0.5}, "caution", ReasonCode.WIDE_SET),
        ({"channels": 10}, "caution", ReasonCode.FEW_CHANNELS),
        ({"eeg": False}, "caution", ReasonCode.NOT_EEG),
        ({"not_calibrated": "no card"}, "caution", ReasonCode.NOT_CALIBRATED),
        ({"most_sources": 0.4}, "reliable", None),
        ({"most_sources": 0.9}, "caution", ReasonCode.MOST_SOURCES),
        ({"assumed_noise": True}, "caution", ReasonCode.ASSUMED_NOISE),
        ({"null": 0.5}, "abstain", ReasonCode.NOTHING_THERE),
        ({"null": 0.1}, "caution", ReasonCode.NOTHING_THERE),
    ],
)
def test_each_doubt_has_its_reason(
    change: dict[str, object], verdict: str, code: ReasonCode | None
) -> None:
    trust = assess(replace(VerdictInputs(0.001, channels=64, set_share=0.05), **change))  # type: ignore[arg-type]
    assert trust.verdict == verdict
    assert [r.code for r in trust.reasons] == ([] if code is None else [code])


def test_the_odd_signs_are_said() -> None:
    odd = ("channel values disagree with predictions from neighbouring channels",)
    trust = assess(VerdictInputs(0.0, unusual=1e-4, odd=odd))
    assert trust.verdict is Verdict.ABSTAIN
    assert "(p < 0.001): channel values disagree" in trust.reasons[0].sentence


def test_thresholds_are_a_spec() -> None:
    spec = standard_verdict()
    careful = spec.model_copy(update={"unusual_caution": 0.9})
    assert assess(VerdictInputs(0.0, unusual=0.5), careful).verdict == "caution"
    with pytest.raises(ValidationError, match="must not lie above"):
        VerdictSpec.model_validate({**spec.resolved(), "null_caution": 0.9})


def test_a_result_without_calibration_is_at_most_caution() -> None:
    """Every model that has no card for a loud recording; atoms, which has one, is reliable."""
    obs = read_simulator("frame-any-cap", group_size=1).simulate(8, 5, "validate").observation(4)
    atoms = load_model("atoms")
    assert isinstance(atoms, LearnedModel)
    assert infer(obs, atoms, draws=50).trust.verdict is Verdict.RELIABLE
    without = replace(atoms, recipe=atoms.recipe.model_copy(update={"name": "another"}))
    for model in (dropout_ensemble(atoms, n=2), without):
        trust = infer(obs, model, draws=50).trust
        assert trust.verdict is Verdict.CAUTION
        assert ReasonCode.NOT_CALIBRATED in {reason.code for reason in trust.reasons}
