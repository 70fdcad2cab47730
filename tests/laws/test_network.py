"""What a network sees, and the backbone that looks at it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from bayesesi.features import (
    PlacedSources,
    PreparedForward,
    ScanInputs,
    SizePrior,
    TemporalGroups,
    TrainingRange,
)
from bayesesi.features import scan as of
from bayesesi.network.transformer import patches_of
from bayesesi.noise import NOISE_DOF

N, SENSORS, EXTENTS, R, B = 20, 8, 2, 6, 5


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def seen(rng: np.random.Generator) -> np.ndarray:
    return 30 * rng.standard_normal((EXTENTS, N, SENSORS))


@pytest.fixture(scope="module")
def leadfield(rng: np.random.Generator) -> np.ndarray:
    return 30 * rng.standard_normal((SENSORS, N))


@pytest.fixture(scope="module")
def forward(seen: np.ndarray, leadfield: np.ndarray) -> PreparedForward:
    positions = np.random.default_rng(1).uniform(-0.07, 0.07, (N, 3))
    return PreparedForward.of(seen, leadfield, np.full(N, -np.log(N)), positions)


@pytest.fixture(scope="module")
def values() -> Tensor:
    return 2 * torch.randn(B, SENSORS, R, generator=torch.Generator().manual_seed(2))


#: Two groups of functions whose variances are alike within each.
WINDOW = TemporalGroups(
    torch.eye(R), torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([0.4, 1.3]), 0.7
)
SIZE = SizePrior(np.log(0.02), 0.8)
GIVEN = PlacedSources(torch.tensor([[3, 25]] * B), torch.tensor([[True, k < 3] for k in range(B)]))


def log_law(values: np.ndarray, covariance: np.ndarray) -> float:
    """log of the Student density of (n, R) data with (R, n, n) shapes, up to a constant."""
    det = np.linalg.slogdet(covariance)[1].sum()
    columns = values.T[..., None]
    power = float((columns * np.linalg.solve(covariance, columns)).sum())
    return float(-0.5 * det - 0.5 * (NOISE_DOF + values.size) * np.log(NOISE_DOF + power))


def brute(
    seen: np.ndarray, values: np.ndarray, discrepancy: float, given: np.ndarray | None = None
) -> np.ndarray:
    """(E, N) log p(v | one more source) - log p(v | none more), densities written out."""
    rho = WINDOW.share.numpy().astype(float)[WINDOW.group.numpy()]
    eye = np.eye(SENSORS)
    base = np.tile(eye, (R, 1, 1)) if given is None else given
    log_t = np.linspace(*np.log(of._RANGE), of._N_MANY)
    half = 0.5 * (log_t[1] - log_t[0])
    out = np.empty(seen.shape[:2])
    for e, i in np.ndindex(out.shape):
        g = seen[e, i]
        gain = g @ g
        each = []
        for t in np.exp(log_t):
            more = rho[:, None, None] * (np.outer(g, g) / gain + discrepancy / SENSORS * eye)
            z = (0.5 * np.log(t / gain / WINDOW.variance) - SIZE.mean) / SIZE.sd
            share = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / SIZE.sd * half
            each.append(log_law(values, base + t * more) + np.log(share))
        out[e, i] = np.logaddexp.reduce(each)
    return out - log_law(values, base)


@pytest.mark.parametrize("discrepancy", [0.0, 0.3])
def test_the_likelihood_of_one_source_equals_densities_written_out(
    forward: PreparedForward, seen: np.ndarray, values: Tensor, discrepancy: float
) -> None:
    scene = forward.scene(values, WINDOW, SIZE, discrepancy=discrepancy)
    got = scene.log_likelihood - scene.nothing[:, None, None]
    for k in range(2):
        want = brute(seen, values[k].numpy().astype(float), discrepancy)
        np.testing.assert_allclose(got[k].numpy(), want, atol=2e-3)


def test_beside_sources_that_are_given_as_well(
    forward: PreparedForward, seen: np.ndarray, values: Tensor
) -> None:
    """The given ones stand for a Gaussian in their span, of the variance that data show there."""
    loud = 3 * values
    scene = forward.scene(loud, WINDOW, SIZE, GIVEN, discrepancy=0.0)
    got = scene.log_likelihood - scene.nothing[:, None, None]
    rho = WINDOW.share.numpy().astype(float)[WINDOW.group.numpy()]
    rows = np.stack([seen[0, 3], seen[1, 5]])
    for k in (0, 4):
        here = loud[k].numpy().astype(float)
        basis = np.linalg.qr(rows[: int(GIVEN.count[k])].T)[0].T
        along = ((basis @ here) ** 2 / rho).mean(axis=1)
        shown = np.einsum("j,jn,jm->nm", np.maximum(along - 1, 0), basis, basis)
        base = np.eye(SENSORS) + rho[:, None, None] * shown
        np.testing.assert_allclose(got[k].numpy(), brute(seen, here, 0.0, base), atol=5e-3)


def test_a_scene_does_not_know_the_sensors(
    forward: PreparedForward, seen: np.ndarray, leadfield: np.ndarray, values: Tensor
) -> None:
    """Turned sensors, an orthogonal change of them, give the same scene; turned data do not."""
    q = np.linalg.qr(np.random.default_rng(4).standard_normal((SENSORS, SENSORS)))[0]
    place = forward.log_place.numpy(), forward.positions.numpy()
    turned = PreparedForward.of(seen @ q.T, q @ leadfield, *place)
    other = torch.from_numpy(q).float() @ values
    first = forward.scene(values, WINDOW, SIZE, GIVEN)
    for again, same in (
        (turned.scene(other, WINDOW, SIZE, GIVEN), True),
        (forward.scene(other, WINDOW, SIZE, GIVEN), False),
    ):
        close = [
            torch.allclose(getattr(first, f.name), getattr(again, f.name), atol=2e-3)
            for f in fields(ScanInputs)
        ]
        assert all(close) if same else not any(close[:3])


def test_cases_do_not_see_each_other(
    forward: PreparedForward, values: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = forward.scene(values, WINDOW, SIZE, GIVEN)
    monkeypatch.setattr(of, "_CHUNK", 1)
    for f in fields(ScanInputs):
        one_by_one = getattr(forward.scene(values, WINDOW, SIZE, GIVEN), f.name)
        torch.testing.assert_close(one_by_one, getattr(whole, f.name), atol=1e-4, rtol=1e-4)


def test_scenes_are_finite_whatever_comes(forward: PreparedForward) -> None:
    for scale in (0.0, 1e-3, 1.0, 1e3):
        values = scale * torch.randn(2, SENSORS, 1, generator=torch.Generator().manual_seed(1))
        for size in (SIZE, SizePrior.unknown()):
            scene = forward.scene(values, TemporalGroups.of(np.ones((1, 1))), size)
            assert all(torch.isfinite(getattr(scene, f.name)).all() for f in fields(ScanInputs)), (
                scale
            )
            assert scene.features.shape == (2, N, len(of.FEATURES))
            assert scene.context.shape == (2, len(of.CONTEXT))
            assert float(scene.features.abs().max()) < 20


def test_what_a_network_never_met_is_named(forward: PreparedForward) -> None:
    """Forty windows of one function of time, then one of six, then one that is far too loud."""
    generator = torch.Generator().manual_seed(5)
    one = TemporalGroups.of(np.ones((1, 1)))
    met = torch.randn(40, SENSORS, 1, generator=generator)
    support = TrainingRange.of(forward.scene(met, one, SIZE).context)
    for case in forward.scene(met, one, SIZE).context:
        assert support.outside(case) == ()
    longer = forward.scene(torch.randn(1, SENSORS, R, generator=generator), WINDOW, SIZE)
    assert "functions of time" in support.outside(longer.context[0])
    louder = forward.scene(100 * met[:1], one, SIZE)
    assert "power of the data, dB" in support.outside(louder.context[0])
    assert "sensors" not in support.outside(louder.context[0])


def test_patches_are_a_partition_of_each_level() -> None:
    for level, n in ((2, 324), (3, 1284), (4, 5124)):
        members = patches_of(level)
        assert members.shape[0] == 84
        assert sorted(members[members >= 0]) == list(range(n))
        count = (members >= 0).sum(axis=1)
        assert count.max() <= 1.4 * n / 84 + 2
