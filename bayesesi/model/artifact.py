"""Weights in a file with their recipe: safetensors, never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file

#: Where what ships beside the code is.
ASSETS = Path(str(files("bayesesi"))) / "assets"
SCHEMA = 1
#: The key of the header that holds all that is said about the weights.
_KEY = "bayesesi"
#: Which names the layers of a backbone have in a file, and their names before these.
LAYERS = 2
_LAYERS_1 = {
    "stand": "position_proj",
    "see": "input_proj",
    "read": "source_mlp",
    "weigh": "pool_weight",
    "gather": "to_token",
    "know": "context_mlp",
    "ask": "qkv",
    "answer": "out_proj",
    "think": "mlp",
    "last": "norm",
    "hold": "skip_proj",
    "spread": "to_source",
    "tell": "source_head",
    "conclude": "global_head",
}
#: Bytes of a file, and of its header.
_LARGEST = 200_000_000


def write_weights(path: str | Path, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> Path:
    """Write ``tensors`` to ``path``; ``about``, plain data, goes into the header.

    Beside it the header holds a hash of names, shapes and numbers. ``tensors`` map the names of
    layers to values (...).

    Raises
    ------
    InputError : a place that cannot be written.
    """
    from safetensors.torch import save_file

    path = Path(path)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = json.dumps({**about, "layers": LAYERS, "tensors": tensor_hash(plain)}, sort_keys=True)
    with atomic_file(path) as draft:
        save_file(plain, draft, metadata={"schema": str(SCHEMA), _KEY: header})
    return path


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of the file at ``path``, under today's names of layers, and its header.

    ``tensors`` in the header is the hash under the names of the file: cards name weights by it.

    Raises
    ------
    InputError : in one sentence, a file that is none of ours, truncated, changed or of a later
        version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        there = path.is_file()
    except OSError:  # a name longer than any file has
        there = False
    if not there:
        raise InputError(
            f"no weights are at {str(path)[:200]!r}; give the name of a model or a .safetensors "
            "file that bayesesi train wrote"
        )
    if path.stat().st_size > _LARGEST:
        raise InputError(
            f"{path.name} is larger than {_LARGEST // 10**6} MB, which is more than any shipped "
            "model"
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        schema, said, layers = metadata["schema"], header["tensors"], int(header.get("layers", 1))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path.name} holds no weights of bayesesi ({type(error).__name__}: truncated, or "
            "another kind of file); give a .safetensors file that bayesesi train wrote"
        ) from error
    if schema != str(SCHEMA):
        raise InputError(
            f"{path.name} has schema {str(schema)[:20]}, this version reads {SCHEMA}; train again"
        )
    if layers > LAYERS:
        raise InputError(
            f"{path.name} names its layers by schema {layers}, this version reads {LAYERS} at "
            "most; install a newer version, or train again"
        )
    found = tensor_hash(tensors)
    if found != said:
        raise InputError(
            f"{path.name} was changed: its numbers have the hash {found}, its header says "
            f"{str(said)[:20]}; get the original file again"
        )
    return (tensors if layers == LAYERS else _renamed(tensors)), header


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under today's names, tensors whose backbone has the first names of layers."""
    return {_today(name): value for name, value in tensors.items()}


def _today(name: str) -> str:
    outside, backbone, inside = name.rpartition("backbone.")
    if not backbone:
        return name
    return outside + backbone + ".".join(_LAYERS_1.get(part, part) for part in inside.split("."))


def tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, shapes and numbers of ``tensors``, name to (...), to 12 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
