"""Work that is kept piece by piece in a folder, so that a run which was stopped goes on.

A ``Manifest`` is the file that says what the pieces of a folder are of; a folder of something else
is refused, or begun anew. A ``Store`` reads and writes pieces by their key, finds those that are
missing, and has them made, here or by other processes that share the folder. A piece is there whole
or not at all: see ``io.atomic``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file, is_draft, remove_abandoned, write_text
from bayesesi.parallel import run_jobs

T = TypeVar("T")
#: Characters of a value that a message shows.
_LONGEST = 60


@dataclass(frozen=True)
class Manifest:
    """The JSON file of a folder that says what its pieces are of.

    Attributes
    ----------
    file : its name. schema : number of the form in which manifest and pieces are written.
    noun : what pieces are called, in the plural ("trials"). pieces : pattern of the names of files
        that may not be there without the manifest. derived : keys that others imply, not compared.
    """

    file: str
    schema: int
    noun: str
    pieces: str = "*"
    derived: tuple[str, ...] = ()

    def claim(self, folder: Path, about: Mapping[str, Any], anew: bool = False) -> None:
        """Write what the folder is for, or see that it is for this; remove abandoned drafts.

        Parameters
        ----------
        folder : made if it is missing. about : what pieces are of, as JSON has it.
        anew : remove pieces of something else, instead of refusing them.

        Raises
        ------
        InputError : pieces of something else, a damaged manifest, a place that cannot be written.
        """
        about = json.loads(json.dumps({"schema": self.schema, **about}))
        make_folder(folder)
        remove_abandoned(folder)
        if anew:
            if self._read(folder) != about:
                for old in self._others(folder):
                    old.unlink()
                self._write(folder, about)
            return
        known = self.read(folder)
        differ = [] if known is None else self._differ(known, about)
        if (known is None or differ) and any(self._others(folder)):
            what = f"files but no {self.file}; choose an empty folder"
            if differ:
                what = f"{self.noun} of another {' and '.join(differ)}; delete it or choose another"
            raise InputError(f"{folder} holds {what}")
        if known is None or differ:
            self._write(folder, about)

    def read(self, folder: Path) -> dict[str, Any] | None:
        """Return what ``folder`` is for, None where there is no manifest.

        Raises
        ------
        InputError : a damaged manifest, or one of another schema.
        """
        path = folder / self.file
        if not path.is_file():
            return None
        known = self._read(folder)
        if known is None or "schema" not in known:
            raise InputError(f"{path} is damaged; delete the folder, or choose an empty one")
        if known["schema"] != self.schema:
            raise InputError(
                f"{path} has schema {str(known['schema'])[:20]}, this version reads {self.schema}; "
                "choose an empty folder"
            )
        return known

    def _read(self, folder: Path) -> dict[str, Any] | None:
        return read_table(folder / self.file)

    def _write(self, folder: Path, about: Mapping[str, Any]) -> None:
        write_text(folder / self.file, json.dumps(about, indent=1))

    def _differ(self, known: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
        """A phrase for each key that differs, with both values where they are short."""
        phrases = []
        for key, value in about.items():
            if key in self.derived or known.get(key) == value:
                continue
            both = f"{known.get(key)!r} and not {value!r}"
            phrases.append(f"{key} ({both})" if len(both) <= _LONGEST else key)
        return phrases

    def _others(self, folder: Path) -> list[Path]:
        found = folder.glob(self.pieces)
        return [path for path in found if path.name != self.file and not is_draft(path)]


class Pieces(ABC, Generic[T]):
    """How one kind of piece is kept in a file."""

    @abstractmethod
    def read(self, path: Path, size: int) -> T | None:
        """Read the first ``size`` items of the file ``path``; None if it is to be made.

        Raises
        ------
        InputError : a file that the user has to look at.
        """

    @abstractmethod
    def write(self, value: T, draft: Path) -> None:
        """Write the piece ``value`` to the file ``draft``."""

    def is_there(self, path: Path, size: int) -> bool:
        """Tell whether the file ``path`` holds a piece of ``size`` items."""
        return self.read(path, size) is not None


@dataclass(frozen=True)
class JsonTables(Pieces[dict[str, Any]]):
    """Pieces that are JSON tables and carry what they are of.

    Attributes
    ----------
    stamp : keys and values that a table must have; one of others is made again. keys : further
        keys that it must have.
    """

    stamp: Mapping[str, Any]
    keys: tuple[str, ...] = ()

    def read(self, path: Path, size: int = 1) -> dict[str, Any] | None:
        table = read_table(path)
        if table is None or any(key not in table for key in self.keys):
            return None
        return table if all(table.get(k) == v for k, v in self.stamp.items()) else None

    def write(self, value: dict[str, Any], draft: Path) -> None:
        draft.write_text(json.dumps({**value, **self.stamp}), encoding="utf-8")


class JsonRows(Pieces[list[dict[str, Any]]]):
    """Pieces that are JSON lists of tables, one an item."""

    def read(self, path: Path, size: int) -> list[dict[str, Any]] | None:
        rows = _json(path)
        sound = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        return rows[:size] if sound and len(rows) >= size else None

    def write(self, value: list[dict[str, Any]], draft: Path) -> None:
        draft.write_text(json.dumps(value), encoding="utf-8")


@dataclass(frozen=True)
class Piece:
    """A piece that is wanted.

    Attributes
    ----------
    key : its file below the folder, with / between. size : items it must hold, at least.
    job : arguments of the work that makes it; they go to other processes. group : pieces of a group
        are made by one process, which may share what they have in common; None for none.
    """

    key: str
    size: int
    job: tuple[Any, ...]
    group: Hashable = None


@dataclass(frozen=True)
class Store(Generic[T]):
    """Pieces in a folder.

    Attributes
    ----------
    folder : that all keys are below. pieces : how they are read and written.
    """

    folder: Path
    pieces: Pieces[T]

    def missing(self, wanted: Sequence[Piece]) -> list[Piece]:
        """Return those of the pieces ``wanted`` that have to be made, in their order."""
        return [each for each in wanted if not self.pieces.is_there(self.path(each.key), each.size)]

    def run(
        self,
        work: Callable[..., T],
        wanted: Sequence[Piece],
        workers: int = 1,
        scheduler: str | None = None,
        doing: str = "working",
        progress: bool = False,
    ) -> None:
        """Make the pieces that are missing.

        Parameters
        ----------
        work : returns a piece, of a job's arguments. wanted : pieces, in the order in which they
            are made. workers, scheduler, doing, progress : see
            ``parallel.run_jobs``.

        Raises
        ------
        InputError : a place that cannot be written, and what ``work`` raises.
        """
        missing = self.missing(wanted)
        for folder in {self.path(each.key).parent for each in missing}:
            make_folder(folder)
        alone = workers == 1 and scheduler is None
        groups = [[each] for each in missing] if alone else _grouped(missing)
        jobs = [(self, work, group) for group in groups]
        done = len(wanted) - len(missing)
        for _ in run_jobs(_make, jobs, workers, scheduler, doing, progress, done):
            pass

    def gather(self, wanted: Sequence[Piece]) -> Iterator[T]:
        """Yield every piece of ``wanted``, in their order.

        Raises
        ------
        InputError : a piece that is not there any more.
        """
        for each in wanted:
            value = self.pieces.read(self.path(each.key), each.size)
            if value is None:
                raise InputError(f"{self.path(each.key)} was lost or changed; run the same again")
            yield value

    def write(self, key: str, value: T) -> None:
        """Write ``value`` as the piece ``key``.

        Raises
        ------
        InputError : a place that cannot be written.
        """
        with atomic_file(self.path(key)) as draft:
            self.pieces.write(value, draft)

    def path(self, key: str) -> Path:
        """Return the file of the piece ``key``."""
        return self.folder / key


def _make(store: Store[T], work: Callable[..., T], group: Sequence[Piece]) -> None:
    """Make some pieces, in whatever process; each is kept as soon as it is made."""
    for each in group:
        store.write(each.key, work(*each.job))


def _grouped(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Groups in order, the largest first, so that no process ends long after the others."""
    groups: dict[Hashable, list[Piece]] = {}
    for each in pieces:
        groups.setdefault(each.key if each.group is None else (each.group,), []).append(each)
    return sorted(groups.values(), key=lambda group: -sum(each.size for each in group))


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, where they are missing.

    Raises
    ------
    InputError : a place that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); choose another folder"
        ) from error


def read_table(path: Path) -> dict[str, Any] | None:
    """Read a JSON table from ``path``; None where there is none, or another thing."""
    table = _json(path)
    return table if isinstance(table, dict) else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
