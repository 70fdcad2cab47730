"""Distances to what matters: right in closed cases, refused where the target is not here."""

from __future__ import annotations

from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from bayesesi import infer, make_report, read_simulator
from bayesesi.anatomy import REGIONS, template_mesh, template_parcellation
from bayesesi.anatomy.template import of_mni152, to_head_frame, to_mni152
from bayesesi.cli import app
from bayesesi.errors import InputError
from bayesesi.result import Result
from bayesesi.roi import read_target, target_at, target_mask, with_targets


@pytest.fixture(scope="module")
def result() -> Result:
    simulation = read_simulator("frame-measured-cap", group_size=1).simulate(20, 5, "validate")
    loud = int(np.flatnonzero(simulation.snr_db > 12)[0])
    return infer(simulation.observation(loud), "atoms", draws=100)


def mni(place: np.ndarray) -> np.ndarray:
    """mm of MNI152 of a head-frame place."""
    return to_mni152(place[None])[0]


def test_mni152_is_fsaverage_by_the_published_map() -> None:
    """FreeSurfer's example: MNI305 10, -20, 35 mm is MNI152 10.695, -18.409, 36.137 mm."""
    place = to_head_frame(1e-3 * np.array([[10.0, -20.0, 35.0]]))
    assert np.allclose(to_mni152(place), [[10.695, -18.409, 36.137]], atol=0.01)
    assert np.allclose(of_mni152(to_mni152(place)), place, atol=1e-9)


def test_a_label_is_its_vertices(tmp_path: Path) -> None:
    mesh = template_mesh()
    for side, own in (("lh", 5), ("rh", 7)):
        label = mne.Label(np.array([own, 40_000]), np.zeros((2, 3)), hemi=side, subject="fsaverage")
        label.save(tmp_path / f"cut-{side}.label")
        target = read_target(f"cut={tmp_path / f'cut-{side}.label'}")
        place = mesh.positions[own + (mesh.n_left if side == "rh" else 0)]
        assert np.allclose(target.points, place[None])
    (tmp_path / "x-lh.label").write_text("<b>")
    with pytest.raises(InputError, match="not a readable label"):
        read_target(f"x={tmp_path / 'x-lh.label'}")
    with pytest.raises(InputError, match="is not a file"):
        read_target("x=nowhere-lh.label")
    far = mne.Label(np.array([100_000]), np.zeros((1, 3)), hemi="lh", subject="fsaverage")
    far.save(tmp_path / "far-lh.label")
    with pytest.raises(InputError, match="no vertex"):
        read_target(f"x={tmp_path / 'far-lh.label'}")


def test_the_distance_to_a_source_is_that_of_the_peak(result: Result) -> None:
    """Against the distances themselves, weighed by hand."""
    maps = result.inference_data["maps"]
    places, weight = maps["position"].values, maps["peak_probability"].values
    place = places[int(weight.argmax())]
    target = target_at("here", ",".join(f"{x:.4f}" for x in mni(place)))
    assert np.allclose(target.points[0], place, atol=1e-6)
    found = with_targets(result, [target]).about["targets"][0]
    apart = np.linalg.norm(places - place, axis=1)
    inside = weight[apart <= 0.005].sum()
    assert found["inside"] == pytest.approx(inside)
    assert found["mode_mm"] == 0.0
    drawn = np.random.default_rng(0).choice(
        np.where(apart <= 0.005, 0, apart), 20000, p=weight / weight.sum()
    )
    assert found["median_mm"] == pytest.approx(1e3 * np.median(drawn), abs=2.0)
    assert found["low_mm"] <= found["median_mm"] <= found["high_mm"]


def test_a_mask_is_its_voxels(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-90, -126, -72]
    data = np.zeros((91, 109, 91), np.uint8)
    data[20:23, 50:53, 40:43] = 1
    nib.Nifti1Image(data, affine).to_filename(tmp_path / "m.nii.gz")
    target = read_target(f"lesion={tmp_path / 'm.nii.gz'}")
    assert len(target.points) == 26  # its surface, from which distances are
    assert target.holds(of_mni152(np.array([[-48.0, -24.0, 10.0]]))).all()
    assert not target.holds(of_mni152(np.array([[-52.1, -24.0, 10.0]]))).any()
    middle = affine[:3, :3] @ [21, 51, 41] + affine[:3, 3]
    assert np.allclose(
        target.points.mean(axis=0), target_at("x", ",".join(map(str, middle))).points[0]
    )


def test_a_large_mask_holds_what_it_holds(result: Result, tmp_path: Path) -> None:
    """A ball of 30 mm at 1 mm: 113,000 voxels, against the distance from its middle."""
    maps = result.inference_data["maps"]
    places, weight = maps["position"].values, maps["peak_probability"].values
    middle = to_mni152(places[weight.argmax()][None])[0]
    affine = np.eye(4)
    affine[:3, 3] = -100, -130, -80
    grid = np.stack(np.meshgrid(*[np.arange(200)] * 3, indexing="ij"), axis=-1) + affine[:3, 3]
    ball = np.linalg.norm(grid - middle, axis=-1) <= 30
    assert ball.sum() > 100_000
    nib.Nifti1Image(ball.astype(np.uint8), affine).to_filename(tmp_path / "ball.nii.gz")
    found = with_targets(result, [read_target(f"b={tmp_path / 'ball.nii.gz'}")]).about["targets"][0]
    apart = np.linalg.norm(to_mni152(places) - middle, axis=1)
    low, high = (weight[apart <= 30 + edge].sum() for edge in (-1.0, 1.0))
    assert low - 1e-9 <= found["inside"] <= high + 1e-9
    assert found["mode_mm"] == 0.0


def test_regions_add_up_to_what_lies_in_any(result: Result) -> None:
    """Disjoint regions hold disjoint places."""
    found = with_targets(result, [read_target(f"{r}={r}") for r in REGIONS]).about["targets"]
    assert sum(each["inside"] for each in found) <= 1 + 1e-9


def test_a_label_of_another_subject_is_refused(tmp_path: Path) -> None:
    head = "#!ascii label  , from subject {} vox2ras=TkReg\n2\n"
    path = tmp_path / "x-lh.label"
    for subject, rows, said in (
        ("JOHN", "1 0 0 0 1\n5 0 0 0 1\n", "another subject"),
        ("fsaverage", "1 900 900 900 1\n5 900 900 900 1\n", "mm from those of its vertices"),
        ("fsaverage", "1 0 0 0 1\n900000 0 0 0 1\n", "vertices that no fsaverage has"),
    ):
        path.write_text(head.format(subject) + rows)
        with pytest.raises(InputError, match=said) as caught:
            read_target(f"x={path}")
        assert "JOHN" not in str(caught.value)


@pytest.mark.parametrize("case", ["huge", "flat", "coarse", "four", "colour"])
def test_images_that_are_no_masks_are_one_sentence(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    affine, voxels = np.diag([2.0, 2.0, 2.0, 1.0]), np.ones((9, 9, 9), np.uint8)
    if case == "huge":
        affine[0, 3] = 1e30
    elif case == "flat":
        affine[:3, 1] = affine[:3, 0]
    elif case == "coarse":
        affine[:3, :3] *= 30
    elif case == "four":
        voxels = np.ones((4, 4, 4, 2), np.uint8)
    else:
        voxels = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    image = nib.Nifti1Image(voxels, None)
    image.set_sform(affine, 1)
    image.to_filename(tmp_path / "m.nii")
    with pytest.raises(InputError) as caught:
        read_target(f"m={tmp_path / 'm.nii'}")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_names_that_are_no_text_or_too_long_are_one_sentence() -> None:
    assert read_target("\udcff=precentral-lh").name == "?"
    for ending in (".nii", ".label"):
        with pytest.raises(InputError, match="is not a file"):
            read_target("a=" + 5000 * "x" + ending)


def test_regions_hold_their_sources() -> None:
    target = read_target("motor=precentral-lh,paracentral-lh")
    atlas = template_parcellation(5)
    labels = [atlas.names.index(n) for n in ("precentral-lh", "paracentral-lh")]
    assert len(target.points) == np.isin(atlas.labels, labels).sum()


def test_what_is_no_target_is_one_sentence(tmp_path: Path, result: Result) -> None:
    for text, sentence in (
        ("precentral-lh", "a target is NAME=REGION"),
        ("x=nowhere-lh", "no region"),
        ("x=mni:1,2", "three numbers"),
        ("x=mni:a,b,c", "three numbers"),
        ("x=mni:900,0,0", "another space"),
        ("x=missing.nii", "is not a file"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_target(text)
    nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_filename(tmp_path / "e.nii")
    with pytest.raises(InputError, match="is empty"):
        target_mask("x", tmp_path / "e.nii")
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable NIfTI"):
        target_mask("x", tmp_path / "bad.nii")
    nib.Nifti1Image(np.ones((4, 4, 4, 2), np.uint8), np.eye(4)).to_filename(tmp_path / "f.nii")
    with pytest.raises(InputError, match="three dimensions"):
        target_mask("x", tmp_path / "f.nii")


def test_hostile_names_of_targets_are_text(result: Result) -> None:
    target = read_target("<script>alert(1)</script>=precentral-lh")
    html = make_report(with_targets(result, [target])).html
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
    assert "Distances" in html


def test_the_command_takes_targets(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "x-post.nc")
    run = CliRunner().invoke(
        app,
        [
            "report",
            str(tmp_path / "x-post.nc"),
            "--target",
            "motor=precentral-lh",
            "--format",
            "json,html",
        ],
    )
    assert run.exit_code == 0, run.output
    assert "motor" in (tmp_path / "report.json").read_text()
    run = CliRunner().invoke(app, ["report", str(tmp_path / "x-post.nc"), "--target", "motor"])
    assert run.exit_code == 2
