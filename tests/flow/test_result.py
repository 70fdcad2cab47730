"""From an observation to a result: what it says, what it leaves out, what its file keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import arviz as az
import numpy as np
import pytest

from bayesesi import infer, list_models, load_model, read_result
from bayesesi.errors import InputError
from bayesesi.inference.inference import credible_regions
from bayesesi.posterior import Summary, gaussian_posterior
from bayesesi.result import ATTRIBUTE, Result
from bayesesi.trust import Verdict, VerdictInputs, assess, at_even_odds
from tests.flow.small import LEVEL, SOURCE, forward, observation

DRAWS = 200
HOSTILE = ("<script>alert(1)</script>", "x" * 10_000, "мозг 脳 מוח", "nul\0 and \x1b[31m", "\ud800")


@pytest.fixture(scope="module")
def result() -> Result:
    return infer(observation(), "patches", draws=DRAWS)


def test_the_table_names_the_source(result: Result) -> None:
    table = result.region_table()
    obs = observation()
    parcellation = load_model("patches").posterior(obs).parcellation
    truth = parcellation.names[parcellation.labels[SOURCE]]
    assert table["region"][0] == truth
    assert table["probability"].is_monotonic_decreasing
    assert table["probability"].between(0, 1).all()
    assert (table["low_nAm"][0] < table["peak_nAm"][0]) & (table["peak_nAm"][0] < 200)
    assert truth in result.credible_set.regions
    assert result.credible_set.regions == tuple(table["region"][table["in_set"]])
    assert 0 < result.credible_set.share < 1
    assert result.region_set is None
    assert result.trust.verdict is Verdict.CAUTION  # a head of its own, and no card
    assert "the head model is assumed exact" in result.trust.reasons[0].sentence


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_the_credible_set_is_the_shortest_that_holds(level: float) -> None:
    """In a share `level` of draws every active region is inside; without its last, in fewer."""
    summary = gaussian_posterior(observation(20.0)).summarise(500, seed=1)
    inside = credible_regions(summary, level)
    assert (~(summary.active & ~inside).any(axis=1)).mean() >= level
    share = summary.active.mean(axis=0)
    last = np.flatnonzero(inside)[share[inside].argmin()]
    fewer = inside & (np.arange(len(inside)) != last)
    assert (~(summary.active & ~fewer).any(axis=1)).mean() < level
    assert share[inside].min() >= share[~inside].max()


def test_the_peak_set_is_the_smallest_that_holds(result: Result) -> None:
    maps = result.inference_data["maps"]
    share, inside = maps["peak_probability"].values, maps["peak_set"].values > 0
    assert share.sum() == pytest.approx(1)
    assert share[inside].sum() >= 0.9 - 1e-9
    assert share[inside].sum() - share[inside].min() < 0.9
    assert share[inside].min() >= share[~inside].max()


def test_a_summary_is_that_of_the_draws() -> None:
    """A run of one chunk, done again by hand from its draws."""
    obs = observation()
    post = gaussian_posterior(obs)
    summary = post.summarise(20, seed=7)
    own = int(np.random.SeedSequence(7).generate_state(1)[0])
    draws = post.sample(20, own)
    course = draws @ obs.time_basis.functions.T
    density = np.sqrt((course**2).sum(axis=2)) / obs.source_space.areas
    assert np.allclose(post.energy(draws), (course**2).sum(axis=2))
    assert (summary.peak == density.argmax(axis=1)).all()
    half = density >= 0.5 * density.max(axis=1, keepdims=True)
    assert np.allclose(summary.source_probability, half.mean(axis=0))
    member = post.parcellation.membership
    peak = np.abs(np.einsum("ps,dst->dpt", member, course)).max(axis=2)
    assert np.allclose(summary.region_peak, peak)
    assert not summary.silent.any()


def test_what_is_explained_is_the_mean_seen_through_the_leadfield(result: Result) -> None:
    observed = result.inference_data["observed_data"]
    post = load_model("patches").posterior(observation())
    assert np.allclose(observed["explained"], post.obs.leadfield @ post.mean())
    recording = result.inference_data["recording"]
    rest = (recording["measured"] - recording["explained"]).values
    assert (rest**2).mean() < 0.5 * (recording["measured"].values ** 2).mean()
    assert result.about["checks"]["chi2"] < 1.5


@pytest.mark.parametrize("kind", ["cortex", "free", "volume"])
def test_gaussian_takes_any_sources(kind: str, tmp_path: Path) -> None:
    result = infer(observation(kind=kind), "gaussian", draws=50)
    result = read_result(result.save(tmp_path / "x-post.nc"))
    assert result.has_regions == (kind != "volume")
    maps = result.inference_data["maps"]
    assert (maps["sd"] > 0).all()
    if kind == "volume":
        for asked in (result.region_table, result.source_estimate, lambda: result.credible_set):
            with pytest.raises(InputError, match="on no"):
                asked()
    else:
        assert result.source_estimate("mean").data.shape == maps["mean"].shape
        assert len(result.region_table()) == 68


def test_a_file_holds_all_of_it(result: Result, tmp_path: Path) -> None:
    again = read_result(result.save(tmp_path / "x-post.nc"))
    assert again.about == result.about
    assert again.region_table().equals(result.region_table())
    assert again.credible_set == result.credible_set
    assert repr(again) == repr(result)
    for which in ("mean", "sd", "probability"):
        ours, theirs = result.source_estimate(which), again.source_estimate(which)
        assert np.array_equal(ours.data, theirs.data)
    for group in result.inference_data.groups():
        assert result.inference_data[group].identical(again.inference_data[group]), group
    assert [file.name for file in tmp_path.iterdir()] == ["x-post.nc"]
    json.dumps(again.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same(result: Result) -> None:
    again = infer(observation(), load_model("patches"), draws=DRAWS)
    assert again.inference_data["posterior"].identical(result.inference_data["posterior"])
    other = infer(observation(), "patches", draws=DRAWS, seed=1)
    assert not other.inference_data["posterior"].identical(result.inference_data["posterior"])


def test_noise_has_no_map(tmp_path: Path) -> None:
    noise = infer(observation(0.0), "patches", draws=50)
    assert noise.trust.verdict is Verdict.ABSTAIN
    assert not noise.localisable
    assert "not localisable" in repr(noise)
    assert {"maps", "regions"}.isdisjoint(noise.inference_data.groups())
    assert "region" not in noise.inference_data["posterior"].dims
    for asked in (noise.region_table, noise.source_estimate, lambda: noise.credible_set):
        with pytest.raises(InputError, match="not localisable"):
            asked()
    again = read_result(noise.save(tmp_path / "x-post.nc"))
    assert not again.localisable
    assert "regions" not in again.to_dict()


@pytest.mark.parametrize(
    ("probability", "prior", "verdict"),
    [
        (0.0, 0.0, "reliable"),
        (0.004, 0.1, "reliable"),
        (0.01, 0.1, "caution"),
        (0.03, 0.5, "reliable"),
        (0.1, 0.1, "abstain"),
        (0.25, 0.5, "abstain"),
        (1.0, 0.1, "abstain"),
    ],
)
def test_a_verdict_does_not_hang_on_the_priors_odds(
    probability: float, prior: float, verdict: str
) -> None:
    trust = assess(VerdictInputs(at_even_odds(probability, prior)))
    assert trust.verdict == verdict
    assert len(trust.reasons) == (verdict != "reliable")
    assert type(trust).from_dict(trust.to_dict()) == trust
    assert at_even_odds(0.1, 0.1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("null", "r_hat", "efficiency", "codes"),
    [
        (0.0, 1.1, 0.01, []),
        (0.0, 1.2, 1.0, ["chains_disagree"]),
        (0.0, 1.0, 0.009, ["few_weigh"]),
        (0.07, 2.4, 0.001, ["nothing_there", "chains_disagree", "few_weigh"]),
        (0.9, 2.4, 0.001, ["nothing_there"]),
    ],
)
def test_an_answer_that_was_drawn_badly_calls_for_caution(
    null: float, r_hat: float, efficiency: float, codes: list[str]
) -> None:
    evidence = VerdictInputs(null, r_hat, efficiency)
    trust = assess(evidence)
    assert [str(reason.code) for reason in trust.reasons] == codes
    expected = "reliable" if not codes else "abstain" if null > 0.25 else "caution"
    assert trust.verdict == expected
    strange = assess(replace(evidence, outside=("sensors",)))
    added = ["outside_training"] if null < 0.25 else []
    assert [str(reason.code) for reason in strange.reasons] == codes + added
    known = assess(replace(evidence, caveat="too sure of long windows"))
    added = ["model_limit"] if null < 0.25 else []
    assert [str(reason.code) for reason in known.reasons] == codes + added
    assert type(trust).from_dict(trust.to_dict()) == trust


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"level": 0.49}, "level must be a number from 0.5 to 0.99"),
        ({"level": 1.0}, "level must be a number"),
        ({"level": "high"}, "'high'"),
        ({"level": float("nan")}, "level must be a number"),
        ({"draws": 0}, "draws must be from 20 to 100,000"),
        ({"draws": 10**9}, "draws must be"),
        ({"draws": 50.5}, "draws must be"),
        ({"seed": -1}, "seed must be an integer"),
        ({"model": "atomz"}, "no such model 'atomz'; models are patches, gaussian"),
        ({"model": "x" * 10_000}, "models are patches, gaussian"),
        ({"obs": "x-ave.fif"}, "expects an Observation"),
    ],
)
def test_numbers_out_of_range_are_a_sentence(change: dict[str, object], sentence: str) -> None:
    arguments: dict[str, object] = {"obs": observation(), "model": "gaussian", "draws": 20} | change
    with pytest.raises(InputError, match=sentence) as caught:
        infer(**arguments)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("model", "prior", "sentence"),
    [
        ("patches", "focl", "did you mean 'focal'"),
        ("patches", "distributed", "is of the family patch"),
        ("gaussian", "focal", "auto, identity, depth, smooth"),
    ],
)
def test_a_prior_of_another_model_is_a_sentence(model: str, prior: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_model(model, prior)
    assert model in list_models()


def test_patches_on_no_cortex_are_a_sentence() -> None:
    with pytest.raises(InputError, match="on none"):
        infer(observation(kind="volume"), "patches")
    with pytest.raises(InputError, match="on none"):
        load_model("patches").oriented(forward("volume"))


def test_patches_want_free_sources_along_the_normals() -> None:
    free = forward("free")
    along = load_model("patches").oriented(free)
    assert along.orientation == "fixed"
    assert "the forward is free" in along.provenance["orientation"]
    assert load_model("gaussian").oriented(free) is free


def test_patches_live_on_another_cortex_too() -> None:
    """Sources that are no level of the template take its regions from the nearest ones."""
    obs = observation()
    space = replace(obs.source_space, ico=None, subject="somebody")
    own = replace(obs, forward=replace(obs.forward, source_space=space))
    result = infer(own, "patches", draws=50)
    assert (
        result.region_table()["region"][0]
        == infer(obs, "patches", draws=50).region_table()["region"][0]
    )
    assert result.inference_data["maps"].attrs == {"subject": "", "level": -1}


def test_the_model_says_how_it_was_done(result: Result) -> None:
    details = result.about["model"]["details"]
    assert (details["prior"], details["heads"][:5]) == ("focal", "none:")
    assert result.about["head"] == {"forward": "own", "electrodes": "unknown", "heads_drawn": 0}
    assert result.about["observation"]["n_functions"] == observation().n_functions
    assert result.inference_data["maps"].attrs["level"] == LEVEL


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str, tmp_path: Path) -> None:
    obs = observation()
    sensors = replace(obs.sensors, names=(name, *obs.sensors.names[1:]))
    named = replace(obs.forward, sensors=sensors)
    recording = replace(obs.recording, name=name, ch_names=sensors.names)
    obs = replace(obs, forward=named, recording=recording).with_note({"condition": name})
    result = infer(obs, load_model("gaussian", "identity"), draws=20)
    again = read_result(result.save(tmp_path / "x-post.nc"))
    kept = str(again.inference_data["recording"]["channel"].values[0])
    assert kept == again.about["observation"]["condition"]
    assert kept == name or {"\0", "\ud800"} & set(name)
    assert len(repr(again)) < 300


def test_nobodys_name_is_kept(tmp_path: Path) -> None:
    obs = observation()
    space = replace(obs.source_space, subject="Doe_Jane_1980", ico=None)
    own = replace(obs, forward=replace(obs.forward, source_space=space))
    result = infer(own, "gaussian", draws=20)
    file = result.save(tmp_path / "x-post.nc")
    assert b"Doe" not in file.read_bytes()
    assert "Doe" not in json.dumps(result.about) + repr(result.inference_data["maps"].attrs)


def damaged(file: Path, change: str) -> None:
    """A result's file in one of the ways a file goes wrong."""
    import h5py

    if change == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    elif change == "empty":
        file.write_bytes(b"")
    elif change == "foreign":
        file.write_text("region,probability\n")
    elif change == "missing":
        file.unlink()
    else:
        with h5py.File(file, "r+") as data:
            about = json.loads(data.attrs[ATTRIBUTE])
            if change == "other netCDF":
                del data.attrs[ATTRIBUTE]
            elif change == "no JSON":
                data.attrs[ATTRIBUTE] = "{"
            elif change == "older":
                data.attrs[ATTRIBUTE] = json.dumps({**about, "schema": 0})
            elif change == "no map":
                del data["maps"]
            elif change == "no model":
                data.attrs[ATTRIBUTE] = json.dumps({k: about[k] for k in about if k != "model"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("missing", "is not a file"),
        ("empty", "not a readable result"),
        ("truncated", "not a readable result"),
        ("foreign", "not a readable result"),
        ("other netCDF", "holds no result of bayesesi"),
        ("no JSON", "holds no result of bayesesi"),
        ("older", "has schema 0, this version reads 4 and 3"),
        ("no map", "lacks 'maps'"),
        ("no model", "lacks 'model'"),
    ],
)
def test_a_damaged_file_is_one_sentence(
    result: Result, tmp_path: Path, change: str, sentence: str
) -> None:
    file = result.save(tmp_path / "x-post.nc")
    damaged(file, change)
    with pytest.raises(InputError, match=sentence) as caught:
        read_result(file)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_saving_where_nothing_can_be_written(result: Result, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "none" / "x-post.nc", tmp_path / "folder", Path("/proc/x-post.nc")):
        with pytest.raises(InputError, match=r"cannot be written|is a folder"):
            result.save(place)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_truth_is_kept_beside_what_was_inferred(result: Result, tmp_path: Path) -> None:
    known = result.with_truth(("cuneus-lh",), np.array([0.0, -0.08, 0.04]))
    again = read_result(known.save(tmp_path / "x-post.nc"))
    assert again.about["truth"] == {"regions": ["cuneus-lh"], "position": [0.0, -0.08, 0.04]}
    assert "truth" not in result.about


def test_no_draw_with_activity_leaves_no_region() -> None:
    silent = np.zeros((3, 4), bool)
    energy = np.zeros((3, 4))
    none = np.full((3, 3), np.nan)
    nothing = np.zeros(3)
    summary = Summary(
        energy,
        silent,
        energy,
        np.zeros(5),
        np.full(3, -1),
        none,
        nothing,
        nothing,
        energy[:, :, None],
        np.full((3, 0), -1),
        {},
    )
    assert not credible_regions(summary, 0.9).any()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("calibration", None),
        ("calibration", {}),
        ("calibration", []),
        ("calibration", {"unusual": "x", "n": 3}),
        ("checks", {}),
        ("trust", {"verdict": "abstain", "reasons": []}),
        ("trust", {"verdict": "sure", "reasons": []}),
        ("credible", None),
        ("region_set", {"level": 0.9}),
    ],
)
def test_a_result_that_does_not_hang_together_is_one_sentence(
    result: Result, key: str, value: object, tmp_path: Path
) -> None:
    path = result.with_about(key, value).save(tmp_path / "x-post.nc")
    with pytest.raises(InputError, match=r"damaged|infer again") as caught:
        read_result(path)
    assert "\n" not in str(caught.value)


def test_a_guarantee_that_is_none_is_refused(result: Result) -> None:
    with pytest.raises(InputError, match="guarantee must be one of every, peak, recall"):
        infer(observation(20.0), "gaussian", guarantee="most")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("level", 17),
        ("level", "<script>"),
        ("scale_known", None),
        ("n_draws", float("inf")),
        ("seed", -1),
        ("model", None),
        ("model.details", None),
        ("head.heads_drawn", float("nan")),
        ("checks.chi2", "0.5"),
        ("checks.chi2", 10**400),
        ("checks.outside", [1]),
        ("observation.nave", float("nan")),
        ("observation.window_s", [None, 1]),
        ("observation.bads", 5),
        ("alternatives", None),
        ("alternatives", [{}]),
        ("rise", {"rise": {}}),
        ("sensitivity", [{}]),
        ("targets", [{}]),
        ("dipoles", {"each": []}),
        ("truth", {"regions": None}),
        ("evidence", {"probability": {"focal": 1.0}}),
        ("foreseen", {"channels": {}}),
        ("zzz", "deep"),
    ],
)
def test_a_result_that_says_the_impossible_is_one_sentence(
    result: Result, place: str, value: object, tmp_path: Path
) -> None:
    """Found when it is read, not when a page is made."""
    about = json.loads(json.dumps(result.about))
    if value == "deep":
        value = json.loads("[" * 400 + "]" * 400)
    holder = about
    *path, last = place.split(".")
    for key in path:
        holder = holder[key]
    holder[last] = value
    data = result.inference_data.copy()
    data.attrs = {ATTRIBUTE: json.dumps(about)}
    file = Result(data).save(tmp_path / "x-post.nc")
    with pytest.raises(InputError, match=r"damaged|lacks") as caught:
        read_result(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "case",
    [
        "probability nan",
        "probability large",
        "peak nan",
        "vertex negative",
        "vertex twice",
        "hemisphere",
        "position nan",
        "sd missing",
        "recording nan",
        "times back",
        "courses elsewhere",
        "bands upside down",
        "regions twice",
    ],
)
def test_arrays_that_a_page_cannot_show_are_one_sentence(
    result: Result, case: str, tmp_path: Path
) -> None:
    tree = result.inference_data
    data = {name: tree[name].copy(deep=True) for name in tree.groups()}
    maps, regions = data["maps"], data["regions"]
    if case.startswith("probability"):
        regions["probability"][0] = np.nan if case.endswith("nan") else 1.5
    elif case == "peak nan":
        maps["peak_probability"][0] = np.nan
    elif case.startswith("vertex"):
        vertex = maps["vertex"].values.copy()
        vertex[0] = -5 if case.endswith("negative") else vertex[1]
        data["maps"] = maps.assign_coords(vertex=("source", vertex))
    elif case == "hemisphere":
        side = np.full(maps.sizes["source"], 7)
        data["maps"] = maps.assign_coords(hemisphere=("source", side))
    elif case == "position nan":
        data["maps"] = maps.assign_coords(position=maps["position"] * np.nan)
    elif case == "sd missing":
        data["maps"] = maps.drop_vars("sd")
    elif case == "recording nan":
        data["recording"]["measured"][0, 0] = np.nan
    elif case == "times back":
        times = data["recording"]["time"].values[::-1]
        data["recording"] = data["recording"].assign_coords(time=times)
    elif case == "courses elsewhere":
        names = [f"nowhere-{k}" for k in range(data["courses"].sizes["region"])]
        data["courses"] = data["courses"].assign_coords(region=names)
    elif case == "bands upside down":
        data["courses"]["low"][:] = data["courses"]["high"].values + 1
    else:
        names = regions["region"].values.copy()
        names[1] = names[0]
        data["regions"] = regions.assign_coords(region=names)
    file = Result(az.InferenceData(attrs=tree.attrs, **data)).save(tmp_path / "x-post.nc")
    with pytest.raises(InputError, match="damaged") as caught:
        read_result(file)
    assert "\n" not in str(caught.value)
