"""Words that public texts do not use: coined or odd ones, with the term that the field has.

Public are templates and specs of pages, the pages of the site, the README, CONTRIBUTING, prose of
notebooks, help texts of the command line, and literals of error messages and verdicts.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bayesesi"

#: A retired word, as a pattern -> what to write instead.
RETIRED = {
    r"told": "stated, given, shown",
    r"said": "stated, model probability",
    r"earn(s|ed|ing)?": "calibrated, guaranteed",
    r"hang(s|ing)? on": "depends on",
    r"sureness": "uncertainty",
    r"unsure": "uncertain",
    r"foresee(s|n|ing)?|foresaw": "predict",
    r"(is|are) no (readable|file|folder|recipe|report|partition|simulator|picture)": "is not a",
    r"anew": "again",
    r"of one's own": "your own",
    r"knows? (no|nothing)": "has no",
    r"taken for (known|the true)": "assumed exact",
}
_PATTERN = re.compile(rf"\b({'|'.join(f'(?:{word})' for word in RETIRED)})\b", re.IGNORECASE)

#: A text that may hold a retired word -> why.
ALLOWED = {
    "said and calibrated": "names two keys of stored cards",
    "said and found": "names two keys of stored results",
}
#: Calls whose string arguments a user reads.
_MESSAGES = {"InputError", "SpecError", "ValueError", "Option", "Argument", "Typer", "Reason"}
#: Modules whose literals are sentences of pages and verdicts.
_SENTENCES = (
    *PACKAGE.glob("report/*.py"),
    *PACKAGE.glob("report/sections/*.py"),
    *PACKAGE.glob("trust/*.py"),
    *PACKAGE.glob("inference/*.py"),
    *PACKAGE.glob("cli/*.py"),
)


def found_in(text: str) -> list[str]:
    """Retired words of a text, those in an allowed place left out."""
    for allowed in ALLOWED:
        text = text.replace(allowed, "")
    return [match[0] for match in _PATTERN.finditer(text)]


def literals(tree: ast.AST) -> Iterator[str]:
    """The strings below a node that are sentences, not keys: with a space in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def messages(source: str) -> Iterator[str]:
    """Strings that a module hands to errors and to options of the command line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _MESSAGES:
                for argument in (*node.args, *(k.value for k in node.keywords)):
                    yield from literals(argument)


def help_texts(source: str) -> Iterator[str]:
    """Docstrings of commands, which ``--help`` prints."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any(
            "command" in ast.unparse(each) or "callback" in ast.unparse(each)
            for each in node.decorator_list
        ):
            yield ast.get_docstring(node) or ""


def sentences(source: str) -> Iterator[str]:
    """All literals of a module but its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    yield from literals(tree)


def prose(path: Path) -> str:
    """A page without its code, its markup and the files that it includes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.sub(r"\{[{%#].*?[}%#]\}|<[^>]*>", "", text, flags=re.DOTALL)


def pages() -> list[Path]:
    reports = ROOT / "reports"
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *reports.glob("*.toml"),
        *sorted((reports / "templates").rglob("*.html")),
        *sorted((reports / "docs").glob("*.md")),
        *sorted((reports / "notebooks").glob("*.ipynb")),
    ]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_pages_use_no_retired_word() -> None:
    bad = {str(path.relative_to(ROOT)): found_in(prose(path)) for path in pages()}
    assert not {path: words for path, words in bad.items() if words}


def test_errors_and_help_use_no_retired_word() -> None:
    bad = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        texts = [*messages(read(path))]
        if path.parent.name == "cli":
            texts += help_texts(read(path))
        bad[str(path.relative_to(ROOT))] = [t for t in texts if found_in(t)]
    assert not {path: words for path, words in bad.items() if words}


def test_sentences_of_pages_and_verdicts_use_no_retired_word() -> None:
    bad = {
        str(p.relative_to(ROOT)): [t for t in sentences(read(p)) if found_in(t)] for p in _SENTENCES
    }
    assert not {path: words for path, words in bad.items() if words}


def test_a_retired_word_is_noticed_in_each_place(tmp_path: Path) -> None:
    """The twin: the sentences that these tests are for, where they were."""
    page = tmp_path / "where.html"
    page.write_text("<p>{{ s.told }} the answer hangs on these</p>")
    assert found_in(prose(page)) == ["hangs on"]
    page = tmp_path / "start.md"
    page.write_text("A measure of sureness.\n\n```python\nsaid = told\n```\n`said`\n")
    assert found_in(prose(page)) == ["sureness"]
    page = tmp_path / "lab.ipynb"
    cells = [
        {"cell_type": "markdown", "source": ["channels that the rest ", "foresees"]},
        {"cell_type": "code", "source": ["said = 1"]},
    ]
    page.write_text(json.dumps({"cells": cells}))
    assert found_in(prose(page)) == ["foresees"]
    code = 'raise InputError(f"{path.name} is no readable recording; write it anew")'
    assert [word for text in messages(code) for word in found_in(text)] == [
        "is no readable",
        "anew",
    ]
    code = '@app.command()\ndef calibrate(): """Is its sureness earned?"""'
    assert [word for text in help_texts(code) for word in found_in(text)] == ["sureness", "earned"]
    code = '"""What is told."""\nwords = "the numbers said of regions"\nkey = table["said"]'
    assert [word for text in sentences(code) for word in found_in(text)] == ["said"]


def test_every_exception_is_in_use() -> None:
    texts = [t for path in PACKAGE.rglob("*.py") for t in messages(read(path))]
    assert all(any(allowed in text for text in texts) for allowed in ALLOWED)
