"""The row of another person: its noise is what its covariance says, its events as loud as drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bayesesi.forward import template_forward
from bayesesi.simulator import Batch, Simulator, read_simulator
from tests.oracle import another_person as person

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def batches(shared_data: Path) -> list[Batch]:
    spec = read_simulator("frame-any-cap").spec
    return list(Simulator(spec, group_size=8).block(0, 3, "bench"))[:6]


def test_noise_alone_is_white_and_a_taller_one_is_not(
    batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 cases of 59 dimensions: the mean square is 1 up to 4 sd, 4 (2 / 2832)^1/2 = .11; one alarm
    in 16,000 tests."""
    monkeypatch.setattr(person, "person_leadfield", lambda: np.zeros((60, 20484)))
    seen = [person.another_person(batch, k) for batch in batches for k in range(len(batch))]
    square = np.mean([(obs.values**2).mean() for obs in seen])
    assert {obs.n_eff for obs in seen} == {59}
    assert abs(square - 1) < 0.11
    assert abs(1.2 * square - 1) > 0.11


def test_events_are_as_loud_as_drawn_whatever_the_head(
    batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise takes its size from the event: a head that conducts ten times less shows the same."""
    own = np.asarray(template_forward(person._info(), ico=5).leadfield, float)
    found = []
    for factor in (1.0, 0.1):
        monkeypatch.setattr(person, "person_leadfield", lambda factor=factor: factor * own)
        found.append([person.another_person(batch, 0) for batch in batches])
    for first, second in zip(*found, strict=True):
        assert np.allclose(first.values, second.values, rtol=1e-6)
    loud = [k for k, batch in enumerate(batches) if np.isfinite(batch.snr_db[0])]
    apart = [found[0][k].snr_db - batches[k].snr_db[0] for k in loud]
    assert np.abs(apart).max() < 12  # whitened power is not that of channels
