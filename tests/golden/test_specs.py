"""Shipped specs keep their meaning: a changed hash is a changed belief, so it is looked at."""

from __future__ import annotations

import pytest

from bayesesi.spec import shipped_specs, spec_index
from bayesesi.spec.files import specs_folder


@pytest.mark.parametrize("kind", ["sources", "heads", "noise", "simulators", "recipes", "verdicts"])
def test_the_readme_of_a_folder_lists_its_specs_and_hashes(kind: str) -> None:
    """Made by `bayesesi specs index KIND > priors/KIND/README.md`."""
    places = {
        "simulators": "simulators",
        "recipes": "bayesesi/recipes",
        "verdicts": "reports/verdicts",
    }
    folder = specs_folder() / places.get(kind, f"priors/{kind}")
    written = (folder / "README.md").read_text(encoding="utf-8")
    assert written == spec_index(kind)


def test_there_are_specs_of_every_kind() -> None:
    kinds = {path.parent.name for path in shipped_specs().values()}
    assert {"sources", "heads", "noise", "simulators"} <= kinds
