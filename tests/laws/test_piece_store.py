"""Pieces in a folder: claimed, missing, made, gathered; one law for every runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bayesesi.errors import InputError
from bayesesi.io.store import JsonRows, JsonTables, Manifest, Piece, Store

MANIFEST = Manifest("about.json", 3, "rows", "piece-*", derived=("words",))
ABOUT = {"seed": 1, "names": ("a", "b"), "words": "as they are"}


def _rows(first: int, size: int) -> list[dict[str, Any]]:
    return [{"item": first + k} for k in range(size)]


def _wanted(n: int, size: int = 2) -> list[Piece]:
    return [
        Piece(f"piece-{k}.json", min(size, n - k), (k, min(size, n - k))) for k in range(0, n, size)
    ]


def _gathered(store: Store[list[dict[str, Any]]], wanted: list[Piece]) -> list[int]:
    return [row["item"] for rows in store.gather(wanted) for row in rows]


def test_what_is_missing_is_made_once_and_in_order(tmp_path: Path) -> None:
    store, made = Store(tmp_path, JsonRows()), []

    def work(first: int, size: int) -> list[dict[str, Any]]:
        made.append(first)
        return _rows(first, size)

    store.run(work, _wanted(5))
    assert made == [0, 2, 4]
    assert _gathered(store, _wanted(5)) == list(range(5))
    assert _gathered(store, _wanted(3)) == list(range(3))
    (tmp_path / "piece-2.json").write_text("[{")
    store.run(work, _wanted(7))  # the last piece was shorter
    assert made == [0, 2, 4, 2, 4, 6]
    assert _gathered(store, _wanted(7)) == list(range(7))
    assert all(path.suffix == ".json" for path in tmp_path.iterdir())
    (tmp_path / "piece-0.json").unlink()
    with pytest.raises(InputError, match=r"piece-0\.json was lost or changed; run the same again"):
        _gathered(store, _wanted(7))


def test_a_piece_whose_work_fails_leaves_the_others(tmp_path: Path) -> None:
    store = Store(tmp_path, JsonRows())

    def work(first: int, size: int) -> list[dict[str, Any]]:
        if first == 2:
            raise InputError("no")
        return _rows(first, size)

    with pytest.raises(InputError, match="no"):
        store.run(work, _wanted(5))
    assert [path.name for path in tmp_path.iterdir()] == ["piece-0.json"]


@pytest.mark.parametrize("text", ["", "{", "{}", "[1, 2]", '{"a": 1}', "[" * 100_000])
def test_rows_that_are_none_are_made_again(text: str, tmp_path: Path) -> None:
    (tmp_path / "piece-0.json").write_text(text)
    store = Store(tmp_path, JsonRows())
    assert len(store.missing(_wanted(2))) == 1


def test_a_table_of_something_else_is_made_again(tmp_path: Path) -> None:
    one, other = JsonTables({"job": 1}, ("x",)), JsonTables({"job": 2}, ("x",))
    wanted = [Piece("a.json", 1, ())]
    Store(tmp_path, one).run(lambda: {"x": 5}, wanted)
    assert list(Store(tmp_path, one).gather(wanted)) == [{"x": 5, "job": 1}]
    assert Store(tmp_path, other).missing(wanted) == wanted
    (tmp_path / "a.json").write_text('{"job": 1}')
    assert Store(tmp_path, one).missing(wanted) == wanted


def test_a_folder_is_claimed_for_one_thing(tmp_path: Path) -> None:
    MANIFEST.claim(tmp_path / "new", ABOUT)
    place, before = tmp_path / "new", (tmp_path / "new" / "about.json").read_bytes()
    MANIFEST.claim(place, ABOUT | {"words": "in other words"})
    assert (place / "about.json").read_bytes() == before
    assert MANIFEST.read(place) == {"schema": 3, **ABOUT, "names": ["a", "b"]}
    MANIFEST.claim(place, ABOUT | {"seed": 2})  # nothing is there yet
    (place / "piece-0.json").write_text("[]")
    said = r"holds rows of another seed \(2 and not 1\) and names; delete it or choose another"
    with pytest.raises(InputError, match=said):
        MANIFEST.claim(place, {"seed": 1, "names": ["a" * 99]})
    (place / "about.json").unlink()
    with pytest.raises(InputError, match=r"holds files but no about\.json; choose an empty folder"):
        MANIFEST.claim(place, ABOUT)
    (place / "piece-0.json").unlink()
    (place / "other.txt").write_text("mine")  # no piece
    MANIFEST.claim(place, ABOUT)
    assert (place / "other.txt").exists()


def test_a_folder_of_something_else_is_begun_anew_where_that_is_asked(tmp_path: Path) -> None:
    MANIFEST.claim(tmp_path, ABOUT, anew=True)
    for name in ("piece-0.json", "other.txt"):
        (tmp_path / name).write_text("[]")
    MANIFEST.claim(tmp_path, ABOUT, anew=True)
    assert (tmp_path / "piece-0.json").exists()
    for about in ('{"schema": 3', json.dumps({"schema": 2})):
        (tmp_path / "piece-0.json").write_text("[]")
        (tmp_path / "about.json").write_text(about)
        MANIFEST.claim(tmp_path, ABOUT, anew=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["about.json", "other.txt"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ("{}", "is damaged"),
        ('{"schema": 9}', "has schema 9, this version reads 3"),
    ],
)
def test_a_damaged_manifest_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text(text)
    for ask in (lambda: MANIFEST.claim(tmp_path, ABOUT), lambda: MANIFEST.read(tmp_path)):
        with pytest.raises(InputError, match=sentence) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for ask in (
        lambda: MANIFEST.claim(tmp_path / "file" / "x", ABOUT),
        lambda: Store(tmp_path / "file", JsonRows()).run(_rows, _wanted(1)),
    ):
        with pytest.raises(InputError, match="cannot be written"):
            ask()


def test_the_bar_says_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def track(ended: Any, words: str, **options: object) -> Any:
        said.append(words)
        return ended

    monkeypatch.setattr("rich.progress.track", track)
    store = Store(tmp_path, JsonRows())
    store.run(_rows, _wanted(3), doing="rows", progress=True)
    store.run(_rows, _wanted(7), doing="rows", progress=True)
    assert said == ["rows", "rows, 1 of 4 there already"]


def test_pieces_of_a_group_go_to_one_process_and_large_groups_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process alone makes them in their order."""
    asked: list[list[str]] = []

    def jobs(make: Any, jobs: list[Any], *options: object) -> list[Any]:
        asked.extend([piece.key for piece in job[-1]] for job in jobs)
        return [make(*job) for job in jobs]

    monkeypatch.setattr("bayesesi.io.store.run_jobs", jobs)
    wanted = [
        Piece(f"piece-{k}.json", 1, (k, 1), group)
        for k, group in enumerate([None, "a", "b", "a", "b", "b", None])
    ]
    Store(tmp_path / "two", JsonRows()).run(_rows, wanted, workers=2)
    numbers = [[int(key[6]) for key in group] for group in asked]
    assert numbers == [[2, 4, 5], [1, 3], [0], [6]]
    asked.clear()
    Store(tmp_path / "one", JsonRows()).run(_rows, wanted)
    assert asked == [[piece.key] for piece in wanted]
    for place in ("one", "two"):
        assert _gathered(Store(tmp_path / place, JsonRows()), wanted) == list(range(7))
