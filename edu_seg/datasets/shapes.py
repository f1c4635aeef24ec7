"""`Shapes`: generated scenes whose options isolate, one at a time, what the papers are about.

A scene depends on (seed, index) and the options alone: not on the count, on earlier calls or on the process. Colours
are drawn without regard to the class, so the shape decides.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from edu_seg.datasets.files import Number, StrPath, write_palette_png
from edu_seg.datasets.scenes import CLASSES, CONTEXT_CLASSES, Options, Range, draw_scene

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Okabe and Ito's colours, which colour-blind readers can tell apart; the ground is a dark grey.
PALETTE = np.array([(60, 60, 60), (230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (240, 228, 66)], np.uint8)

CONTEXT_PALETTE = np.array([(60, 60, 60), (204, 121, 167), (0, 114, 178)], np.uint8)


class Shapes(Dataset[tuple[Tensor, Tensor]]):
    """`count` generated scenes: item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void).

    size: pixels, an integer or (height, width), at least 16.
    seed: another seed, other scenes; take different seeds for training and validation.
    objects: how many discs, squares, triangles and stars, (least, most). As many are drawn as find room.
    scales: their radii as a fraction of the shorter side. A wide range isolates what ASPP and pyramid pooling are for
        (DeepLab v2 section 3.2, PSPNet section 3.2). None: (0.1, 0.24), and (0.07, 0.12) in context mode.
    roughness: height of the waves on the contour as a fraction of the radius (0..0.5). They are 7 pixels long, so a
        stride of 8 cannot follow them: fine boundaries (FCN section 4.2; DeepLab v1 section 4, the dense CRF).
    wires: how many hanging wires, (least, most): thin structures, lost at coarse strides (DRN section 2).
        They cross the picture over or behind objects. None: (0, 2), and none in context mode.
    wire_width: their thickness in pixels.
    texture: strength of the surface noise (0..1): how little a single pixel's colour tells.
    overlap: how far objects may cover each other, 0 (they never touch) .. 1 (anywhere): occlusion, front hides back.
    void_rim: the pixels around each object's outside are void, as in VOC's annotations, here one pixel wide.
    context: the classes become background, parasol and buoy. Both look exactly alike; on sand it is a parasol, on
        water a buoy, and mist hides the ground as far as `context_radius` pixels from each object, counted along
        rows and columns. A window of at most 2 · context_radius + 1 pixels on an object cannot decide its class:
        the receptive field must be larger (dilated convolutions section 3; PSPNet section 3.1).
    context_radius: in pixels; None takes a sixth of the shorter side.
    swap_context: the same scenes with sand and water, hence the two classes, exchanged; the rest stays bit by bit.
    transform: (image, labels) -> (image, labels), applied last.

    `classes`, `num_classes` and `palette` (num_classes, 3) follow from `context`. Labels come from plain float32
    arithmetic; between kinds of processor, images may differ in their last bits.
    Raises ValueError naming the option that does not fit, IndexError for an index outside the count.
    """

    classes: tuple[str, ...] = CLASSES
    palette: UInt8[ndarray, "K 3"] = PALETTE

    def __init__(
        self,
        count: int,
        size: int | tuple[int, int] = 96,
        seed: int = 0,
        *,
        objects: int | tuple[int, int] = (2, 5),
        scales: Number | Range | None = None,
        roughness: Number = 0.0,
        wires: int | tuple[int, int] | None = None,
        wire_width: Number | Range = (1.0, 3.0),
        texture: Number = 0.3,
        overlap: Number = 0.3,
        void_rim: bool = True,
        context: bool = False,
        context_radius: int | None = None,
        swap_context: bool = False,
        transform: Transform | None = None,
    ) -> None:
        _within("count", count, 0, None)
        _within("seed", seed, 0, None)
        height, width = size if isinstance(size, tuple) else (size, size)
        _within("size", min(height, width), 16, None)
        self.count, self.seed, self.transform = count, seed, transform
        self.options = Options(
            size=(height, width),
            objects=_pair("objects", objects, 1, None),
            scales=_pair("scales", scales if scales is not None else (0.07, 0.12) if context else (0.1, 0.24), 0.02, 0.5),
            roughness=_within("roughness", roughness, 0, 0.5),
            wires=_pair("wires", wires if wires is not None else 0 if context else (0, 2), 0, None),
            wire_width=_pair("wire_width", wire_width, 1, None),
            texture=_within("texture", texture, 0, 1),
            overlap=_within("overlap", overlap, 0, 1),
            void_rim=void_rim,
            context=context,
            context_radius=min(height, width) // 6 if context_radius is None else context_radius,
            swap_context=swap_context,
        )
        _check_context(self.options, context_radius)
        if context:
            self.classes, self.palette = CONTEXT_CLASSES, CONTEXT_PALETTE

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "3 H W"], Int64[Tensor, "H W"]]:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index}: there are {self.count} scenes")
        rng = np.random.default_rng((self.seed, int(index) % self.count))
        image, labels = draw_scene(rng, self.options)
        pair = torch.from_numpy(image), torch.from_numpy(labels.astype(np.int64))
        return self.transform(*pair) if self.transform else pair

    def tensors(self) -> tuple[Float[Tensor, "N 3 H W"], Int64[Tensor, "N H W"]]:
        """All scenes at once: images (N, 3, H, W) and labels (N, H, W). Raises ValueError where the count is 0."""
        if self.count == 0:
            raise ValueError("no scenes to stack: give a count of at least 1")
        images, labels = zip(*(self[i] for i in range(self.count)), strict=True)
        return torch.stack(images), torch.stack(labels)


def _within(name: str, value, least: Number, most: Number | None):
    if not least <= value or (most is not None and value > most):
        raise ValueError(f"{name} = {value}: must be at least {least}" + (f" and at most {most}" if most is not None else ""))
    return value


def _pair(name: str, value, least: Number, most: Number | None) -> tuple:
    """(least, most) of an option given as one number or as a pair."""
    low, high = value if isinstance(value, tuple) else (value, value)
    _within(name, low, least, most)
    _within(name, high, least, most)
    if low > high:
        raise ValueError(f"{name} = {value}: the pair is (least, most), so put the smaller number first")
    return low, high


def _check_context(options: Options, given_radius: int | None) -> None:
    """Context options only in context mode; the picture must hold object, mist and ground."""
    if not options.context:
        if options.swap_context or given_radius is not None:
            raise ValueError("context_radius and swap_context belong to context mode: give context=True as well")
        return
    if options.wires != (0, 0):
        raise ValueError(f"wires = {options.wires}: context mode has no wires; leave them out")
    _within("context_radius", options.context_radius, 1, None)
    need = 2 * options.margin(options.scales[1] * min(options.size)) + 1
    if need > min(options.size):
        raise ValueError(
            f"context_radius = {options.context_radius}: the largest object in its mist, with ground around, takes {need:.0f} pixels "
            f"of {min(options.size)}; take a smaller radius, smaller scales or a larger size"
        )


def write_voc_sample(root: StrPath, count: int = 8, seed: int = 0) -> None:
    """Write `count` scenes to the folder `root` in VOC's layout: photographs as JPEG, labels as palette PNG, the lists.

    The first three quarters are the training list. The labels are those of `Shapes(count, (120, 160), seed)`.
    """
    root, dataset = Path(root), Shapes(count, (120, 160), seed)
    names = [f"scene_{i:04d}" for i in range(count)]
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        image, labels = dataset[i]
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg", quality=92)
        write_palette_png(root / "SegmentationClass" / f"{name}.png", labels.numpy(), PALETTE)
    cut = count * 3 // 4
    for split, part in (("train", names[:cut]), ("val", names[cut:]), ("trainval", names)):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"{name}\n" for name in part), encoding="utf-8")
