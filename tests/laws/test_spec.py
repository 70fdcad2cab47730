"""Specs: what is read is what was written, and every mistake is a sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bayesesi.errors import InputError
from bayesesi.spec import (
    PatchSpec,
    Quantity,
    Spec,
    SpecError,
    read_spec,
    shipped_specs,
    spec_hash,
    spec_schema,
)

HEAD = 'schema = 1\nname = "mine"\ndescription = "A test."\nfamily = "patch"\n'


def write(folder: Path, text: str, kind: str = "sources", name: str = "mine") -> Path:
    path = folder / kind / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def sentences(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    return caught.value.sentences


@pytest.mark.parametrize(
    "written",
    [
        3.0,
        {"uniform": [1.0, 2.0]},
        {"loguniform": [0.5, 2.0]},
        {"normal": [0.0, 4.0], "within": [-8.0, 8.0]},
        {"lognormal": [60.0, 2.0], "within": [2.0, 1000.0]},
    ],
)
def test_a_quantity_writes_what_it_read(written: object) -> None:
    assert Quantity.model_validate(written).model_dump(mode="json") == written


@pytest.mark.parametrize(
    ("written", "bounds"),
    [
        (3, (3, 3)),
        ({"uniform": [1, 2], "within": [1.5, 9]}, (1.5, 2)),
        ({"lognormal": [60, 2]}, (0, math.inf)),
        ({"normal": [0, 1], "within": [-2, 3]}, (-2, 3)),
    ],
)
def test_bounds_of_a_quantity(written: object, bounds: tuple[float, float]) -> None:
    assert Quantity.model_validate(written).bounds == bounds


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_a_resolved_spec_reads_back_as_itself(name: str) -> None:
    spec = read_spec(name)
    again = type(spec).model_validate(spec.resolved())
    assert again.resolved() == spec.resolved()
    assert spec_hash(again) == spec_hash(spec)


def test_names_are_those_of_the_files_and_unique() -> None:
    names = [read_spec(path).name for path in shipped_specs().values()]
    assert names == list(shipped_specs())
    folders = [p.stem for p in next(iter(shipped_specs().values())).parents[1].glob("*/*.toml")]
    assert len(set(folders)) == len(folders)


def test_words_do_not_change_the_hash_and_numbers_do(tmp_path: Path) -> None:
    same = write(tmp_path, 'schema = 1\nextend = "focal"\nname = "a"\ndescription = "Other."\n')
    other = write(
        tmp_path, 'schema = 1\nextend = "focal"\nname = "b"\n[count]\nnull = 0.11\n', name="b"
    )
    assert spec_hash(read_spec(same)) == spec_hash(read_spec("focal"))
    assert spec_hash(read_spec(other)) != spec_hash(read_spec("focal"))


def test_a_mixture_changes_its_hash_with_its_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spec_hash(read_spec("focal-or-distributed"))
    changed = write(
        tmp_path,
        'schema = 1\nextend = "focal"\nname = "focal2"\n[count]\nnull = 0.3\n',
        name="focal2",
    )
    paths = {**shipped_specs(), "focal2": changed}
    monkeypatch.setattr("bayesesi.spec.files.shipped_specs", lambda: paths)
    text = Path(paths["focal-or-distributed"]).read_text().replace('"focal"', '"focal2"')
    after = spec_hash(read_spec(write(tmp_path, text, name="focal-or-distributed")))
    assert before != after


def test_specs_that_name_each_other_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        'schema = 1\nname = "ring"\ndescription = "A test."\nfamily = "mixture"\n'
        '[[components]]\nspec = "ring"\n[[components]]\nspec = "focal"\n'
    )
    path = write(tmp_path, text, name="ring")
    paths = {**shipped_specs(), "ring": path}
    monkeypatch.setattr("bayesesi.spec.files.shipped_specs", lambda: paths)
    with pytest.raises(SpecError, match="in a circle"):
        spec_hash(read_spec("ring"))


def test_a_parent_may_lie_beside_its_child(tmp_path: Path) -> None:
    write(tmp_path, HEAD.replace("mine", "parent") + "extent_mm = 7\n", name="parent")
    child = write(tmp_path, 'schema = 1\nextend = "parent.toml"\nname = "child"\n', name="child")
    spec = read_spec(child)
    assert isinstance(spec, PatchSpec)
    assert spec.extent_mm.numbers == (7.0,)


def test_extend_changes_a_few_keys_and_replaces_distributions(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'schema = 1\nextend = "focal"\nname = "mine"\nextent_mm = 7\n'
        "correlation = { normal = [0, 0.2], within = [-1, 1] }\n[count]\nnull = 0.0\n",
    )
    mine, focal = read_spec(path), read_spec("focal")
    assert isinstance(mine, PatchSpec)
    assert isinstance(focal, PatchSpec)
    assert mine.extent_mm == Quantity.model_validate(7)
    assert mine.count.null == 0.0
    assert mine.count.weights == focal.count.weights
    assert mine.correlation.family == "normal"
    assert mine.moment_nAm == focal.moment_nAm


def test_twenty_mistakes_give_twenty_sentences(tmp_path: Path) -> None:
    """Each names the file, the key, what came, and what is allowed or what to do."""
    mistakes = {
        "extent = 3": "'extent_mm'",
        "extnt_mm = 3": "'extent_mm'",
        "colour = 3": "allowed are",
        "moment_nAm = true": "number",
        'moment_nAm = "large"': "number",
        "moment_nAm = { lognorml = [60, 2] }": "lognormal",
        "moment_nAm = { lognormal = [60] }": "[median, factor]",
        "moment_nAm = { lognormal = [60, 0.5] }": "factor above 1",
        "moment_nAm = { lognormal = [60, 2] }": "narrow it",
        "moment_nAm = nan": "finite",
        "moment_nAm = -4": "0 to 10000",
        "extent_mm = { loguniform = [20, 4] }": "low to high",
        "extent_mm = { uniform = [5, 500] }": "1 to 60",
        "extent_mm = { uniform = [5, 9], loguniform = [5, 9] }": "one of",
        "correlation = 2": "-1 to 1",
        "correlation = { uniform = [0.1, 0.2], within = [0.3, 0.4] }": "no value within",
        "profile = { gaussian = 0.4 }": "sum to 1",
        "profile = { round = 1.0 }": "gaussian",
        "count = { null = 1.5 }": "1",
        "count = { weights = [0.5, 0.2] }": "sum to 1",
        'place = { by = "volume" }': "'area' or 'depth'",
        "place = { other_regions = 0 }": "weight",
        'orientation = { family = "sideways" }': "'fixed'",
    }
    for line, hint in mistakes.items():
        key = line.split(" =")[0]
        found = sentences(write(tmp_path, HEAD + line + "\n"))
        about = [s for s in found if s.startswith(f"mine.toml: {key}")]
        assert about, (line, found)
        assert any(hint in s for s in about), (line, about)


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = HEAD + "colour = 1\nextent = 2\ncorrelation = 3\n[count]\nnul = 0.1\n"
    assert len(sentences(write(tmp_path, text))) == 4


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "schema"),
        (HEAD.replace("schema = 1", "schema = 2"), "schema = 2"),
        (HEAD.replace('"patch"', '"pach"'), "did you mean 'patch'"),
        (HEAD.replace('"patch"', '"bank"'), "not known"),
        ("not toml at all", "TOML"),
        ('schema = 1\nextend = "focal"\n', "a name of its own"),
        ('schema = 1\nname = "a"\nextend = "focl"\n', "did you mean 'focal'"),
        ("schema = 1\nextend = 3\n", "must name"),
    ],
)
def test_files_that_are_no_spec(tmp_path: Path, text: str, hint: str) -> None:
    (sentence,) = sentences(write(tmp_path, text))
    assert hint in sentence


def test_binary_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "TOML" in sentences(path)[0]
    with pytest.raises(SpecError, match="did you mean 'focal'"):
        read_spec("focall")


def test_a_noise_file_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    text = (
        'schema = 1\nname = "mine"\ndescription = "A test."\nfamily = "sum"\n'
        '[[components]]\nfamily = "covariance"\nfile = "../../secret-cov.fif"\n'
    )
    assert "below the spec's folder" in sentences(write(tmp_path, text, "noise"))[0]


@pytest.mark.parametrize("kind", ["sources", "heads", "noise", "simulators"])
def test_the_json_schema_names_every_key(kind: str) -> None:
    text = json.dumps(spec_schema(kind))
    assert "additionalProperties" in text
    for name, path in shipped_specs().items():
        if path.parent.name == kind:
            assert all(f'"{key}"' in text for key in read_spec(name).resolved())


def test_an_unknown_kind_has_no_schema() -> None:
    with pytest.raises(InputError, match="kind is one of"):
        spec_schema("hats")


def test_specs_are_frozen() -> None:
    spec: Spec = read_spec("focal")
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"
