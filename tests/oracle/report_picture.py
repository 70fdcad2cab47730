"""The README's picture of a report: two cuts of the example page, side by side.

python -m tests.oracle.report_picture    # needs a Chromium; writes reports/figures/report.png
"""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "reports" / "examples" / "simulated.html"
OUT = ROOT / "reports" / "figures" / "report.png"
#: Pixels of a column, and its height at twice the density.
_WIDE, _HIGH, _COLOURS = 800, 1500, 160


def main() -> None:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": _WIDE, "height": _HIGH // 2}, device_scale_factor=2
        )
        page.goto(PAGE.as_uri())
        page.wait_for_timeout(1500)
        cuts = [page.screenshot()]
        page.evaluate("document.querySelector('#cortex').scrollIntoView()")
        page.wait_for_timeout(500)
        cuts.append(page.screenshot())
        browser.close()
    images = [Image.open(BytesIO(cut)).convert("RGB") for cut in cuts]
    both = Image.new("RGB", (sum(image.width for image in images), images[0].height), "white")
    for k, image in enumerate(images):
        both.paste(image, (k * image.width, 0))
    small = both.resize((both.width // 2, both.height // 2), Image.Resampling.LANCZOS)
    small.quantize(_COLOURS).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
