"""The partition of the cortex and patches grown from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse.csgraph import connected_components

from bayesesi.anatomy import (
    cell_neighbours,
    read_partition,
    template_mesh,
    template_partition,
    template_source_space,
)
from bayesesi.errors import InputError
from bayesesi.prior import ParcelPrior, make_prior, read_prior
from bayesesi.spec import read_spec


@pytest.fixture(scope="module")
def prior() -> ParcelPrior:
    found = read_prior("parcels-994")
    assert isinstance(found, ParcelPrior)
    return found


def test_parcels_cover_the_cortex_in_pieces_of_about_one_size() -> None:
    cells, mesh = template_partition(994), template_mesh()
    areas = np.bincount(cells[cells >= 0], mesh.areas[cells >= 0])
    assert len(areas) == 994
    assert areas.min() > 0
    # farthest points bound the width of cells, not their area: these are within five of the median
    assert np.quantile(areas, 0.99) < 2.5 * np.median(areas)
    assert (cells >= 0).mean() == pytest.approx(0.92, abs=0.04)
    sides = [set(cells[(mesh.hemisphere == h) & (cells >= 0)]) for h in (0, 1)]
    assert not sides[0] & sides[1]


def test_most_parcels_hang_together() -> None:
    """A cell is connected unless the medial wall cuts it."""
    cells, mesh = template_partition(994), template_mesh()
    edges = mesh.edges.tocoo()
    inner = (cells[edges.coords[0]] == cells[edges.coords[1]]) & (cells[edges.coords[0]] >= 0)
    import scipy.sparse as sp

    within = sp.coo_array(
        (np.ones(inner.sum()), (edges.coords[0][inner], edges.coords[1][inner])), edges.shape
    )
    _, label = connected_components(within, directed=False)
    pieces = [len(set(label[cells == c])) for c in range(994)]
    assert np.mean(np.array(pieces) == 1) > 0.97


def test_patches_are_grown_ring_by_ring(prior: ParcelPrior) -> None:
    """By brute force: a patch of two layers is its parcel, its neighbours, and theirs."""
    steps = cell_neighbours(template_mesh(), template_partition(994)).toarray().astype(bool)
    draws = prior.draw(64, seed=1)
    patterns = prior.patterns(draws)
    for k in range(20):
        centre = draws["centre"][k, 0]
        cell = prior.cells[centre]
        reached = np.zeros(994, bool)
        reached[cell] = True
        for _ in range(prior.spec.layers[draws["layers"][k, 0]]):
            reached = steps[reached].any(axis=0)
        row = patterns[[k * prior.n_slots]].toarray()[0]
        assert set(np.unique(prior.cells[row != 0])) == set(np.flatnonzero(reached))
        assert abs(row).sum() == pytest.approx(draws["moment_nAm"][k, 0] * 1e-9)
        assert reached.sum() <= 70
        density = np.abs(row) / template_source_space(5).areas
        away = np.linalg.norm(prior.middles - prior.middles[cell], axis=1) * 1e3
        far = np.flatnonzero(reached)[away[reached].argmax()]
        ratio = density[prior.cells == far].mean() / density[prior.cells == cell].mean()
        assert ratio == pytest.approx(2 ** (-away[far] / draws["half_amplitude_mm"][k, 0]))


def test_a_map_of_the_users_is_taken(tmp_path: Path) -> None:
    cells = np.where(template_mesh().hemisphere == 0, 0, 1) * 100 + np.arange(20484) % 100
    savemat(tmp_path / "mine.mat", {"rm": cells})
    (tmp_path / "mine.toml").write_text(
        'schema = 1\nextend = "parcels-994"\nname = "mine"\nmap_file = "mine.mat"\nlayers = [0]\n'
    )
    prior = make_prior(read_spec(tmp_path / "mine.toml"))
    assert isinstance(prior, ParcelPrior)
    assert prior.n_parcels == 200
    for wrong in ({"rm": cells[:-1]}, {"rm": cells + 0.5}, {"other": cells}):
        savemat(tmp_path / "mine.mat", wrong)
        with pytest.raises(InputError, match=r"mine\.mat"):
            read_partition(tmp_path / "mine.mat")
    (tmp_path / "mine.mat").write_text("no matrix")
    with pytest.raises(InputError, match="not a partition"):
        read_partition(tmp_path / "mine.mat")


@pytest.mark.shared
def test_deepsifs_own_map_is_read(shared_data: Path, tmp_path: Path) -> None:
    """994 regions of fsaverage5; patches of two or three layers have at most 70 of them."""
    source = shared_data / "ictal_p2" / "fs_cortex_20k_region_mapping.mat"
    cells = read_partition(source)
    assert cells.max() + 1 == 994
    (tmp_path / "map.mat").write_bytes(source.read_bytes())
    (tmp_path / "own.toml").write_text(
        'schema = 1\nextend = "parcels-994"\nname = "own"\nmap_file = "map.mat"\n'
    )
    prior = make_prior(read_spec(tmp_path / "own.toml"))
    assert isinstance(prior, ParcelPrior)
    draws = prior.draw(64, seed=2)
    rows = prior.patterns(draws)
    sizes = [len(set(prior.cells[rows[[i]].indices])) for i in range(0, 128, prior.n_slots)]
    assert 3 < np.median(sizes) <= 70
