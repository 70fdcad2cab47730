"""The harness: the same table twice, resumed, and methods that misbehave are rows with reasons."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark import methods as of
from bayesesi.benchmark import resolution_maps as of_sources
from bayesesi.benchmark import run as harness
from bayesesi.benchmark.answers import answer_of
from bayesesi.benchmark.baselines import prepare, snr_lambda2
from bayesesi.benchmark.cases import Condition
from bayesesi.benchmark.figures import pictures_of, plot_published
from bayesesi.benchmark.methods import Method, chosen, methods
from bayesesi.benchmark.page import markdown, page, parts_of, summary_table, write_benchmark
from bayesesi.benchmark.recordings import OCCIPITAL, recordings
from bayesesi.benchmark.resolution import resolution_matrix, single_source, width
from bayesesi.benchmark.resolution_maps import responses, run_single_sources
from bayesesi.benchmark.resolution_page import write_resolution
from bayesesi.benchmark.run import Benchmark, run_benchmark
from bayesesi.benchmark.score import MEASURES, measure
from bayesesi.benchmark.summary import Mean, means, sets, wins
from bayesesi.benchmark.tasks import REAL, TASKS, Task, task_of
from bayesesi.cli import app
from bayesesi.errors import InputError

NAMES = ["MNE", "sLORETA", "Gaussian, depth", "LCMV"]
SAME = ["method", "condition", "case", "reason", *(m for m in MEASURES if m != "seconds")]
BAD = {
    "numbers": lambda obs, seed: np.full(obs.leadfield.shape[1], np.nan),
    "shape": lambda obs, seed: np.ones((3, 4)),
    "crash": lambda obs, seed: {}["nothing"],
    "silent": lambda obs, seed: np.zeros(obs.leadfield.shape[1]),
    "word": lambda obs, seed: "left temporal",
    "fine": lambda obs, seed: np.abs(obs.leadfield.T @ obs.values)[:, 0],
}


@pytest.fixture(scope="module")
def small() -> Task:
    """One moment: LCMV has nothing to say of it."""
    conditions = (Condition("single-frame", "one moment"),)
    return Task("cortex-focal", "Small.", "none", conditions, n=6, n_slow=2, n_emd=2)


@pytest.fixture(scope="module")
def patched(small: Task) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "cortex-focal", small)
        yield small


@pytest.fixture(scope="module")
def found(patched: Task, tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return run_benchmark(patched, NAMES, tmp_path_factory.mktemp("run"))


def test_every_method_has_a_row_a_case(found: Benchmark) -> None:
    rows = found.rows
    assert list(rows.groupby("method", sort=False).size()) == [6, 6, 6, 6]
    fine = rows[rows["method"] != "LCMV"]
    assert (fine["reason"] == "").all()
    assert fine["peak_mm"].between(0, 200).all()
    assert list(fine[fine["method"] == "MNE"]["nemd"].notna()) == [True] * 2 + [False] * 4
    assert rows[rows["method"] == "LCMV"]["reason"].str.contains("time functions").all()
    assert found.active.any(axis=1).all()
    told = rows[rows["method"] == "Gaussian, depth"]
    assert told["brier"].notna().all()
    assert rows[rows["method"] == "sLORETA"]["nmse"].isna().all()


def test_two_runs_give_one_table_and_a_stopped_one_goes_on(
    found: Benchmark, patched: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_benchmark(patched, NAMES[:2], tmp_path, n=5)
    torn = next((tmp_path / "cortex-focal").glob("sLORETA*/0-*.json"))
    torn.write_text('[{"method": "sLO')
    again = run_benchmark(patched, NAMES, tmp_path)
    pd.testing.assert_frame_equal(again.rows[SAME], found.rows[SAME])
    monkeypatch.setattr(harness, "_answers", lambda *_: pytest.fail("done already"))
    run_benchmark(patched, NAMES, tmp_path)


def test_methods_that_misbehave_are_rows_with_reasons(
    patched: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [SimpleNamespace(name=name, load=lambda each=each: each) for name, each in BAD.items()]
    monkeypatch.setattr(of, "entry_points", lambda group: points)
    methods.cache_clear()
    found = run_benchmark(patched, [*BAD, "sLORETA"], tmp_path, n=2)
    methods.cache_clear()
    reasons = found.rows.groupby("method", sort=False)["reason"].first()
    assert reasons["fine"] == reasons["sLORETA"] == ""
    assert "not finite" in reasons["numbers"]
    assert "a method returns" in reasons["shape"]
    assert reasons["crash"] == "KeyError: 'nothing'"
    assert reasons["silent"] == ""  # it says that nothing is there: a guess
    guess = found.rows[found.rows["method"] == "silent"]
    assert guess["peak_mm"].between(40, 120).all()
    assert (guess["nemd"] == 1).all()
    assert "got str" in reasons["word"]
    text = markdown(summary_table(found, "x"))
    assert "KeyError" in text


def test_the_page_and_its_files_say_the_same(found: Benchmark, tmp_path: Path) -> None:
    written = write_benchmark(found, tmp_path, "bayesesi benchmark x")
    assert [path.suffix for path in written] == [".json", ".md", ".html", ".png", ".parquet"]
    table = json.loads(written[0].read_text(encoding="utf-8"))
    html = page(table, pictures_of(found))
    for name, each in table["methods"].items():
        assert name in html
        for measured in each.values():
            assert str(Mean(**measured)) in html
    tidy = pd.read_parquet(written[4])
    assert len(tidy) == 24
    assert table["failures"]["LCMV"]["n"] == 6


def test_methods_of_few_cases_have_a_table_beside_the_others_on_the_same(found: Benchmark) -> None:
    """A method of the first two is compared with what others found on these two."""
    assert parts_of(summary_table(found, "x")) == {}
    slow = (found.rows["method"] == "MNE") & (found.rows["case"] >= 2)
    few = replace(
        found,
        rows=found.rows[~slow].reset_index(drop=True),
        scores=found.scores[~slow],
        probability=found.probability[~slow],
        active=found.active[~slow],
    )
    table = summary_table(few, "x")
    ((words, rows),) = parts_of(table).items()
    assert words == "The first 2 cases, which every method received"
    assert {row[0]: row[-1] for row in rows[1:]} == dict(zip(NAMES, "2220", strict=True))
    own = found.rows[(found.rows["method"] == "sLORETA") & (found.rows["case"] < 2)]
    assert table["shared"]["sLORETA"]["peak_mm"]["value"] == pytest.approx(own["peak_mm"].mean())
    assert table["methods"]["sLORETA"]["peak_mm"]["n"] == 6
    assert words in markdown(table)
    assert words in page(table, [])


def test_who_wins_adds_up(found: Benchmark) -> None:
    table = wins(found, "peak_mm").loc[NAMES[:3], NAMES[:3]]
    both = table + table.T
    assert np.allclose(both.to_numpy()[~np.eye(3, dtype=bool)], 1)


def test_sets_of_the_same_procedure_hold() -> None:
    """400 made-up cases of scores that tell something: held within .86 to .94 of .9 (its law's
    99.9 %), and one that knows the truth has smaller sets than one that guesses."""
    rng = np.random.default_rng(0)
    active = rng.random((400, 68)) < 0.03
    active[np.arange(400), rng.integers(68, size=400)] = True
    good, blind = active + rng.normal(size=active.shape) / 2, rng.normal(size=active.shape)
    frame = pd.DataFrame({"method": ["good"] * 400 + ["blind"] * 400, "reason": ""})
    both = Benchmark(
        TASKS["cortex-focal"], frame, np.r_[good, blind], np.r_[good, blind], np.r_[active, active]
    )
    table = sets(both)
    for held, _ in table.values():
        assert 0.86 < held.value < 0.94
    assert table["good"][1].value < 0.6 * table["blind"][1].value


def test_the_truth_is_best_of_all() -> None:
    case = Condition("single-frame", "x").case(0, 20)
    truth = case.moments @ case.obs.time_basis.projector
    told = measure(case, answer_of(truth, case.obs, 0), moments=True, emd=True)
    assert told["nmse"] < 1e-6
    assert told["nemd"] < 1e-6
    assert told["auc"] == 1
    assert told["peak_mm"] < 8
    blind = measure(case, answer_of(np.ones_like(truth), case.obs, 0), moments=True, emd=True)
    assert blind["nemd"] == pytest.approx(1, abs=0.01)
    assert blind["auc"] == 0.5


def test_sizes_of_draws_do_not_cancel() -> None:
    """Of draws up and down alike the mean is nothing, the mean size is not."""
    obs = Condition("single-frame", "x").case(0, 20).obs
    draws = np.zeros((200, 5124, 1))
    draws[:, 7] = np.where(np.arange(200) % 2, 1e-8, -1e-8)[:, None]
    size = answer_of(draws, obs, 0, sizes=True).size
    plain = answer_of(draws, obs, 0).size
    assert size is not None and plain is not None  # noqa: PT018
    assert size[7] == pytest.approx(1e-8 * np.linalg.norm(obs.time_basis.functions))
    assert plain[7] == pytest.approx(0)
    assert not np.delete(size, 7).any()


@pytest.mark.slow  # the first time, heads are solved for minutes
def test_a_volume_has_its_own_measures() -> None:
    case = Condition("piu-61", "x", 20.0, 2).case(0, 20)
    assert case.moments.shape[1:] == (3, 1)
    told = measure(case, answer_of(case.moments, case.obs, 0), moments=True, emd=False)
    assert told["cosine"] < 1e-6
    assert "f1" not in told


def test_numbers_of_others_stand_beside_ours_and_are_called_so(
    found: Benchmark, patched: Task
) -> None:
    others = TASKS["piu-61"].published[0]
    own = replace(others, values=(("one moment", 0.5),))
    figure = plot_published(replace(found, task=replace(patched, published=(own,))))
    assert figure is not None
    words = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert words[0] == "3D-PIUNet: another head"
    table = summary_table(replace(found, task=replace(patched, published=(own,))), "x")
    assert "another head and other cases" in markdown(table)
    assert "0.5 " in markdown(table).partition("Published")[2]
    known = {condition.name for condition in TASKS["piu-61"].conditions}
    assert all({name for name, _ in each.values} <= known for each in TASKS["piu-61"].published)


def test_single_sources_are_the_resolution_matrix_of_a_linear_method() -> None:
    """Its kernel at the lambda2 that the data's own power says, as exact as numbers are; twice the
    lambda2 is another matrix."""
    case, sources = Condition("single-frame", "x").case(0, 20), [5, 700, 5000]
    found = responses("MNE", case.obs, sources, 10.0)
    lambda2 = snr_lambda2(single_source(case.obs, 5, 10.0))
    for factor in (1, 2):
        kernel = prepare(case.obs).kernel("MNE", factor * lambda2)
        exact = resolution_matrix(kernel, case.obs.leadfield)[:, sources]
        assert np.allclose(found, exact, rtol=1e-5, atol=1e-9 * exact.max()) == (factor == 1)


def test_single_sources_as_a_page_resumed_and_a_method_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_sources, "tried", lambda: np.array([3, 900, 2600, 4800]))
    monkeypatch.setattr(of_sources, "_PIECE", 3)
    found = run_single_sources(["eLORETA", "MNE", "LCMV"], tmp_path)
    assert found.psf["eLORETA"].peak_error == pytest.approx(0, abs=1e-6)
    assert found.psf["MNE"].spread.shape == found.ctf["MNE"].spread.shape == (4,)
    n, why = found.failed["LCMV"]
    assert n == 4
    assert "time functions" in why
    next(tmp_path.glob("resolution/MNE*/00003.json")).write_text('{"sch')
    again = run_single_sources(["MNE"], tmp_path)
    assert np.array_equal(again.psf["MNE"], found.psf["MNE"])
    monkeypatch.setattr(of_sources, "_piece", lambda *_: pytest.fail("done already"))
    run_single_sources(["MNE", "eLORETA", "MNE"], tmp_path)
    written = write_resolution(found, tmp_path / "out", "bayesesi benchmark resolution")
    table = json.loads(written[0].read_text(encoding="utf-8"))
    assert list(table["methods"]) == ["eLORETA", "MNE"]
    assert len(table["maps"]["MNE"]["ctf_spread_mm"]) == 4
    assert "time functions" in written[1].read_text(encoding="utf-8")
    with pytest.raises(InputError, match="no setting to choose"):
        run_single_sources(["MNE, tuned"], tmp_path)


@pytest.mark.shared
def test_recordings_are_cases_whose_places_are_known(shared_data: Path, tmp_path: Path) -> None:
    """The four occipital regions of the other side; 26 of 994 parcels of the right temporal lobe,
    and no region, of the seizure. Maps are kept and drawn, nothing is said of moments, and three
    recordings have no interval."""
    found = run_benchmark(REAL, ["eLORETA", "MNE"], tmp_path, data=shared_data)
    assert len(found.rows) == 6
    assert (found.rows["reason"] == "").all()
    assert found.rows[["nmse", "nemd", "matched_mm", "closed90"]].isna().all(axis=None)
    names = np.array(template_parcellation(4).names)
    assert set(names[found.active[0]]) == {f"{name}-rh" for name in OCCIPITAL}
    assert set(names[found.active[1]]) == {f"{name}-lh" for name in OCCIPITAL}
    assert not found.active[2].any()
    case = recordings(shared_data)[2].case(0, 0)
    assert case.parcels is not None
    assert (len(case.parcels[2]), case.parcels[2].sum()) == (994, 26)
    assert (case.centres[:, 0] > 0).all()
    assert "0 to" not in str(means(found)["MNE"]["peak_mm"])
    assert found.rows["parcel_recall"].notna().sum() == 2
    assert {len(each) for each in found.maps.values()} == {5124}
    written = write_benchmark(found, tmp_path, "bayesesi benchmark real")
    assert "a seizure&#39;s onset: maps" in written[2].read_text(encoding="utf-8")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data1.mat", b"x", "not a readable MATLAB file"),
        ("data2.mat", {"data": np.zeros((500, 60))}, r"should be \(500, 75\)"),
        ("data3.mat", {"other": 1}, "holds no data"),
        ("electrode_75.mat", {"eloc75": []}, "no table of labels"),
        ("resection.mat", {"resection_region": [1e12]}, "numbers of parcels, 0 to 993"),
        ("fs_cortex_20k_region_mapping.mat", {"rm": np.arange(100)}, "parcels of 100 vertices"),
    ],
)
def test_a_damaged_recording_is_one_sentence_before_anything_is_begun(
    shared_data: Path, tmp_path: Path, name: str, content: Any, said: str
) -> None:
    shutil.copytree(shared_data / "ictal_p2", tmp_path / "ictal_p2")
    path = tmp_path / "ictal_p2" / name
    path.chmod(0o644)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        savemat(path, content)
    with pytest.raises(InputError, match=said):
        run_benchmark(REAL, ["MNE"], tmp_path / "out", data=tmp_path)
    assert not (tmp_path / "out").exists()


def test_where_no_method_answers_there_is_no_page(patched: Task, tmp_path: Path) -> None:
    found = run_benchmark(patched, ["LCMV"], tmp_path, n=1)
    with pytest.raises(InputError, match="no method produced a result"):
        write_benchmark(found, tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="cannot be written"):
        run_benchmark(patched, ["MNE"], "/proc/x")


def test_a_source_that_is_not_seen_counts_as_a_guess() -> None:
    where = np.array([[0.0, 0, 0], [0.03, 0, 0], [0, 0.04, 0]])
    found = of_sources._or_guess(width(np.eye(3) * [1, 0, 1], where), where, where)
    assert found.peak_error == pytest.approx([0, (30 + 50) / 3, 0])
    assert found.spread == pytest.approx([0, ((30**2 + 50**2) / 3) ** 0.5, 0])


def test_no_recordings_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names a folder"):
        task_of(REAL)
    with pytest.raises(InputError, match="has no folder visual_evoked"):
        task_of(REAL, tmp_path)
    (tmp_path / "ictal_p2").mkdir()
    with pytest.raises(InputError, match="ictal_p2 lacks 'data1"):
        task_of(REAL, tmp_path)
    with pytest.raises(InputError, match="reads no folder"):
        run_benchmark("cal", ["MNE"], tmp_path, data=tmp_path)
    run = CliRunner().invoke(app, ["benchmark", "resolution", "-n", "3"])
    assert run.exit_code == 2
    assert "omit -n" in run.stderr


def test_names_that_are_none_are_one_sentence() -> None:
    with pytest.raises(InputError, match="no method"):
        chosen(["eloretta"], "cortex")
    with pytest.raises(InputError, match="semicolons between"):
        chosen(["MNE,atoms"], "cortex")
    with pytest.raises(InputError, match="cannot answer cases of a cortex"):
        chosen(["blobs"], "cortex")
    assert [method.name for method in chosen(["MNE", "MNE"], "cortex")] == ["MNE"]
    run = CliRunner().invoke(app, ["benchmark", "focal"])
    assert run.exit_code == 2
    assert "no task" in run.stderr
    run = CliRunner().invoke(app, ["benchmark", "cal", "-n", "0"])
    assert run.exit_code == 2
    assert all(isinstance(each, Method) for each in chosen(None, "volume"))
