"""Shipped binary assets load, say what they are, and stay small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

import bayesesi
from bayesesi import InputError, list_models, load_model
from bayesesi.anatomy import OUTSIDE, REGIONS, template_source_space, template_volume
from bayesesi.anatomy.surfaces import icosphere
from bayesesi.calibration import read_card
from bayesesi.forward import HeadShape, template_bank
from bayesesi.forward.build import BankRecipe
from bayesesi.model.artifact import LAYERS

FOLDER = Path(bayesesi.__file__).parent / "assets"
ASSETS = sorted(FOLDER.glob("*.safetensors"))
MAX_TOTAL = 50_000_000  # bytes: what a wheel of this package may reasonably weigh


def test_the_assets_that_the_package_needs_are_there() -> None:
    assert {"desikan-killiany", "template-bank", "template-geodesics"} <= {
        path.stem for path in ASSETS
    }


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


def test_weights_under_the_first_names_of_layers_are_read(tmp_path: Path) -> None:
    """A file of today holds the same network under other names, and so another fingerprint."""
    shipped = load_model("atoms")
    names, header = _file(FOLDER / "atoms.safetensors")
    assert "backbone.blocks.0.ask.weight" in names
    assert shipped.fingerprint == header["tensors"]
    written = shipped.write(tmp_path / "atoms.safetensors")
    names, header = _file(written)
    assert header["layers"] == LAYERS
    assert "backbone.blocks.0.qkv.weight" in names
    again = load_model(written)
    old, new = shipped.network.state_dict(), again.network.state_dict()
    assert list(old) == list(new)
    assert all(old[name].equal(new[name]) for name in old)
    assert again.fingerprint == header["tensors"] != shipped.fingerprint


@pytest.mark.parametrize(
    ("layers", "message"), [(LAYERS, "do not fit the recipe"), (LAYERS + 1, "newer version")]
)
def test_weights_under_names_that_are_not_those_stated_are_refused(
    layers: int, message: str, tmp_path: Path
) -> None:
    """The twin: first names in a file that states later ones."""
    with safe_open(str(FOLDER / "atoms.safetensors"), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    about = json.dumps({**json.loads(metadata["bayesesi"]), "layers": layers})
    save_file(tensors, tmp_path / "other.safetensors", {**metadata, "bayesesi": about})
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "other.safetensors")


def _file(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Names of tensors and the header of a file of weights."""
    with safe_open(str(path), framework="numpy") as file:
        return list(file.keys()), json.loads(file.metadata()["bayesesi"])


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
