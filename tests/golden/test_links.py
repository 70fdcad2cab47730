"""Every file that a committed page of Markdown points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("reports/**/README.md"), *ROOT.glob("reports/*/*.md")]
#: Written when the site is built, or names of other schemes.
_ELSEWHERE = re.compile(r"^(https?:|mailto:|example:|#|notebooks/)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if _ELSEWHERE.match(target) is None:
            assert (page.parent / target.split("#")[0]).exists(), target
