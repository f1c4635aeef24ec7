"""Makes data/pictures/tour.webp, the README's moving picture: three widgets driven by mouse and keys, as pages without a kernel.

Run it after a change to what the widgets look like: .venv/bin/python scripts/make_tour.py. Needs Chromium.
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from chromium import FLAGS, find_chromium
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from torchvision.models import resnet18

from edu_seg.datasets import Shapes
from edu_seg.widgets import GridLab, RFExplorer, StitchLab

TARGET = Path(__file__).parents[1] / "data" / "pictures" / "tour.webp"
SIZE, WIDTH, FRAME_MS = (1500, 800), 960, 280


def hover(page: Page, canvas: str, steps: int) -> Iterator[None]:
    """The mouse along the diagonal of a canvas."""
    box = page.locator(canvas).first.bounding_box()
    assert box, f"{canvas} is not on the page"
    for step in range(steps):
        share = (step + 0.5) / steps
        page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
        yield


def explore(page: Page) -> Iterator[None]:
    yield from hover(page, ".maps canvas", 14)


def dilate(page: Page) -> Iterator[None]:
    """Three schedules; in each, the taps are run over."""
    for schedule in ("2, 2, 2", "1, 2, 3", "1, 2, 5"):
        page.get_by_label("Dilations", exact=True).fill(schedule)
        page.keyboard.press("Enter")
        yield from hover(page, ".window canvas", 5)


def stitch(page: Page) -> Iterator[None]:
    slider = page.get_by_label("Passes done")
    for done in range(5):
        slider.fill(str(done))
        yield from hover(page, ".coarse canvas", 3)


def labs() -> list[tuple[object, Callable[[Page], Iterator[None]]]]:
    torch.manual_seed(0)
    scene, _ = Shapes(1, size=(224, 224), seed=3)[0]
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(4, 1, 3))
    return [
        (RFExplorer(resnet18(weights=None), scene, layer="layer3.1.conv2"), explore),
        (GridLab(), dilate),
        (StitchLab(net, scene[:, 90:106, 90:106], 2), stitch),
    ]


def frames(chromium: str) -> Iterator[Image.Image]:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        for number, (lab, play) in enumerate(labs()):
            page.goto(lab.export(Path(folder) / f"{number}.html").as_uri())  # pyright: ignore[reportAttributeAccessIssue]
            page.wait_for_timeout(500)
            for _ in play(page):
                page.wait_for_timeout(60)
                shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                yield shot.resize((WIDTH, round(WIDTH * SIZE[1] / SIZE[0])), Image.Resampling.LANCZOS)
        browser.close()


def main() -> None:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("error: Chromium is needed to make the pictures; none was found on the PATH.")
    first, *rest = frames(chromium)
    first.save(TARGET, save_all=True, append_images=rest, duration=FRAME_MS, loop=0, quality=60, method=6)
    print(f"{TARGET}: {len(rest) + 1} frames, {TARGET.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
