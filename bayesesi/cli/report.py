"""The verb report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesesi.cli.app import app, console, one_sentence, show
from bayesesi.errors import InputError


def _schema(wanted: bool) -> None:
    if wanted:
        from bayesesi.report.json_report import twin_schema

        console.print_json(data=twin_schema())
        raise typer.Exit


@app.command()
@one_sentence
def report(
    result: Annotated[
        Path, typer.Argument(help="Result file written by localize (result-post.nc).")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write. (default: report.FORMAT next to the result)"
        ),
    ] = None,
    spec: Annotated[
        str, typer.Option(help="Page: clinical, research, short, or a .toml file with sections.")
    ] = "clinical",
    formats: Annotated[
        str, typer.Option("--format", help="Formats, separated by commas: html, pdf, json.")
    ] = "html",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Target for distances (repeatable): motor=precentral-lh,paracentral-lh, "
            "lesion=mask.nii.gz (MNI152), resection=cut-rh.label (fsaverage) or "
            "electrode=mni:-42,-20,12 (mm)."
        ),
    ] = None,
    conclusion: Annotated[
        str | None,
        typer.Option(help="Your conclusion, shown as yours: a text or a .txt file."),
    ] = None,
    reader: Annotated[str, typer.Option(help="With --conclusion: name of its author.")] = "",
    mri: Annotated[
        Path | None,
        typer.Option(help="MRI in MNI152 space (.nii) for the slices. (default: average brain)"),
    ] = None,
    bids: Annotated[
        Path | None,
        typer.Option(help="BIDS derivatives folder to write to, instead of --out."),
    ] = None,
    subject: Annotated[
        str,
        typer.Option(help="With --bids: subject label (letters and digits, not a person's name)."),
    ] = "",
    session: Annotated[str, typer.Option(help="With --bids: session label.")] = "",
    task: Annotated[str, typer.Option(help="With --bids: task label.")] = "",
    run: Annotated[str, typer.Option(help="With --bids: run index.")] = "",
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            callback=_schema,
            is_eager=True,
            help="Print the JSON schema and exit.",
        ),
    ] = False,
) -> None:
    """Write the report of a stored result as HTML, PDF or JSON.

    bayesesi report out/result-post.nc --spec short --format html,json -o out/short.html

    bayesesi report out/result-post.nc --bids derivatives/bayesesi --subject 01 --task spikes

    Nothing is recomputed. A PDF needs the extra pdf of the package; HTML and
    JSON are written without it.
    """
    import bayesesi
    from bayesesi.report.bids import bids_path
    from bayesesi.report.report import FORMATS
    from bayesesi.roi import read_target, with_targets

    wanted = [each.strip() for each in formats.split(",")]
    if out is not None and formats == "html" and out.suffix.removeprefix(".") in FORMATS:
        wanted = [out.suffix.removeprefix(".")]
    if reader and not conclusion:
        raise InputError("--reader belongs to --conclusion; give --conclusion too")
    unknown = [each for each in wanted if each not in FORMATS]
    if unknown:
        raise InputError(
            f"--format must be one or more of {', '.join(FORMATS)}, got {unknown[0][:40]!r}"
        )
    if bids is not None and out is not None:
        raise InputError("the report is written to --out or to --bids; give one of them")
    if bids is None and (subject or session or task or run):
        raise InputError("--subject, --session, --task and --run belong to --bids; give --bids too")
    shown = bayesesi.read_result(result)
    if target:
        shown = with_targets(shown, [read_target(each) for each in target])
    if conclusion:
        shown = shown.with_conclusion(_text(conclusion), reader)
    page = bayesesi.make_report(shown, spec, mri)
    base = out or result.parent / "report.html"
    if not base.suffix:
        base = base.with_name(f"{base.name}.html") if base.name else base / "report.html"
    elif base.suffix.removeprefix(".") not in FORMATS:
        raise InputError(
            f"-o must name a file that ends in .{', .'.join(FORMATS)}, got {base.name[:80]!r}"
        )
    if bids is not None:
        base = bids_path(bids, subject, session, task, run)
    # a PDF may fail for a missing library: the other formats are written first
    written = [
        str(page.save(base.with_suffix(f".{each}"))) for each in FORMATS[::2] if each in wanted
    ]
    if "pdf" in wanted:
        written.append(str(page.save(base.with_suffix(".pdf"))))
    sentence = page.table["sentence"].replace("\xa0", " ")
    show({"result": sentence, "written": ", ".join(written)}, spec)


def _text(given: str) -> str:
    """Return the text, or the content of the .txt file of that name."""
    if not given.endswith(".txt"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{given[:80]} cannot be read as text ({error}); give a conclusion"
        ) from error
