"""Finding and reading specs: by name among those that ship, or by path."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from bayesesi.errors import InputError, some
from bayesesi.spec.base import SCHEMA, Spec
from bayesesi.spec.head import HeadSpec
from bayesesi.spec.noise import NoiseSpec
from bayesesi.spec.quantity import FAMILIES as QUANTITY_FAMILIES
from bayesesi.spec.recipe import SCHEMA as RECIPE_SCHEMA
from bayesesi.spec.recipe import Recipe
from bayesesi.spec.report import ReportSpec
from bayesesi.spec.simulator import SimulatorSpec
from bayesesi.spec.source import (
    DipoleSpec,
    MixtureSpec,
    ParcelSpec,
    PatchSpec,
    SmoothSpec,
    VolumeDipoleSpec,
)
from bayesesi.spec.upgrade import FAMILIES as FORMER_RECIPES
from bayesesi.spec.upgrade import upgrade_recipe
from bayesesi.spec.verdict import VerdictSpec
from bayesesi.spec.volume_frame import VolumeFrameSpec

#: kind -> family -> class. Nothing in a data file can name anything else.
FAMILIES: dict[str, dict[str, type[Spec]]] = {
    "sources": {
        "cortical-dipole": DipoleSpec,
        "patch": PatchSpec,
        "parcels": ParcelSpec,
        "smooth": SmoothSpec,
        "mixture": MixtureSpec,
        "volume-dipole": VolumeDipoleSpec,
    },
    "heads": {"bank": HeadSpec},
    "noise": {"sum": NoiseSpec},
    "simulators": {"": SimulatorSpec, "volume-frame": VolumeFrameSpec},
    "recipes": {"": Recipe},  # its tables name families of their own, see ``registry``
    "verdicts": {"verdict": VerdictSpec},
    "reports": {"report": ReportSpec},
}


QUANTITIES = frozenset(QUANTITY_FAMILIES)
#: Tables of weights: a file that extends another replaces them as a whole.
_WEIGHTS = ("profile", "families", "regions")
#: Bytes of a file.
_LARGEST = 100_000


class SpecError(InputError):
    """A spec that cannot be used; ``sentences`` has one a mistake."""

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences
        super().__init__("\n".join(sentences))


@cache
def specs_folder() -> Path:
    """Find ``priors``, ``simulators`` and ``reports``: in the package, else in the checkout."""
    package = Path(str(files("bayesesi")))
    inside = package / "_specs"
    return inside if inside.is_dir() else package.parent


def shipped_specs() -> dict[str, Path]:
    """List every name that ships and its file."""
    root = specs_folder()
    recipes = Path(str(files("bayesesi"))) / "recipes"
    places = (
        *(root.glob(each) for each in ("priors/*/*.toml", "simulators/*.toml")),
        recipes.glob("*.toml"),
        root.glob("reports/verdicts/*.toml"),
    )
    found = [path for place in places for path in sorted(place)]
    return {path.stem: path for path in found}


def report_specs() -> dict[str, Path]:
    """List every page that ships and its file; a name may be that of another spec too."""
    return {path.stem: path for path in sorted((specs_folder() / "reports").glob("*.toml"))}


def read_report_spec(name_or_path: str | Path) -> ReportSpec:
    """Read the spec of a page: ``name_or_path`` is a name that ships or a TOML file.

    Raises
    ------
    SpecError : one sentence a mistake. InputError : no such page, a file of another kind.
    """
    known = report_specs()
    path = known.get(str(name_or_path), Path(name_or_path))
    if path.suffix != ".toml" or not _is_file(path):
        raise InputError(
            f"no report {some([name_or_path])}; allowed are {', '.join(known)}, or a .toml file"
        )
    spec = read_spec(path)
    if not isinstance(spec, ReportSpec):
        raise InputError(
            f"{path.name} is not a report but a spec of {spec.kind}; give another file"
        )
    return spec


def templates_folder() -> Path:
    """Find the folder of the pages of reports."""
    return specs_folder() / "reports" / "templates"


def shipped_notebooks() -> dict[str, Path]:
    """List every notebook that ships and its file."""
    folder = specs_folder() / "reports" / "notebooks"
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def read_spec(name_or_path: str | Path, folder: Path | None = None) -> Spec:
    """Read a spec: ``name_or_path`` is a name among those that ship, or a TOML file of your own.

    ``folder`` is that of a spec which names this one: a file there comes first. A file may ``extend
    = "focal"`` and change a few keys of it.

    Raises
    ------
    SpecError : one sentence a mistake, each with file, key, what came and what is allowed.
    """
    path = _find(name_or_path, folder)
    raw, kind = _read(path, ())
    spec = _build(raw, kind, path)
    spec._folder = path.absolute().parent
    return spec


def _find(name_or_path: str | Path, folder: Path | None = None) -> Path:
    shipped = shipped_specs()
    text = str(name_or_path)
    if folder is not None:
        for beside in (folder / text, folder / f"{text}.toml"):
            if beside.suffix == ".toml" and _is_file(beside):
                return beside
    if text in shipped:
        return shipped[text]
    path = Path(text)
    if path.suffix == ".toml" and _is_file(path):
        return path
    near = get_close_matches(text, shipped, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed are {some(shipped, 20)}"
    if _is_file(Path(f"{text}.toml")):
        hint = f"for the file of that name write {text + '.toml'!r}"
    raise SpecError([f"no spec {text[:60]!r} ships and no .toml file is there; {hint}"])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False


def _read(path: Path, chain: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
    """The file's table over its parents', and its kind if a shipped parent or folder tells."""
    try:
        if path.stat().st_size > _LARGEST:
            raise SpecError([f"{path.name}: is larger than {_LARGEST // 1000} kB, no spec is"])
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise SpecError([f"{path.name}: cannot be read as TOML ({error})"]) from error
    if not isinstance(raw.get("family", ""), str):
        raise SpecError([f"{path.name}: family = {some([raw['family']])} must be a word"])
    kind = _kind_of_folder(path)
    parent = raw.pop("extend", None)
    if parent is None:
        return _upgraded(raw, kind), kind
    if not isinstance(parent, str) or parent in chain:
        raise SpecError([f"{path.name}: extend = {parent!r} must name another spec, and no circle"])
    if "name" not in raw:
        raise SpecError([f"{path.name}: extends {parent!r} and needs a name of its own; add name"])
    base, base_kind = _read(_find(parent, path.parent), (*chain, parent))
    kind = kind or base_kind
    return _merge(base, _upgraded(raw, kind, base)), kind


def _upgraded(
    raw: dict[str, Any], kind: str | None, base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A recipe of schema 1 in the tables of today's; all else as it is."""
    known = "estimator" in (base or {}) or raw.get("family") in FORMER_RECIPES
    former = raw.get("schema") == 1 and kind in (None, "recipes") and known
    return upgrade_recipe(raw, base) if former else raw


def _kind_of_folder(path: Path) -> str | None:
    return next((kind for kind in FAMILIES if path.parent.name == kind), None)


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; distributions, weights and other families are replaced."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        tables = isinstance(old, dict) and isinstance(value, dict)
        whole = key in _WEIGHTS or (tables and not QUANTITIES.isdisjoint(old or {}))
        other = tables and "family" in value and value["family"] != (old or {}).get("family")
        merged[key] = _merge(old or {}, value) if tables and not (whole or other) else value
    return merged


def _build(raw: dict[str, Any], kind: str | None, path: Path) -> Spec:
    table = _table(raw, kind, path)
    try:
        return table.model_validate(raw)
    except ValidationError as error:
        raise SpecError(list(_sentences(error, table, path.name))) from error


def make_spec(kind: str, table: Mapping[str, Any]) -> Spec:
    """Make a spec of a ``kind`` of ``FAMILIES`` from ``table``, which ``Spec.resolved`` returned.

    Raises
    ------
    ValidationError, KeyError : a table that is none.
    """
    if kind == "recipes":
        found = _upgraded(dict(table), kind)
        return Recipe.of_tables(found).model_validate(found)
    return FAMILIES[kind][str(table["family"])].model_validate(table)


def _table(raw: dict[str, Any], kind: str | None, path: Path) -> type[Spec]:
    if "schema" not in raw:
        raise SpecError([f"{path.name}: schema is missing; begin with schema = {SCHEMA}"])
    family = raw.get("family", "")
    if not family and kind is None and {"time_course", "source", "head", "noise"} & set(raw):
        kind = "simulators"
    if not family and kind is None and {"estimator", "network", "losses"} & set(raw):
        kind = "recipes"
    schema = RECIPE_SCHEMA if kind == "recipes" else SCHEMA
    if raw.get("schema") != schema:
        raise SpecError(
            [f"{path.name}: schema = {raw.get('schema')!r}; this version reads schema = {schema}"]
        )
    if kind == "recipes":
        try:
            return Recipe.of_tables(raw)
        except InputError as error:
            raise SpecError([f"{path.name}: {error}"]) from error
    if not family and kind != "simulators":
        every = [f for k in FAMILIES if kind in (None, k) for f in FAMILIES[k] if f]
        raise SpecError([f"{path.name}: family is missing; allowed are {some(every)}"])
    candidates = [k for k in FAMILIES if (kind is None or k == kind) and family in FAMILIES[k]]
    if len(candidates) == 1:
        return FAMILIES[candidates[0]][family]
    allowed = [f for k in FAMILIES if kind in (None, k) for f in FAMILIES[k] if f]
    near = get_close_matches(str(family), allowed, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed are {some(allowed)}"
    raise SpecError([f"{path.name}: family = {family!r} is not known; {hint}"])


def _sentences(error: ValidationError, table: type[BaseModel], file: str) -> Iterator[str]:
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        came = repr(item["input"])[:80]
        if item["type"] == "extra_forbidden":
            allowed = _allowed(table, item["loc"][:-1])
            hint = _hint(str(item["loc"][-1]), allowed)
            yield f"{file}: {place} = {came} is not a known key; {hint}"
        elif item["type"] == "missing":
            yield f"{file}: {place} is missing; add it"
        elif item["type"] == "value_error" and not place:
            yield f"{file}: {item['ctx']['error']}"
        elif item["type"] == "value_error":
            yield f"{file}: {place} = {came} {item['ctx']['error']}"
        else:
            yield f"{file}: {place} = {came} cannot be used: {item['msg'].lower()}"


def _hint(key: str, allowed: list[str]) -> str:
    with_unit = [name for name in allowed if name.rsplit("_", 1)[0] == key]
    if with_unit:
        return f"it lacks its unit, write {with_unit[0]!r}"
    near = get_close_matches(key, allowed, 1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {some(allowed, 20)}"


def _allowed(table: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Keys of the table at ``place``, found in the JSON schema."""
    schema = table.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in place:
        node = _resolve(node, schema, part)
    return sorted(node.get("properties", {}))


def _resolve(node: dict[str, Any], schema: dict[str, Any], part: int | str) -> dict[str, Any]:
    if isinstance(part, int):
        node = node.get("items", {})
    elif "discriminator" in node:
        node = {"$ref": node["discriminator"]["mapping"].get(part, "")}
    else:
        node = node.get("properties", {}).get(part, {})
    for option in node.get("allOf", [])[:1]:
        node = option
    if node.get("$ref"):
        node = schema["$defs"].get(node["$ref"].rsplit("/", 1)[-1], {})
    return node


def spec_schema(kind: str) -> dict[str, Any]:
    """Make the JSON Schema of every family of a ``kind`` of ``FAMILIES``, for editors and tools.

    Raises
    ------
    InputError : another kind.
    """
    if kind not in FAMILIES:
        raise InputError(f"kind is one of {', '.join(FAMILIES)}, not {kind!r}")
    tables = tuple(FAMILIES[kind].values())
    if kind == "recipes":
        tables = (Recipe.of_every_family(),)
    union: Any = tables[0]
    for table in tables[1:]:
        union = union | table
    return TypeAdapter(union).json_schema(by_alias=True)


#: Keys that name another spec.
_REFERRING = ("spec", "source", "head", "noise", "prior", "simulator")


def spec_hash(spec: Spec, chain: tuple[str, ...] = ()) -> str:
    """Hash what ``spec`` means, the specs it names included, to 12 hex digits.

    Names, descriptions and references do not count. A file a spec names counts by its name, not by
    what it holds. ``chain`` holds the specs that led here.

    Raises
    ------
    SpecError : specs that name each other in a circle, or one that does not exist.
    """
    own = f"{spec.kind}/{spec.name}"
    if own in chain:
        raise SpecError([f"{spec.name}: specs name each other in a circle, {' > '.join(chain)}"])
    meaning = _meaning(spec.resolved(), (*chain, own), spec.folder)
    text = json.dumps(meaning, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _meaning(table: Any, chain: tuple[str, ...], folder: Path | None, top: bool = True) -> Any:
    if isinstance(table, list):
        return [_meaning(item, chain, folder, False) for item in table]
    if not isinstance(table, dict):
        return table
    silent = ("name", "description", "references") if top else ()
    meaning = {k: _meaning(v, chain, folder, False) for k, v in table.items() if k not in silent}
    for key in _REFERRING:
        if isinstance(meaning.get(key), str):
            meaning[key] = spec_hash(read_spec(meaning[key], folder), chain)
    return meaning


def spec_index(kind: str) -> str:
    """Write Markdown with a line for every spec of a ``kind`` that ships, as in its README."""
    rows = [f"# {kind}", "", "| name | family | what it says | hash |", "|---|---|---|---|"]
    for name, path in sorted(shipped_specs().items()):
        if path.parent.name == kind:
            spec = read_spec(name)
            family = getattr(spec, "family", "")
            rows.append(f"| `{name}` | {family} | {spec.description} | `{spec_hash(spec)}` |")
    return "\n".join(rows) + "\n"
