"""How long RFExplorer takes from a move of the mouse until the frame is out: the median over many moves, in a real Chromium.

Run: python tests/benchmarks/rf_explorer_hover.py [moves]

The exported page of each network, 224 × 224. The widget measures itself: from the first handler of a frame until a message that was
posted at the end of that frame's drawing arrives, which is after the browser painted it. Units and pixels are hovered in turn.
"""

import sys
import tempfile
from pathlib import Path

import torch
from playwright.sync_api import Locator, sync_playwright
from torch import nn
from torchvision import models

from edu_seg.widgets import RFExplorer

NETS = {
    "vgg16": models.vgg16,
    "resnet50": models.resnet50,
    "densenet121": models.densenet121,
    "deeplabv3_resnet50": lambda: models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None),
}


def hover(canvas: Locator, moves: int) -> tuple[int, float]:
    """(frames, median milliseconds) of moves to ever other places of a canvas."""
    box = canvas.bounding_box()
    assert box is not None
    for n in range(moves):
        x, y = (0.5 + 7 * n) % 31 / 31, (0.5 + 11 * n) % 29 / 29
        canvas.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        canvas.page.wait_for_timeout(20)
    found = canvas.page.locator(".rf").evaluate("node => [node.dataset.hovers, node.dataset.hoverMedian]")
    return int(found[0]), float(found[1])


def main(moves: int = 120) -> None:
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]
    from chromium import FLAGS, find_chromium

    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium on the PATH")
    image = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))
    print(f"{'':<22}{'maps':>6}{'frames':>8}{'unit, ms':>10}{'pixel, ms':>11}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        for name, build in NETS.items():
            model: nn.Module = build()
            explorer = RFExplorer(model, image)
            path = explorer.export(Path(folder) / f"{name}.html")
            figures = []
            for canvas in (".maps canvas >> nth=0", ".middle canvas"):
                page = browser.new_page(viewport={"width": 1500, "height": 900})
                page.goto(path.as_uri())
                page.locator(".rf").wait_for()
                figures.append(hover(page.locator(canvas), moves))
                page.close()
            (frames, unit), (_, pixel) = figures
            print(f"{name:<22}{len(explorer.data['graph']['nodes']):>6}{frames:>8}{unit:>10.1f}{pixel:>11.1f}")
        browser.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
