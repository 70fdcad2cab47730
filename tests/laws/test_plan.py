"""What a montage can see: the exact posterior on the grid, and laws any montage obeys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal, spearmanr
from typer.testing import CliRunner

from bayesesi.anatomy import template_source_space
from bayesesi.cli import app
from bayesesi.errors import InputError
from bayesesi.montage_design import _MOMENTS, Plan, _Scan, plan, plans


@pytest.fixture(scope="module")
def found() -> list[Plan]:
    return plans(["eeg19", "eeg64"])


def test_likelihoods_are_those_of_the_covariance_written_out() -> None:
    """Against scipy's, of 3 places, 5 heads and 6 sensors."""
    rng = np.random.default_rng(0)
    views, v = rng.standard_normal((5, 3, 6)), rng.standard_normal((4, 6))
    scan = _Scan.of(views.astype(np.float32), 0.7, np.ones(3))
    log = scan.log_likelihood(v.astype(np.float32))
    by_hand = np.empty((3, 4))
    for place in range(3):
        looks = views[:, place].T / np.sqrt(5)
        each = [
            multivariate_normal(np.zeros(6), np.eye(6) + (0.7 * m) ** 2 * looks @ looks.T).logpdf(v)
            for m in _MOMENTS
        ]
        by_hand[place] = np.logaddexp.reduce(each, axis=0)
    assert np.allclose(log - log[0], by_hand - by_hand[0], atol=1e-3)


def test_sets_hold_what_they_say(found: list[Plan]) -> None:
    """4 x 1,284 draws: .90 is held to within .03 from below; heads are counted, noise is known."""
    for each in found:
        held = float(each.held @ each.space.areas / each.space.areas.sum())
        assert 0.87 < held < 0.98


def test_a_head_that_moves_and_is_taken_for_known_is_missed_more() -> None:
    """The twin: sets that do not count the head hold less than they say."""
    space = template_source_space(3)
    counted = plan("eeg64", moment_nAm=200.0)
    known = plan("eeg64", moment_nAm=200.0, head="template-exact")
    assert known.error_mm.mean() < counted.error_mm.mean()
    assert known.set_cm2.mean() < counted.set_cm2.mean()
    assert len(known.error_mm) == space.n_sources


def test_more_electrodes_and_less_noise_see_more(found: list[Plan]) -> None:
    few, many = found
    assert many.error_mm.mean() < few.error_mm.mean()
    assert many.seen > few.seen
    quiet = plan("eeg19", noise_uV=0.3)
    assert quiet.error_mm.mean() < few.error_mm.mean()
    assert np.allclose(quiet.snr_db - few.snr_db, 20 * np.log10(1.5 / 0.3), atol=1e-3)


def test_what_is_faint_at_the_scalp_is_placed_worse(found: list[Plan]) -> None:
    """Spearman's over 1,284 places; .1 were significant."""
    for each in found:
        assert spearmanr(each.snr_db, each.error_mm).statistic < -0.4


def test_the_same_seed_gives_the_same_plan(found: list[Plan]) -> None:
    assert np.array_equal(plan("eeg19").error_mm, found[0].error_mm)


def test_a_table_has_a_row_a_region(found: list[Plan]) -> None:
    table = found[1].table().set_index("region")
    assert len(table) == 68
    assert table.error_mm["entorhinal-lh"] > table.error_mm["superiorparietal-lh"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"moment_nAm": 0}, "moment_nAm is a number from 0.1"),
        ({"noise_uV": -1}, "noise_uV is a number"),
        ({"head": "focal"}, "head is a prior of heads"),
        ({"level": 1.5}, "level is a number"),
    ],
)
def test_numbers_that_make_no_sense_are_one_sentence(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan("eeg19", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="montage is one or more of"):
        plans(["eeg7"])


def test_the_command_draws_and_tells(tmp_path: Path) -> None:
    out = tmp_path / "plan.png"
    run = CliRunner().invoke(app, ["plan", "-m", "eeg19", "-m", "eeg32", "-o", str(out)])
    assert run.exit_code == 0, run.output
    assert out.is_file()
    assert len(out.with_suffix(".csv").read_text().splitlines()) == 1 + 2 * 68
    assert "eeg19 to eeg32" in run.output
