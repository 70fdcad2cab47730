"""What a reader opens: right numbers, honest words, nothing fetched, whatever names came in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mne
import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from bayesesi.anatomy import Region, SourceSpace, template_parcellation, template_source_space
from bayesesi.anatomy.template import to_mni152
from bayesesi.cli import app
from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator, template_forward
from bayesesi.inference import infer
from bayesesi.observation import Observation, observe
from bayesesi.report import Report, make_report
from bayesesi.report.json_report import Twin, twin_schema
from bayesesi.report.reading import Reading
from bayesesi.report.words import chance, figures, listed, percent, plain, region_words
from bayesesi.result import ATTRIBUTE, Result, read_result
from bayesesi.spec import (
    read_report_spec,
    report_specs,
    section_named,
    section_names,
    templates_folder,
)

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "long": "x" * 10_000,
    "right-to-left": "مرحبا \u202egnp.exe שלום",
    "alphabets": "脳波 ΕΕΓ ЭЭГ \x07\x00 🧠",
    "template": "{{ 7 * 7 }}{% include 'style.css' %}",
}
#: Elements that may fetch or run something; of scripts there is one, see below.
ACTIVE = {"iframe", "object", "embed", "link", "base", "form", "video", "audio"}


DRAWN = (
    *("plot_maps", "plot_places", "plot_folded_maps", "plot_slices", "plot_courses"),
    *("plot_window", "plot_explained"),
)


class Page(HTMLParser):
    """Elements of a page with their attributes, its text, and its table rows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self._silent = self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag in ("style", "title", "script")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data.strip()

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def has_section(self, name: str) -> bool:
        return ("section", {"id": name}) in self.elements


def simulated(comment: str = "spike", nave: int = 40) -> mne.EvokedArray:
    """32 channels over 40 ms of a dipole in the left precentral gyrus, with white noise."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 500.0, "eeg").set_montage(montage)
    forward = template_forward(info, ico=3)
    rng = np.random.default_rng(0)
    volts = np.outer(forward.leadfield[:, true_source()], 80e-9 * np.hanning(20))
    volts += 1e-6 * rng.standard_normal(volts.shape)
    return mne.EvokedArray(volts, info, nave=nave, comment=comment, verbose="error")


def true_source() -> int:
    return int(template_parcellation(3).sources_of("precentral-lh")[3])


def observed(comment: str = "spike", nave: int = 40) -> Observation:
    evoked = simulated(comment, nave)
    forward = template_forward(evoked.info, ico=3)
    covariance = mne.Covariance(
        nave * 1e-12 * np.eye(32), evoked.ch_names, [], [], nfree=10_000, verbose="error"
    )
    return observe(evoked, forward, covariance, autocorrelation="white")


@pytest.fixture(scope="module")
def result() -> Result:
    found = infer(observed(), "gaussian", draws=200)
    space = template_source_space(3)
    return found.with_truth(("precentral-lh",), space.positions[true_source()])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages in no time, for tests of words: every picture is left blank."""
    from bayesesi.report import result_figure

    monkeypatch.setattr(result_figure, "data_uri", lambda figure: "data:image/png;base64,AA==")
    for name in DRAWN:
        monkeypatch.setattr(result_figure, name, lambda *_, **__: None)


@pytest.fixture(scope="module")
def report(result: Result) -> Report:
    return make_report(result)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(report.html)


def changed(result: Result, without: tuple[str, ...] = (), **about: Any) -> Result:
    """The same result with other words in it, and without some groups."""
    import arviz as az

    tree = result.inference_data
    groups = {name: tree[name].copy(deep=True) for name in tree.groups() if name not in without}
    text = json.dumps({**result.about, **about})
    return Result(az.InferenceData(**groups, attrs={ATTRIBUTE: text}))


def silent(result: Result) -> Result:
    """As ``infer`` gives it where nothing is there."""
    reason = {
        "code": "nothing_there",
        "sentence": "not localisable: the recording may contain only noise (posterior "
        "probability of no source: 83%, with equal prior odds)",
        "value": 0.83,
    }
    checks = {**result.about["checks"], "null_probability": 0.5, "null_at_even_odds": 0.83}
    trust = {"verdict": "abstain", "reasons": [reason]}
    about = {"trust": trust, "checks": checks, "truth": None, "credible": None, "alternatives": []}
    return changed(result, ("maps", "regions"), **about)


def test_nothing_is_fetched_and_nothing_runs(report: Report, page: Page) -> None:
    assert not ACTIVE & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "srcset", "action", "poster", "data"):
                assert (value or "").startswith("data:image/png;base64,"), (tag, name)
    style = re.sub(r"data:[^\"]*", "", report.html)
    assert not re.search(r"url\(|@import|https?://", style)
    assert "default-src 'none'" in report.html


def test_what_runs_is_one_script_of_the_page_by_its_hash(
    result: Result, report: Report, page: Page
) -> None:
    """A browser runs no other: what a name could smuggle in has another hash."""
    script = (templates_folder() / "turning.js").read_text(encoding="utf-8")
    kinds = [attributes.get("type") for tag, attributes in page.elements if tag == "script"]
    assert kinds == ["application/json", None]
    assert f"<script>{script}</script>" in report.html
    known = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{known}'\"" in report.html
    assert not re.search(r"\beval\b|new Function|innerHTML|document\.write|fetch\(", script)
    short = make_report(result, "short").html
    assert "<script" not in short
    assert "script-src" not in short


def test_every_figure_has_words_and_the_page_is_small(report: Report, page: Page) -> None:
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 8
    assert all(len(image.get("alt") or "") > 40 for image in images)
    assert len(report.html.encode()) < 5_000_000


def test_the_page_is_readable_on_a_phone_and_prints(report: Report) -> None:
    assert 'name="viewport" content="width=device-width' in report.html
    assert "@media print" in report.html
    assert "size: A4" in report.html


def test_sections_stand_in_the_order_of_a_reader(page: Page) -> None:
    order = [a["id"] for tag, a in page.elements if tag == "section"]
    assert order == (
        "where truth cortex slices regions course forward recording uncertainty methods".split()
    )
    first = "Most probable region"
    assert first not in page.words or page.words.index(first) < 400
    assert "Research use only." in page.words


def test_the_table_says_what_the_result_says(result: Result, page: Page) -> None:
    rows = {row[0]: row for row in page.rows if len(row) == 7}
    table = result.region_table()
    table = table[table.probability > 0]
    assert len(table) > 3
    for region in table.itertuples():
        row = rows[region_words(region.region)]
        assert row[1] == ("yes" if region.in_set else "")
        assert row[2] == chance(region.probability)
        if region.probability * 200 < 10:
            assert row[4] == row[6] == "–"
            continue
        assert row[4] == figures(region.peak_nAm)
        assert row[6] == f"{figures(region.low_nAm)} to {figures(region.high_nAm)}"


def test_the_credible_set_is_a_belief_with_its_size(result: Result, page: Page) -> None:
    found = result.credible_set
    assert f"{found.area_cm2:.0f}\u00a0cm²" in "".join(page.text)
    assert percent(found.share).split()[0] in page.words
    assert "It carries no guarantee" in page.words
    assert "guarantee: " in page.words or "no guarantee yet" in page.words


def test_a_simulated_patient_shows_its_truth(result: Result, page: Page) -> None:
    assert page.has_section("truth")
    assert "left precentral gyrus" in page.words
    rank = result.region_table().region.tolist().index("precentral-lh") + 1
    row = next(row for row in page.rows if row[0] == "left precentral gyrus" and len(row) == 4)
    assert row[2] == str(rank)


def test_the_same_result_gives_the_same_page(
    result: Result, report: Report, tmp_path: Path
) -> None:
    assert make_report(read_result(result.save(tmp_path / "x-post.nc"))).html == report.html


@pytest.mark.usefixtures("undrawn")
def test_a_page_that_is_not_localisable_has_no_map_and_no_table(result: Result) -> None:
    page = Page(make_report(silent(result)).html)
    start = page.words.index("Not localisable: the recording may contain only noise (posterior")
    assert start < 200
    for name in ("where", "truth", "regions", "cortex"):
        assert not page.has_section(name)
    assert page.has_section("recording")
    assert [a["alt"][:5] for tag, a in page.elements if tag == "img"] == ["All 3"]
    assert "gyrus" not in page.words


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_text(result: Result, name: str) -> None:
    observation = {**result.about["observation"], "condition": name, "bads": [name], name: name}
    model = {"name": name, "details": {name: name}}
    truth = {"regions": [name], "position": []}
    html = make_report(changed(result, observation=observation, model=model, truth=truth)).html
    page = Page(html)
    assert not ACTIVE & {tag for tag, _ in page.elements}
    assert len([tag for tag, _ in page.elements if tag == "img"]) == 8
    assert plain(name) in page.words
    assert "x" * 170 not in re.sub(r"data:[^\"]*", "", html)
    assert not any(c in html for c in "\u202e\x07\x00")
    assert "49" not in plain(name)


@pytest.mark.usefixtures("undrawn")
def test_few_trials_and_an_unknown_unit_are_said() -> None:
    found = infer(observed(nave=6), "gaussian", draws=50)
    assert "an average of only 6 trials" in Page(make_report(found).html).words
    unknown = changed(found, scale_known=False)
    page = Page(make_report(unknown).html)
    assert "nAm" not in page.words
    assert "unit of the recording is unknown" in page.words


@pytest.mark.usefixtures("undrawn")
def test_an_answer_that_leaves_much_over_says_so_at_once(result: Result, page: Page) -> None:
    sentence = "The model does not explain the whole recording"
    assert sentence not in page.words
    poor = changed(result, checks={**result.about["checks"], "chi2": 2.5})
    words = Page(make_report(poor).html).words
    assert words.index(sentence) < words.index("Localisation")


@pytest.mark.usefixtures("undrawn")
def test_a_set_over_most_of_the_cortex_is_called_what_it_is(result: Result) -> None:
    wide = changed(result, credible={**result.about["credible"], "share_of_cortex": 0.57})
    words = Page(make_report(wide).html).words
    assert words.index("This recording does not localise well") < 200
    assert "57 %" in words.replace("\u00a0", " ")


@pytest.mark.parametrize("case", ["one sample", "no positions", "magnetometers", "no explanation"])
def test_recordings_that_lack_something_still_give_a_page(result: Result, case: str) -> None:
    poor = changed(silent(result))
    recording = poor.inference_data["recording"]
    if case == "one sample":
        recording = recording.isel(time=[3])
    elif case == "no positions":
        recording["position"][:] = np.nan
    elif case == "magnetometers":
        recording["kind"][:] = "mag"
    else:
        recording = recording.drop_vars("explained")
    poor.inference_data["recording"] = recording
    page = Page(make_report(poor).html)
    assert page.has_section("recording")
    assert page.has_section("forward") is (case != "no explanation")


def test_sources_that_are_not_on_the_template_are_points(result: Result) -> None:
    own = changed(result)
    own.inference_data["maps"].attrs["subject"] = ""
    page = Page(make_report(own).html)
    assert "shown as points" in page.words
    assert page.has_section("regions")


def test_sources_on_no_cortex_have_no_table() -> None:
    obs = observed()
    rng = np.random.default_rng(0)
    space = SourceSpace(template_source_space(2).positions)
    leadfield = 100 * rng.standard_normal((32, space.n_sources))
    bare = ForwardOperator(leadfield, space, sensors=obs.sensors)
    recording = simulated()
    covariance = mne.Covariance(
        40e-12 * np.eye(32), recording.ch_names, [], [], nfree=10_000, verbose="error"
    )
    found = infer(
        observe(recording, bare, covariance, autocorrelation="white"), "gaussian", draws=50
    )
    page = Page(make_report(found).html)
    assert not page.has_section("regions")
    assert page.has_section("cortex")


def test_a_report_is_saved_whole_or_not_at_all(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = report.save(tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == report.html

    def full_disk(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError, match="No space left"):
        Report("new").save(path)
    monkeypatch.undo()
    assert path.read_text(encoding="utf-8") == report.html
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_an_unknown_spec_is_one_sentence(result: Result) -> None:
    with pytest.raises(InputError, match="allowed are clinical"):
        make_report(result, "poster")


def test_every_section_has_its_template_and_every_template_its_section() -> None:
    assert set(section_names()) == {
        path.stem for path in (templates_folder() / "sections").glob("*.html")
    }


def test_no_figure_is_left_open(result: Result) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    make_report(result)
    assert plt.get_fignums() == before


def test_the_import_of_reports_is_light() -> None:
    heavy = "{'matplotlib', 'mne', 'jinja2', 'torch'}"
    code = f"import sys, bayesesi.report; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_words() -> None:
    assert [percent(x) for x in (0, 0.004, 0.101, 0.996, 1)] == [
        "0\u00a0%",
        "<1\u00a0%",
        "10\u00a0%",
        ">99\u00a0%",
        "100\u00a0%",
    ]
    assert [figures(x) for x in (0, 0.0123, 4.44, 45.2, 123.4)] == [
        "0",
        "0.012",
        "4.4",
        "45",
        "123",
    ]
    assert [chance(x) for x in (0, 0.5, 1)] == ["<1\u00a0%", "50\u00a0%", ">99\u00a0%"]
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh"), 2) == "a, b and 6 more"
    assert region_words("middletemporal-rh") == "right middle temporal gyrus"
    assert region_words("<b>-lh") == "<b>-lh"
    assert len(plain("y" * 1000)) == 81


def test_sections_of_specs_are_those_of_the_page() -> None:
    assert set(report_specs()) == {"clinical", "research", "short"}
    for name in report_specs():
        assert read_report_spec(name).sections[-1].section == "methods"


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_ones_own(result: Result, tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    head = 'schema = 1\nname = "mine"\ndescription = "Mine."\nfamily = "report"\n'
    methods = '[[sections]]\nsection = "methods"\ntitle = "How <b>"\nfolded = true\n'
    own.write_text(head + methods)
    page = Page(make_report(result, own).html)
    assert [a["id"] for tag, a in page.elements if tag == "section"] == ["methods"]
    assert "How <b>" in page.words
    short = Page(make_report(result, "short").html)
    assert len(short.words) < len(Page(make_report(result).html).words)
    own.write_text(head + methods.replace("methods", "where"))
    with pytest.raises(InputError, match="the last section is 'methods'"):
        make_report(result, own)
    own.write_text(head + methods.replace("methods", "sureness") + methods)
    with pytest.warns(FutureWarning, match="now called 'uncertainty'"):
        earlier = Page(make_report(result, own).html)
    assert earlier.has_section("uncertainty")
    own.write_text(head + methods.replace('"methods"', '"magic"'))
    with pytest.raises(InputError, match="no section 'magic'"):
        make_report(result, own)
    with pytest.raises(InputError, match="allowed are clinical, research, short"):
        make_report(result, "nice")


def test_the_twin_says_what_the_page_says(result: Result, report: Report, tmp_path: Path) -> None:
    twin = json.loads(report.save(tmp_path / "x.json").read_text(encoding="utf-8"))
    assert twin["sentence"].replace("\xa0", " ") in Page(report.html).words
    assert twin["regions"] == result.to_dict()["regions"]
    assert twin["trust"] == result.about["trust"]
    assert report.save(tmp_path / "x.html").read_text(encoding="utf-8") == report.html


def test_the_twin_is_what_its_published_schema_says(report: Report, result: Result) -> None:
    published = json.loads((ROOT / "reports" / "report.schema.json").read_text(encoding="utf-8"))
    assert published == twin_schema(), "make it anew: bayesesi report --schema"
    Twin.model_validate(json.loads(json.dumps(report.table)))
    Twin.model_validate(json.loads(json.dumps(make_report(silent(result), "short").table)))
    with pytest.raises(ValueError, match="extra"):
        Twin.model_validate({**report.table, "surprise": 1})


#: Numbers that stand in sentences of the page whatever the result: definitions and limits.
PROSE = {
    *("2", "8", "5", "95", "90", "10", "30", "20", "0.7", "1.3", "1", "3", "1.1", "152", "305"),
    *("10,000", "100"),
}


def numbers_of(text: str) -> list[str]:
    """What a reader takes for a number."""
    return re.findall(
        r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e[-+]?\d+)?)", text.replace("\u202f", ",")
    )


def forms(value: Any) -> set[str]:
    """All that a page may make of a leaf of the twin."""
    if isinstance(value, dict):
        return set().union(*(forms(k) | forms(v) for k, v in value.items())) if value else set()
    if isinstance(value, list):
        return set().union({str(len(value))}, *map(forms, value))
    if isinstance(value, str):
        return set(numbers_of(value))
    if isinstance(value, bool) or value is None:
        return set()
    found = set()
    for unit in (1, 100, 1e3, 1e4, 1e9):
        x = abs(unit * value)
        found |= {f"{x:.0f}", f"{x:,.0f}", figures(x), figures(x, 3), f"{x:.4g}", f"{x:.1f}"}
    return found | {f"{100 - 100 * value:.0f}"}


def unexplained(html: str, table: Any) -> list[str]:
    """Numbers of a page that are nowhere in a twin."""
    page = Page(html)
    cited = html.index("References to cite") if "References to cite" in html else len(html)
    page = Page(html[:cited])
    known = forms(table) | PROSE
    return [number for number in numbers_of(page.words) if number not in known]


def test_every_number_of_the_page_is_in_the_twin(result: Result, report: Report) -> None:
    """By walking both; a page of other numbers is found out."""
    table = json.loads(json.dumps(report.table))
    counts = {"regions": len(table["regions"])}
    never = sum(row["probability"] == 0 for row in table["regions"])
    shown = {"table": [counts, len(table["regions"]) - never, never, table, report_counts(result)]}
    assert not unexplained(report.html, shown)
    # a twin that must fail: every number of the page moved by an eighth
    moved = re.sub(
        r">([^<]*)<", lambda m: ">" + re.sub(r"\d+\.\d+", _moved, m[1]) + "<", report.html
    )
    assert len(unexplained(moved, shown)) > 10


def _moved(match: re.Match[str]) -> str:
    return f"{1.125 * float(match[0]):.4f}"


def report_counts(result: Result) -> list[Any]:
    """Of the arrays that the page draws."""
    recording, maps = result.inference_data["recording"], result.inference_data["maps"]
    times = recording["time"].values
    peak = maps["position"].values[int(maps["peak_probability"].values.argmax())]
    power = (recording["measured"].values ** 2).sum(axis=0)
    table = result.region_table()
    true = np.asarray(result.about["truth"]["position"]).reshape(-1, 3)
    return [
        len(recording["channel"]),
        [float(t) for t in (times[0], times[-1], times[int(power.argmax())])],
        [float(x) for x in to_mni152(peak[None])[0]],
        [int(k) for k in np.arange(1, len(table) + 1)[table.region == "precentral-lh"]],
        float(np.linalg.norm(true - peak, axis=1).min() * 1e3),
        int((table.probability > 0).sum()) - 20,
        *(0.2, 0.5),
    ]


def test_figures_of_a_page_are_those_that_its_spec_names(result: Result, tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    text = (
        'schema = 1\nname = "mine"\ndescription = "Mine."\nfamily = "report"\n'
        '[[sections]]\nsection = "cortex"\ntitle = "Maps"\n'
        '[[sections.figures]]\nfigure = "spread"\ncaption = "Mine <b>."\n'
        '[[sections]]\nsection = "methods"\ntitle = "How"\n'
    )
    own.write_text(text)
    page = Page(make_report(result, own).html)
    assert [tag for tag, _ in page.elements].count("img") == 1
    assert "Mine <b>." in page.words
    assert "Uncertainty of the strength" not in page.words
    own.write_text(text.replace('"spread"', '"magic"'))
    with pytest.raises(InputError, match="no figure 'magic'; allowed: turning, probability"):
        make_report(result, own)


def test_figures_of_specs_are_those_of_the_page(result: Result) -> None:
    reading = Reading(result)
    for name in section_names():
        wanted, values = section_named(name).figures, section_named(name).make(reading)
        if values is None or not wanted:
            continue
        made = [each.name for each in values["pictures"]]
        made = ["turning", *made] if values.get("turning") else made
        assert tuple(made) == wanted or name == "uncertainty"


@pytest.mark.usefixtures("undrawn")
def test_an_mri_is_drawn_on_if_it_is_one(result: Result, tmp_path: Path) -> None:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [-96, -132, -78]
    voxels = np.random.default_rng(0).uniform(1, 2, (48, 58, 48)).astype(np.float32)
    path = tmp_path / "JANE_DOE.nii.gz"
    image = nib.Nifti1Image(voxels, affine)
    image.header["descrip"] = b"Jane Doe 1970-01-01"
    image.to_filename(path)
    html = make_report(result, mri=path).html
    assert "the supplied image" in html
    assert "Jane Doe" not in html
    assert "JANE_DOE" not in html
    nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 1.0, 1.0])).to_filename(tmp_path / "far.nii")
    nib.Nifti1Image(np.ones((9, 9, 9)), affine).to_filename(tmp_path / "flat.nii")
    (tmp_path / "text.nii").write_text("<b>")
    for name, said in (
        ("far.nii", "another space"),
        ("flat.nii", "cannot be used as an MRI"),
        ("text.nii", "not a readable NIfTI"),
        ("none.nii", "is not a file"),
    ):
        with pytest.raises(InputError, match=said):
            make_report(result, mri=tmp_path / name)


@pytest.mark.usefixtures("undrawn")
def test_onset_and_peak_are_told_apart_where_the_window_shows_both(result: Result) -> None:
    rise = {
        "same_region": 0.4,
        "apart_mm": {"low": 3.0, "median": 21.0, "high": 44.0},
        "rise": {"time_s": 0.011, "region": "cuneus-lh", "probability": 0.31},
        "peak": {"time_s": 0.023, "region": "insula-rh", "probability": 0.62},
    }
    words = Page(make_report(changed(result, rise=rise)).html).words.replace("\xa0", " ")
    assert (
        "At 11 ms, half-way up the rise, the strongest activity lies most often in the left"
        in words
    )
    assert "The onset points to another region than the peak." in words
    assert "21 mm apart (90 % interval 3 to 44 mm)" in words
    assert (
        "onset and peak cannot be separated"
        in Page(make_report(changed(result, rise=None)).html).words
    )


@pytest.mark.usefixtures("undrawn")
def test_reports_lie_where_bids_wants_them(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "x-post.nc")
    root = tmp_path / "derivatives"
    wanted = ["report", str(tmp_path / "x-post.nc"), "--format", "html,json", "--spec", "short"]
    bids = ["--bids", str(root), "--subject", "01", "--session", "a", "--task", "spikes"]
    run = CliRunner().invoke(app, [*wanted, *bids])
    assert run.exit_code == 0, run.output
    stem = "sub-01/ses-a/eeg/sub-01_ses-a_task-spikes_desc-bayesesi_report"
    assert (root / f"{stem}.html").is_file()
    assert (root / f"{stem}.json").is_file()
    about = json.loads((root / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    for wrong, said in (
        (["--bids", str(root), "--subject", "../x"], "letters and digits"),
        (["--bids", str(root)], "begins with a subject"),
        (["--subject", "01"], "belong to --bids"),
        (["--bids", str(root), "--subject", "01", "-o", "x.html"], "give one of them"),
    ):
        run = CliRunner().invoke(app, [*wanted, *wrong])
        assert run.exit_code == 2
        assert said in " ".join(run.stderr.split())
    (root / "dataset_description.json").write_text('{"DatasetType": "raw"}')
    run = CliRunner().invoke(app, [*wanted, *bids])
    assert "not of derivatives" in " ".join(run.stderr.split())


def test_what_ran_is_cited_and_nothing_else(result: Result, report: Report) -> None:
    cited = " ".join(report.table["citations"])
    assert "Hämäläinen" in cited
    assert "sbi" not in cited
    assert "Hämäläinen" in Page(report.html).words
    nothing = " ".join(make_report(silent(result), "short").table["citations"])
    assert "Desikan" not in nothing
    assert "MNE-Python" in nothing


def test_places_have_the_names_of_hed_score(report: Report) -> None:
    found = report.table["hed_score"]
    top = Region.named(report.table["regions"][0]["region"])
    assert found["laterality"] == f"Brain-laterality-{top.side}"
    assert found["source"] == f"Source-analysis-{top.sublobe}"
    assert found["source"] in Page(report.html).words


@pytest.mark.usefixtures("undrawn")
def test_results_of_the_schema_before_are_read(result: Result, tmp_path: Path) -> None:
    """Without moments over time: that section is left out, and nothing else."""
    old = changed(result, ("courses",), schema=3, rise=None)
    page = Page(make_report(read_result(old.save(tmp_path / "old-post.nc"))).html)
    assert not page.has_section("course")
    assert page.has_section("regions")


def test_a_pdf_needs_an_extra_and_says_which(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(InputError, match=r"bayesesi\[pdf\]"):
        report.save(tmp_path / "x.pdf")
    assert not list(tmp_path.iterdir())


@pytest.mark.pdf
def test_a_pdf_has_the_pages_of_the_page(report: Report, tmp_path: Path) -> None:
    """And loads nothing but what is inside it."""
    pytest.importorskip("weasyprint", reason="needs bayesesi[pdf] and Pango", exc_type=Exception)
    made = report.save(tmp_path / "x.pdf").read_bytes()
    assert made.startswith(b"%PDF")
    hostile = report.html.replace("<main>", '<main><img src="file:///etc/passwd" alt="x">')
    assert Report(hostile).save(tmp_path / "y.pdf").read_bytes().startswith(b"%PDF")


def test_a_page_fits_into_a_report_of_mne(report: Report, tmp_path: Path) -> None:
    whole = mne.Report(title="x", verbose="error")
    report.add_to(whole, "Where <it> came from")
    assert len(whole.html) == 1
    assert 'sandbox=""' in whole.html[0]
    assert "<it>" not in whole.html[0]


@pytest.mark.usefixtures("undrawn")
def test_the_command_writes_page_and_twin(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "x-post.nc")
    out = tmp_path / "page.html"
    wanted = ["report", str(tmp_path / "x-post.nc"), "--format", "html,json", "-o", str(out)]
    run = CliRunner().invoke(app, wanted)
    assert run.exit_code == 0, run.output
    assert out.is_file()
    assert out.with_suffix(".json").is_file()
    run = CliRunner().invoke(app, ["report", str(tmp_path / "x-post.nc"), "--format", "doc"])
    assert run.exit_code == 2
    assert "html, pdf, json" in run.stderr


@pytest.mark.usefixtures("undrawn")
def test_a_reader_writes_a_conclusion_into_the_page(result: Result, tmp_path: Path) -> None:
    told = result.with_conclusion("Fits the semiology.\n\n<b>MRI</b> next.", "Dr A. N.")
    again = read_result(told.save(tmp_path / "x-post.nc"))
    page = make_report(again)
    words = Page(page.html).words
    assert "Fits the semiology." in words
    assert "Written by Dr A. N." in words
    assert "<b>MRI" not in page.html
    assert page.table["conclusion"]["paragraphs"] == ["Fits the semiology.", "<b>MRI</b> next."]
    Twin.model_validate(page.table)
    assert "Written by a reader" in make_report(silent(result).with_conclusion("No.")).html
    for wrong in ("", " \n ", "x" * 601, "x\n" * 21):
        with pytest.raises(InputError, match="a conclusion has 1 to 20 paragraphs"):
            result.with_conclusion(wrong)
    path, text = result.save(tmp_path / "y-post.nc"), tmp_path / "said.txt"
    text.write_text("From a file.")
    for given in ("From a file.", str(text)):
        args = ["report", str(path), "--conclusion", given, "--reader", "me", "--format", "json"]
        assert CliRunner().invoke(app, args).exit_code == 0
        twin = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert twin["conclusion"] == {"paragraphs": ["From a file."], "reader": "me"}
    alone = CliRunner().invoke(app, ["report", str(path), "--reader", "me"])
    assert alone.exit_code == 2
    assert "belongs to --conclusion" in alone.stderr


def test_lobes_are_counted_over_draws(result: Result) -> None:
    """By hand, draw by draw."""
    regions = result.inference_data["regions"]
    active = result.inference_data["posterior"]["region_active"].values[0] > 0
    places = list(zip(regions["side"].values, regions["lobe"].values, strict=True))
    table = result.lobe_table()
    assert len(table) == len(set(places))
    for row in table.itertuples():
        own = [place == (row.side, row.lobe) for place in places]
        assert row.probability == pytest.approx(np.mean([draw[own].any() for draw in active]))
    alone = [
        len({place for place, on in zip(places, draw, strict=True) if on}) == 1
        for draw in active
        if draw.any()
    ]
    assert result.one_lobe == pytest.approx(np.mean(alone))


@pytest.mark.parametrize(
    ("logs", "error", "said"),
    [
        ((2.6, 0.0, -9.0), 3.2, "The data do not decide between"),
        (
            (9.0, 0.0, -9.0),
            0.5,
            "The recording is described best by a smooth field over the cortex",
        ),
        ((-9.0, 0.0, -20.0), 0.5, None),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_a_belief_that_the_data_do_not_prefer_is_said_at_once(
    result: Result, logs: tuple[float, ...], error: float, said: str | None
) -> None:
    share = np.exp(np.array(logs) - max(logs))
    names = ("distributed", "focal", "nothing")
    probability = dict(zip(names, (share / share.sum()).tolist(), strict=True))
    evidence = {"probability": probability, "error": error}
    details = {**result.about["model"]["details"], "family": "atoms"}
    model = {"name": "atoms", "details": details}
    report = make_report(changed(result, evidence=evidence, model=model))
    first = " ".join(report.table["notes"])
    if said is None:
        assert "this model assumes" not in first
    else:
        assert said in first
        assert "this model assumes a few patches of cortex" in first


@pytest.mark.usefixtures("undrawn")
def test_an_answer_that_changes_as_often_as_not_says_so_at_once(result: Result) -> None:
    change = {
        "kind": "channels",
        "words": "without some",
        "top": "cuneus-lh",
        "probability": 0.5,
        "of_first": 0.1,
        "largest": 0.5,
        "region": "cuneus-lh",
        "before": 0.0,
        "after": 0.5,
        "moved_mm": 12.0,
        "null": 0.1,
    }
    still = {**change, "largest": 0.05}
    for rows, said in (([change, still], True), ([change, still, still], False)):
        table = make_report(changed(result, sensitivity=rows)).table
        assert any("changes in 1 of" in note for note in table["notes"]) is said
        assert table["sentence"].startswith("Most probable region by this model") is said
    words = Page(make_report(changed(result, sensitivity=[change])).html).words
    assert "<1 % → 50 %" in words.replace("\xa0", " ")


@pytest.mark.usefixtures("undrawn")
def test_as_many_sources_as_a_model_allows_may_be_too_few(result: Result) -> None:
    def page(probability: list[float]) -> str:
        details = {**result.about["model"]["details"], "count_probability": probability}
        model = {**result.about["model"], "details": details}
        return Page(make_report(changed(result, model=model)).html).words

    assert "there may be more" in page([0.0, 0.0, 0.0, 1.0])
    few = page([0.0, 0.7, 0.2, 0.1]).replace("\xa0", " ")
    assert "there may be more" not in few
    assert "Number of separate sources: one 70 %, two 20 % and three 10 %" in few
