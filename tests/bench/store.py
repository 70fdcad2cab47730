"""Finished rows, kept until what they measured changes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bayesesi.io.atomic import write_text

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "bench"
# what every row stands on
_SHARED = (
    "tests/bench/difference.py",
    "tests/bench/mne_solution.py",
    "tests/bench/outcome.py",
    "tests/bench/spheres.py",
    "tests/oracle/nested_spheres.py",
)


def key_of(row: str, stands_on: Iterable[str]) -> str:
    """Hash of the row's code and of all that it stands on, as on disk: what is said in comments
    and docstrings does not count.

    ``stands_on`` names parts of ``bayesesi``: modules (``forward``) and assets
    (``assets/template-bank.safetensors``).
    """
    digest = hashlib.sha256()
    shared = (ROOT / f"tests/bench/{row}.py", *(ROOT / name for name in _SHARED))
    for path in (*shared, *_files(stands_on)):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(_code(path) if path.suffix == ".py" else path.read_bytes())
    return digest.hexdigest()[:16]


def _code(path: Path) -> bytes:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return ast.dump(tree).encode()


def _files(stands_on: Iterable[str]) -> Iterator[Path]:
    for name in stands_on:
        path = (ROOT / "bayesesi" / name).resolve()
        if path.is_dir():
            yield from sorted([*path.rglob("*.py"), *path.rglob("*.toml")])
        elif path.is_file():
            yield path


def read_row(row: str, key: str) -> dict[str, Any] | None:
    """The stored result of a row, or None when there is none for this key."""
    path = WORK / f"{row}.json"
    if not path.is_file():
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None
    return stored if stored.get("key") == key else None


def write_row(row: str, result: dict[str, Any]) -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    write_text(WORK / f"{row}.json", json.dumps(result, indent=1))


def conditions(threads: int) -> dict[str, Any]:
    """When, from which source and with what a row was measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "package_tree": _git("rev-parse", "--short=12", "HEAD:bayesesi"),
        "uncommitted": bool(_git("status", "--porcelain", "bayesesi")),
        "threads": threads,
        "cores": os.cpu_count(),
        # of all that ran in the minute before: above 0, timings are those of a busy machine
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "mne", "openmeeg")},
    }


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() or ("" if arguments[0] == "status" else "unknown")
