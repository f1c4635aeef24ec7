"""How long CRFLab takes from a change to the frame with its answer: median and worst, in a real JupyterLab and Chromium.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/crf_lab_update.py [changes]

A photograph of 160 × 120 pixels, ten iterations, one core for the kernel's sums. The widget measures itself: from the event of the mouse
or the slider, through Python and back, until a message that was posted at the end of the drawing arrives, which is after the browser
painted it. A change waits until the frame before it is out, so each is one update. The first columns are Python's share, without a
browser: wall clock and processor time. Other processes count: their share of the machine is said at the end.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from playwright.sync_api import Locator

from edu_seg.widgets import CRFSettings, draw_strokes
from edu_seg.widgets.crf_steps import Solver

SETUP = """
import os
import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from edu_seg.widgets import CRFLab, CRFSettings, draw_strokes
with get_sample_data("grace_hopper.jpg") as file:
    picture = Image.open(file).convert("RGB").crop((0, 60, 512, 444)).resize((160, 120))
image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
scribbles = draw_strokes((120, 160), STROKES)
"""
LAB = "CRFLab(image, scribbles, CRFSettings(num_classes={}))"
STROKES = [(0, [(40, 75), (60, 80)], 3), (0, [(100, 60), (100, 100)], 3), (1, [(10, 10), (100, 10)], 3), (1, [(10, 150), (60, 150)], 3)]
SWEEPS = ("stroke", "bilateral_weight", "theta_beta", "theta_gamma", "too narrow, stroke")


def photograph() -> torch.Tensor:
    names: dict = {"STROKES": STROKES}
    exec(SETUP, names)
    return names["image"]


def alone(num_classes: int, changes: int) -> dict[str, tuple[float, float, float]]:
    """Python's share of each sweep, in milliseconds: median and worst wall clock, median processor time."""
    solver, scribbles = Solver(photograph()), draw_strokes((120, 160), STROKES)
    narrow = {"theta_alpha": 10, "theta_beta": 4, "num_classes": num_classes}
    settings: dict[str, Callable[[int], CRFSettings]] = {
        "stroke": lambda n: CRFSettings(num_classes=num_classes),
        "bilateral_weight": lambda n: CRFSettings(bilateral_weight=n % 20, num_classes=num_classes),
        "theta_beta": lambda n: CRFSettings(theta_beta=4.01 + n, num_classes=num_classes),
        "theta_gamma": lambda n: CRFSettings(theta_gamma=1 + n / 10, num_classes=num_classes),
        "too narrow, stroke": lambda n: CRFSettings(**narrow),
    }
    found = {}
    for name, make in settings.items():
        solver.steps(scribbles, make(0))
        wall, cpu = [], []
        for n in range(1, changes + 1):
            start, used = time.perf_counter(), time.process_time()
            solver.steps(scribbles, make(n))
            wall.append(1000 * (time.perf_counter() - start))
            cpu.append(1000 * (time.process_time() - used))
        found[name] = (median(wall), max(wall), median(cpu))
    return found


def answered(root: Locator, change: Callable[[], None]) -> float:
    """Milliseconds from one change to its frame."""
    before = root.get_attribute("data-times") or ""
    change()
    changed = "([node, before]) => (node.dataset.times ?? '') !== before"
    root.page.wait_for_function(changed, arg=[root.element_handle(), before], polling=25)
    root.page.wait_for_timeout(20)
    return float((root.get_attribute("data-times") or "").split()[-1])


def slide(root: Locator, name: str) -> Callable[[int], None]:
    """Steps a slider through all it offers, up and down again."""
    slider = root.locator(f'input[data-name="{name}"]')
    most = int(slider.get_attribute("max") or 0)

    def step(n: int) -> None:
        slider.evaluate(
            "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }", abs((n + 1) % (2 * most) - most)
        )

    return step


def dab(root: Locator, start: int) -> Callable[[int], None]:
    """Draws a dot, each time at another place."""
    box = root.locator(".photo canvas").bounding_box()
    assert box is not None
    across, down = box["width"] - 24, box["height"] - 24
    return lambda n: root.page.mouse.click(box["x"] + 12 + 37 * (n + start) % across, box["y"] + 12 + 23 * (n + start) % down)


def sweep(root: Locator, name: str, changes: int) -> list[float]:
    """Times of that many single changes of one kind, from the usual settings or, if so named, the narrowest."""
    presets = (["too narrow"] if name.startswith("too narrow") else ["too wide", "both kernels"]) if name != "stroke" else []
    for preset in presets:
        answered(root, root.get_by_role("button", name=preset).click)
    root.locator(".photo canvas").scroll_into_view_if_needed()
    make = dab(root, 1000 * len(presets)) if name.endswith("stroke") else slide(root, name)
    return [answered(root, lambda n=n: make(n)) for n in range(changes)]


def processor() -> tuple[float, float]:
    """Seconds of all processors that were busy, and of this process and its ended children."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / 100, sum(fields) / 100


def main(changes: int = 40) -> None:
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]
    from chromium import find_chromium
    from course_env import FIRST_NOTEBOOK
    from lab_browser import start_lab

    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium on the PATH")
    torch.set_num_threads(1)
    busy, total = processor()
    heads = ("Python, ms", "worst", "processor", "repaint, ms", "worst")
    print(f"{'labels':<8}{'change':<20}" + "".join(f"{head:>13}" for head in heads))
    own = {count: alone(count, changes) for count in (2, 6)}
    quiet = [value - before for value, before in zip(processor(), (busy, total), strict=True)]
    setup = f"STROKES = {STROKES}\n{SETUP}"
    with tempfile.TemporaryDirectory() as folder, start_lab(FIRST_NOTEBOOK, Path(folder), chromium) as lab:
        (page_folder := Path(folder) / "bench").mkdir()
        with lab.live(page_folder, [setup + LAB.format(2), LAB.format(6)], ".crf") as page:
            for place, count in enumerate((2, 6)):
                root = page.locator(".crf").nth(place)
                root.scroll_into_view_if_needed()
                for name in SWEEPS:
                    times = sweep(root, name, changes)
                    figures = (*own[count][name], median(times), max(times))
                    print(f"{count:<8}{name:<20}" + "".join(f"{figure:>13.1f}" for figure in figures))
    print(
        f"while Python ran alone, {100 * quiet[0] / quiet[1]:.0f} % of all processors' time was used (one process: {100 / cores():.0f} %)"
    )


def cores() -> int:
    return sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
