"""Random numbers in blocks of 256 cases: case k is the same for any shard or worker count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from numbers import Integral
from typing import TYPE_CHECKING, Any

from bayesesi.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 256
_WORDS, _HEADER = 624, 24
#: What cases are for; seeds of different purposes never meet.
NAMESPACES = ("train", "validate", "repair", "conformal", "diagnose", "bench")


def block_seed(namespace: str, seed: int, block: int) -> int:
    """Hash purpose, ``seed`` and number of the ``block`` to 256 bits, by SHA-256.

    Raises
    ------
    InputError : a ``namespace`` that is none of ``NAMESPACES``, a seed that is no whole number.
    """
    if namespace not in NAMESPACES:
        raise InputError(f"namespace is one of {', '.join(NAMESPACES)}, not {namespace!r}")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise InputError(f"a seed is a whole number, not {seed!r}")
    digest = hashlib.sha256(f"{namespace}/{int(seed)}/{int(block)}".encode()).digest()
    return int.from_bytes(digest, "big")


@contextmanager
def block_generator(namespace: str, seed: int, block: int) -> Iterator[None]:
    """Draw all that torch and Pyro draw inside from this block alone; outside nothing changes.

    The one place where a simulation's randomness starts. Sums are taken by one thread, so that they
    round the same on any machine of a kind; many cores work on many blocks. ``namespace``, ``seed``
    and ``block`` as in ``block_seed``.
    """
    import torch

    state = _state(block_seed(namespace, seed, block))
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.random.set_rng_state(state)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _thread_pools().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


@cache
def _thread_pools() -> Any:
    import scipy.linalg  # noqa: F401  (its own BLAS has to be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _state(seed: int) -> Tensor:
    """A state of torch's Mersenne twister that holds the whole of a seed.

    ``manual_seed`` keeps 32 bits, so that among 100,000 blocks two would be expected to be equal.
    The state's bytes are a header, 624 words in 8 bytes each, and what normal draws keep.
    """
    import numpy as np
    import torch

    state = torch.Generator().manual_seed(0).get_state()
    words = np.random.SeedSequence(seed).generate_state(_WORDS, np.uint32).astype(np.uint64)
    state[_HEADER : _HEADER + 8 * _WORDS] = torch.from_numpy(words.view(np.uint8))
    return state


def blocks_of(start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Yield each block that holds cases of [``start``, ``stop``), and which of its 256 they are.

    Raises
    ------
    InputError : cases below 0, or the stop before the start.
    """
    if not 0 <= start <= stop:
        raise InputError(f"cases go from 0 up, not from {start} to {stop}")
    for block in range(start // BLOCK, -(-stop // BLOCK)):
        first = block * BLOCK
        yield block, slice(max(start - first, 0), min(stop - first, BLOCK))
