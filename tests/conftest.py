"""What every test stands on: real recordings when they are there, and no leaked global state."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ["MPLBACKEND"] = "agg"  # before anything imports matplotlib

SHARED_DATA = Path(
    os.environ.get("BAYESESI_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED_DATA.is_dir():
        return
    absent = pytest.mark.skip(
        reason="no recordings in ../shared/data beside the checkout; "
        "BAYESESI_SHARED_DATA may name another folder"
    )
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings, for tests marked `shared`."""
    return SHARED_DATA


@pytest.fixture(scope="module")
def few_held_out() -> Iterator[None]:
    """Trainings look at one session where they look at many else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesesi.training.loop._N_HELD", 1)
        patch.setattr("bayesesi.training.loop._N_SEEN", 2)
        yield


@pytest.fixture(autouse=True)
def _no_leaked_state() -> Iterator[None]:
    """A test leaves the global generators and the thread count as it found them.

    Torch is looked at only where it was loaded before the test began.
    """
    before = _global_state()
    yield
    after = _global_state()
    leaked = [name for name in before if before[name] != after[name]]
    if leaked:
        pytest.fail(f"this test changed global state and left it so: {', '.join(leaked)}")


def _global_state() -> dict[str, object]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  (the global generator is the subject)
    state: dict[str, object] = {"NumPy's generator": (kind, keys.tobytes(), *rest)}
    if torch := sys.modules.get("torch"):
        state["torch's generator"] = torch.get_rng_state().numpy().tobytes()
        state["torch's thread count"] = torch.get_num_threads()
    return state
