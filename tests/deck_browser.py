"""A deck in a real Chromium, opened from disk: its slides one by one, and what does not fit on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chromium import FLAGS
from playwright.sync_api import Browser, Page, sync_playwright

WIDTH, HEIGHT = 1280, 720
MIN_TEXT, MIN_CODE = 24, 18  # pixels on a slide of 720: what the back row can read
MIN_SCALE = 0.7  # of a picture's own pixels, in which its letters are 20 high

FAULTS = """([minText, minCode, minScale]) => {
  const face = Reveal.getCurrentSlide(), scale = Reveal.getScale(), outer = face.getBoundingClientRect(), found = [];
  const say = (node, what) => found.push(`${what}: ${node.tagName.toLowerCase()} ${node.textContent.trim().slice(0, 40)}`);
  if (face.scrollHeight > face.clientHeight + 1) found.push(`higher than the slide by ${face.scrollHeight - face.clientHeight}`);
  for (const node of face.querySelectorAll("*:not(aside, aside *)")) {
    const box = node.getBoundingClientRect(), style = getComputedStyle(node), size = parseFloat(style.fontSize);
    if (box.width && (box.right > outer.right + 1 || box.bottom > outer.bottom + 1 || box.left < outer.left - 1)) say(node, "outside");
    if (node.matches("pre") && node.scrollWidth > node.clientWidth + 1) say(node, "too wide");
    if (node.matches("p, li, td, th") && size < minText) say(node, `text of ${size} px`);
    if (node.matches("pre") && size < minCode) say(node, `code of ${size} px`);
    if (node.matches("img") && !node.complete) say(node, "picture not there");
    if (node.matches("img")) {
      const shown = Math.min(box.width / node.naturalWidth, box.height / node.naturalHeight) / scale;
      if (shown < minScale) say(node, `picture at ${shown.toFixed(2)} of its size`);
    }
  }
  const pieces = face.querySelectorAll("h2, .text, .code, .printed, .table, .picture, .page");
  const parts = [...pieces].map((node) => node.getBoundingClientRect());
  parts.forEach((a, i) => parts.slice(i + 1).forEach((b) => {
    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
      found.push("two parts overlap");
  }));
  return [...new Set(found)];
}"""


@contextmanager
def start_browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_deck(browser: Browser, path: Path, noise: list[str]) -> Iterator[Page]:
    """The deck in a window of a slide's size, without a network; errors, and requests for anything but files, are added to `noise`."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True)
    context.set_default_timeout(60_000)
    context.on("request", lambda request: noise.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
    context.on("requestfailed", lambda request: noise.append(f"not there: {request.url}"))
    context.on("console", lambda message: noise.append(message.text) if message.type in ("error", "warning") else None)
    context.on("weberror", lambda error: noise.append(str(error.error)))
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    page.evaluate("document.fonts.ready.then(() => true)")
    try:
        yield page
    finally:
        context.close()


def slides(page: Page) -> Iterator[int]:
    """Goes to each slide in turn, with all its fragments shown."""
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate("number => Reveal.slide(number, 0, 99)", number)
        yield number


def faults(page: Page) -> list[str]:
    """What does not fit on the current slide, or is too small to read."""
    return page.evaluate(FAULTS, [MIN_TEXT, MIN_CODE, MIN_SCALE])
