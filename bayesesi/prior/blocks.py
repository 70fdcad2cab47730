"""Random numbers in blocks of 256 cases: case k is the same for any shard or worker count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from bayesesi.errors import InputError

BLOCK = 256
#: What cases are for; seeds of different purposes never meet.
NAMESPACES = ("train", "validate", "repair", "conformal", "diagnose", "bench")


def block_seed(namespace: str, seed: int, block: int) -> int:
    """A 63-bit seed from purpose, seed and block number, by SHA-256."""
    if namespace not in NAMESPACES:
        raise InputError(f"namespace is one of {', '.join(NAMESPACES)}, not {namespace!r}")
    digest = hashlib.sha256(f"{namespace}/{int(seed)}/{int(block)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def block_generator(namespace: str, seed: int, block: int) -> Iterator[None]:
    """Everything torch and Pyro draw inside comes from this block alone; outside nothing changes.

    The one place where a simulation's randomness starts.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(block_seed(namespace, seed, block))
        yield


def blocks_of(start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Each block that holds cases of [start, stop), and which of its 256 they are."""
    if not 0 <= start <= stop:
        raise InputError(f"cases go from 0 up, not from {start} to {stop}")
    for block in range(start // BLOCK, -(-stop // BLOCK)):
        first = block * BLOCK
        yield block, slice(max(start - first, 0), min(stop - first, BLOCK))
