"""A module imports only from rows above it in the architecture's table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "bayesesi"

# "bayesesi" itself gathers everything public, so only the demo and the command line stand below it.
ROWS = (
    "errors deprecated lazy parallel io registry spec anatomy forward noise observation dynamics "
    "prior simulator operator features network estimator posterior metrics loss training model "
    "conformal trust calibration explain montage_design result inference roi report cohort "
    "benchmark bayesesi demo cli"
).split()

EXEMPT = {"bayesesi", "bayesesi.__main__"}


def row_of(module: str) -> str:
    """`bayesesi.forward.bem` stands in the row `forward`."""
    return module.removeprefix("bayesesi.").split(".")[0]


def imported_rows(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and row of each import from bayesesi in `source`, at the top or inside a function."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, row_of(alias.name))
                for alias in node.names
                if alias.name.split(".")[0] == "bayesesi"
            )
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, package)
            if origin.split(".")[0] == "bayesesi":
                yield from ((node.lineno, row) for row in rows_read(origin, node.names))


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module a `from` statement reads, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def rows_read(origin: str, names: list[ast.alias]) -> Iterator[str]:
    for alias in names:
        row = row_of(f"{origin}.{alias.name}")
        if origin != "bayesesi" or row in ROWS:
            yield row
        elif not alias.name.startswith("__"):  # `from bayesesi import __version__` reads no row
            yield "bayesesi"


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """One sentence for each import in `source` from a row that is not above its own."""
    own = row_of(module)
    if own not in ROWS:
        return [f"{module}: no row of the architecture's table is named {own!r}"]
    return [
        f"{module}, line {line}: {own} imports {row}, which is not above it"
        for line, row in imported_rows(source, module, is_package)
        if row not in ROWS or ROWS.index(row) > ROWS.index(own)
    ]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_every_module_imports_only_from_rows_above() -> None:
    found = [
        sentence
        for module, path in modules()
        if module not in EXEMPT
        for sentence in violations(path.read_text(), module, path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bayesesi.forward.bem", "from bayesesi.errors import InputError"),
        ("bayesesi.forward.bem", "from .conductivity import Conductivities"),
        ("bayesesi.posterior.atoms", "from bayesesi import network, observation"),
        ("bayesesi.training.losses", "from bayesesi.metrics import maps"),
        ("bayesesi.report", "from bayesesi.metrics.maps import peak_error"),
        ("bayesesi.result", "from bayesesi import __version__"),
        ("bayesesi.cli", "import bayesesi"),
        ("bayesesi.noise", "import numpy\nfrom bayesesix import report"),
    ],
)
def test_an_import_from_above_passes(module: str, source: str) -> None:
    assert violations(source, module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bayesesi.forward.bem", "from bayesesi.noise import Whitener"),
        ("bayesesi.forward.bem", "def f():\n    import bayesesi.report"),
        ("bayesesi.forward.bem", "from ..inference import infer"),
        ("bayesesi.forward.bem", "from .. import trust"),
        ("bayesesi.network.features", "from bayesesi.metrics.maps import peak_error"),
        ("bayesesi.metrics.maps", "from bayesesi.benchmark.tasks import localisation"),
        ("bayesesi.report", "from bayesesi.benchmark import tasks"),
        ("bayesesi.report", "from bayesesi import infer"),
        ("bayesesi.report", "import bayesesi"),
        ("bayesesi.utils", ""),
    ],
)
def test_an_import_from_below_is_caught(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


def test_contributing_lists_the_rows_that_hold() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = text.split("<!-- rows -->")[1].split("<!-- end -->")[0]
    assert listed.replace(".", "").replace(",", " ").split() == ROWS
