"""The site: ``python -m sphinx -W --keep-going -b html reports/docs runs/docs``.

Nothing here needs the network, and neither do the pages that are built.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import typer
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

import bayesesi
from bayesesi.cli import app as command_line
from bayesesi.report.citations import _SOURCES

HERE = Path(__file__).parent
# Sphinx reads what lies in its folder; times are kept, so that what has not changed is not run anew
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", dirs_exist_ok=True)

project, author = "bayesesi", "The bayesesi developers"
version = release = bayesesi.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["**/README.md", "**/.ipynb_checkpoints"]

html_theme, html_title, html_show_copyright = "furo", "bayesesi", False
# equations as MathML, which browsers draw by themselves: MathJax would be fetched
html_math_renderer = "mathml"
# example reports stand beside the pages, so that a link opens them: [words](example:simulated)
html_extra_path = ["../examples"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
myst_url_schemes = {"http": None, "https": None, "mailto": None, "example": "{{path}}.html"}

nb_execution_mode, nb_execution_timeout = "force", 900
nb_execution_raise_on_error = nb_merge_streams = True

# docstrings say shapes and units, which types do not
autodoc_typehints, autodoc_member_order = "none", "bysource"
python_maximum_signature_line_length = 88

_SECTION = re.compile(r"^(\w+)\n-{3,}\n", re.MULTILINE)
_ENTRY = re.compile(r"(?:^|(?<=[.?;)] ))((?:\w+, )*\w+) : ", re.MULTILINE)
# what docutils takes otherwise than TeX: a fraction of digits, the index of an accented letter,
# the space after a function
_TEX = (
    (re.compile(r"\\([td]?frac)\s*(\w)\s*(\w)"), r"\\\1{\2}{\3}"),
    (re.compile(r"(\\(?:tilde|hat|bar)\s*(?:\w|\{\w+\}))(?=_)"), r"{\1{}}"),
    (re.compile(r"\\(log|det)\s*(?=[\w\\|])"), r"\\\1\\, "),
)
_INCLUDE = """```{{include}} {path}
:heading-offset: 1
:relative-images:
:relative-docs: .
```
"""


def listed(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings here say ``a : text. b, c : text`` in a row, which napoleon would not part."""
    opening, *sections = _SECTION.split("\n".join(lines).strip())
    found = [_prose(opening)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        body, _, rest = body.partition("\n\n")
        before, *entries = _ENTRY.split(re.sub(r"\n +", " ", body))
        found.append(f":{title}:\n    {_prose(' '.join(before.split()))}")
        for names, said in zip(entries[::2], entries[1::2], strict=True):
            found.append(f"    * **{names}** – {_prose(' '.join(said.split()))}")
        found.append(_prose(rest))
    lines[:] = "\n\n".join(found).split("\n")


def _prose(text: str) -> str:
    """Bars are bars; what stands further in, after an empty line, is a formula."""
    parts = re.split(r"\n\n(?= {4}\S)|(?<=\n\n)(?=\S)", text)
    return "".join(
        f"\n\n::\n\n{p}" if p.startswith("    ") else p.replace("|", r"\|") for p in parts
    )


def verbs(command: Any, name: str = "bayesesi", depth: int = 2) -> str:
    """``--help`` of a verb, and of those below it, as Markdown."""
    command.rich_markup_mode = None
    context = command.make_context(name, [], resilient_parsing=True, terminal_width=88)
    said = f"{'#' * depth} {name}\n\n```text\n{command.get_help(context)}\n```\n"
    below = getattr(command, "commands", {}).items()
    return "\n".join([said, *(verbs(each, f"{name} {n}", depth + 1) for n, each in below)])


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lines that stand for what is elsewhere: ``% verbs``, ``% sources``, ``% every GLOB``."""

    def every(found: re.Match[str]) -> str:
        paths = sorted(Path(app.srcdir).glob(found[1]), key=lambda p: (p.stem != "README", p))
        here = [f"../{path.relative_to(Path(app.srcdir).parent)}" for path in paths]
        return "\n".join(_INCLUDE.format(path=path) for path in here)

    if "% verbs" in source[0]:
        source[0] = source[0].replace("% verbs", verbs(typer.main.get_command(command_line)))
    if docname == "api":
        lacking = [n for n in bayesesi.__all__ if f"bayesesi.{n}" not in source[0]]
        for each in set(lacking) - {"__version__"}:
            getLogger(__name__).warning("api.md says nothing of bayesesi.%s", each)
    cited = "\n".join(f"- {each}" for each in sorted(_SOURCES.values()))
    source[0] = source[0].replace("% sources", cited.replace("<", r"\<"))
    source[0] = re.sub(r"^% every (\S+)$", every, source[0], flags=re.MULTILINE)


def beside(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """What an included file links to: Markdown of the repository is no page here, so that words
    are left; other files lie beside it, and ``:relative-docs: .`` wants to see the dot."""
    words = re.sub(r"(?<!!)\[([^]]+)\]\([\w./-]+\.md(?:#[\w-]+)?\)", r"\1", content[0])
    content[0] = re.sub(r"(?<=\]\()(?=\w[\w./-]*\))", "./", words)


def mathml(translator: Any, node: nodes.math | nodes.math_block) -> None:
    block = isinstance(node, nodes.math_block)
    tex = node.astext()
    for found, instead in _TEX:
        tex = found.sub(instead, tex)
    drawn = tex2mathml(tex, as_block=block)
    # wide ones scroll to the side, as the theme has it, and never up and down
    tag = '<div class="math" style="overflow-y: hidden; padding: 0.4em 0">'
    translator.body.append(f"{tag}{drawn}</div>" if block else drawn)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("autodoc-process-docstring", listed)
    app.connect("source-read", fill)
    app.connect("include-read", beside)
