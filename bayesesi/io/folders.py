"""Folders of this user: what can be made again, and what is kept."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``$BAYESESI_CACHE``, else the platform's."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("BAYESESI_CACHE") or user_cache_path("bayesesi"))


def data_folder() -> Path:
    """Return the folder of what is kept: ``$BAYESESI_DATA``, else the platform's for this user."""
    from platformdirs import user_data_path

    return Path(os.environ.get("BAYESESI_DATA") or user_data_path("bayesesi"))


def run_folder(verb: str, name: str, key: str = "", progress: bool = False) -> Path:
    """Return where a run keeps its finished work if it was given no folder.

    Parameters
    ----------
    verb, name : what is run, on what. key : on what else it depends: runs of other keys have other
        folders. progress : print the folder.
    """
    known = f"-{zlib.crc32(key.encode()):08x}" if key else ""
    folder = cache_folder() / "runs" / f"{verb}-{plain_name(name)}{known}"
    if progress:
        from rich.console import Console

        Console().print(f"finished work is kept in {folder}", markup=False, soft_wrap=True)
    return folder


def plain_name(name: str) -> str:
    """Return ``name`` in letters that are safe in a file's name, 40 at most."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-")
