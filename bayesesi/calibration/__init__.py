"""Calibration: diagnosis by simulated truths, repair, and the cards that keep both."""

from typing import TYPE_CHECKING

from bayesesi.calibration.reliability import Interval, Reliability, reliability
from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.calibration.calibration import calibrate, card_place, mixture_of
    from bayesesi.calibration.card import (
        CalibrationCard,
        SetCheck,
        card_of,
        check_sets,
        read_card,
        scores_of,
        split_of,
    )
    from bayesesi.calibration.diagnosis import Diagnosis, diagnose, make_repair
    from bayesesi.calibration.mixture import Mixture
    from bayesesi.calibration.ranks import (
        FALSE_ALARM,
        LEVELS,
        CoverageCurve,
        Uniformity,
        central_mass,
        coverage,
        coverage_deviation,
        highest_density_mass,
        randomised_ranks,
        uniformity,
    )
    from bayesesi.calibration.recording_card import RecordingCard, calibrate_recording
    from bayesesi.calibration.repair import Repair
    from bayesesi.calibration.trial_runner import run_trials
    from bayesesi.calibration.trial_scoring import Solver, scored, trial_of
    from bayesesi.calibration.trials import Trials
    from bayesesi.calibration.verdicts import TrustCard, trust_card
    from bayesesi.posterior.draws import SCORE_DRAWS
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "FALSE_ALARM",
    "LEVELS",
    "SCORE_DRAWS",
    "CalibrationCard",
    "CoverageCurve",
    "Diagnosis",
    "Interval",
    "Mixture",
    "RecordingCard",
    "Reliability",
    "Repair",
    "SetCheck",
    "Solver",
    "Trials",
    "TrustCard",
    "Uniformity",
    "calibrate",
    "calibrate_recording",
    "card_of",
    "card_place",
    "central_mass",
    "check_sets",
    "coverage",
    "coverage_deviation",
    "diagnose",
    "highest_density_mass",
    "make_repair",
    "mixture_of",
    "randomised_ranks",
    "read_card",
    "reliability",
    "run_trials",
    "scored",
    "scores_of",
    "split_of",
    "trial_of",
    "trust_card",
    "uniformity",
]
