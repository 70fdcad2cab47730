"""From a result to a page: sections filled into templates, pictures inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayesesi.draft import draft_file
from bayesesi.errors import InputError, some
from bayesesi.report import sections
from bayesesi.report.reading import Reading
from bayesesi.spec import templates_folder

if TYPE_CHECKING:
    from jinja2 import Environment

    from bayesesi.result import Result

#: Report spec -> its sections in their order: (heading, section, which also names the template).
SPECS: dict[str, tuple[tuple[str, sections.Section], ...]] = {
    "clinical": (
        ("Where", sections.where),
        ("Dipoles", sections.dipoles),
        ("Truth and answer", sections.truth),
        ("Regions", sections.regions),
        ("On the cortex", sections.cortex),
        ("The recording", sections.recording),
        ("Does the answer explain the recording?", sections.forward),
        ("What would change the answer", sections.sensitivity),
        ("How sure, and what that means", sections.sureness),
        ("Checks, methods, provenance", sections.methods),
    ),
}


@dataclass(frozen=True)
class Report:
    """One page that needs nothing beside itself: no network, no script, pictures inside."""

    html: str

    def __repr__(self) -> str:
        return f"<Report | HTML, {len(self.html.encode()) / 1e6:.1f} MB>"

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all: a report that was there stays if this fails.

        Raises
        ------
        InputError : a place that cannot be written.
        """
        with draft_file(path) as draft:
            draft.write_text(self.html, encoding="utf-8")
        return Path(path)


def make_report(result: Result, spec: str = "clinical") -> Report:
    """The page on a result.

    Parameters
    ----------
    result : of ``infer``, or read from a file: the same result gives the same page.
    spec : which sections: ``"clinical"``.

    Raises
    ------
    InputError : another spec.
    """
    if spec not in SPECS:
        raise InputError(f"no report {some([spec])}; allowed are {', '.join(SPECS)}")
    reading = Reading(result)
    filled = [(title, section, section(reading)) for title, section in SPECS[spec]]
    parts = [
        {"id": section.__name__, "title": title, "content": values}
        for title, section, values in filled
        if values is not None
    ]
    page = (
        _environment()
        .get_template("page.html")
        .render(
            sections=parts,
            verdict=sections.verdict(reading),
            simulated=reading.truth is not None,
            created=reading.about.get("created", ""),
            version=reading.about["version"],
        )
    )
    return Report(page)


def _environment() -> Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
