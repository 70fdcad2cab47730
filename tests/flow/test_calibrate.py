"""Calibration from simulated cases to a card, and from a card to a set with a guarantee."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

import bayesesi
from bayesesi import infer, load_model, read_simulator
from bayesesi.anatomy import template_parcellation
from bayesesi.benchmark.region_scores import sloreta
from bayesesi.calibration import (
    CalibrationCard,
    Mixture,
    calibrate,
    card_of,
    check_sets,
    read_card,
    run_trials,
    split_of,
    trial_runner,
)
from bayesesi.calibration.trial_runner import solver_name
from bayesesi.cli import app
from bayesesi.conformal import ConformalRule
from bayesesi.errors import InputError
from bayesesi.model import LearnedModel
from bayesesi.observation import Observation
from bayesesi.report import make_report
from bayesesi.report.card_figure import plot_card

MIXTURE = Mixture.read(["frame-any-cap"])


def hasty(obs: Observation, seed: int) -> NDArray[np.float64]:
    """Draws of a solver that is quick: one source a draw, by how well it fits."""
    rng = np.random.default_rng(seed)
    gain = np.linalg.norm(obs.leadfield, axis=0)
    match = obs.leadfield.T @ obs.values / gain[:, None]
    weight = np.exp(0.5 * np.minimum((match**2).sum(axis=1), 60.0))
    chosen = rng.choice(len(weight), 100, p=weight / weight.sum())
    draws = np.zeros((100, len(weight), obs.n_functions))
    draws[np.arange(100), chosen] = match[chosen] / gain[chosen, None]
    return draws


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> CalibrationCard:
    folder = tmp_path_factory.mktemp("trials")
    return calibrate(hasty, 60, simulators=["frame-any-cap"], folder=folder)


def test_a_function_that_gives_draws_has_a_card(card: CalibrationCard, tmp_path: Path) -> None:
    assert card.model == "hasty"
    assert card.diagnosis.n == 60
    again = read_card(card.write(tmp_path / "x.card.json"))
    assert again == card
    assert any("ECE" in key for key in card.summary())
    assert plot_card(card).get_suptitle().startswith("hasty: 60 cases")


def test_trials_are_the_same_in_pieces_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_trials(hasty, MIXTURE, 40, 3, "validate", tmp_path / "a")
    first = run_trials(hasty, MIXTURE, 10, 3, "validate", tmp_path / "b")
    more = run_trials(hasty, MIXTURE, 40, 3, "validate", tmp_path / "b")
    for name, values in whole.to_arrays().items():
        if name != "seconds":
            assert np.array_equal(more.to_arrays()[name], values, equal_nan=True), name
            assert np.array_equal(first.to_arrays()[name], values[:10], equal_nan=True), name

    def never(*job: object) -> None:
        raise AssertionError("done already")

    monkeypatch.setattr("bayesesi.calibration.trial_runner._trials", never)
    run_trials(hasty, MIXTURE, 40, 3, "validate", tmp_path / "b")


def test_a_folder_of_other_trials_is_refused(tmp_path: Path) -> None:
    run_trials(sloreta, MIXTURE, 2, 3, "validate", tmp_path)
    with pytest.raises(InputError, match="trials of another solver"):
        run_trials(hasty, MIXTURE, 2, 3, "validate", tmp_path)
    with pytest.raises(
        InputError, match=r"another seed \(3 and not 4\) and namespace \('validate'"
    ):
        run_trials(sloreta, MIXTURE, 2, 4, "bench", tmp_path)
    piece = next(tmp_path.glob("*.safetensors"))
    piece.write_bytes(b"nothing")
    with pytest.raises(InputError, match="delete it and run again"):
        run_trials(sloreta, MIXTURE, 2, 3, "validate", tmp_path)


def test_scores_alone_have_sets_with_a_guarantee() -> None:
    """As of MNE's sLORETA: 60 cases behind sets, and 30 of another purpose."""
    split = split_of(run_trials(sloreta, MIXTURE, 60, 1, "conformal"))
    for check in check_sets(split, run_trials(sloreta, MIXTURE, 30, 1, "diagnose")):
        assert check.held > check.level - 0.25
    assert split.rule(0.8).words.startswith("contains every active region in at least 80%")


def test_what_is_no_solver_is_refused() -> None:
    with pytest.raises(InputError, match="gives a posterior, draws"):
        run_trials(lambda obs, seed: np.zeros(3), MIXTURE, 1, 1, "validate")
    with pytest.raises(InputError, match="50 cases or more"):
        calibrate("atoms", 10)
    with pytest.raises(InputError, match="number of trials must be 1 or more"):
        run_trials(sloreta, MIXTURE, 0, 1, "validate")
    with pytest.raises(InputError, match="namespace is one of"):
        run_trials(sloreta, MIXTURE, 1, 1, "mine")
    with pytest.raises(InputError, match="as many shares"):
        Mixture.read(["frame-any-cap"], [1.0, 2.0])
    with pytest.raises(InputError, match="need a simulator"):
        Mixture.read([])


def test_shares_of_a_mixture_add_up() -> None:
    mixture = Mixture.read(["frame-any-cap", "event-any-cap", "frame-measured-cap"], [5, 3, 2])
    assert mixture.counts(1000).tolist() == [500, 300, 200]
    for n in (1, 7, 99):
        assert mixture.counts(n).sum() == n


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not a calibration card"),
        ("[]", "is not a calibration card"),
        ('{"schema": 9}', "has schema 9"),
        ('{"schema": 1, "model": "x"}', "is a damaged calibration card"),
    ],
)
def test_a_damaged_card_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.card.json"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)


def test_a_card_speaks_of_its_own_weights_alone(card: CalibrationCard) -> None:
    atoms = load_model("atoms")
    own = card_of(atoms)
    assert own is not None
    assert own.speaks_of(atoms)
    assert not card.speaks_of(atoms)
    assert not own.model_copy(update={"fingerprint": "other"}).speaks_of(atoms)


def test_a_recording_like_the_simulated_ones_earns_a_set() -> None:
    simulation = read_simulator("frame-measured-cap", group_size=1).simulate(20, 5, "validate")
    loud = int(np.flatnonzero(simulation.snr_db > 12)[0])
    obs = simulation.observation(loud)
    result = infer(obs, "atoms", draws=200)
    found = result.region_set
    assert found is not None
    assert found.n_conformal >= 300
    assert "contains every active region in at least 90% of cases" in found.guarantee
    table = result.region_table()
    assert set(table.region[table.in_region_set]) == set(found.regions)
    inside = np.isin(template_parcellation(4).names, found.regions)
    areas = template_parcellation(4).areas
    assert found.share == pytest.approx(areas[inside].sum() / areas.sum())
    assert table.calibrated.between(0, 1).all()
    mask = result.inference_data["maps"]["conformal_mask"].values > 0
    assert 0 < mask.mean() < 1
    assert result.about["calibration"]["radius_mm"] > 0
    html = make_report(result).html
    assert "conformal set" in html
    assert "In a head unlike the simulated ones" in html
    assert "This recording lies" in html
    assert json.dumps(result.to_dict())
    peak = infer(obs, "atoms", draws=200, guarantee="peak").region_set
    assert peak is not None
    assert len(peak.regions) <= len(found.regions)


def test_a_model_without_a_card_has_no_set_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesesi.inference.apply_card.card_of", lambda model: None)
    obs = (
        read_simulator("frame-measured-cap", group_size=1).simulate(1, 5, "validate").observation(0)
    )
    result = infer(obs, "gaussian", draws=100)
    assert result.region_set is None
    if result.has_regions:
        html = make_report(result).html
        assert "has no calibration card" in html
        assert "conformal set" not in html


def test_a_recording_of_another_kind_earns_nothing() -> None:
    from bayesesi.inference.apply_card import apply_card

    obs = (
        read_simulator("frame-measured-cap", group_size=1).simulate(1, 5, "validate").observation(0)
    )
    atoms = load_model("atoms")
    from dataclasses import replace

    for other, why in (
        (replace(obs, scale_known=False), "the unit of this one is unknown"),
        (replace(obs, forward=replace(obs.forward, banked=None)), "not to your own forward model"),
    ):
        posterior = replace(atoms.posterior(obs), obs=other)
        reading = apply_card(posterior, atoms, 0.9, 0, "every", posterior.draws(20, 0))
        assert reading.region_set is None
        assert why in reading.about["why_not"]


def test_the_command_shows_a_card(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["models", "show", "atoms", "-o", str(tmp_path / "card.png")])
    assert run.exit_code == 0, run.output
    assert "reliability slope" in run.output
    assert (tmp_path / "card.png").stat().st_size > 10_000
    assert "no calibration card" in CliRunner().invoke(app, ["models", "show", "dipole"]).output
    listed = CliRunner().invoke(app, ["models"])
    assert "atoms" in listed.output
    assert "cases" in listed.output


def test_the_command_calibrates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}

    def fake(model: str, n: int, seed: int, **options: object) -> CalibrationCard:
        asked.update(options, model=model, n=n)
        found = card_of(load_model("atoms"))
        assert found is not None
        return found

    monkeypatch.setattr(bayesesi, "calibrate", fake, raising=False)
    run = CliRunner().invoke(app, ["calibrate", "atoms", "-n", "99", "--workers", "2"])
    assert run.exit_code == 0, run.output
    assert asked["n"] == 99
    assert asked["workers"] == 2
    monkeypatch.undo()
    run = CliRunner().invoke(app, ["calibrate", "atoms", "-n", "3"])
    assert run.exit_code == 2
    assert "50 cases or more" in run.stderr


@pytest.mark.filterwarnings("ignore:Maximum number of epochs:UserWarning")
def test_the_documented_examples_of_solvers_run() -> None:
    """As they stand, on fewer cases."""
    page = Path(__file__).resolve().parents[2] / "reports" / "docs" / "own.md"
    section = page.read_text(encoding="utf-8").split("## A solver")[1].split("\n## ")[0]
    blocks = [part.split("```")[0] for part in section.split("```python")[1:]][:3]
    assert ["eloreta" in blocks[0], "NPE" in blocks[1], "held" in blocks[2]] == [True] * 3
    code = "\n".join(blocks).replace("1000", "40").replace("2000", "80").replace("=100)", "=3)")
    obs = read_simulator("frame-any-cap", group_size=1).simulate(1, 5, "validate").observation(0)
    space: dict[str, object] = {"bayesesi": bayesesi, "obs": obs}
    with torch.random.fork_rng():
        exec(code, space)
    rule = space["rule"]
    assert isinstance(rule, ConformalRule)
    assert rule.n > 30
    assert 0.5 < float(str(space["held"])) <= 1


def test_solvers_that_cannot_be_known_again_share_no_trials(tmp_path: Path) -> None:
    """A closure, a partial, an object: two of a name are two solvers."""
    from functools import partial

    def sign(obs: Observation, seed: int, factor: float) -> NDArray[np.float64]:
        return factor * np.arange(68.0)

    for k, (one, other) in enumerate(
        [
            (partial(sign, factor=1.0), partial(sign, factor=-1.0)),
            (lambda obs, seed: sign(obs, seed, 1.0), lambda obs, seed: sign(obs, seed, -1.0)),
        ]
    ):
        run_trials(one, MIXTURE, 1, 3, "validate", tmp_path / str(k))
        with pytest.raises(InputError, match="trials of another solver"):
            run_trials(other, MIXTURE, 1, 3, "validate", tmp_path / str(k))
    assert solver_name(hasty) == solver_name(hasty)


def test_pieces_without_their_manifest_are_nobodys(tmp_path: Path) -> None:
    run_trials(sloreta, MIXTURE, 1, 3, "validate", tmp_path)
    (tmp_path / "trials.json").unlink()
    with pytest.raises(InputError, match=r"files but no trials\.json"):
        run_trials(sloreta, MIXTURE, 1, 4, "validate", tmp_path)
    (tmp_path / "trials.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is damaged"):
        run_trials(sloreta, MIXTURE, 1, 3, "validate", tmp_path)


def test_sources_in_a_volume_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="sources in the brain's volume"):
        Mixture.read("frame-dipole")


@pytest.mark.parametrize("answer", ["hello", ["a"] * 68, {}, 1j * np.ones(68), None, 5])
def test_an_answer_that_is_none_is_one_sentence(answer: object) -> None:
    with pytest.raises(InputError) as caught:
        run_trials(lambda obs, seed: answer, MIXTURE, 1, 1, "validate")  # type: ignore[arg-type,return-value]
    assert "\n" not in str(caught.value)


def test_a_solver_that_fails_says_on_which_case() -> None:
    def broken(obs: Observation, seed: int) -> NDArray[np.float64]:
        raise RuntimeError("no\nway")

    with pytest.raises(InputError, match=r"failed on case 0 of frame-any-cap \(RuntimeError: no\)"):
        run_trials(broken, MIXTURE, 1, 1, "validate")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("usual", "names"), ["power"]),
        (("usual", "size", 0), 0.0),
        (("split", "mask", 0), [0.1]),
        (("split", "mode_error_mm", 0), -5.0),
        (("score_draws",), 7),
        (("sets",), []),
        (("sets", 0, "by_cell"), []),
        (("trust", "risk"), []),
        (("diagnosis", "coverage"), {}),
        (("diagnosis", "closed"), []),
        (("diagnosis", "repaired", "intervals"), {}),
        (("repair", "region_moment", "levels"), [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        (("simulators",), [{}]),
    ],
)
def test_a_card_that_does_not_hang_together_is_one_sentence(
    path: tuple[object, ...], value: object, tmp_path: Path
) -> None:
    own = card_of(load_model("atoms"))
    assert own is not None
    table = json.loads(own.model_dump_json(by_alias=True))
    place = table
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "x.card.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match="is a damaged calibration card") as caught:
        read_card(tmp_path / "x.card.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sizes", [{"n": 10**24}, {"n": 50.0}, {"n_conformal": -3}, {"n_repair": 0}]
)
def test_numbers_of_cases_are_looked_at_first(sizes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="50 cases or more"):
        calibrate("atoms", **{"n": 50, **sizes})  # type: ignore[arg-type]


def test_a_place_for_the_card_is_looked_for_first(tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "atoms.card.json").mkdir()
    model = replace(load_model("atoms"), path=tmp_path / "atoms.safetensors")  # type: ignore[call-arg]
    with pytest.raises(InputError, match="cannot be written"):
        calibrate(model, 50)


def test_probabilities_that_were_measured_to_be_off_are_said_to_be() -> None:
    """Of `parcels`, whose own are far too sure; the headline takes the calibrated one."""
    obs = read_simulator("frame-any-field", group_size=1).simulate(20, 5, "validate")
    loud = int(np.flatnonzero(obs.snr_db > 12)[0])
    result = infer(obs.observation(loud), "parcels", draws=100)
    assert result.about["calibration"]["off"]
    assert any(
        "differ from observed frequencies" in reason.sentence for reason in result.trust.reasons
    )
    if result.localisable:
        assert "calibrated" in make_report(result, "short").table["sentence"]
    atoms = infer(obs.observation(loud), "atoms", draws=100)
    assert not atoms.about["calibration"]["off"]


@pytest.fixture
def quick(card: CalibrationCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Cards at once, with what speaks of ``atoms``; the user's data folder, which is empty."""

    def made(**values: object) -> CalibrationCard:
        return card.model_copy(update={k: values[k] for k in ("model", "fingerprint")})

    where = "bayesesi.calibration.calibration."
    monkeypatch.setattr(where + "run_purposes", lambda *args, **options: TRIALS)
    for name in ("make_repair", "split_of", "diagnose", "check_sets", "trust_card", "scores_of"):
        monkeypatch.setattr(where + name, lambda *args: None)
    monkeypatch.setattr(where + "OODDetector", SimpleNamespace(of=lambda *args: None))
    monkeypatch.setattr(where + "CalibrationCard", made)
    monkeypatch.setenv("BAYESESI_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BAYESESI_CACHE", str(tmp_path / "cache"))
    return tmp_path


TRIALS = dict.fromkeys(("repair", "conformal", "diagnose"), SimpleNamespace(signs=None))


def test_the_card_of_a_shipped_model_is_stored_nowhere_unless_that_is_asked(quick: Path) -> None:
    """And never in the package."""
    atoms = load_model("atoms")
    assert atoms.card_path is not None
    before, shipped = atoms.card_path.read_bytes(), card_of(atoms)
    calibrate("atoms", 50)
    calibrate("atoms", 50, store=False)
    assert not (quick / "data").exists()
    assert card_of(atoms) == shipped
    own = calibrate("atoms", 50, store=True)
    assert [path.parent for path in (quick / "data").rglob("*.json")] == [quick / "data" / "cards"]
    assert card_of(atoms) == own != shipped
    assert card_of(load_model("cortex")) != own
    assert atoms.card_path.read_bytes() == before


def test_the_card_of_own_weights_is_beside_them(quick: Path) -> None:
    source = load_model("atoms")
    assert isinstance(source, LearnedModel)
    own = load_model(source.write(quick / "mine.safetensors"))
    assert card_of(own) is None
    card = calibrate(own, 50)
    assert read_card(quick / "mine.card.json") == card == card_of(own)
    assert not (quick / "data").exists()


def test_the_command_says_where_the_card_is(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(quick)
    monkeypatch.setattr("bayesesi.cli.models._show_card", lambda card, out: None)
    for options, place in (
        ([], quick / "data" / "cards"),
        (["--into", str(quick / "assets")], quick / "assets"),
    ):
        run = CliRunner().invoke(app, ["calibrate", "atoms", "-n", "50", *options])
        assert run.exit_code == 0, run.output
        written = next(place.iterdir())
        assert "".join(run.output.split()).endswith(f"writtento{written}")
    assert (quick / "assets" / "atoms.card.json").is_file()
    assert len(list((quick / "data" / "cards").iterdir())) == 1


def test_a_run_without_a_folder_keeps_its_work_in_the_cache(
    quick: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other weights, cases or seeds have a folder of their own, the same again has the same."""
    places: list[Path] = []

    def trials(*args: Any, **options: object) -> dict[str, SimpleNamespace]:
        places.append(args[4])
        return TRIALS

    monkeypatch.setattr("bayesesi.calibration.calibration.run_purposes", trials)
    for name, seed in (("atoms", 1), ("atoms", 1), ("atoms", 2), ("cortex", 1)):
        calibrate(name, 50, seed, progress=True)
        assert f"finished work is kept in {places[-1]}" in capsys.readouterr().out
    assert len(set(places)) == 3
    assert {place.parent for place in places} == {quick / "cache" / "runs"}


def test_two_processes_and_several_purposes_give_the_same_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """18 cases, more than one process simulates at once, of two purposes, as from one process."""
    for name, size in (("PIECE", 4), ("GROUP", 16)):
        monkeypatch.setattr(trial_runner, name, size)
    code = (
        "from bayesesi.benchmark.region_scores import sloreta\n"
        "from bayesesi.calibration import Mixture, trial_runner\n"
        "trial_runner.PIECE, trial_runner.GROUP = 4, 16\n"
        "if __name__ == '__main__':\n"
        "    trial_runner.run_purposes(sloreta, Mixture.read(['frame-any-cap']),"
        f" {{'validate': 18, 'repair': 5}}, 3, {str(tmp_path / 'two')!r}, workers=2)\n"
    )
    (tmp_path / "two.py").write_text(code)
    subprocess.run([sys.executable, tmp_path / "two.py"], check=True, timeout=400)
    for namespace, n in (("validate", 18), ("repair", 5)):
        folder = tmp_path / "two" / namespace
        two = run_trials(sloreta, MIXTURE, n, 3, namespace, folder)
        one = run_trials(sloreta, MIXTURE, n, 3, namespace, tmp_path / "one" / namespace)
        for name, values in one.to_arrays().items():
            if name != "seconds":
                assert np.array_equal(two.to_arrays()[name], values, equal_nan=True), name
        assert {p.name for p in folder.iterdir()} == {
            p.name for p in (tmp_path / "one" / namespace).iterdir()
        }
