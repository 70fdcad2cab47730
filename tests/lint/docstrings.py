"""Check that docstrings start with a verb and name every parameter, with its unit or shape.

    python tests/lint/docstrings.py [--list PREFIX] [PACKAGE]

Counted are the parameters of public functions, methods and constructors (fields of dataclasses,
named tuples and pydantic models) in public modules. A parameter is named by an entry ``name : ...``
of a section, by ````name```` in prose, by ``help=`` or ``description=`` of its own annotation, or
by the docstring of the method or class that it overrides. Arrays, tensors and floats also need a
shape, a unit or a set of values in that entry or sentence. An entry under Parameters names one that
there is. The package is parsed, never imported.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, zip_longest
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "bayesesi"

#: Shares that must hold, in per cent. They only go up.
NAMED_AT_LEAST, VERB_AT_LEAST, TRUE_AT_LEAST = 99.0, 99.0, 100.0

#: Imperatives that a first line may start with.
VERBS = frozenset(
    """
    add allow answer apply apportion approximate ask assemble assign assume average balance bend
    bound branch break bring build calibrate call carry cast change check choose clear close collect
    colour combine compare compute concatenate condition conformalize convert copy correct count
    cover cross-validate cut decide decode decompose define describe diagnose divide download draw
    drop embed encode enumerate estimate evaluate expand explain export express extend extract
    factor fetch fill filter find fit fix flatten follow forget format freeze gather generate get
    give group grow guard hash hide hold import infer initialise integrate interpolate invert
    iterate join judge keep label lay learn leave let lift limit linearise link list load localise
    locate look make map mark mask match measure merge mix move name normalise observe open optimise
    order orient pack pad pair parse pass perform permute pick place plot pool predict prepare print
    probe produce project propagate propose prove put raise rank read rebuild recalibrate recompute
    record recover reduce reference refine refuse register reject remember remove rename render
    repair repeat replace report represent rescale reshape resolve resume return run sample save
    scale scan score seal search seed select send separate serve set shift show shrink shuffle
    simulate skip slice smooth solve sort split spread square stack standardise start step stop
    store subtract sum summarise swap switch take tell test train transform translate turn undo
    unpack update upgrade use validate view wait walk warn weigh whiten wrap write yield
    """.split()
)

_ENTRY = re.compile(r"(?<![\w`])((?:\*{0,2}\w+)(?:,\s+\w+)*)\s+:\s+")
_PARAMETERS = re.compile(r"\bParameters\n-{3,}\n(.*?)(?=\n\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"\n\s*\w+\n\s*-{3,}")
_TOKEN = r"(?:\.\.\.|[\w²'~]+(?:\s?[+*/-]\s?[\w²'~]+)*)"
_SHAPE = re.compile(rf"\(\.\.\.\)|\(\s*{_TOKEN}\s*,\s*(?:{_TOKEN}\s*,\s*)*(?:{_TOKEN})?\s*\)")
_UNIT = re.compile(
    r"(?<![\w'’])(?:[nmµfp]?V|[nmfp]?T|T/m|[nµ]?A[ /]?m|V/\(A[ ·]?m\)|[mcµ]?m[²³]?|m?s|k?Hz|dB|S/m"
    r"|[KMG]i?B|°|%)(?![\w'’])|[<>≤≥]=? ?[-\d.]|[\[(]-?[\d.]+, ?(?:[\d.]+|inf)[\])]"
)
_UNIT_WORD = re.compile(
    r"\b(?:bytes|seconds?|minutes?|hours?|days|years|degrees|radians|bits|nats|per cent|unitless"
    r"|units?|whitened|squared|probabilit(?:y|ies)|densit(?:y|ies)|log[- ]\w+|shares?"
    r"|fractions?|factors?|ratios?|weights?|exponents?|correlations?|quantiles?|p-values?|sd"
    r"|standard deviations?|number of|scalar|one of|[-\d.]+ to [-\d.]+|between [-\d.]+"
    r"|(?:at least|at most|above|below|over|under) [-\d.]+)\b",
    re.IGNORECASE,
)
_UNIT_IN_NAME = re.compile(
    r"_(?:mm2?|cm2?|m|uV|nAm|s|ms|hz|Hz|db|dB|per_s|per_min|per_m|deg|share|seconds|hours)$"
)
_MEASURED = {"NDArray", "ndarray", "ArrayLike", "Tensor", "float", "csr_array", "csr_matrix"}
_SKIPPED = {"property", "cached_property", "overload", "setter", "field_validator"}
_SKIPPED |= {"model_validator", "model_serializer", "field_serializer"}


@dataclass(frozen=True)
class Function:
    """A public function, method or constructor and its docstrings."""

    where: str
    parameters: tuple[tuple[str, ast.expr | None], ...]
    docs: tuple[str, ...]
    verb: bool | None  # None where no verb is asked for
    entries: tuple[tuple[str, bool], ...] = ()  # of its own section Parameters; whether they exist


@dataclass
class Share:
    """A count of what holds and a list of what does not."""

    held: int = 0
    missing: list[tuple[str, str]] = field(default_factory=list)

    def note(self, holds: bool, where: str, what: str) -> None:
        """Count one that ``holds``, or list ``what`` is missing ``where``."""
        self.held += holds
        if not holds:
            self.missing.append((where, what))

    @property
    def per_cent(self) -> float:
        total = self.held + len(self.missing)
        return 100 * self.held / total if total else 100.0


class Sources:
    """Every module of a package, parsed: its classes by name and its aliases of annotations."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trees = {path: ast.parse(path.read_text()) for path in sorted(root.rglob("*.py"))}
        tops = [node for tree in self.trees.values() for node in tree.body]
        self.classes = {node.name: node for node in tops if isinstance(node, ast.ClassDef)}
        self.shared = aliases(tops)

    @cached_property
    def public(self) -> list[Path]:
        """Modules whose path has no name with a leading underscore, packages included."""
        return [
            path
            for path in self.trees
            if all(
                part == "__init__.py" or not part.startswith("_")
                for part in path.relative_to(self.root).parts
            )
        ]

    def functions(self) -> Iterator[Function]:
        """List public functions, methods and constructors in the order of the files."""
        for path in self.public:
            own = self.shared | aliases(self.trees[path].body)
            for node in self.trees[path].body:
                if isinstance(node, ast.FunctionDef) and is_public(node):
                    yield self._function(node, path, own)
                elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield self._constructor(node, path, own)
                    for each in node.body:
                        if isinstance(each, ast.FunctionDef) and is_public(each):
                            yield self._function(each, path, own, node)

    def _function(
        self,
        node: ast.FunctionDef,
        path: Path,
        own: dict[str, ast.expr],
        owner: ast.ClassDef | None = None,
    ) -> Function:
        bound = owner is not None and "staticmethod" not in decorators(node)
        arguments = arguments_of(node, own)[1 if bound else 0 :]
        doc, docs = ast.get_docstring(node) or "", []
        if owner is not None:
            docs = [
                ast.get_docstring(each) or ""
                for base in self.bases(owner)
                for each in base.body
                if isinstance(each, ast.FunctionDef) and each.name == node.name
            ]
        inherited = not doc and any(docs)
        verb = None if inherited else starts_with_verb(doc)
        name = node.name if owner is None else f"{owner.name}.{node.name}"
        every = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        section = _PARAMETERS.search(doc)
        own_entries = tuple((e, e in every) for e in entries(section[1])) if section else ()
        where = f"{self._at(path)}:{name}"
        return Function(where, arguments, (doc, *docs), verb, own_entries)

    def _constructor(self, node: ast.ClassDef, path: Path, own: dict[str, ast.expr]) -> Function:
        bases = self.bases(node)
        docs = [ast.get_docstring(each) or "" for each in (node, *bases)]
        fields: list[tuple[str, ast.expr | None]] = []
        makers = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        init = next((each for each in makers if each.name == "__init__"), None)
        names = {name for each in (node, *bases) for name in map(last_name, each.bases)}
        if "dataclass" in decorators(node) or names & {"BaseModel", "NamedTuple"}:
            fields = [
                (each.target.id, resolved(each, own))
                for each in node.body
                if isinstance(each, ast.AnnAssign)
                and isinstance(each.target, ast.Name)
                and is_field(each, each.target.id)
            ]
        elif init is not None:
            fields = list(arguments_of(init, own)[1:])
            docs.append(ast.get_docstring(init) or "")
        return Function(f"{self._at(path)}:{node.name}", tuple(fields), tuple(docs), None)

    def bases(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """List the classes of the package that ``node`` derives from, the nearest first."""
        found: list[ast.ClassDef] = []
        for base in node.bases:
            known = self.classes.get(last_name(base))
            if known is not None and known is not node:
                found += [known, *self.bases(known)]
        return found

    def _at(self, path: Path) -> str:
        return str(path.relative_to(self.root.parent))


def starts_with_verb(doc: str) -> bool:
    """Tell whether the first word of ``doc`` is an imperative, and no noun: "Sample of ..."."""
    words = [word.strip(".,:;").lower() for word in doc.split()[:2]]
    return bool(words) and words[0] in VERBS and words[1:] != ["of"]


def is_public(node: ast.FunctionDef) -> bool:
    """Tell whether a function counts: no leading underscore, no property, or ``__call__``."""
    named = not node.name.startswith("_") or node.name == "__call__"
    return named and not decorators(node) & _SKIPPED


def is_field(node: ast.AnnAssign, name: str) -> bool:
    """Tell whether an annotated name of a class body is a parameter of its constructor."""
    words = set(names_in(node.annotation))
    if name.startswith("_") or name == "model_config" or words & {"ClassVar", "KW_ONLY"}:
        return False
    if last_name(node.annotation) == "Literal" and not literal_choice(node.annotation):
        return False
    made = ast.unparse(node.value) if node.value is not None else ""
    return "init=False" not in made and "PrivateAttr" not in made


def literal_choice(node: ast.expr) -> bool:
    """Tell whether a ``Literal`` leaves a choice: a constant is no parameter."""
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)


def aliases(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Map names of ``X = Annotated[...]`` and ``X = A | B`` to what they stand for."""
    return {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and (isinstance(node.value, ast.BinOp) or last_name(node.value) == "Annotated")
    }


def arguments_of(
    node: ast.FunctionDef, own: dict[str, ast.expr]
) -> tuple[tuple[str, ast.expr | None], ...]:
    """List names and annotations of a function's parameters, *args and **kwargs excluded."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    pairs = ((each.arg, own.get(last_name(each.annotation), each.annotation)) for each in every)
    return tuple(
        (name, annotation)
        for name, annotation in pairs
        if not name.startswith("_") and "Context" not in names_in(annotation)
    )


def resolved(node: ast.AnnAssign, own: dict[str, ast.expr]) -> ast.expr:
    """Join a field's annotation with its default, where pydantic keeps descriptions."""
    annotation = own.get(last_name(node.annotation), node.annotation)
    calls = isinstance(node.value, ast.Call) and last_name(node.value.func) == "Field"
    return ast.Tuple([annotation, node.value]) if calls and node.value else annotation


def decorators(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    return {
        last_name(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list
    }


def last_name(node: ast.expr | None) -> str:
    """`np.float64` is `float64`, `Literal["a"]` is `Literal`, else nothing."""
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def names_in(node: ast.expr | None) -> list[str]:
    """List names in an annotation; what a ``Callable`` takes is not looked into."""
    if node is None or last_name(node) == "Callable":
        return []
    own = [last_name(node)] if isinstance(node, ast.Name | ast.Attribute) else []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        own = re.findall(r"\w+", node.value)
    return own + [name for each in ast.iter_child_nodes(node) for name in names_in(each)]  # type: ignore[arg-type]


def own_text(annotation: ast.expr | None) -> str | None:
    """Take ``help=`` or ``description=`` out of an annotation, with the ends it sets."""
    text: str | None = None
    ends: dict[str, str] = {}
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.keyword) and node.arg in ("help", "description"):
            parts = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
            text = " ".join(map(str, parts)) or ast.unparse(node.value)
        elif isinstance(node, ast.keyword) and node.arg in ("ge", "gt", "le", "lt", "min", "max"):
            ends[node.arg[:2]] = ast.unparse(node.value)
    if text is None:
        return None
    return text + "".join(
        f" {'>' if end in ('ge', 'gt', 'mi') else '<'} {ends[end]}" for end in ends
    )


def entries(doc: str) -> dict[str, str]:
    """Map each name of ``name : text`` in the sections of a docstring to its text."""
    marks = list(_ENTRY.finditer(doc))
    texts = [
        _HEADING.split(doc[mark.end() : following.start() if following else len(doc)])[0]
        for mark, following in zip_longest(marks, marks[1:])
    ]
    return {
        name.strip("*"): text
        for mark, text in zip(marks, texts, strict=True)
        for name in re.split(r",\s+", mark[1])
    }


def sentences(doc: str, name: str) -> str:
    """Join the sentences of ``doc`` that have the name in backticks."""
    ends = [0, *(mark.end() for mark in re.finditer(r"[.;](?=\s)|\n\s*\n", doc)), len(doc)]
    every = (doc[a:b] for a, b in pairwise(ends))
    return " ".join(each for each in every if re.search(rf"`{re.escape(name)}`", each))


def is_named(name: str, annotation: ast.expr | None, docs: tuple[str, ...]) -> bool:
    """Tell whether the docstrings name a parameter, with unit or shape where it needs one."""
    texts = [own_text(annotation) or ""]
    for doc in docs:
        texts += [entries(doc).get(name, ""), sentences(doc, name)]
    text = " ".join(texts)
    if not text.strip():
        return False
    if not set(names_in(annotation)) & _MEASURED or _UNIT_IN_NAME.search(name):
        return True
    return any(each.search(text) for each in (_SHAPE, _UNIT, _UNIT_WORD))


def count(root: Path) -> tuple[Share, Share, Share]:
    """Count parameters that are named, first lines with a verb, entries of parameters there are."""
    named, verbs, true = Share(), Share(), Share()
    for each in Sources(root).functions():
        for name, annotation in each.parameters:
            named.note(is_named(name, annotation, each.docs), each.where, name)
        if each.verb is not None:
            first = (each.docs[0].strip().splitlines() or ["(no docstring)"])[0]
            verbs.note(each.verb, each.where, first)
        for name, exists in each.entries:
            true.note(exists, each.where, name)
    return named, verbs, true


def worst(share: Share, n: int = 5) -> str:
    """Name the ``n`` files with the most that is missing."""
    files = Counter(where.partition(":")[0] for where, _ in share.missing)
    return ", ".join(f"{path} ({missing})" for path, missing in files.most_common(n))


def show(share: Share, prefix: str) -> None:
    """Print what is missing in files whose path contains ``prefix``."""
    by_function = defaultdict(list)
    for where, what in share.missing:
        if prefix in where:
            by_function[where].append(what)
    for where, names in by_function.items():
        print(f"  {where}: {', '.join(names)}")


def main(arguments: list[str] | None = None) -> int:
    """Print the shares and the worst files; return 1 where a share is below what must hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE)
    parser.add_argument("--list", metavar="PREFIX", help="list what is missing in these files")
    chosen = parser.parse_args(arguments)
    low = 0
    for what, share, least in zip(
        (
            "parameters named with unit or shape",
            "first lines that start with a verb",
            "entries that name a parameter there is",
        ),
        count(chosen.package),
        (NAMED_AT_LEAST, VERB_AT_LEAST, TRUE_AT_LEAST),
        strict=True,
    ):
        total = share.held + len(share.missing)
        print(f"{what}: {share.held} of {total}, {share.per_cent:.1f} %; at least {least:g} %")
        if chosen.list is not None:
            show(share, chosen.list)
        if share.per_cent < least:
            print(f"  below {least:g} %: document what is missing in {worst(share)}")
            low = 1
    return low


if __name__ == "__main__":
    sys.exit(main())
