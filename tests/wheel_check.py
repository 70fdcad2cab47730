"""What a user gets: the installed wheel, run from an empty folder.

`make wheel` installs the wheel into SITE, puts SITE first on the path and calls
`wheel_check.py SITE`. The checkout serves only to compare with.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def check_import(site: Path) -> None:
    import bayesesi

    origin = Path(bayesesi.__file__).resolve()
    if not origin.is_relative_to(site):
        raise SystemExit(f"bayesesi was imported from {origin.parent}, not from the wheel")


def check_command_line(site: Path) -> None:
    run = subprocess.run(
        [site / "bin" / "bayesesi", "--help"], capture_output=True, text=True, check=False
    )
    if run.returncode != 0 or "Usage" not in run.stdout:
        raise SystemExit(f"'bayesesi --help' failed:\n{run.stdout}{run.stderr}")


def check_assets(site: Path) -> int:
    """Every asset of the checkout is in the wheel, bit for bit; their number."""
    folder = CHECKOUT / "bayesesi" / "assets"
    assets = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
    for asset in assets:
        shipped = site / asset.relative_to(CHECKOUT)
        if not shipped.is_file():
            raise SystemExit(f"the wheel lacks {asset.name}")
        if sha256(shipped) != sha256(asset):
            raise SystemExit(f"{asset.name} in the wheel differs from the checkout's")
    return len(assets)


def check_specs(site: Path) -> int:
    """Every spec of the checkout is in the wheel, bit for bit, and is what the package reads."""
    from bayesesi.spec import report_specs, shipped_specs

    places = (
        "priors/*/*.toml",
        "simulators/*.toml",
        "bayesesi/recipes/*.toml",
        "reports/verdicts/*.toml",
    )
    specs = [path for place in places for path in CHECKOUT.glob(place)]
    pages = list((CHECKOUT / "reports").glob("*.toml"))
    for spec in [*specs, *pages]:
        shipped = (report_specs() if spec in pages else shipped_specs()).get(spec.stem)
        if shipped is None or not shipped.resolve().is_relative_to(site):
            raise SystemExit(f"the wheel lacks {spec.relative_to(CHECKOUT)}")
        if sha256(shipped) != sha256(spec):
            raise SystemExit(f"{spec.name} in the wheel differs from the checkout's")
    return len(specs) + len(pages)


def check_templates(site: Path) -> int:
    """Every file that a report is made from is in the wheel, bit for bit, and is what is used."""
    from bayesesi.spec import templates_folder

    if not templates_folder().resolve().is_relative_to(site):
        raise SystemExit(f"templates are read from {templates_folder()}, not from the wheel")
    folder = CHECKOUT / "reports" / "templates"
    templates = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for template in templates:
        shipped = templates_folder() / template.relative_to(folder)
        if not shipped.is_file():
            raise SystemExit(f"the wheel lacks {template.relative_to(CHECKOUT)}")
        if sha256(shipped) != sha256(template):
            raise SystemExit(f"{template.name} in the wheel differs from the checkout's")
    return len(templates)


def check_notebooks(site: Path) -> int:
    """Every notebook of the checkout is in the wheel, bit for bit."""
    from bayesesi.spec import shipped_notebooks

    found = shipped_notebooks()
    wanted = sorted((CHECKOUT / "reports" / "notebooks").glob("*.ipynb"))
    for notebook in wanted:
        shipped = found.get(notebook.stem)
        if shipped is None or not shipped.resolve().is_relative_to(site):
            raise SystemExit(f"the wheel lacks {notebook.name}")
        if sha256(shipped) != sha256(notebook):
            raise SystemExit(f"{notebook.name} in the wheel differs from the checkout's")
    return len(wanted)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(site: Path) -> None:
    if any(Path.cwd().iterdir()):
        raise SystemExit("run this from an empty folder, so that only the wheel can be found")
    check_import(site)
    check_command_line(site)
    assets, specs = check_assets(site), check_specs(site)
    templates, notebooks = check_templates(site), check_notebooks(site)
    print(
        f"the wheel imports, runs, and carries {assets} assets, {specs} specs and {templates} "
        f"templates and {notebooks} notebooks unchanged"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
