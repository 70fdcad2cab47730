"""Files and functions stay short, imports run one way, and no package holds most of the code."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.flow.test_layers import absolute, modules

#: Lines of a file; lines of a function's body, its docstring apart.
LONGEST_FILE, LONGEST_BODY = 400, 60
#: Packages that import each other in a row; share of all lines that one package holds.
LONGEST_CHAIN, LARGEST_SHARE = 15, 0.17
#: Files that import each other inside a function, or for types alone.
CIRCLES = {
    frozenset({"bayesesi.forward.mne_forward", "bayesesi.forward.operator"}),
    frozenset({"bayesesi.posterior.base", "bayesesi.posterior.sbi_posterior"}),
    frozenset({"bayesesi.prior.sbi_prior", "bayesesi.prior.source"}),
    frozenset({"bayesesi.simulator.sbi_simulator", "bayesesi.simulator.simulator"}),
}

Graph = Mapping[str, set[str]]


def long_bodies(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of each function whose body is too long."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > LONGEST_BODY:
                yield node.name, lines


def imports(source: str, module: str, is_package: bool, known: set[str]) -> set[str]:
    """Modules of ``known`` that a source imports, at its top, in a function or for types."""
    package = module if is_package else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, package)
            for alias in node.names:
                part = f"{origin}.{alias.name}"
                if not alias.name.startswith("__"):  # `from bayesesi import __version__`
                    found.add(part if part in known else origin)
    return (found & known) - {module}


def file_graph() -> dict[str, set[str]]:
    """Module -> modules that it imports, of the whole package."""
    files = dict(modules())
    return {
        module: imports(path.read_text(), module, path.name == "__init__.py", set(files))
        for module, path in files.items()
    }


def package_graph(files: Graph) -> dict[str, set[str]]:
    """Package -> packages that its files import; what gathers everything public is left out."""
    graph: dict[str, set[str]] = {}
    for module, read in files.items():
        own = top(module)
        graph.setdefault(own, set())
        graph[own] |= {top(other) for other in read} - {own, "bayesesi"}
    return {name: read for name, read in graph.items() if name != "bayesesi"}


def top(module: str) -> str:
    """`bayesesi.forward` of `bayesesi.forward.bem`."""
    return ".".join(module.split(".")[:2])


def circles(graph: Graph) -> set[frozenset[str]]:
    """Sets of nodes that reach each other."""
    reach = {node: reached(node, graph) for node in graph}
    return {
        frozenset({other for other in reach[node] if node in reach[other]})
        for node in graph
        if node in reach[node]
    }


def reached(start: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = graph.get(left.pop(), set()) - found
        found |= new
        left += new
    return found


def longest_chain(graph: Graph) -> int:
    """Nodes in the longest path of a graph without circles."""
    length: dict[str, int] = {}
    for node in TopologicalSorter(graph).static_order():
        length[node] = 1 + max((length[other] for other in graph.get(node, ())), default=0)
    return max(length.values())


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_file_is_longer_than_400_lines() -> None:
    long = {module: lines_of(path) for module, path in modules() if lines_of(path) > LONGEST_FILE}
    assert not long


def test_no_body_is_longer_than_60_lines() -> None:
    long = {
        f"{module}.{name}": lines
        for module, path in modules()
        for name, lines in long_bodies(path.read_text())
    }
    assert not long


@pytest.mark.parametrize(("lines", "long"), [(LONGEST_BODY, False), (LONGEST_BODY + 1, True)])
def test_a_body_is_counted_without_its_docstring(lines: int, long: bool) -> None:
    body = '    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * lines
    assert bool(list(long_bodies("def f():\n" + body))) is long


def test_packages_import_each_other_in_no_circle_and_in_short_chains() -> None:
    graph = package_graph(file_graph())
    assert not circles(graph)
    assert longest_chain(graph) <= LONGEST_CHAIN


def test_no_more_files_import_each_other_than_four_pairs() -> None:
    assert circles(file_graph()) <= CIRCLES


def test_circles_are_found_inside_functions_and_over_many_files() -> None:
    known = {"bayesesi.a", "bayesesi.a.b", "bayesesi.c", "bayesesi.d"}
    sources = {
        "bayesesi.a.b": "def f():\n    from bayesesi.c import x",
        "bayesesi.c": "from bayesesi import d",
        "bayesesi.d": "if TYPE_CHECKING:\n    from .a import b",
        "bayesesi.a": "",
    }
    graph = {m: imports(s, m, m == "bayesesi.a", known) for m, s in sources.items()}
    assert circles(graph) == {frozenset({"bayesesi.a.b", "bayesesi.c", "bayesesi.d"})}
    chain = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert longest_chain(chain) == 3
    assert not circles(chain)


def test_no_package_holds_more_than_17_percent_of_the_lines() -> None:
    size: Counter[str] = Counter()
    for module, path in modules():
        size[top(module)] += lines_of(path)
    (largest, lines), *_ = size.most_common(1)
    assert lines <= LARGEST_SHARE * size.total(), f"{largest}: {lines} of {size.total()}"
