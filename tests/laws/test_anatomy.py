"""Laws of source spaces, parcellations and head surfaces; most of them on the template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mne
import nibabel.freesurfer as nfs
import numpy as np
import pytest
import scipy.sparse as sp
import trimesh
from numpy.typing import NDArray

from bayesesi.anatomy import (
    LOBES,
    OUTSIDE,
    REGIONS,
    SHELLS,
    SOURCES_AT_LEVEL,
    CorticalMesh,
    HeadSurfaces,
    Parcellation,
    Region,
    SourceSpace,
    parcellation_from_names,
    read_annotation,
    read_head_surfaces,
    template_mesh,
    template_parcellation,
    template_source_space,
    template_surfaces,
    template_volume,
)
from bayesesi.anatomy.geodesic_rows import GeodesicRows, packed, shipped_rows, unpacked
from bayesesi.anatomy.surfaces import contains, icosphere
from bayesesi.anatomy.template import (
    head_to_mri,
    template_fiducials,
    to_head_frame,
    to_mri_frame,
)
from bayesesi.errors import InputError

LEVELS = tuple(SOURCES_AT_LEVEL)


def spheres_mesh(n_vertices: int = 642, radius: float = 0.08) -> CorticalMesh:
    """Two spheres that do not touch, as hemispheres."""
    points, faces = icosphere(n_vertices)
    apart = np.array([2 * radius, 0, 0])
    return CorticalMesh(
        positions=np.vstack([radius * points - apart, radius * points + apart]),
        normals=np.vstack([points, points]),
        triangles=np.vstack([faces, faces + n_vertices]),
        n_left=n_vertices,
    )


def euler_characteristic(triangles: NDArray[np.int64]) -> int:
    edges = np.sort(np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]))
    return len(np.unique(triangles)) - len(np.unique(edges, axis=0)) + len(triangles)


# ---- source spaces


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_has_its_sources_and_nests_in_the_finer_one(level: int) -> None:
    space, mesh = template_source_space(level), template_mesh()
    half = SOURCES_AT_LEVEL[level] // 2
    assert space.n_sources == 2 * half
    assert space.ico == level
    np.testing.assert_array_equal(space.vertices[:half], np.arange(half))
    np.testing.assert_array_equal(space.vertices[half:], mesh.n_left + np.arange(half))
    for finer in range(level, 6):
        fine = template_source_space(finer)
        index = space.index_in(fine)
        np.testing.assert_array_equal(fine.positions[index], space.positions)
        np.testing.assert_array_equal(fine.at_level(level).vertices, space.vertices)


@pytest.mark.parametrize("level", LEVELS)
def test_areas_sum_to_the_mesh(level: int) -> None:
    space = template_source_space(level)
    assert (space.areas > 0).all()
    assert space.areas.sum() == pytest.approx(template_mesh().areas.sum(), rel=1e-12)
    left = space.hemisphere == 0
    mesh_left = template_mesh().areas[: template_mesh().n_left].sum()
    assert space.areas[left].sum() == pytest.approx(mesh_left, rel=1e-12)


def test_areas_of_a_sphere() -> None:
    """An inscribed polyhedron of 2,562 vertices has .3 % less area than its sphere."""
    mesh = spheres_mesh(2562)
    assert mesh.areas.sum() == pytest.approx(2 * 4 * np.pi * 0.08**2, rel=0.005)
    assert mesh.areas.sum() < 2 * 4 * np.pi * 0.08**2


@pytest.mark.parametrize("level", LEVELS)
def test_triangles_close_each_hemisphere_outward(level: int) -> None:
    space = template_source_space(level)
    side = space.hemisphere[space.triangles]
    assert (side == side[:, :1]).all(), "a triangle joins the hemispheres"
    for hemisphere in (0, 1):
        faces = space.triangles[side[:, 0] == hemisphere]
        assert len(np.unique(faces)) == space.n_sources // 2
        assert euler_characteristic(faces) == 2
        surface = trimesh.Trimesh(space.positions, faces, process=False)
        assert surface.is_watertight
        assert surface.is_winding_consistent
        assert surface.volume > 0
        flipped = trimesh.Trimesh(space.positions, faces[:, ::-1], process=False)
        assert flipped.volume < 0


def test_normals_are_unit_and_outward() -> None:
    """They are the white surface's, so on folds they tilt a little from the midthickness's own."""
    mesh = template_mesh()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-6)
    own = trimesh.Trimesh(mesh.positions, mesh.triangles, process=False).vertex_normals
    along = np.einsum("ij,ij->i", own, mesh.normals)
    assert along.min() > 0.5
    assert np.median(along) > 0.99


def test_hemispheres_lie_on_their_sides() -> None:
    """A vertex or two in a hundred of the medial wall may cross the midline by a millimetre."""
    for level in LEVELS:
        space = template_source_space(level)
        x = space.positions[:, 0]
        assert np.mean(x[space.hemisphere == 0] < 0) > 0.97
        assert np.mean(x[space.hemisphere == 1] > 0) > 0.97
        assert np.abs(x[(x > 0) != (space.hemisphere == 1)]).max(initial=0) < 0.004
    volume = template_volume()
    np.testing.assert_array_equal(volume.hemisphere == 1, volume.positions[:, 0] > 0)


def test_nearest_source_is_a_voronoi_map_along_edges() -> None:
    space = template_source_space(2)
    cell = space.nearest_source
    np.testing.assert_array_equal(cell[space.vertices], np.arange(space.n_sources))
    np.testing.assert_array_equal(space.hemisphere[cell], template_mesh().hemisphere)


def test_volume_is_a_grid_inside_the_brain() -> None:
    volume = template_volume()
    assert 2500 < volume.n_sources < 3500
    assert volume.kind == "volume"
    assert volume.spacing is not None
    steps = (volume.positions - volume.positions[0]) / volume.spacing
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    some = volume.positions[::7]
    brain = template_surfaces(4).innermost
    assert contains(brain, some).all()
    assert trimesh.proximity.closest_point(brain, some)[1].min() >= 0.005


def test_errors_name_the_level_and_the_missing_surface() -> None:
    with pytest.raises(InputError, match="level 6 of a source space of level 5"):
        template_source_space(6)
    with pytest.raises(InputError, match="level 5 of a source space of level 4"):
        template_source_space(4).at_level(5)
    with pytest.raises(InputError, match="not a subset"):
        template_source_space(4).index_in(template_source_space(3))
    volume = template_volume()
    asks: tuple[Callable[[], object], ...] = (
        lambda: volume.areas,
        lambda: volume.triangles,
        lambda: volume.geodesic([0]),
        lambda: volume.neighbourhood(0.01),
    )
    for ask in asks:
        with pytest.raises(InputError, match="is a volume and has no cortical surface"):
            ask()
    with pytest.raises(InputError, match="not a level of an fsaverage mesh"):
        volume.at_level(3)
    bare = SourceSpace.on_mesh(spheres_mesh(), np.arange(10))
    with pytest.raises(InputError, match="no spherical registration"):
        _ = bare.triangles


# ---- neighbourhoods and their cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAYESESI_CACHE", str(tmp_path))
    return tmp_path


def test_neighbourhood_holds_the_rows_of_geodesic(cache: Path) -> None:
    space, radius = replace(template_source_space(1)), 0.06
    near, rows = space.neighbourhood(radius), space.geodesic(np.arange(space.n_sources))
    stored = np.zeros(near.shape, bool)
    stored[near.tocoo().coords] = True
    np.testing.assert_array_equal(stored, rows <= radius)
    np.testing.assert_array_equal(near.toarray()[stored], rows[stored])
    assert stored.diagonal().all(), "the zero diagonal is stored"
    assert 0 < stored.sum() - space.n_sources < stored.size
    across = space.hemisphere[:, None] != space.hemisphere
    assert np.isinf(rows[across]).all()


def test_neighbourhood_comes_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = replace(template_source_space(1))
    first = space.neighbourhood(0.03)
    assert len(list(cache.glob("geodesic-*.safetensors"))) == 1
    wider = space.neighbourhood(0.06)
    assert wider.nnz > first.nnz, "another radius is another entry"

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(CorticalMesh, "geodesic_from", refuse)
    again = replace(space).neighbourhood(0.03)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    with pytest.raises(AssertionError, match="computed again"):
        space.neighbourhood(0.04)


@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: b"junk" * 9, lambda raw: raw[:-8]])
def test_a_damaged_cache_entry_is_computed_anew(
    cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    mesh = spheres_mesh(42)
    space = SourceSpace.on_mesh(mesh, np.arange(mesh.n_vertices))
    first = space.neighbourhood(0.05)
    (entry,) = cache.glob("*.safetensors")
    sound = entry.read_bytes()
    entry.write_bytes(damage(sound))
    again = replace(space).neighbourhood(0.05)
    np.testing.assert_array_equal(again.toarray(), first.toarray())
    assert entry.read_bytes() == sound, "the entry was not repaired"


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAYESESI_CACHE", str(tmp_path / "file" / "folder"))
    mesh = spheres_mesh(42)
    assert SourceSpace.on_mesh(mesh, np.arange(5)).neighbourhood(0.05).nnz >= 5


def test_only_the_rows_that_are_asked_for_are_computed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are kept: in part files, and in one file when all are there."""
    space, computed = replace(template_source_space(2)), []
    whole = space.neighbourhood(0.05).toarray()
    for entry in cache.glob("geodesic-*"):
        entry.unlink()
    compute = CorticalMesh.geodesic_from

    def counted(mesh: CorticalMesh, vertex: int) -> NDArray[np.float64]:
        computed.append(vertex)
        return compute(mesh, vertex)

    monkeypatch.setattr(CorticalMesh, "geodesic_from", counted)
    for start in range(0, space.n_sources, 10):  # processes that know what others left
        asked = np.r_[np.arange(start, min(start + 10, space.n_sources)), 0]
        rows = replace(space).near(asked, 0.05).toarray()
        np.testing.assert_array_equal(rows, whole[asked])
    assert len(computed) == space.n_sources
    assert len(list(cache.glob("geodesic-*"))) == 1


def test_shipped_distances_are_those_that_are_computed() -> None:
    """Of eight sources; to 1e-6, as another processor may round otherwise."""
    space = template_source_space(4)
    sources = np.arange(7, space.n_sources, 700)
    vertices = space.vertices
    assert vertices is not None
    shipped, rows = shipped_rows(space.cortex, vertices, 0.06), space.geodesic(sources)
    assert shipped is not None
    near = rows <= 0.06
    np.testing.assert_allclose(shipped[sources].toarray()[near], rows[near], rtol=1e-6)
    assert shipped[sources].nnz == near.sum()
    narrow = shipped_rows(space.cortex, vertices, 0.03)
    assert narrow is not None
    assert narrow.nnz == (shipped.data <= 0.03).sum()
    assert narrow.data.max() <= 0.03
    assert (narrow.toarray() == np.where(shipped.toarray() <= 0.03, shipped.toarray(), 0)).all()


def test_distances_of_another_cortex_are_not_the_shipped_ones() -> None:
    """The twin: one vertex moved by ten micrometres."""
    space, coarse = template_source_space(4), template_source_space(3)
    vertices, fewer = space.vertices, coarse.vertices
    assert vertices is not None
    assert fewer is not None
    assert shipped_rows(coarse.cortex, fewer, 0.06) is None
    assert shipped_rows(space.cortex, vertices, 0.061) is None
    moved = space.cortex.positions.copy()
    moved[100, 0] += 1e-5
    other = replace(space.cortex, positions=moved)
    assert shipped_rows(other, vertices, 0.06) is None


def test_packed_distances_come_back_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    near = rng.random((12, 12)) < 0.4
    near &= np.arange(12)[:, None] // 6 == np.arange(12) // 6
    np.fill_diagonal(near, True)
    distance = rng.uniform(2**-10, 2**-4, (12, 12)).astype(np.float32)
    owner, column = np.nonzero(near)
    data = np.where(owner == column, np.float32(0), distance[owner, column])
    rows = sp.csr_array((data, column, np.r_[0, np.cumsum(near.sum(axis=1))]), (12, 12))
    again = unpacked(packed(rows))
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))


# ---- parcellations

#: Places of "Source-analysis-brain-region" in the HED-SCORE library schema, version 1.2.0.
HED_SCORE = set(
    """
    frontal-perisylvian-superior-surface frontal-lateral frontal-mesial frontal-polar
    frontal-orbitofrontal temporal-polar temporal-basal temporal-lateral-anterior
    temporal-lateral-posterior temporal-perisylvian-inferior-surface central-lateral-convexity
    central-mesial central-sulcus-anterior-surface central-sulcus-posterior-surface
    central-opercular parietal-lateral-convexity parietal-mesial parietal-opercular
    occipital-lateral occipital-mesial occipital-basal insula
    """.split()
)


def test_regions_have_places_of_the_hed_score_schema() -> None:
    assert len(HED_SCORE) == 22
    assert len(REGIONS) == len(set(REGIONS)) == 68
    regions = [Region.named(name) for name in REGIONS]
    for region in regions:
        assert region.sublobe in HED_SCORE, region
        assert region.lobe in LOBES
        assert region.sublobe.split("-")[0] == region.lobe, "a place lies in its lobe"
    assert {r.lobe for r in regions} == set(LOBES)
    sides = {side: [r for r in regions if r.side == side] for side in ("left", "right")}
    assert [r.sublobe for r in sides["left"]] == [r.sublobe for r in sides["right"]]
    for name in ("cuneus", "cuneus-xh", "nowhere-lh", ""):
        with pytest.raises(InputError, match="not a Desikan-Killiany region"):
            Region.named(name)


@pytest.mark.parametrize("level", [3, 4, 5])
def test_every_region_is_there_and_areas_add_up(level: int) -> None:
    parcellation, space = template_parcellation(level), template_source_space(level)
    assert parcellation.names == REGIONS
    assert (parcellation.membership.sum(axis=1) > 0).all(), "a region without sources"
    inside = parcellation.labels >= 0
    assert parcellation.areas.sum() == pytest.approx(space.areas[inside].sum(), rel=1e-12)
    assert 0.85 < parcellation.areas.sum() / space.areas.sum() < 1, "the medial wall is outside"
    np.testing.assert_array_equal(parcellation.membership.sum(axis=0), inside)
    sides = np.array([region.side == "right" for region in parcellation.regions])
    np.testing.assert_array_equal(sides[parcellation.labels[inside]], space.hemisphere[inside] == 1)
    table = parcellation.table()
    assert table["n_sources"].sum() == inside.sum()
    assert table["area_cm2"].sum() == pytest.approx(1e4 * parcellation.areas.sum())


def misplaced(parcellation: Parcellation) -> list[str]:
    """Which textbook statements about places (MRI frame: right, front, up) do not hold."""
    mri = to_mri_frame(parcellation.source_space.positions)
    middle = {
        name: np.median(mri[parcellation.sources_of(name)], axis=0) for name in parcellation.names
    }
    low, high = np.quantile(mri, 0.25, axis=0), np.quantile(mri, 0.75, axis=0)
    wrong = []
    for side, sign in (("lh", -1), ("rh", 1)):
        at = {name: middle[f"{name}-{side}"] for name in {n[:-3] for n in REGIONS}}
        statements = {
            "every region lies on its side": all(sign * m[0] > 0 for m in at.values()),
            "pericalcarine is hindmost": at["pericalcarine"][1] < low[1],
            "the frontal pole is foremost": at["frontalpole"][1] == max(m[1] for m in at.values()),
            "the temporal pole is low": at["temporalpole"][2] < low[2],
            "and in front of its lobe": at["temporalpole"][1] > at["superiortemporal"][1] + 0.02,
            "paracentral is high": at["paracentral"][2] > high[2],
            "paracentral is mesial": abs(at["paracentral"][0]) < 0.02,
            "postcentral is behind precentral": at["postcentral"][1] < at["precentral"][1],
            "cuneus is above lingual": at["cuneus"][2] > at["lingual"][2] + 0.01,
            "insula is inside of supramarginal": abs(at["insula"][0])
            < abs(at["supramarginal"][0]) - 0.01,
            "entorhinal is mesial of temporal": abs(at["entorhinal"][0])
            < abs(at["middletemporal"][0]) - 0.02,
            "transverse temporal is below supramarginal": at["transversetemporal"][2]
            < at["supramarginal"][2],
        }
        wrong += [f"{statement} ({side})" for statement, holds in statements.items() if not holds]
    return wrong


def test_regions_lie_where_a_textbook_has_them() -> None:
    parcellation = template_parcellation(4)
    assert misplaced(parcellation) == []
    halves = parcellation.labels.reshape(2, -1)
    mirrored = replace(parcellation, labels=halves[::-1].ravel())
    assert len(misplaced(mirrored)) >= 2, "left for right must be seen"
    shifted = np.where(parcellation.labels >= 0, (parcellation.labels + 1) % 34, OUTSIDE)
    shifted[parcellation.labels >= 34] += 34
    assert len(misplaced(replace(parcellation, labels=shifted))) >= 4, "labels off by one"


def test_left_and_right_regions_have_similar_areas() -> None:
    areas = template_parcellation(5).areas.reshape(2, 34)
    assert np.abs(np.log(areas[0] / areas[1])).max() < np.log(1.7)
    assert np.corrcoef(areas)[0, 1] > 0.95


def test_on_another_level_keeps_labels() -> None:
    fine, medium = template_parcellation(5), template_parcellation(3)
    for level in (1, 2, 3, 4):
        space = template_source_space(level)
        expected = fine.labels[space.index_in(fine.source_space)]
        np.testing.assert_array_equal(fine.on(space).labels, expected)
    finer = medium.on(template_source_space(4))
    back = finer.labels[template_source_space(3).index_in(template_source_space(4))]
    np.testing.assert_array_equal(back, medium.labels)
    assert np.mean(finer.labels == template_parcellation(4).labels) > 0.7
    other = replace(template_mesh(), positions=1.1 * template_mesh().positions)
    elsewhere = SourceSpace.on_mesh(other, template_source_space(4).vertices, ico=4)
    np.testing.assert_array_equal(fine.on(elsewhere).labels, template_parcellation(4).labels)


def test_a_volume_takes_labels_up_to_ten_millimetres() -> None:
    parcellation, volume = template_parcellation(3), template_volume()
    labelled = np.flatnonzero(parcellation.labels >= 0)
    gap = volume.positions[:, None] - parcellation.source_space.positions[labelled]
    distance = np.linalg.norm(gap, axis=2)
    nearest = parcellation.labels[labelled[distance.argmin(axis=1)]]
    expected = np.where(distance.min(axis=1) <= 0.010, nearest, OUTSIDE)
    labels = parcellation.on(volume).labels
    np.testing.assert_array_equal(labels, expected)
    assert 0.1 < np.mean(labels == OUTSIDE) < 0.9
    assert (parcellation.on(volume, max_distance=1.0).labels >= 0).all()


def test_parcellation_from_names() -> None:
    space = template_source_space(1)
    names: list[str | None] = [None] * space.n_sources
    names[3], names[5] = "insula-lh", "cuneus-rh"
    parcellation = parcellation_from_names(space, names)
    assert parcellation.sources_of("insula-lh").tolist() == [3]
    same = parcellation_from_names(space, {3: "insula-lh", 5: "cuneus-rh"})
    np.testing.assert_array_equal(same.labels, parcellation.labels)
    with pytest.raises(InputError, match="one name"):
        parcellation_from_names(space, names[:-1])
    with pytest.raises(InputError, match="sources 0 to 83"):
        parcellation_from_names(space, {84: "insula-lh"})
    with pytest.raises(InputError, match="not a Desikan-Killiany region"):
        parcellation_from_names(space, {0: "insula"})
    with pytest.raises(InputError, match="no region 'insula'"):
        parcellation.sources_of("insula")


STEMS = ["unknown", *(name[:-3] for name in REGIONS[:34])]


def write_annotations(folder: Path, stems: list[str]) -> tuple[Path, Path]:
    """The template's own labels as FreeSurfer annotations with these region names."""
    labels = template_parcellation(5).labels.astype(int)
    table = np.c_[np.arange(35) * 7 % 256, np.arange(35), np.arange(35), np.zeros(35)].astype(int)
    paths = folder / "lh.aparc.annot", folder / "rh.aparc.annot"
    for path, part, first in zip(paths, labels.reshape(2, -1), (0, 34), strict=True):
        index = np.where(part >= 0, part - first + 1, 0)
        nfs.write_annot(path, index, table, stems, fill_ctab=True)
    return paths


def test_annotation_round_trip(tmp_path: Path) -> None:
    lh, rh = write_annotations(tmp_path, STEMS)
    for level in (3, 5):
        space = template_source_space(level)
        read = read_annotation(lh, rh, template_mesh(), space)
        np.testing.assert_array_equal(read.labels, template_parcellation(level).labels)


def test_annotation_errors(tmp_path: Path) -> None:
    lh, rh = write_annotations(tmp_path, STEMS)
    mesh, space = template_mesh(), template_source_space(3)
    small = spheres_mesh()
    with pytest.raises(InputError, match=r"lh\.aparc\.annot labels 10242 vertices.*has 642"):
        read_annotation(lh, rh, small, SourceSpace.on_mesh(small, np.arange(9)))
    with pytest.raises(InputError, match="must be on the mesh"):
        read_annotation(lh, rh, mesh, template_volume())
    junk = tmp_path / "junk.annot"
    junk.write_bytes(b"not an annotation")
    for path in (junk, tmp_path / "absent.annot"):
        with pytest.raises(InputError, match=f"{path.name} is not a readable annotation"):
            read_annotation(path, rh, mesh, space)
    lh, rh = write_annotations(tmp_path, [f"G_{stem}" for stem in STEMS])
    with pytest.raises(InputError, match="not Desikan-Killiany's"):
        read_annotation(lh, rh, mesh, space)


# ---- frames and head surfaces


def test_frames() -> None:
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 3))
    # the file that holds the transform stores it in single precision
    np.testing.assert_allclose(to_head_frame(to_mri_frame(points)), points, atol=1e-7)
    by_mne = mne.transforms.apply_trans(head_to_mri(), points)
    np.testing.assert_allclose(to_mri_frame(points), by_mne, atol=1e-12)
    lpa, nasion, rpa = template_fiducials()
    np.testing.assert_allclose([lpa[1:], rpa[1:], nasion[[0, 2]]], 0, atol=1e-6)
    assert lpa[0] < -0.06 < 0.06 < rpa[0]
    assert nasion[1] > 0.08


@pytest.mark.parametrize("n_shells", [1, 3, 4])
@pytest.mark.parametrize("skull_thickness", [0.7, 1.0, 1.4])
def test_template_surfaces_are_closed_outward_and_nested(
    n_shells: int, skull_thickness: float
) -> None:
    head = template_surfaces(n_shells, skull_thickness)
    assert head.check() is head
    assert head.names == SHELLS[n_shells]
    volumes = [mesh.volume for mesh in head.meshes]
    assert volumes == sorted(volumes)
    for mesh, triangles in zip(head.meshes, head.triangles, strict=True):
        assert mesh.is_watertight
        assert euler_characteristic(triangles) == 2
        from_centre = mesh.triangles_center - mesh.centroid
        assert np.mean(np.einsum("ij,ij->i", mesh.face_normals, from_centre) > 0) > 0.99


def test_skull_thickness_moves_skull_and_scalp_outward() -> None:
    """The space inside the skull stays, and so does the thickness of the scalp."""
    heads = {factor: template_surfaces(4, factor) for factor in (0.7, 1.0, 1.4)}
    for head in heads.values():
        for i in (0, 1):
            np.testing.assert_array_equal(head.vertices[i], heads[1.0].vertices[i])
        scalp = head.vertices[3] - head.vertices[2]
        np.testing.assert_allclose(scalp, heads[1.0].vertices[3] - heads[1.0].vertices[2])
    gap = {f: np.linalg.norm(h.vertices[2] - h.vertices[1], axis=1) for f, h in heads.items()}
    for factor in (0.7, 1.4):
        np.testing.assert_allclose(gap[factor], factor * gap[1.0], rtol=1e-9)
    assert 0.003 < np.median(gap[1.0]) < 0.008
    for factor in (0.69, 1.41):
        with pytest.raises(InputError, match=f"from 0.7 to 1.4, not {factor}"):
            template_surfaces(4, factor)
    with pytest.raises(InputError, match="1, 3 or 4 shells, not 2"):
        template_surfaces(2)


@pytest.mark.parametrize(
    ("level", "n_vertices"), [(4, 162), (4, 642), pytest.param(5, 642, marks=pytest.mark.slow)]
)
def test_every_cortical_source_is_two_millimetres_inside(level: int, n_vertices: int) -> None:
    """Boundary elements lose accuracy where a dipole is closer than this to the surface."""
    brain = template_surfaces(4, n_vertices=n_vertices).innermost
    positions = template_source_space(level).positions
    assert contains(brain, positions).all()
    assert trimesh.proximity.closest_point(brain, positions)[1].min() > 0.002


def nested_spheres(*radii: float, n_vertices: int = 162) -> HeadSurfaces:
    points, faces = icosphere(n_vertices)
    return HeadSurfaces(tuple(r * points for r in radii), (faces,) * len(radii))


def test_check_names_the_surface_at_fault() -> None:
    head = nested_spheres(0.08, 0.086, 0.092)
    inside = 0.5 * head.vertices[0]
    assert head.check(inside) is head

    flipped = tuple(t[:, ::-1] if i == 1 else t for i, t in enumerate(head.triangles))
    with pytest.raises(InputError, match="outer_skull surface is not closed with outward"):
        replace(head, triangles=flipped).check()
    torn = (head.triangles[0][1:], *head.triangles[1:])
    with pytest.raises(InputError, match="inner_skull surface is not closed"):
        replace(head, triangles=torn).check()
    with pytest.raises(InputError, match="inner_skull surface leaves the outer_skull surface"):
        nested_spheres(0.086, 0.08, 0.092).check()
    with pytest.raises(InputError, match="162 of 162 vertices"):
        nested_spheres(0.08, 0.092, 0.086).check()
    stray = np.vstack([inside, [[0, 0, 0.085], [0, 0, 1.0]]])
    with pytest.raises(InputError, match="2 of 164 sources lie outside the inner_skull"):
        head.check(stray)
    with pytest.raises(InputError, match="these are 2"):
        nested_spheres(0.08, 0.09)


def test_contains_a_ball() -> None:
    """Points nearer than the nearest face are inside, points beyond the vertices outside."""
    ball = nested_spheres(1.0, n_vertices=642).innermost
    nearest_face = np.linalg.norm(ball.triangles_center, axis=1).min()
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((1000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert contains(ball, rng.uniform(0, 0.999 * nearest_face, (1000, 1)) * directions).all()
    assert not contains(ball, rng.uniform(1.001, 4, (1000, 1)) * directions).any()
    assert contains(ball, np.empty((0, 3))).shape == (0,)


def test_contains_a_ring() -> None:
    """A shape that is not star-shaped, points at least 2 % of its tube off the surface."""
    ring = trimesh.creation.torus(0.06, 0.025, 48, 48)
    points = np.random.default_rng(1).uniform(-0.1, 0.1, (1000, 3)) * [1, 1, 0.4]
    across = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.06, points[:, 2]) / 0.025
    clear = np.abs(across - 1) > 0.02
    assert min(np.sum(across[clear] < 1), np.sum(across[clear] > 1)) > 100
    np.testing.assert_array_equal(contains(ring, points[clear]), across[clear] < 1)


def test_freesurfer_surfaces(tmp_path: Path) -> None:
    """Written in mm and another frame, inside out; read thinned, in the head frame, outward."""
    points, faces = icosphere(642)
    to_mri = np.eye(4)
    to_mri[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    to_mri[:3, 3] = [0.01, 0.02, -0.03]
    paths, radii = [], (0.08, 0.086, 0.092)
    for radius in radii:
        paths.append(tmp_path / f"{radius}.surf")
        mri = mne.transforms.apply_trans(to_mri, radius * points)
        nfs.write_geometry(paths[-1], 1000 * mri, faces[:, ::-1])
    for n_vertices, n_kept in ((162, 162), (None, 642), (2562, 642)):
        head = read_head_surfaces(paths, to_mri, n_vertices)
        for vertices, radius in zip(head.vertices, radii, strict=True):
            np.testing.assert_allclose(vertices, radius * points[:n_kept], atol=1e-7)
        assert all(mesh.volume > 0 for mesh in head.meshes)
    with pytest.raises(InputError, match="leaves"):
        read_head_surfaces(paths[::-1], to_mri)
    ring = trimesh.creation.torus(60, 25, 32, 32)
    nfs.write_geometry(tmp_path / "ring.surf", ring.vertices, ring.faces)
    with pytest.raises(InputError, match=r"ring\.surf has 1024 vertices and is not an icosphere"):
        read_head_surfaces([tmp_path / "ring.surf"], to_mri)
    (tmp_path / "junk.surf").write_bytes(b"junk")
    for name in ("junk.surf", "absent.surf"):
        with pytest.raises(InputError, match=f"{name} is not a FreeSurfer surface"):
            read_head_surfaces([tmp_path / name], to_mri)


@pytest.mark.shared
def test_a_subjects_surfaces(shared_data: Path) -> None:
    folder = shared_data / "sample_subject"
    paths = [folder / f"{name}.surf" for name in ("inner_skull", "outer_skull", "outer_skin")]
    to_mri = mne.read_trans(folder / "sample-trans.fif")["trans"]
    head = read_head_surfaces(paths, to_mri)
    assert [len(v) for v in head.vertices] == [642] * 3
    assert 1.2e-3 < head["inner_skull"].volume < 1.9e-3, "m³ of an adult's intracranial space"
    assert head.check(head["inner_skull"].centroid[None]) is head


def test_no_sources_have_no_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an empty cache, as cases without an event ask first."""
    monkeypatch.setenv("BAYESESI_CACHE", str(tmp_path))
    space = template_source_space(2)
    rows = GeodesicRows(space.cortex, space._vertices, 0.0123)
    assert rows(np.empty(0, np.int64)).shape == (0, space.n_sources)
