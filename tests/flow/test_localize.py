"""From a file to a folder: `localize` and the demo, and what happens to a run that goes wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from typer.testing import CliRunner

from bayesesi import read_result, template_forward
from bayesesi.cli import app
from bayesesi.demo import run_demo, simulate_patient
from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file, atomic_folder
from bayesesi.observation import peak_window
from bayesesi.report.export import FILES
from bayesesi.result import Result
from tests.flow.small import LEVEL

WINDOW = ("--tmin", 0.0, "--tmax", 0.05)


class Page:
    """In place of a report, which takes seconds to draw."""

    def __init__(self, result: Result) -> None:
        self.html = repr(result)

    def save(self, path: Path) -> Path:
        path.write_text(self.html, encoding="utf-8")
        return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesesi.report.make_report", Page, raising=False)


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.stdout.split()), result.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A simulated patient, and the template's forward on 324 sources as somebody's own."""
    folder = tmp_path_factory.mktemp("patient")
    patient = simulate_patient()
    patient.evoked.save(folder / "spike-ave.fif", verbose="error")
    forward = template_forward(patient.evoked.info, ico=LEVEL).to_mne()
    mne.write_forward_solution(folder / "small-fwd.fif", forward, verbose="error")
    noise = patient.noise
    covariance = mne.Covariance(noise.matrix, list(noise.ch_names), [], [], nfree=100_000)
    covariance.save(folder / "noise-cov.fif", verbose="error")
    names = {"data": "spike-ave.fif", "forward": "small-fwd.fif", "noise": "noise-cov.fif"}
    return {key: folder / name for key, name in names.items()}


def localize(files: dict[str, Path], out: Path, *words: object) -> tuple[int, str, str]:
    common = ("--forward", files["forward"], "--draws", 50, "-o", out)
    return run("localize", files["data"], *common, *words)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("model", ["patches", "gaussian"])
def test_a_folder_with_everything(files: dict[str, Path], tmp_path: Path, model: str) -> None:
    out = tmp_path / "deep" / "out"
    code, said, _ = localize(files, out, *WINDOW, "--model", model)
    assert code == 0
    assert sorted(file.name for file in out.iterdir()) == sorted(FILES)
    assert list(out.parent.iterdir()) == [out]
    assert "90% credible set" in said
    result = read_result(out / "result-post.nc")
    table = json.loads((out / "regions.json").read_text(encoding="utf-8"))
    assert [row["region"] for row in table["regions"]] == list(result.region_table()["region"])
    assert table["credible_set"]["regions"] == list(result.credible_set.regions)
    estimate = mne.read_source_estimate(out / "mean")
    assert np.allclose(estimate.data, result.source_estimate("mean").data)
    if model == "patches":
        assert result.region_table()["lobe"][0] == "temporal"
        assert result.region_table()["side"][0] == "right"


@pytest.mark.usefixtures("quick")
def test_the_network_answers_where_the_template_is_assumed(
    files: dict[str, Path], tmp_path: Path
) -> None:
    """And not for another cortex, which it never saw."""
    out = tmp_path / "out"
    words = ("--noise-cov", files["noise"], *WINDOW, "--no-calibrate")
    code, _, _ = run("localize", files["data"], *words, "-o", out)
    assert code == 0
    result = read_result(out / "result-post.nc")
    assert result.about["model"]["name"] == "atoms"
    assert result.trust.verdict == "reliable"
    assert result.region_table()["lobe"][0] == "temporal"
    assert result.region_table()["side"][0] == "right"
    code, _, said = localize(files, tmp_path / "other", *WINDOW, "--model", "atoms")
    assert code == 2
    assert "was trained on the template's" in " ".join(said.split())


@pytest.mark.usefixtures("quick")
def test_noise_is_not_localisable(files: dict[str, Path], tmp_path: Path) -> None:
    """40 ms before the spike: a page that says so, and no map; also over an earlier result."""
    out = tmp_path / "out"
    assert localize(files, out, *WINDOW)[0] == 0
    (out / "mine.txt").write_text("a note")
    before = ("--tmin", -0.15, "--tmax", -0.11, "--noise-cov", files["noise"])
    code, said, _ = localize(files, out, *before, "--overwrite")
    assert code == 0
    assert "abstain" in said
    assert "not localisable" in said
    left = sorted(file.name for file in out.iterdir())
    assert left == ["mine.txt", "regions.json", "report.html", "result-post.nc"]
    assert "regions" not in json.loads((out / "regions.json").read_text())
    assert "not localisable" in (out / "report.html").read_text()


@pytest.mark.usefixtures("quick")
def test_the_peak_is_found_and_its_finding_confessed(
    files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert localize(files, out, "--peak", "--model", "gaussian", "--half-width", 0.01)[0] == 0
    observed = read_result(out / "result-post.nc").about["observation"]
    first, last = observed["window_s"]
    assert last - first == pytest.approx(0.02)
    assert first < 0.02 < last  # where the simulated course peaks
    assert f"at {(first + last) * 500:.0f} ms: chosen on these data" in observed["window_chosen"]


def test_a_peak_window_is_about_the_largest_field_power() -> None:
    patient = simulate_patient()
    forward = template_forward(patient.evoked.info, ico=LEVEL)
    window = peak_window(patient.evoked, forward)
    assert window.peak == pytest.approx(0.02, abs=0.005)  # where the simulated course peaks
    assert (window.tmin, window.tmax) == pytest.approx((window.peak - 0.02, window.peak + 0.02))
    late = peak_window(patient.evoked, forward, tmin=0.2, tmax=0.3, half_width=0.05)
    assert 0.2 <= late.peak <= 0.3
    assert late.tmax <= patient.evoked.times[-1] + 1e-9
    for wrong in ({"tmin": 9.0}, {"half_width": -1.0}):
        with pytest.raises(InputError):
            peak_window(patient.evoked, forward, **wrong)


def test_a_mistake_is_one_sentence_and_writes_nothing(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("")
    wrong: list[tuple[str, list[object], str]] = [
        ("file", [], "is a file; choose a folder"),
        ("used", [], "has files in it"),
        ("/proc/none", [], "cannot be written"),
        ("out", ["--level", 0.3], "level must be a number from 0.5 to 0.99"),
        ("out", ["--draws", 1], "draws must be"),
        ("out", ["--model", "atomz"], "models are patches, gaussian"),
        ("out", ["--model", "nowhere.safetensors"], "no weights are at"),
        ("out", ["--prior", "focl"], "did you mean 'focal'"),
        ("out", ["--time-basis", "cubes"], "time_basis is one of"),
        ("out", ["--noise-cov", "nowhere-cov.fif"], "is not a file"),
        ("out", ["--condition", "<script>alert(1)</script>"], "<script>"),
        ("out", ["--condition", "x" * 10_000], "allowed are"),
        ("out", ["--peak", "--tmin", 9], "holds no sample"),
    ]
    for out, words, sentence in wrong:
        window = () if "--peak" in words else WINDOW
        code, _, said = localize(files, Path(out), *window, *words)
        assert code == 2, words
        assert sentence in said
        assert len(said.strip().splitlines()) == 1
        assert len(said) < 1000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "used"]
    assert [file.name for file in (tmp_path / "used").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_a_sentence(files: dict[str, Path], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    code, _, said = localize(files, tmp_path / "out", *WINDOW)
    tmp_path.chmod(0o700)
    assert code == 2
    assert "cannot be written" in said


class Killed(BaseException):
    """What no handler of errors catches."""


def test_a_killed_run_leaves_nothing(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the report is drawn, all other files being written."""

    def killed(result: Result) -> Any:
        raise Killed

    monkeypatch.setattr("bayesesi.report.make_report", killed, raising=False)
    with pytest.raises(Killed):
        CliRunner().invoke(
            app,
            [str(w) for w in ("localize", files["data"], "--forward", files["forward"])]
            + [str(w) for w in ("--draws", 20, "-o", tmp_path / "out", *WINDOW)],
            catch_exceptions=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_result_outlives_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def killed_while_writing(draft: Path) -> None:
        draft.write_text("new")
        raise Killed

    with pytest.raises(Killed), atomic_folder(tmp_path, True, ("a", "b")) as draft:
        killed_while_writing(draft / "a")
    assert (tmp_path / "a").read_text() == "old"
    with pytest.raises(Killed), atomic_file(tmp_path / "a") as file:
        killed_while_writing(file)
    assert (tmp_path / "a").read_text() == "old"
    with atomic_folder(tmp_path, True, ("a", "b")) as draft:
        (draft / "b").write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["b"]


def test_what_a_kill_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".out.1.part").mkdir()
    with atomic_folder(tmp_path) as draft:
        (draft / "a").write_text("new")
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "x" * 10_000, "Évoqué [red]"])
def test_a_hostile_condition_is_text(files: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Letters beyond Latin reach a FIF file as numbers; see test_result for those."""
    evoked = mne.read_evokeds(files["data"], verbose="error")[0]
    evoked.comment = name
    evoked.save(tmp_path / "x-ave.fif", verbose="error")
    hostile = files | {"data": tmp_path / "x-ave.fif"}
    code, said, _ = localize(hostile, tmp_path / "out", *WINDOW, "--model", "gaussian")
    assert code == 0
    assert name[:30] in said
    about = read_result(tmp_path / "out" / "result-post.nc").about
    assert about["observation"]["condition"] == name


def test_no_subject_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    from bayesesi import infer, observe

    evoked = mne.read_evokeds(files["data"], verbose="error")[0]
    with evoked.info._unlock():
        evoked.info["subject_info"] = {"last_name": "Doe", "his_id": "MRN-1234"}
        evoked.info["experimenter"] = "Dr Who"
    patient = simulate_patient()
    forward = template_forward(evoked.info, ico=LEVEL)
    obs = observe(evoked, forward, patient.noise, tmin=0.0, tmax=0.05)
    said = json.dumps(infer(obs, "gaussian", draws=20).about)
    assert not any(word in said for word in ("Doe", "MRN", "Who"))


@pytest.mark.usefixtures("quick")
def test_the_demo_on_a_coarse_cortex(tmp_path: Path) -> None:
    """The FIF path equals the array path; the truth is beside the result."""
    shown = run_demo(tmp_path / "demo", level=LEVEL, draws=100)
    assert shown.array_difference < 1e-6
    assert shown.peak_error_mm < 40
    assert all(file.is_file() for file in shown.files)
    again = read_result(tmp_path / "demo" / "result-post.nc")
    assert again.about["truth"]["regions"] == list(shown.true_regions)
    assert again.about["head"]["heads_drawn"] > 1
    # its own folder again
    run_demo(tmp_path / "demo", level=LEVEL, draws=100, model="gaussian")
    (tmp_path / "demo" / "simulated-ave.fif").unlink()
    with pytest.raises(InputError, match="has files in it"):
        run_demo(tmp_path / "demo")


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_visual_response(shared_data: Path, tmp_path: Path) -> None:
    """Six trials of a checkerboard on the right, 80 to 120 ms: on the left, towards the back."""
    folder, out = shared_data / "visual_evoked", tmp_path / "out"
    words = ("--noise-cov", folder / "sample-cov.fif", "--condition", "Right visual")
    window = ("--tmin", 0.08, "--tmax", 0.12, "--subtract-baseline")
    words = (*words, *window, "--no-calibrate")
    code, _, _ = run("localize", folder / "visual-ave.fif", *words, "-o", out)
    assert code == 0
    table = read_result(out / "result-post.nc").region_table()
    assert table["side"][0] == "left"
    assert table["lobe"][0] in ("occipital", "parietal")
