"""Folds of other cortices, and free orientations from fixed dipoles."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import template_source_space
from bayesesi.forward import HeadSetting, montage_sensors, template_bank
from bayesesi.forward.free_modes import _weights
from bayesesi.prior import HeadPrior, block_generator, read_prior
from bayesesi.prior.folds import Folds
from bayesesi.simulator import Simulator, read_simulator
from bayesesi.spec import FoldSpec

SOURCES = 20_484


@pytest.fixture(scope="module")
def people() -> HeadPrior:
    found = read_prior("template-people")
    assert isinstance(found, HeadPrior)
    return found


@pytest.fixture(scope="module")
def drawn(people: HeadPrior) -> dict[str, NDArray[np.float64]]:
    with block_generator("validate", 1, 0):
        return people.draw(12)


def rdm(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return np.asarray(np.linalg.norm(a - b, axis=-1))


def test_a_dipole_is_told_by_its_neighbours() -> None:
    """Each vertex left out of its own regression, at 64 electrodes: RDM at most .03 (95 %) in each
    of the five heads, .01 (median over vertices, mean over heads; the worst head .0105); magnitude
    within 1 % (median). The twin, the nearest neighbour's topography, is off ten times as much."""
    bank, space = template_bank(), template_source_space(5)
    assert space.normals is not None
    fixed = bank.cortex_modes(5).T
    weights, own = _weights(space), np.arange(0, SOURCES, 28)
    normal = sp.csr_array(
        (
            space.normals[own].ravel(),
            (np.repeat(np.arange(len(own)), 3), (3 * own[:, None] + np.arange(3)).ravel()),
        ),
        (len(own), 3 * SOURCES),
    )
    smoother = sp.csr_array(normal @ weights)
    share = np.asarray(smoother[np.arange(len(own)), own]).ravel()
    # of a linear smoother, left out: (fit - h own) / (1 - h)
    left_out = (smoother @ fixed - share[:, None] * fixed[own]) / (1 - share)[:, None]
    electrodes = montage_sensors("eeg64").positions
    order = np.argsort(np.linalg.norm(space.positions[own][:, None] - space.positions, axis=2))
    nearest = order[:, 1]
    medians = []
    for shape in range(bank.n_shapes):
        rows = bank.electrode_modes(HeadSetting(shape), electrodes).T
        truth, found = fixed[own] @ rows, left_out @ rows
        error = rdm(found, truth)
        medians.append(np.median(error))
        assert np.quantile(error, 0.95) < 0.03
        size = np.linalg.norm(found, axis=1) / np.linalg.norm(truth, axis=1)
        assert abs(np.median(size) - 1) < 0.01
        assert np.median(rdm(fixed[nearest] @ rows, truth)) > 0.1
    assert np.mean(medians) < 0.01
    assert max(medians) < 0.0105


def test_angles_are_those_of_the_design(
    people: HeadPrior, drawn: dict[str, NDArray[np.float64]]
) -> None:
    """Degrees between normals at 5, 25, 50, 75 and 95 %: within a tenth of those that were matched
    to a real person (8.5, 20.1, 32.7, 49.4, 83.7), of 12 heads."""
    space = template_source_space(5)
    assert space.normals is not None
    vertices = np.arange(0, SOURCES, 3)
    head = np.repeat(np.arange(12), len(vertices))
    assert people.folds is not None
    every = np.tile(vertices, 12)
    normals = people.folds.normals(drawn, head, every)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    cosine = (normals * space.normals[every]).sum(axis=1)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    found = np.quantile(angles, [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(found, [8.5, 20.1, 32.7, 49.4, 83.7], rtol=0.1)
    again = people.folds.normals(drawn, head[:50], every[:50])
    np.testing.assert_allclose(again, normals[:50], atol=1e-9)


def test_heads_differ_in_their_folds_alone(
    people: HeadPrior, drawn: dict[str, NDArray[np.float64]]
) -> None:
    assert people.folds is not None
    vertices = np.arange(100, 400)
    one, other = (people.folds.normals(drawn, np.full(300, k), vertices) for k in (0, 1))
    assert np.abs(one - other).max() > 0.1
    flat = Folds(FoldSpec(shift_mm=0.0))
    none = {**drawn, "fold_tilt": np.zeros(12)}
    moments = sp.csr_array(np.eye(3, SOURCES, k=500))
    assert np.abs(flat.change(moments, none, np.arange(3)).toarray()).max() < 1e-6
    changed = people.folds.change(moments, drawn, np.arange(3))
    assert changed.shape == (3, 3 * SOURCES)
    assert sorted(set(changed.indices // 3)) == [500, 501, 502]


def test_a_simulator_of_people_shows_other_folds() -> None:
    """The same events and heads, folds apart: at the same size of folds 0 the same volts."""
    spec = read_simulator("frame-any-cap").spec
    people = spec.model_copy(update={"head": "template-people"})
    people._folder = spec._folder
    own = Simulator(people, 256)
    batch = own.block(0, 3, "validate", n=8)[0]
    assert "fold_seed" in batch.draws
    assert len(set(batch.draws["fold_seed"])) == len(batch)
    assert 0.3 < np.median(batch.draws["fold_tilt"]) < 0.4
    plain = Simulator(spec, 256).block(0, 3, "validate", n=8)[0]
    assert "fold_seed" not in plain.draws
