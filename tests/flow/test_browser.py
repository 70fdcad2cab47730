"""The page in a browser: it runs without a complaint, stays by itself, and everybody can use it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesesi import infer, make_report, read_simulator
from bayesesi.roi import target_regions, with_targets

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)"),
]
#: Without a graphics card.
SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
#: Ratio of luminances that WCAG 2.2 asks for (AA): of text, and of large text.
CONTRAST = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) =>
    0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = parse(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0.99) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    if (["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([ratio, walker.currentNode.textContent.trim()]);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole page: a set with a guarantee, re-runs, a target of a hostile name."""
    simulation = read_simulator("event-any-cap", group_size=1).simulate(20, 5, "validate")
    loud = int(np.flatnonzero(simulation.snr_db > 12)[0])
    result = infer(simulation.observation(loud), "atoms", draws=200, sensitivity=True)
    target = target_regions("<img src=x onerror=alert(1)>", ["precentral-lh"])
    page = make_report(with_targets(result, [target]))
    return page.save(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (bayesesi[dev])")
    with api.sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=list(SOFTWARE))


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page, opened; ``said`` and ``asked`` are what it complains of and asks for."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, offline=True)
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()


def pixels(page: Any) -> str:
    """The canvas as it stands."""
    page.wait_for_timeout(150)
    return str(page.eval_on_selector("canvas", "c => c.toDataURL()"))


def test_nothing_is_complained_of_and_nothing_asked_for(page: Any, file: Path) -> None:
    page.wait_for_timeout(200)
    assert page.said == []
    assert {url for url in page.asked if not url.startswith("data:image/png")} == {file.as_uri()}


def test_the_cortex_turns_by_button_mouse_and_keyboard(page: Any) -> None:
    assert page.is_visible("#turning")
    seen = [pixels(page)]
    page.click("button[value=above]")
    seen.append(pixels(page))
    page.focus("canvas")
    page.keyboard.press("ArrowLeft")
    seen.append(pixels(page))
    box = page.locator("canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 30)
    page.mouse.up()
    seen.append(pixels(page))
    page.check("#turning input[type=checkbox]")
    seen.append(pixels(page))
    assert len(set(seen)) == len(seen)


def test_a_threshold_hides_what_lies_below(page: Any) -> None:
    """At 100 % no place has a colour: all that is left is grey."""
    colourful = """c => {
      const gl = c.getContext("webgl");
      const out = new Uint8Array(4 * c.width * c.height);
      gl.readPixels(0, 0, c.width, c.height, gl.RGBA, gl.UNSIGNED_BYTE, out);
      let n = 0;
      for (let i = 0; i < out.length; i += 4) {
        const [r, g, b] = out.slice(i, i + 3);
        n += Math.max(r, g, b) - Math.min(r, g, b) > 40;
      }
      return n;
    }"""
    page.wait_for_timeout(150)
    assert page.eval_on_selector("canvas", colourful) > 100
    page.fill("#turning input[type=range]", "100")
    page.wait_for_timeout(150)
    assert page.eval_on_selector("canvas", colourful) == 0
    assert page.inner_text("#turning output") == "100 %"


def test_a_place_says_its_region(page: Any) -> None:
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    page.wait_for_timeout(150)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    said = page.inner_text("#turning .hover")
    assert "this place:" in said
    assert said.startswith(("left", "right", "in no"))
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    assert page.inner_text("#turning .hover").startswith("Point at")


def test_everything_that_acts_is_reached_by_tab(page: Any) -> None:
    wanted = page.eval_on_selector_all(
        "canvas, button, input, summary", "all => all.filter(e => e.checkVisibility()).length"
    )
    assert wanted > 8
    reached = set()
    for _ in range(wanted + 3):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => [...document.querySelectorAll('canvas, button, input, summary')]"
                ".indexOf(document.activeElement)"
            )
        )
    assert len(reached - {-1}) == wanted


def test_pictures_have_words_and_words_have_contrast(page: Any) -> None:
    assert page.eval_on_selector_all("img", "all => all.filter(i => i.alt.length < 40).length") == 0
    assert page.get_attribute("canvas", "aria-label")
    assert page.evaluate(CONTRAST) == []
    # a twin that must fail
    page.eval_on_selector("main", "e => { e.style.color = '#999' }")
    assert page.evaluate(CONTRAST)


@pytest.mark.parametrize("width", [320, 375, 768])
def test_a_phone_shows_all_of_it(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true })")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    small = "all => all.filter(e => parseFloat(getComputedStyle(e).fontSize) < 13).length"
    assert page.eval_on_selector_all("p, td, th, li, dd, dt, figcaption, button", small) == 0


def test_it_prints_on_a4(page: Any) -> None:
    document = page.pdf(format="A4")
    assert document.startswith(b"%PDF")
    assert document.count(b"/Type /Page\n") + document.count(b"/Type /Page ") <= 14
