"""Numbers that are written in more than one place are the same in all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bayesesi.benchmark.page import parts_of, rows_of
from tests.oracle import cards, readme

ROOT = Path(__file__).parents[2]
RUNS = sorted((ROOT / "reports" / "benchmark").glob("*.json"))


def test_the_readme_has_the_numbers_of_the_benchmark() -> None:
    """Made anew by `python -m tests.oracle.readme`."""
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text, readme.table(json.loads(readme.FOUND.read_text()))) == text


def test_the_folder_of_the_benchmark_has_the_numbers_of_its_runs() -> None:
    text = readme.TASKS.read_text(encoding="utf-8")
    assert readme.filled(text, readme.tasks_table()) == text


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_tables_of_the_benchmark_have_the_numbers_of_its_run(path: Path) -> None:
    table = json.loads(path.read_text(encoding="utf-8"))
    text, page = (path.with_suffix(end).read_text(encoding="utf-8") for end in (".md", ".html"))
    for row in [row for rows in (rows_of(table), *parts_of(table).values()) for row in rows[1:]]:
        assert "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" in text
        assert all(cell in page for cell in row[1:])
    assert table["command"] in text


def test_the_readme_says_what_is_left_under_another_persons_head() -> None:
    rows = json.loads((ROOT / "reports" / "calibration" / "shift.json").read_text())
    held, area = float(rows["atoms person"][1].split()[0]), float(rows["atoms person"][2])
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"90 % sets of `atoms` cover {100 * held:.0f} %." in text
    table = (ROOT / "reports" / "calibration" / "declared.md").read_text(encoding="utf-8")
    line = next(x for x in table.splitlines() if x.startswith("| atoms | another person"))
    _, _, _, *by_card, wider, grown = (cell.strip() for cell in line.strip("|").split("|"))
    assert by_card == rows["atoms person"][1:3]
    times = float(grown) / area
    held = float(wider.split()[0])
    assert f"cover {100 * held:.0f} % there and are {times:.1f} times as large." in text
    people = json.loads((ROOT / "reports" / "calibration" / "people.json").read_text())
    own = {row["heads"]: row for row in people if row["truth"] == "person"}
    wide, narrow = own["template-people"], own["template-digitised"]
    assert f"[{100 * wide['held']:.0f} %](reports/calibration/people.md) there and are" in text
    assert f"{wide['area'] / narrow['area']:.1f} times as large as in heads like" in text


def test_the_folder_of_cards_says_what_cards_say() -> None:
    """Made anew by `python -m tests.oracle.cards`."""
    text = (ROOT / "reports" / "calibration" / "README.md").read_text(encoding="utf-8")
    assert "\n".join(cards.lines()) + "\n" == text
