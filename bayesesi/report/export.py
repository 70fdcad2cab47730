"""Write a result as one folder, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from bayesesi.io.atomic import atomic_folder
from bayesesi.result import Result

RESULT, REGIONS, REPORT = "result-post.nc", "regions.json", "report.html"
MAPS: tuple[Literal["mean", "sd", "probability"], ...] = ("mean", "sd", "probability")
#: Everything that a folder may hold.
FILES = (RESULT, REGIONS, REPORT, *(f"{w}-{side}.stc" for w in MAPS for side in ("lh", "rh")))


def write_folder(result: Result, out: str | Path, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the result, its regions, maps and report into a folder.

    ``result-post.nc`` is read by ``read_result``, ``regions.json`` by anything, ``*.stc`` by MNE;
    the maps are left out where nothing can be localised or sources are on no cortex.

    Parameters
    ----------
    result : to write. out : the folder.
    overwrite : take a folder that has files in it; those of other names stay.

    Raises
    ------
    InputError : see ``io.atomic.atomic_folder``.
    """
    from bayesesi.report import make_report

    with atomic_folder(out, overwrite, FILES) as draft:
        result.save(draft / RESULT)
        text = json.dumps(result.to_dict(), indent=1, ensure_ascii=False)
        (draft / REGIONS).write_text(text, encoding="utf-8")
        if result.localisable and result.on_cortex:
            for which in MAPS:
                estimate = result.source_estimate(which)
                estimate.save(draft / which, ftype="stc", overwrite=True, verbose="error")
        make_report(result).save(draft / REPORT)
        written = sorted(file.name for file in draft.iterdir())
    return tuple(Path(out) / name for name in written)
