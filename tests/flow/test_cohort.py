"""Many recordings: one row each whatever they hold, resumed to the same tables."""

from __future__ import annotations

import csv
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesesi.anatomy import template_parcellation, template_source_space
from bayesesi.cli import app
from bayesesi.cohort import Cohort, read_entries, run_cohort
from bayesesi.cohort.patients import agreement, resampled
from bayesesi.errors import InputError
from bayesesi.forward import template_forward
from tests.flow.test_report import Page

N = 5


def write_recording(path: Path, region: str, seed: int) -> None:
    """32 channels over 60 ms, 60 ms before of noise alone, a source in the middle of a region."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 500.0, "eeg").set_montage(montage)
    forward = template_forward(info)
    own = template_parcellation(4).sources_of(region)
    places = template_source_space(4).positions[own]
    source = own[np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()]
    volts = 1e-6 * np.random.default_rng(seed).standard_normal((32, 60))
    volts[:, 30:] += np.outer(forward.leadfield[:, source], 80e-9 * np.hanning(30))
    evoked = mne.EvokedArray(volts, info, tmin=-0.06, nave=40, comment="x", verbose="error")
    mne.write_evokeds(path, evoked, verbose="error")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of two patients, a broken file, and one that is not there."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for k in range(N):
        region = "postcentral-lh" if k < 3 else "superiorparietal-rh"
        write_recording(folder / f"r{k}-ave.fif", region, k)
        rows.append(
            {
                "file": f"r{k}-ave.fif",
                "recording": f"spike {k} <b>",
                "patient": "A" if k < 3 else "B",
                "noise_cov": "adhoc",
                "tmin": "0",
                "target": "postcentral-lh,precentral-lh",
                "outcome": "I" if k < 3 else "IV",
            }
        )
    (folder / "broken-ave.fif").write_bytes(b"\0" * 100)
    for name in ("broken-ave.fif", "nowhere-ave.fif"):
        rows.append({**rows[0], "file": name, "recording": name})
    with (folder / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def cohort(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return run_cohort(read_entries(table), tmp_path_factory.mktemp("out"), "gaussian", draws=60)


def test_every_recording_is_a_row_and_failures_say_why(cohort: Cohort) -> None:
    rows = cohort.recordings
    assert len(rows) == N + 2
    assert (rows["status"][:N] == "done").all()
    assert (rows["status"][N:] == "failed").all()
    assert rows["reason"][N:].str.len().gt(10).all()
    assert not rows["reason"].str.contains("Traceback").any()
    assert (rows["first_region"][:3] != "").all()
    assert rows["target_inside"][:3].notna().all()
    with pytest.raises(InputError, match="no recording"):
        cohort.result("broken-ave.fif")
    assert cohort.result("spike 0 <b>").has_regions


def test_a_run_that_was_stopped_ends_with_the_same_tables(
    cohort: Cohort, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle, with a row half written; and nothing is done twice."""
    from bayesesi.cohort import run

    entries = read_entries(table)
    run_cohort(entries[:2], tmp_path, "gaussian", draws=60)
    (next(tmp_path.glob("recordings/*/row.json"))).write_text('{"job": ')
    again = run_cohort(entries, tmp_path, "gaussian", draws=60)
    pd.testing.assert_frame_equal(again.recordings, cohort.recordings)
    pd.testing.assert_frame_equal(again.patients, cohort.patients)
    for name in run.WRITTEN:
        assert (tmp_path / name).read_bytes() == (cohort.folder / name).read_bytes()
    monkeypatch.setattr(run, "_localise", lambda *_: pytest.fail("done already"))
    run_cohort(entries, tmp_path, "gaussian", draws=60)


def test_patients_are_pooled(cohort: Cohort) -> None:
    patients = cohort.patients.set_index("patient")
    assert list(patients["recordings"]) == [3, 2]
    rows = [cohort.result(f"spike {k} <b>").inference_data["regions"] for k in range(3)]
    pooled = np.mean([row["probability"].values for row in rows], axis=0)
    assert patients.probability["A"] == pytest.approx(pooled.max())
    assert patients.low["A"] <= patients.probability["A"] <= patients.high["A"]
    assert 0 <= patients.agreement["A"] <= 1


def test_recordings_drawn_again_have_the_law_of_a_mean() -> None:
    """Mean and variance of 2,000 resampled means of 6 numbers: v / n, within 10 %."""
    p = np.random.default_rng(0).uniform(size=(6, 4))
    again = resampled(p)
    assert np.allclose(again.mean(axis=0), p.mean(axis=0), atol=0.02)
    assert np.allclose(again.var(axis=0), p.var(axis=0) / 6, rtol=0.15)


def test_agreement_of_sets_by_hand() -> None:
    inside = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
    areas = np.array([1.0, 2.0, 3.0, 4.0])
    assert agreement(inside, areas) == pytest.approx((2 / 6 + 0 + 0) / 3)
    assert agreement(inside[:1], areas) is None


def test_the_page_tells_failures_and_surgery(cohort: Cohort) -> None:
    page = Page((cohort.folder / "cohort.html").read_text(encoding="utf-8"))
    assert page.has_section("failed")
    assert page.has_section("outcomes")
    assert "spike 0 <b>" in page.words
    assert not {"b", "script", "img"} & {tag for tag, _ in page.elements}


def test_folders_are_read_as_bids_has_them(tmp_path: Path) -> None:
    own = tmp_path / "sub-07" / "eeg"
    own.mkdir(parents=True)
    for name in ("sub-07_task-x_ave.fif", "sub-07_cov.fif", "notes.txt"):
        (own / name).write_bytes(b"")
    entries = read_entries(tmp_path)
    assert [(e.patient, Path(e.file).name) for e in entries] == [
        ("sub-07", "sub-07_task-x_ave.fif")
    ]
    assert entries[0].noise_cov == "baseline"
    (own / "sub-07_task-x_cov.fif").write_bytes(b"")
    assert read_entries(tmp_path)[0].noise_cov.endswith("sub-07_task-x_cov.fif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no recording in it"):
        read_entries(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recording\nx\n", "has no column 'file'"),
        ("file,magic\nx,1\n", "has the column 'magic'"),
        ("file\n", "has 0 recordings"),
        ("file,tmin\nx,soon\n", "line 2: tmin is a number in s, not 'soon'"),
        ("file,subtract_baseline\nx,maybe\n", "yes or no, not 'maybe'"),
        ("file\nx,y\n", "no more than the header"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_entries(tmp_path / "t.csv")


def test_names_of_folders_hold_nothing_from_outside(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,recording\n../../x-ave.fif,../../../etc/passwd\n")
    assert read_entries(tmp_path / "t.csv")[0].folder.startswith("etc-passwd-")


def test_the_command_makes_tables(table: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,noise_cov\nnowhere-ave.fif,adhoc\n")
    run = CliRunner().invoke(app, ["cohort", str(tmp_path / "t.csv"), "-o", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "out" / "recordings.csv").is_file()
    run = CliRunner().invoke(app, ["cohort", str(tmp_path / "no.csv"), "-o", str(tmp_path / "o")])
    assert run.exit_code == 2
    assert "neither a folder nor a table" in run.stderr


def test_trials_drawn_again_say_how_firm_a_first_region_is(tmp_path: Path) -> None:
    """12 trials with the same source in each leave it first; half of them with another do not;
    an average has no trials to draw."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 500.0, "eeg").set_montage(montage)
    leadfield = template_forward(info).leadfield
    own = [template_parcellation(4).sources_of(r)[20] for r in ("postcentral-lh", "cuneus-rh")]
    noise = 1e-6 * np.random.default_rng(0).standard_normal((12, 32, 40))
    for name, second in (("one", own[0]), ("two", own[1])):
        volts = noise.copy()
        for k in range(12):
            source = second if k % 2 else own[0]
            volts[k] += np.outer(leadfield[:, source], 100e-9 * np.hanning(40))
        epochs = mne.EpochsArray(volts, info, verbose="error")
        epochs.save(tmp_path / f"{name}-epo.fif", verbose="error")
    write_recording(tmp_path / "average-ave.fif", "postcentral-lh", 0)
    rows = "".join(f"{name},adhoc\n" for name in ("one-epo.fif", "two-epo.fif", "average-ave.fif"))
    (tmp_path / "x.csv").write_text(f"file,noise_cov\n{rows}")
    args = [str(tmp_path / "x.csv"), "-o", str(tmp_path / "out"), "--model", "gaussian"]
    run = CliRunner().invoke(app, ["cohort", *args, "--draws", "60", "--bootstrap", "8"])
    assert run.exit_code == 0, run.output
    table = pd.read_csv(tmp_path / "out" / "recordings.csv").set_index("recording")
    assert list(table["trials_times"].fillna(0)) == [8, 8, 0]
    assert table.trials_first["one-epo.fif"] == 1
    assert table.trials_first["two-epo.fif"] < 1
    assert "stability over trials" in (tmp_path / "out" / "cohort.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="bootstrap must be 0 to"):
        run_cohort(read_entries(tmp_path / "x.csv"), tmp_path / "out", bootstrap=-1)
