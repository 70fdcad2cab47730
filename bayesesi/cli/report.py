"""The page on a result."""

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
    result: Annotated[Path, typer.Argument(help="A result-post.nc file that localize wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; report.FORMAT beside the result if none."),
    ] = None,
    spec: Annotated[
        str, typer.Option(help="clinical, research, short, or a .toml file with sections.")
    ] = "clinical",
    formats: Annotated[
        str, typer.Option("--format", help="html, pdf, json, or several with commas.")
    ] = "html",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Something to measure the distance to, as often as you like: "
            "motor=precentral-lh,paracentral-lh, or lesion=mask.nii.gz (MNI152), or "
            "resection=cut-rh.label (fsaverage), or electrode=mni:-42,-20,12."
        ),
    ] = None,
    conclusion: Annotated[
        str | None,
        typer.Option(help="What you conclude: a text, or a .txt file; shown as yours."),
    ] = None,
    reader: Annotated[str, typer.Option(help="With --conclusion: who concludes it.")] = "",
    mri: Annotated[
        Path | None,
        typer.Option(help="An image in MNI152 (.nii) for slices; the average brain if none."),
    ] = None,
    bids: Annotated[
        Path | None,
        typer.Option(help="Folder of BIDS derivatives to write into, instead of --out."),
    ] = None,
    subject: Annotated[
        str, typer.Option(help="With --bids: of whom; letters and digits, no name of a person.")
    ] = "",
    session: Annotated[str, typer.Option(help="With --bids.")] = "",
    task: Annotated[str, typer.Option(help="With --bids.")] = "",
    run: Annotated[str, typer.Option(help="With --bids.")] = "",
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            callback=_schema,
            is_eager=True,
            help="Print the schema of the JSON, and end.",
        ),
    ] = False,
) -> None:
    """Write the page on a result: HTML, PDF or its JSON twin.

    bayesesi report out/result-post.nc --spec short --format html,json -o out/short.html

    bayesesi report out/result-post.nc --bids derivatives/bayesesi --subject 01 --task spikes

    Nothing is computed anew. A PDF needs the extra named pdf; without it HTML and JSON are
    still written.
    """
    import bayesesi
    from bayesesi.report.bids import bids_path
    from bayesesi.report.report import FORMATS
    from bayesesi.roi import read_target, with_targets

    wanted = [each.strip() for each in formats.split(",")]
    if out is not None and formats == "html" and out.suffix.removeprefix(".") in FORMATS:
        wanted = [out.suffix.removeprefix(".")]
    if reader and not conclusion:
        raise InputError("--reader belongs to --conclusion; give that too")
    unknown = [each for each in wanted if each not in FORMATS]
    if unknown:
        raise InputError(f"format is one or more of {', '.join(FORMATS)}, not {unknown[0][:40]!r}")
    if bids is not None and out is not None:
        raise InputError("the report goes to --out or to --bids; give one of them")
    if bids is None and (subject or session or task or run):
        raise InputError("--subject, --session, --task and --run belong to --bids; give that too")
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
            f"-o names a file that ends in .{', .'.join(FORMATS)}, not {base.name[:80]!r}"
        )
    if bids is not None:
        base = bids_path(bids, subject, session, task, run)
    # a PDF may lack what it needs: what needs nothing is written first
    written = [
        str(page.save(base.with_suffix(f".{each}"))) for each in FORMATS[::2] if each in wanted
    ]
    if "pdf" in wanted:
        written.append(str(page.save(base.with_suffix(".pdf"))))
    says = page.table["sentence"].replace("\xa0", " ")
    show({"says": says, "written": ", ".join(written)}, spec)


def _text(given: str) -> str:
    """Itself, or what the file of that name holds."""
    if not given.endswith(".txt"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{given[:80]} is no text file ({error}); give a conclusion") from error
