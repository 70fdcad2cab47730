"""Make a page of a result: sections filled into templates, pictures inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesesi.errors import InputError
from bayesesi.io.atomic import atomic_file
from bayesesi.report.json_report import twin
from bayesesi.report.picture import arranged
from bayesesi.report.reading import Reading
from bayesesi.report.sections.slices import read_mri
from bayesesi.report.sections.where import verdict
from bayesesi.report.words import plain
from bayesesi.spec import (
    ReportSection,
    ReportSpec,
    read_report_spec,
    section_named,
    templates_folder,
)
from bayesesi.spec.section import section_templates

if TYPE_CHECKING:
    import mne
    from jinja2 import Environment

    from bayesesi.result import Result

FORMATS = ("html", "pdf", "json")


@dataclass(frozen=True)
class Report:
    """Hold one page that needs nothing beside itself: no network, pictures inside.

    Its one script turns a cortex; without it the page has the same content.

    Attributes
    ----------
    html : the page. table : its content as plain data: ``Result.to_dict`` and the sentence.
    """

    html: str
    table: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<Report | HTML, {len(self.html.encode()) / 1e6:.1f} MB>"

    def save(self, path: str | Path) -> Path:
        """Write the page, or its twin, whole or not at all: an earlier report stays if this fails.

        ``.html``, ``.pdf`` (needs the extra ``bayesesi[pdf]``) or ``.json``, by the name's ending.

        Parameters
        ----------
        path : of the file.

        Raises
        ------
        InputError : another ending, a place that cannot be written, or what a PDF needs is missing.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind and kind not in (*FORMATS, "htm"):
            raise InputError(
                f"a report is .{', .'.join(FORMATS)}, not {path.name[:80]!r}; choose another name"
            )
        content = {"pdf": self._pdf, "json": self._json}.get(kind, self._html)()
        with atomic_file(path) as draft:
            draft.write_bytes(content)
        return path

    def add_to(self, report: mne.Report, title: str = "Source imaging", section: str = "") -> None:
        """Add the page to a report of MNE-Python, in a frame of its own: styles do not mix.

        Parameters
        ----------
        report : of MNE-Python. title, section : of the entry.
        """
        report.add_html(self._frame(title), title, section=section or None)

    def _repr_html_(self) -> str:
        """In a notebook."""
        return self._frame("Source imaging")

    def _frame(self, title: str) -> str:
        """Nothing runs in it, and the page around it is out of its reach."""
        import html

        return (
            f'<iframe title="{html.escape(title)}" sandbox="" style="width:100%;height:80vh;'
            f'border:0" srcdoc="{html.escape(self.html)}"></iframe>'
        )

    def _html(self) -> bytes:
        return self.html.encode("utf-8")

    def _json(self) -> bytes:
        try:
            text = json.dumps(self.table, indent=1, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            raise InputError("the result holds numbers that are not finite; infer again") from error
        return text.encode("utf-8", "replace")

    def _pdf(self) -> bytes:
        try:
            from weasyprint import HTML
            from weasyprint.urls import URLFetcher
        except ImportError as error:
            raise InputError(
                "a PDF needs WeasyPrint; install it with pip install 'bayesesi[pdf]'"
            ) from error
        except OSError as error:
            raise InputError(
                "a PDF needs the system library Pango (Debian: apt install libpango-1.0-0 "
                "libpangoft2-1.0-0; macOS: brew install pango); HTML and JSON need nothing"
            ) from error
        inside = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
        made: bytes = HTML(string=self.html, url_fetcher=inside).write_pdf()
        return made


def make_report(
    result: Result, spec: str | Path | ReportSpec = "clinical", mri: str | Path | None = None
) -> Report:
    """Make the page on a result.

    Parameters
    ----------
    result : of ``infer``, or read from a file: the same result gives the same page.
    spec : which sections and figures, in which order: ``"clinical"``, ``"research"``, ``"short"``,
        or a TOML file.
    mri : a NIfTI image in MNI152 to draw slices on, such as the patient's, brought there by any
        tool; the average brain if not given. Nothing but its voxels enters the page.

    Raises
    ------
    SpecError, InputError : a damaged page spec, an image that is unreadable or in another space.
    """
    chosen = spec if isinstance(spec, ReportSpec) else read_report_spec(spec)
    reading = Reading(result, None if mri is None else read_mri(mri))
    parts: list[dict[str, Any]] = []
    for each in chosen.sections:
        values = section_named(each.section).make(reading)
        if values is not None:
            title = plain(each.title, 120)
            about = {"id": each.section, "title": title, "folded": each.folded}
            parts.append({**about, "content": _arranged(values, each)})
    head = verdict(reading)
    script = ""
    if any(part["content"].get("turning") for part in parts):
        script = (templates_folder() / "turning.js").read_text(encoding="utf-8")
    page = (
        page_environment()
        .get_template("page.html")
        .render(
            sections=parts,
            verdict=head,
            modality=reading.modality,
            simulated=reading.truth is not None,
            created=reading.about.get("created", ""),
            version=reading.about["version"],
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    return Report(page, twin(reading, head["sentence"], list(head["notes"]), chosen.name))


def _arranged(values: dict[str, Any], section: ReportSection) -> dict[str, Any]:
    """With the figures that a spec asks for."""
    if section.figures is None:
        return values
    if "turning" in values and "turning" not in {each.figure for each in section.figures}:
        values = {**values, "turning": None}
    return {**values, "pictures": arranged(values.get("pictures", []), section.figures)}


def page_environment() -> Environment:
    """Load the templates of pages: everything that is filled in is escaped."""
    import jinja2

    others = section_templates().items()
    own = {f"sections/{name}.html": path.read_text(encoding="utf-8") for name, path in others}
    elsewhere = jinja2.DictLoader(own)
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(templates_folder()), elsewhere]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
