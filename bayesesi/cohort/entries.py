"""Read the recordings of a cohort from a table, or from a folder in BIDS layout."""

from __future__ import annotations

import csv
import json
import re
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bayesesi.errors import InputError, some

#: Ends of names that MNE's recordings have.
ENDINGS = ("-ave.fif", "_ave.fif", "-epo.fif", "_epo.fif", "_eeg.fif", "-raw.fif", "_raw.fif")
#: Recordings that a cohort may have, and characters of a field.
_MOST, _LONGEST = 10_000, 500
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_NUMBERS, _FLAGS = ("tmin", "tmax"), ("subtract_baseline", "unknown_scale")


@dataclass(frozen=True)
class Entry:
    """Describe one recording and what is known of it.

    Attributes
    ----------
    file : of MNE. recording, patient : as tables call them (text from outside).
    condition : which average of the file. noise_cov : a file, ``"baseline"`` or ``"adhoc"``.
    tmin, tmax : s. subtract_baseline : whether the mean before time 0 is taken off.
    unknown_scale : whether the unit of the values is unknown. target : what was removed, or what
        matters, as ``--target`` takes it after the name. outcome : Engel's class, or any word.
    """

    file: str
    recording: str = ""
    patient: str = ""
    condition: str = ""
    noise_cov: str = "baseline"
    tmin: float | None = None
    tmax: float | None = None
    subtract_baseline: bool = False
    unknown_scale: bool = False
    target: str = ""
    outcome: str = ""

    @property
    def folder(self) -> str:
        """A harmless name, the same for the same entry."""
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.recording)[:40].strip("-") or "recording"
        return f"{slug}-{zlib.crc32(json.dumps(asdict(self)).encode()):08x}"


COLUMNS = tuple(field.name for field in fields(Entry))


def read_entries(source: str | Path) -> tuple[Entry, ...]:
    """Read entries from a folder, or from a table (CSV, or TSV by its ending) with a header.

    Of a folder: every file whose name ends as MNE's do, the patient by BIDS's ``sub-``, the noise
    by a covariance of the same name beside it, else what comes before time 0. Of a
    table: the column ``file``, relative to the table, and any other of ``COLUMNS``.

    Parameters
    ----------
    source : the folder or the table.

    Raises
    ------
    InputError : neither, no recording in it, columns or fields that are not allowed.
    """
    source = Path(source)
    if source.is_dir():
        return _of_folder(source)
    if not source.is_file():
        raise InputError(f"{source} is neither a folder nor a table; give one of them")
    return _of_table(source)


def _of_folder(folder: Path) -> tuple[Entry, ...]:
    found = sorted(path for path in folder.rglob("*.fif") if path.name.endswith(ENDINGS))
    if not found:
        raise InputError(
            f"{folder} has no recording in it; names end in {', '.join(ENDINGS[:4])}..., or give a "
            "table"
        )
    return tuple(
        Entry(
            str(path),
            recording=str(path.relative_to(folder))[:_LONGEST],
            patient=next((p for p in path.relative_to(folder).parts if p.startswith("sub-")), ""),
            noise_cov=_covariance_of(path),
        )
        for path in found[:_MOST]
    )


def _covariance_of(path: Path) -> str:
    """The file beside a recording that has its name and ends in ``cov.fif``, else the baseline."""
    ending = next(ending for ending in ENDINGS if path.name.endswith(ending))
    for own in ("-cov.fif", "_cov.fif"):
        beside = path.with_name(path.name.removesuffix(ending) + own)
        if beside.is_file():
            return str(beside)
    return "baseline"


def _of_table(path: Path) -> tuple[Entry, ...]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            rows = list(reader)
            header = tuple(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path.name} is not a readable table ({error}); write it as CSV"
        ) from error
    unknown = [name for name in header if name not in COLUMNS]
    if "file" not in header or unknown:
        what = f"has the column {some(unknown)}" if unknown else "has no column 'file'"
        raise InputError(f"{path.name} {what}; columns are {', '.join(COLUMNS)}")
    if not 1 <= len(rows) <= _MOST:
        raise InputError(f"{path.name} has {len(rows)} recordings; a cohort has 1 to {_MOST:,}")
    return tuple(_entry(path, number, row) for number, row in enumerate(rows, 2))


def _entry(table: Path, line: int, row: dict[str, str | None]) -> Entry:
    values = {k: (v or "").strip()[:_LONGEST] for k, v in row.items() if k in COLUMNS}
    if None in row or not values.get("file"):
        raise InputError(f"{table.name}, line {line}: a row has a file and no more than the header")
    found: dict[str, object] = {k: v for k, v in values.items() if v}
    for name in _NUMBERS:
        if name in found:
            try:
                found[name] = float(values[name])
            except ValueError as error:
                raise InputError(
                    f"{table.name}, line {line}: {name} is a number in s, not "
                    f"{some([values[name]])}"
                ) from error
    for name in _FLAGS:
        if name in found:
            if values[name].lower() not in _YES:
                raise InputError(
                    f"{table.name}, line {line}: {name} is yes or no, not {some([values[name]])}"
                )
            found[name] = _YES[values[name].lower()]
    found["file"] = str(table.parent / values["file"])
    if values.get("noise_cov") and values["noise_cov"] not in ("baseline", "adhoc"):
        found["noise_cov"] = str(table.parent / values["noise_cov"])
    found.setdefault("recording", values["file"])
    return Entry(**found)  # type: ignore[arg-type]
