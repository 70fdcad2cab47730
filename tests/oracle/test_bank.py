"""Leadfield banks against the boundary elements they stand for, and as files.

The bank of most tests is built here, small: two heads, 162 vertices a shell, 324 sources.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bayesesi.anatomy import template_source_space, template_surfaces
from bayesesi.errors import InputError, OutsideRangeError
from bayesesi.forward import (
    CONDUCTIVITY_RANGE,
    Conductivities,
    HeadSetting,
    LeadfieldBank,
    read_bank,
    solve_bem,
    template_bank,
    write_bank,
)
from bayesesi.forward.build import BankRecipe, build_bank
from bayesesi.forward.electrodes import nominal_positions
from tests.bench.difference import rdm_and_mag

Array = NDArray[np.floating]

RECIPE = BankRecipe(
    n_shapes=2, n_nodes=24, n_thicknesses=3, n_vertices=162, cortex_level=2, with_volume=False
)
NAMES = """
    Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 Oz O2 Fpz TP9 TP10 AF3 FC5 CP6 PO7 Iz
""".split()
#: None of them a node; the last one near a corner of the ranges, on the other head.
HELD_OUT = [
    HeadSetting(),
    HeadSetting(0, Conductivities(0.45, 1.5, 0.02, 0.3), 1.25),
    HeadSetting(1, Conductivities(0.25, 1.3, 0.025, 0.55), 1.3),
]


def electrodes() -> Array:
    return np.array(list(nominal_positions(NAMES).values()))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("head-build")


@pytest.fixture(scope="module")
def bank(work: Path) -> LeadfieldBank:
    return build_bank(RECIPE, work)


def solved(bank: LeadfieldBank, setting: HeadSetting, level: int) -> Array:
    """The same head, montage and sources without a bank."""
    shape = bank.shapes[setting.shape]
    n_vertices = bank.recipe["n_vertices"]
    surfaces = template_surfaces(4, setting.skull_thickness, n_vertices)
    on_scalp = bank.scalp_operator(electrodes()) @ surfaces.vertices[-1][bank.kept]
    space = bank.source_space(setting.shape, level)
    return solve_bem(
        shape.warp_surfaces(surfaces),
        setting.conductivities,
        space.positions,
        shape.warp(on_scalp),
        space.normals,
    )


# ---- what it stands for


@pytest.mark.parametrize("setting", HELD_OUT, ids=["default", "thick", "other-head"])
def test_equals_a_direct_solution_between_the_nodes(
    bank: LeadfieldBank, setting: HeadSetting
) -> None:
    """Each of 324 sources: RDM below .03, magnitude within 5 %; measured at most .015 and 3.3 %.

    Twin: the leadfield of the default conductivities misses both where they are others.
    """
    truth = solved(bank, setting, level=2)
    leadfield = bank.leadfield(setting, electrodes(), bank.cortex(2))
    rdm, mag = rdm_and_mag(leadfield, truth)
    assert rdm.max() < 0.03
    assert np.abs(mag - 1).max() < 0.05
    if setting != HeadSetting():
        assumed = HeadSetting(setting.shape, skull_thickness=setting.skull_thickness)
        rdm, mag = rdm_and_mag(bank.leadfield(assumed, electrodes(), bank.cortex(2)), truth)
        assert np.median(rdm) > 0.03
        assert np.median(np.abs(mag - 1)) > 0.05


def test_a_thicker_skull_lets_less_through(bank: LeadfieldBank) -> None:
    """Magnitudes fall with the skull's thickness, of nearly every source."""
    thin, thick = (
        bank.leadfield(HeadSetting(skull_thickness=t), electrodes(), bank.cortex(2))
        for t in (0.8, 1.25)
    )
    _, mag = rdm_and_mag(thick, thin)
    assert np.median(mag) < 0.9
    assert (mag < 1).mean() > 0.95


def test_nearly_exact_at_a_node(bank: LeadfieldBank) -> None:
    """There only the low rank is left: RDM below .006, magnitude within .5 %."""
    setting = RECIPE.nodes()[7]
    rdm, mag = rdm_and_mag(
        bank.leadfield(setting, electrodes(), bank.cortex(2)), solved(bank, setting, level=2)
    )
    assert rdm.max() < 0.006
    assert np.abs(mag - 1).max() < 0.005


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        HeadSetting(),
        HeadSetting(2, Conductivities(0.4, 1.4, 0.005, 0.5), 0.85),
        HeadSetting(4, Conductivities(0.22, 2.1, 0.028, 0.58), 1.38),
    ],
    ids=["default", "second-head", "corner"],
)
def test_the_shipped_bank_equals_a_direct_solution(setting: HeadSetting) -> None:
    bank = template_bank()
    leadfield = bank.leadfield(setting, electrodes(), bank.cortex(3))
    rdm, mag = rdm_and_mag(leadfield, solved(bank, setting, level=3))
    assert np.quantile(rdm, 0.95) < 0.015
    assert rdm.max() < 0.05
    assert np.quantile(np.abs(mag - 1), 0.95) < 0.015


# ---- interpolation


@pytest.fixture(params=["small", "shipped"])
def any_bank(request: pytest.FixtureRequest) -> LeadfieldBank:
    return template_bank() if request.param == "shipped" else request.getfixturevalue("bank")


def settings(n: int) -> list[HeadSetting]:
    """Anywhere in the ranges."""
    rng = np.random.default_rng(0)
    return [
        HeadSetting(
            0,
            Conductivities(**{t: rng.uniform(*low_high) for t, low_high in ranges}),
            rng.uniform(0.7, 1.4),
        )
        for ranges in [CONDUCTIVITY_RANGE.items()] * n
    ]


def test_interpolation_is_exact_at_the_nodes(any_bank: LeadfieldBank) -> None:
    nodes = any_bank.nodes.astype(float)
    np.testing.assert_allclose(any_bank.node_weights(nodes), np.eye(len(nodes)), atol=1e-5)


def test_weights_sum_to_one_and_reproduce_quadratics(any_bank: LeadfieldBank) -> None:
    where = np.array([setting.coordinates for setting in settings(200)])
    weights = any_bank.node_weights(where)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    form = np.random.default_rng(1).standard_normal((4, 4))

    def quadratic(x: Array) -> Array:
        return np.einsum("ni,ij,nj->n", x, form, x) + x @ form[0]

    expected = quadratic(where)
    found = weights @ quadratic(any_bank.nodes.astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_leadfields_are_average_referenced_and_finite(any_bank: LeadfieldBank) -> None:
    for setting in settings(5):
        leadfield = any_bank.leadfield(setting, electrodes(), any_bank.cortex(2))
        assert leadfield.shape == (len(NAMES), 324)
        assert np.isfinite(leadfield).all()
        largest = np.abs(leadfield).max()
        assert np.abs(leadfield.sum(axis=0)).max() < 1e-4 * largest
        assert 1 < largest < 1e4, "V/(A m): a dipole of 10 nA m gives a microvolt or so"


def test_all_conductivities_together_divide(any_bank: LeadfieldBank) -> None:
    """Only ratios are nodes; the brain's own conductivity is exact."""
    once = Conductivities(0.3, 1.5, 0.01, 0.4)
    more = Conductivities(*(1.3 * value for value in vars(once).values()))
    first, second = (
        any_bank.leadfield(HeadSetting(0, c), electrodes(), any_bank.cortex(2))
        for c in (once, more)
    )
    np.testing.assert_allclose(1.3 * second, first, rtol=0, atol=2e-5 * np.abs(first).max())


def test_levels_electrodes_and_operators_are_rows_and_columns(any_bank: LeadfieldBank) -> None:
    setting, where = HeadSetting(), electrodes()
    leadfield = any_bank.leadfield(setting, where, any_bank.cortex(2))
    coarse = any_bank.leadfield(setting, where, any_bank.cortex(1))
    columns = template_source_space(1).index_in(template_source_space(2))
    np.testing.assert_allclose(coarse, leadfield[:, columns], rtol=1e-5, atol=1e-3)
    chosen = np.array([5, 2, 9, 0])
    few = any_bank.leadfield(setting, where[chosen], any_bank.cortex(2))
    expected = leadfield[chosen] - leadfield[chosen].mean(axis=0)
    np.testing.assert_allclose(few, expected, atol=1e-5 * np.abs(leadfield).max())
    operator = any_bank.scalp_operator(where)
    np.testing.assert_allclose(operator.sum(axis=1), 1, atol=1e-5)
    again = any_bank.leadfield(setting, operator, any_bank.cortex(2))
    np.testing.assert_array_equal(again, leadfield)


def test_sources_go_with_the_head(bank: LeadfieldBank) -> None:
    own = template_source_space(2)
    assert bank.source_space(0, 2) is own
    other = bank.source_space(1, 2)
    np.testing.assert_array_equal(other.positions, bank.shapes[1].warp(own.positions))
    np.testing.assert_allclose(np.linalg.norm(other.normals, axis=1), 1, atol=1e-12)
    assert np.median(np.linalg.norm(other.positions - own.positions, axis=1)) > 1e-3


# ---- refusals


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (HeadSetting(0, Conductivities(skull=0.05)), r"skull is 0\.05 S/m.* 0\.002 to 0\.03;"),
        (HeadSetting(0, Conductivities(brain=0.1)), r"brain is 0\.1 S/m.* 0\.2 to 0\.6;"),
        (HeadSetting(0, Conductivities(csf=3.0)), r"csf is 3 S/m.* 1\.2 to 2\.2;"),
        (HeadSetting(skull_thickness=1.5), r"skull_thickness is 1\.5 times.* 0\.7 to 1\.4;"),
        (HeadSetting(skull_thickness=0.0), r"skull_thickness is 0 times"),
    ],
)
def test_outside_the_range_is_one_sentence_with_value_and_range(
    bank: LeadfieldBank, setting: HeadSetting, said: str
) -> None:
    with pytest.raises(OutsideRangeError, match=said) as caught:
        bank.leadfield(setting, electrodes(), bank.cortex(2))
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)
    assert "call solve_bem" in str(caught.value)


def test_unknown_heads_and_electrodes_below_the_head_are_refused(bank: LeadfieldBank) -> None:
    for shape in (-1, 2):
        with pytest.raises(InputError, match=f"head shape {shape} does not exist.*to 1"):
            bank.potential_modes(HeadSetting(shape))
    chin = bank.scalp_vertices[bank.scalp_vertices[:, 2].argmin()]
    with pytest.raises(InputError, match=r"electrode 1 at z = -.* mm lies below"):
        bank.scalp_operator(np.array([electrodes()[0], chin]))


def test_recipes_that_cannot_be_interpolated_are_refused(tmp_path: Path) -> None:
    for recipe, said in (
        (replace(RECIPE, n_nodes=15), "at least 16 nodes, not 15"),
        (replace(RECIPE, n_thicknesses=2), "at least 3 thicknesses, not 2"),
    ):
        with pytest.raises(InputError, match=said):
            build_bank(recipe, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_nodes_lie_in_the_ranges_and_apart() -> None:
    nodes = BankRecipe().nodes()
    assert len(nodes) == BankRecipe().n_nodes == 40
    where = np.array([node.check_range().coordinates for node in nodes])
    gaps = np.linalg.norm(where[:, None] - where, axis=2)
    assert gaps[np.triu_indices(len(nodes), 1)].min() > 0.1


def test_a_stopped_build_goes_on(bank: LeadfieldBank, work: Path) -> None:
    stages = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    assert len(stages) == 4, "terms and transfer of two heads"
    again = build_bank(RECIPE, work)
    assert {path: path.stat().st_mtime_ns for path in work.iterdir()} == stages
    np.testing.assert_array_equal(again.core, bank.core)
    np.testing.assert_array_equal(again.source_modes, bank.source_modes)


# ---- files


@pytest.fixture
def written(bank: LeadfieldBank, tmp_path: Path) -> Path:
    write_bank(bank, tmp_path / "bank.safetensors")
    return tmp_path / "bank.safetensors"


def test_round_trip(bank: LeadfieldBank, written: Path) -> None:
    """Half precision costs a leadfield less than a thousandth."""
    read = read_bank(written)
    assert [path.name for path in written.parent.iterdir()] == ["bank.safetensors"]
    assert read.recipe == {**bank.recipe, "ranks": list(bank.recipe["ranks"])} | {
        "conductivity_range": {k: list(v) for k, v in CONDUCTIVITY_RANGE.items()}
    }
    assert read.shapes == bank.shapes
    np.testing.assert_array_equal(read.nodes, bank.nodes)
    for setting in HELD_OUT:
        first, second = (b.leadfield(setting, electrodes(), b.cortex(2)) for b in (bank, read))
        rdm, mag = rdm_and_mag(second, first)
        assert rdm.max() < 1e-3
        assert np.abs(mag - 1).max() < 1e-3
    write_bank(read, written)
    assert repr(read_bank(written)) == repr(bank)


def test_damaged_files_are_refused(written: Path, tmp_path: Path) -> None:
    sound = written.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for content in (b"", b"junk", sound[:1000], sound[:-1], b"\xff" * 4096, b"PK\x03\x04" * 100):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.safetensors is not a readable leadfield bank"):
            read_bank(bad)
    for absent in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(InputError, match="is not a readable leadfield bank"):
            read_bank(absent)


def test_foreign_files_are_refused(written: Path, tmp_path: Path) -> None:
    arrays = load_file(written)
    with safe_open(str(written), framework="numpy") as file:
        header = file.metadata()
    foreign = tmp_path / "foreign.safetensors"
    for metadata, said in (
        (None, "has schema 'none', this version reads leadfield banks of schema 1"),
        ({**header, "schema": "2"}, "has schema '2'"),
        ({"schema": "1"}, "has schema '1'"),
        ({k: v for k, v in header.items() if k != "recipe"}, "not a leadfield bank"),
    ):
        save_file(arrays, foreign, metadata=metadata)
        with pytest.raises(InputError, match=said):
            read_bank(foreign)
    save_file({k: v for k, v in arrays.items() if k != "core"}, foreign, metadata=header)
    with pytest.raises(InputError, match=r"foreign\.safetensors is not a leadfield bank.*'core'"):
        read_bank(foreign)
