"""Shipped binary assets load, say what they are, and stay small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import bayesesi
from bayesesi import list_models, load_model
from bayesesi.anatomy import OUTSIDE, REGIONS, template_source_space, template_volume
from bayesesi.anatomy.surfaces import icosphere
from bayesesi.calibration import read_card
from bayesesi.forward import HeadShape, template_bank
from bayesesi.forward.build import BankRecipe

FOLDER = Path(bayesesi.__file__).parent / "assets"
ASSETS = sorted(FOLDER.glob("*.safetensors"))
MAX_TOTAL = 40_000_000  # bytes: what a wheel of this package may reasonably weigh


def test_the_assets_that_the_package_needs_are_there() -> None:
    assert {"desikan-killiany", "template-bank"} <= {path.stem for path in ASSETS}


def test_nothing_but_safetensors_cards_and_their_notice_is_shipped() -> None:
    others = {path.name for path in FOLDER.iterdir()} - {path.name for path in ASSETS}
    cards = {name for name in others if name.endswith(".card.json")}
    assert others - cards == {"NOTICE.md"}
    assert {name.removesuffix(".card.json") for name in cards} <= set(list_models())


def test_a_card_that_ships_speaks_of_the_weights_beside_it() -> None:
    for path in FOLDER.glob("*.card.json"):
        card = read_card(path)
        assert card.speaks_of(load_model(card.model))
        assert card.diagnosis.n >= 500


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: path.stem)
def test_an_asset_loads_and_names_its_schema(path: Path) -> None:
    with safe_open(str(path), framework="numpy") as file:
        header = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert int(header["schema"]) >= 1
    assert arrays
    for name, array in arrays.items():
        assert array.size, name
        assert np.isfinite(array).all(), name


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: path.stem)
def test_an_asset_has_a_source_and_a_licence(path: Path) -> None:
    notice = (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    rows = [line for line in notice.splitlines() if line.startswith(f"| `{path.name}`")]
    assert len(rows) == 1
    assert "BSD" in rows[0]


def test_assets_are_small() -> None:
    assert sum(path.stat().st_size for path in ASSETS) <= MAX_TOTAL


def test_the_atlas_labels_every_vertex_with_a_region_or_none() -> None:
    with safe_open(str(FOLDER / "desikan-killiany.safetensors"), framework="numpy") as file:
        labels = file.get_tensor("labels")
        assert file.metadata()["mesh"] == "fsaverage5"
    assert labels.shape == (20_484,)
    assert set(labels.tolist()) == {OUTSIDE, *range(len(REGIONS))}


def test_the_bank_holds_what_its_recipe_says() -> None:
    """The recipe is the default one, so that `bayesesi head build` makes this file again."""
    bank, recipe = template_bank(), BankRecipe()
    for name, value in vars(recipe).items():
        assert bank.recipe[name] == (list(value) if isinstance(value, tuple) else value), name
    assert bank.shapes[0] == HeadShape()
    assert bank.shapes == recipe.shapes()
    np.testing.assert_allclose(bank.nodes, [node.coordinates for node in recipe.nodes()], rtol=1e-6)
    n_cortex, n_volume = template_source_space(5).n_sources, template_volume().n_sources
    assert bank.source_norm.shape == (n_cortex + 3 * n_volume,)
    assert bank.volume.start == n_cortex
    np.testing.assert_array_equal(bank.scalp_triangles, icosphere(recipe.n_vertices)[1])
