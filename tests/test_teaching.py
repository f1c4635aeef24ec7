"""The teaching guide: every number in it is computed again here, and every notebook, section and exercise that it names exists.

TEACHING.md marks what it states: an exam question `**E03.1**` with the line `**Result:** …` in its folded answer, and rows `| M03.1 | …` of
the table of misconceptions, whose third cell has its numbers in bold. NUMBERS says how each is found, in the order in which they are
printed; a number on the page may be rounded, and has to agree to the last digit that it shows.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from course_env import NOTEBOOKS, ROOT
from torch import Tensor, nn

from edu_seg import gridding, models, surgery
from edu_seg.backbones import build as build_backbone
from edu_seg.backbones.alexnet import caffenet
from edu_seg.border_weights import border_weights
from edu_seg.claims import claims
from edu_seg.conv_matrix import conv_matrix
from edu_seg.costs import network_cost
from edu_seg.crf.energy import energies, list_states, potts
from edu_seg.crf.filters import bilateral_features, gaussian_matrix
from edu_seg.datasets import Shapes
from edu_seg.exercises import EXERCISES
from edu_seg.geometry import PIXELS, Field, crop_offset, output_size, transposed_output_size
from edu_seg.layers import ASPP, spp_window, valid_taps
from edu_seg.metrics import ConfusionMatrix
from edu_seg.models.unet import UNet, smallest_valid
from edu_seg.training import poly
from edu_seg.upsampling import bilinear_kernel, max_pool_with_switches, overlap_count, upsample_bilinear

PAGE = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?")
BOLD = re.compile(r"\*\*([^*]+)\*\*")
META = torch.device("meta")


def text_to_number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def agrees(text: str, value: float) -> bool:
    """Whether `value`, rounded to as many decimals as `text` shows, is what `text` says."""
    decimals = len(text.partition(".")[2])
    return abs(text_to_number(text) - value) <= 0.5 * 10**-decimals * (decimals > 0) + 1e-9


# --- how the numbers are found --------------------------------------------------------------------------------------------------


def expected(claim_id: str) -> Any:
    """What a claim expects; the notebooks measure it."""
    return claims()[claim_id].expected


def printed_and_expected(claim_id: str) -> list[Any]:
    return [claims()[claim_id].printed, claims()[claim_id].expected]


def confusion(counts: Sequence[Sequence[int]]) -> ConfusionMatrix:
    """The matrix of these counts, through label maps that have it."""
    pairs = [(i, j) for i, row in enumerate(counts) for j, count in enumerate(row) for _ in range(count)]
    labels, preds = torch.tensor(pairs).T
    matrix = ConfusionMatrix(len(counts))
    matrix.update(preds, labels)
    return matrix


def scores(counts: Sequence[Sequence[int]]) -> list[float]:
    return list(confusion(counts).scores().values())


def lazy_scores() -> list[float]:
    """Accuracy and mean IU of "everything is background" on the scenes of notebook 00."""
    labels = Shapes(64, size=96, seed=7).tensors()[1]
    matrix = ConfusionMatrix(6)
    matrix.update(torch.zeros_like(labels), labels)
    return [matrix.pixel_accuracy, matrix.mean_iou]


def absent_classes() -> list[float]:
    """One matrix under the four conventions of notebook 00, section 8."""
    counts = torch.zeros(6, 6, dtype=torch.float64)
    counts[0, 0], counts[0, 4], counts[1, 1] = 90, 10, 20
    iou = counts.diag() / (counts.sum(0) + counts.sum(1) - counts.diag())
    left_out = scores([[90, 0, 0, 0, 10, 0], [0, 20, 0, 0, 0, 0], *[[0] * 6] * 4])[2]
    return [left_out, iou[:2].mean().item(), iou.nan_to_num(0).mean().item(), iou.nan_to_num(1).mean().item()]


def set_and_images() -> list[float]:
    """Mean IU of scenes that are all 3 pixels off: from one matrix, and as a mean over scenes."""
    labels = Shapes(64, size=96, seed=7, scales=(0.05, 0.4), wires=0).tensors()[1]
    moved, whole, singles = labels.masked_fill(labels == 255, 0).roll(3, dims=2), ConfusionMatrix(6), []
    for pair in zip(moved, labels, strict=True):
        single = ConfusionMatrix(6)
        single.update(*pair)
        whole.merge(single)
        singles.append(single.mean_iou)
    return [whole.mean_iou, math.fsum(singles) / 64]


def field_of(*layers: tuple[int, ...]) -> Field:
    """The field after layers (kernel_size, stride, padding, dilation)."""
    field = Field()
    for layer in layers:
        field = field.then(*layer)
    return field


def stem_and_stage() -> list[int]:
    """ResNet-18 after layer1: size, stride, padding."""
    field = field_of((7, 2, 3), (3, 2, 1), *[(3, 1, 1)] * 4)
    return [field.size, field.stride, field.padding]


def vgg(*stages: int) -> Field:
    """The field after stages of so many padded 3 × 3, each ended by its pool."""
    return field_of(*(layer for n in stages for layer in [(3, 1, 1)] * n + [(2, 2)]))


VGG16 = (2, 2, 3, 3, 3)


def doubled(*stages: int) -> int:
    size = 1
    for n in stages:
        size = 2 * (size + 2 * n)
    return size


def rows_of(field: Field, unit: int) -> list[int]:
    first = unit * field.stride - field.padding
    return [first, first + field.size - 1]


def deviation(layers: int) -> float:
    """σ of the effective field of so many 3 × 3 of equal weights (claim erf-variance)."""
    return math.sqrt(layers * (3**2 - 1) / 12)


def fewest_layers() -> list[int]:
    """3 × 3 layers that see exactly 101 pixels without a hole, and without dilation. The widest of four see 81 (exercise 01.4)."""
    assert gridding.coverage((1, 3, 9, 27), axes=1).window < 101
    found = (1, 3, 9, 10, 27)
    assert gridding.is_gap_free(found)
    assert gridding.coverage(found, axes=1).window == 101
    return [len(found), next(n for n in range(99) if field_of(*[(3,)] * n).size == 101)]


def converted() -> list[float]:
    """Parameters of both layers as convolutions, and the map of 256 × 320 pixels."""
    with META:
        trunk = [nn.Conv2d(3, 256, 1), nn.MaxPool2d(16), nn.Flatten()]
        net = surgery.convolutionalise(nn.Sequential(*trunk, nn.Linear(4096, 512), nn.Linear(512, 10)), (64, 64))
        layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)][1:]
        counts = [sum(p.numel() for p in layer.parameters()) for layer in layers]
        return [*counts, *net(torch.zeros(1, 3, 256, 320)).shape[2:]]


def inner_units() -> list[int]:
    """VGG-16 up to pool4 and a 4 × 4: size, padding, and the units of 13 whose field lies in 256 pixels."""
    field = vgg(2, 2, 3, 3).then(4)
    units = output_size(256 // 16, 4)
    inside = [i for i in range(units) if rows_of(field, i)[0] >= 0 and rows_of(field, i)[1] < 256]
    return [field.size, field.padding, units, len(inside)]


def saving_of_one_pass() -> float:
    """AlexNet: 100 crops of 227 against one pass over 500 × 500 pixels, pools rounding up as in Caffe."""
    with META:
        trunk = caffenet(pad=0)
    for layer in trunk:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    one, whole = (network_cost(trunk, (side, side), training=False).multiply_adds for side in (227, 500))
    return 100 * one / whole


def half_rarefied() -> list[int]:
    """The rates of the five layers when stride 8 is brought down to 2, and the shifted passes for the same."""
    layers = [nn.Conv2d(3, 4, 3, 2), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)]
    changed = surgery.remove_stride(nn.Sequential(*layers), 2)
    windows = [layer for layer in changed.modules() if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    rates = [layer.dilation if isinstance(layer.dilation, int) else layer.dilation[0] for layer in windows]
    return [*rates, (8 // 2) ** 2]


def wrong_rows() -> list[int]:
    """Padding of the field of three stages of a padded 3 × 3 and a pool and one more 3 × 3; rows that stitching gets wrong."""
    field = vgg(1, 1, 1).then(3, 1, 1)
    wrong = [i for i in range(100) if i // 8 * 8 < field.padding and i % 8]
    return [field.padding, len(wrong)]


def matrix_of(size: int, stride: int, padding: int) -> Tensor:
    return conv_matrix(torch.ones(1, 1, 3, 3, dtype=torch.float64), (size, size), stride=stride, padding=padding).to_dense()


def transposed_arithmetic() -> list[int]:
    """Ten units through k = 5, s = 3, p = 1; output_padding for 32; kernels over an output in the middle."""
    made = transposed_output_size(10, 5, 3, 1)
    middle = overlap_count(10, 5, 3, 1)[6:-6].unique().tolist()
    return [made, 32 - transposed_output_size(output_size(32, 5, 3, 1), 5, 3, 1), *middle]


def dark_border(factor: int) -> list[float]:
    """What a map of ones becomes in the middle of the border and in the corner."""
    made = upsample_bilinear(torch.ones(1, 1, 3, 3, dtype=torch.float64), factor, "zero")[0, 0]
    return [made[len(made) // 2, 0].item(), made[0, 0].item()]


def fcn_offset(pad: int) -> int:
    return crop_offset(vgg_padded(pad, 5).then(7).grid.transposed(64, 32), PIXELS)


def vgg_padded(pad: int, pools: int) -> Field:
    """One 3 × 3 padded by `pad`, then so many pools; a 3 × 3 padded by 1 moves no unit."""
    return field_of((3, 1, pad), *[(2, 2)] * pools)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def free_kernels() -> int:
    with META:
        net = models.build("fcn8s", 21, upsampling="learned")
    return sum(parameters(module) for name, module in net.named_children() if name == "upscores")


def unet_of_four() -> list[int]:
    """Pixels lost, the smallest input, and tiles for 500 pixels with inputs of 252."""
    with META:
        net = UNet(2, 1, (4, 4, 4, 4), padding="valid")
    lost = 252 - net(torch.zeros(1, 1, 252, 252, device=META)).shape[2]
    step = (252 - lost) // net.stride * net.stride
    return [lost, smallest_valid(4), -(-500 // step)]


def kept_by_a_level() -> list[float]:
    """128 channels of 64 × 64: the map in MiB, switches at 2 bits in KiB, as torch holds them in MiB, 19 scores in KiB."""
    features = torch.zeros(1, 128, 64, 64)
    switches = max_pool_with_switches(features)[1]
    own, held = (part.numel() * part.element_size() / 2**20 for part in (features, switches))
    return [own, switches.numel() * 2 / 8 / 2**10, held, 19 * 64 * 64 * 4 / 2**10]


def first_light_gap() -> int:
    """The first gap between two objects, in columns of background, whose border term is below 1 everywhere in it."""
    for gap in range(1, 30):
        two = torch.zeros(9, gap + 12, dtype=torch.int64)
        two[2:7, 3:6], two[2:7, gap + 6 : gap + 9] = 1, 2
        if border_weights(two)[4, 6 : gap + 6].max() < 1:
            return gap
    raise AssertionError("no such gap")


def read_along_one_axis(*schedules: tuple[int, ...]) -> list[int]:
    return [gridding.coverage(schedule, axes=1).read for schedule in schedules]


def gains(period: int, *dilations: int) -> list[float]:
    at = torch.tensor([2 * math.pi / period], dtype=torch.float64)
    return [gridding.frequency_response((d,), at).item() for d in dilations]


def front_end_image(units: int) -> list[int]:
    """Mirrored and own size of the image that makes so many units of the front-end."""
    with META:
        front: Any = models.build("dilation_frontend").frontend
        sides = range(units * 8, units * 8 + 400, 4)
        mirrored = next(side for side in sides if side - 372 == 8 * units)
        assert front.backbone(torch.zeros(1, 3, mirrored, mirrored))["drop_fc7"].shape[-1] == units
    return [mirrored, mirrored - 2 * front.mirror]


def two_pixels() -> list[float]:
    """P(1) of 0.8 and 0.4, tied by 1 nat: Z, and the exact marginal of the second."""
    said = torch.tensor([0.8, 0.4], dtype=torch.float64)
    tie = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    listing = list_states(-torch.stack([1 - said, said], 1).log(), tie, potts(2).double())
    return [listing.log_partition.exp().item(), listing.marginals[1, 1].item()]


@cache
def four_pixels() -> tuple[Tensor, Tensor]:
    """Unary and ties of the 2 × 2 image of notebook 08, section 4."""
    image = torch.tensor([[200, 190], [210, 60]], dtype=torch.uint8).expand(3, 2, 2)
    said = torch.tensor([0.9, 0.4, 0.7, 0.3], dtype=torch.float64)
    ties = 1.5 * gaussian_matrix(bilateral_features(image, 3.0, 40.0).double(), self_term=False)
    return -torch.stack([1 - said, said], 1).log(), ties


def pairs_twice() -> float:
    unary, ties = four_pixels()
    states = list_states(unary, ties, potts(2).double()).states[1:2]
    once, twice = (energies(states, 0 * unary, ties, potts(2).double(), ordered_pairs=ordered) for ordered in (False, True))
    return float(twice / once)


def exact_and_mean_field() -> list[float]:
    unary, ties = four_pixels()
    probs = (-unary).softmax(1)
    for _ in range(10):
        probs = (-unary + ties @ probs).softmax(1)
    return [list_states(unary, ties, potts(2).double()).marginals[0, 1].item(), probs[0, 1].item()]


def mean_share(size: int, rate: int) -> float:
    return float(sum(taps * share for taps, share in valid_taps(size, rate).items()) / 9)


def aspp_parameters() -> int:
    with META:
        return parameters(ASPP(512, (6, 12, 18), 128))


def residual_cost() -> list[int]:
    """Weights, multiply-adds and torch's FLOPs of a bottleneck 512 → 128 → 128 → 512 on 28 × 28 units."""
    with META:
        shapes = [(512, 128, 1), (128, 128, 3), (128, 512, 1)]
        block = nn.Sequential(*(nn.Conv2d(a, b, k, padding=k // 2, bias=False) for a, b, k in shapes))
    cost = network_cost(block, (28, 28), channels=512)
    return [cost.parameters, cost.multiply_adds, 2 * cost.multiply_adds]


def short_paths(blocks: int, low: int, high: int, deleted: int) -> list[float]:
    lengths = [sum(chosen) for chosen in product((0, 1), repeat=blocks)]
    return [sum(low <= length <= high for length in lengths) / 2**blocks, 2.0**-deleted]


def a_finer_stage() -> list[float]:
    """Multiply-adds, memory and parameters of a stage on a map twice as fine, as multiples."""
    with META:
        stage = nn.Sequential(*(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU()) for _ in range(6)))
    coarse, fine = (network_cost(stage, (side, side), channels=8) for side in (33, 66))
    names = ("multiply_adds", "activation_bytes", "parameters")
    return [getattr(fine, name) / getattr(coarse, name) for name in names]


@cache
def backbone_costs() -> list[float]:
    """Millions of parameters of ResNet-50 and DenseNet-121; MiB held for one image of 513 at output stride 8."""
    with META:
        nets = [build_backbone(name, output_stride=8) for name in ("resnet50", "densenet121")]
    costs = [network_cost(net, (513, 513)) for net in nets]
    return [*(cost.parameters / 1e6 for cost in costs), *(cost.activation_bytes / 2**20 for cost in costs)]


def smallest_crop(rate: int, share: float) -> list[int]:
    """The smallest map on which a 3 × 3 has such a share of its taps, and the crop that leaves it at output stride 8."""
    size = next(size for size in range(1, 200) if mean_share(size, rate) >= share)
    return [size, 8 * (size - 1) + 1]


def equation_4() -> list[float]:
    row, taps = torch.tensor([[[1.0, 2, 4, 7, 11, 16, 22]]]), torch.tensor([[[1.0, 0, -2]]])
    return [F.conv1d(row, kernel, dilation=2)[0, 0, 1].item() for kernel in (taps, taps.flip(-1))]


def fixed_displacement(pools: int) -> int:
    """How far the last pixel of a block moves along an axis, if unpooling uses the first corner of each window."""
    side, spot = 2**pools, torch.zeros(1, 1, 2**pools, 2**pools)
    spot[..., -1, -1] = 1
    for _ in range(pools):
        spot = max_pool_with_switches(spot)[0]
    assert spot.shape[2:] == (1, 1)
    return side - 1


def unet_size() -> int:
    """What 572 pixels become; 570 are refused."""
    with META:
        net = UNet(num_classes=2, in_channels=1)
        made = net(torch.zeros(1, 1, 572, 572)).shape[2]
        with pytest.raises(ValueError, match="nearest size"):
            net(torch.zeros(1, 1, 570, 570))
    return made


NUMBERS: dict[str, Callable[[], Any]] = {
    "M00.1": lazy_scores,
    "M00.2": absent_classes,
    "M00.3": set_and_images,
    "M01.1": lambda: [doubled(*VGG16), vgg(*VGG16).size],
    "M01.2": lambda: printed_and_expected("fcn-layer-equation"),
    "M01.3": lambda: expected("fcn-907-needs-the-pool"),
    "M01.4": lambda: [row[0] for row in reversed(expected("stride-in-fields"))],
    "M01.5": lambda: [gridding.coverage((2, 2, 2)).read, gridding.coverage((2, 2, 2)).window],
    "M01.6": lambda: [field_of(*[(3,)] * 40).size, 4 * deviation(40)],
    "M02.1": lambda: expected("vgg-fc6")[1],
    "M02.2": lambda: [vgg(*VGG16).then(7).size, vgg(*VGG16).then(7).size - 2 * vgg(*VGG16).then(7).padding],
    "M02.3": saving_of_one_pass,
    "M03.1": lambda: expected("fcn-passes"),
    "M03.2": lambda: expected("fcn-decreased-subsampling"),
    "M03.3": lambda: [*surgery.zero_inserted(torch.ones(1, 1, 3, 3), 2).shape[2:]],
    "M03.4": lambda: printed_and_expected("fcn-larger-fc6"),
    "M03.5": lambda: expected("resnet-stride-conventions")[1],
    "M04.1": lambda: [16 - torch.linalg.matrix_rank(matrix_of(4, 1, 0)).item(), 16],
    "M04.2": lambda: printed_and_expected("slides-jacobian"),
    "M04.3": lambda: [*(n for n in range(1, 20) if output_size(n, 3, 2, 1) == 3), 3],
    "M04.4": lambda: dark_border(4)[0],
    "M04.5": lambda: bilinear_kernel(4).sum().item(),
    "M04.6": lambda: expected("odena-two-dimensions"),
    "M05.1": lambda: [fcn_offset(100), fcn_offset(90)],
    "M05.2": lambda: [(544 - 500) // 2, fcn_offset(100)],
    "M06.2": lambda: fixed_displacement(5),
    "M06.4": unet_size,
    "M06.5": lambda: expected("unet-border-weight")[0],
    "M07.1": equation_4,
    "M07.2": lambda: [vgg(*VGG16).then(7).size, expected("frontend-field")[0]],
    "M07.3": lambda: expected("context-fields")[-3:-1],
    "M07.5": lambda: [gridding.coverage((2, 3, 5)).read, gridding.coverage((2, 3, 5)).window],
    "M08.1": pairs_twice,
    "M08.2": exact_and_mean_field,
    "M08.3": lambda: expected("crf-rnn-parameters"),
    "M09.1": lambda: mean_share(65, 65),
    "M09.2": lambda: printed_and_expected("largefov-field"),
    "M09.3": lambda: spp_window(10, 6)[2],
    "M10.1": backbone_costs,
    "M10.2": lambda: expected("flop-is-two")[0],
    "E00.1": lambda: scores([[40, 10, 0], [5, 30, 5], [0, 0, 10]]),
    "E00.2": lambda: [confusion([[97, 1], [1, 1]]).iou[1].item(), scores([[98, 0], [2, 0]])[0] - scores([[97, 1], [1, 1]])[0]],
    "E01.1": lambda: [*stem_and_stage(), *rows_of(Field(*stem_and_stage()), 10)],
    "E01.2": lambda: [field_of(*[(3,)] * 20).size, 4 * deviation(20), next(n for n in range(1, 999) if 4 * deviation(n) >= 41)],
    "E01.3": fewest_layers,
    "E02.1": converted,
    "E02.2": inner_units,
    "E03.1": half_rarefied,
    "E03.2": wrong_rows,
    "E04.1": transposed_arithmetic,
    "E04.2": lambda: [*matrix_of(5, 2, 1).shape, int(matrix_of(5, 2, 1).count_nonzero())],
    "E04.3": lambda: dark_border(8),
    "E05.1": lambda: crop_offset(vgg_padded(40, 4).then(5).grid.transposed(32, 16), PIXELS),
    "E05.2": lambda: F.cross_entropy(torch.zeros(1, 19, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)).item(),
    "E05.3": free_kernels,
    "E06.1": unet_of_four,
    "E06.2": kept_by_a_level,
    "E06.3": first_light_gap,
    "E07.1": lambda: read_along_one_axis((2, 3), (1, 4), (3, 1, 3)),
    "E07.2": lambda: gains(3, 3, 1, 2),
    "E07.3": lambda: front_end_image(90),
    "E08.1": two_pixels,
    "E08.2": lambda: [(1024 * 2048) ** 2 * 4 / 1e12, 6 * 1024 * 2048 / 1e6],
    "E09.1": lambda: [float(valid_taps(49, 18)[9]), mean_share(49, 18), 16 * 48 + 1],
    "E09.2": aspp_parameters,
    "E09.3": lambda: [spp_window(13, 5)[2], nn.functional.adaptive_avg_pool1d(torch.zeros(1, 1, 13), 5).shape[2]],
    "E10.1": residual_cost,
    "E10.2": lambda: short_paths(16, 6, 10, 2),
    "E10.3": a_finer_stage,
    "E11.1": lambda: smallest_crop(24, 0.5),
    "E11.2": lambda: [np.mean([30 / 100, 90 / 900]), (30 + 90) / (100 + 900)],
    "E11.3": lambda: [poly(3000, 4000), poly(3000, 8000)],
}


# --- the page -------------------------------------------------------------------------------------------------------------------


def rows(page: str, pattern: str) -> list[list[str]]:
    """The cells of all table rows whose first cell matches."""
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines() if line.startswith("| ")]
    return [row for row in cells if re.fullmatch(pattern, row[0])]


def questions(page: str) -> dict[str, tuple[str, str]]:
    """id -> (kind, answer) of all exam questions."""
    parts = re.split(r"^\*\*(E\d\d\.\d)\*\* ", page, flags=re.MULTILINE)[1:]
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        asked, _, rest = text.partition("<details><summary>Answer</summary>\n\n")
        answer, closed, _ = rest.partition("\n\n</details>")
        assert closed, f"{name} has no folded answer"
        found[name] = (re.match(r"\*\((\w+)\)\* ", asked)[1], answer)  # pyright: ignore[reportOptionalSubscript]
    assert len(found) == len(parts) // 2, "two questions have one id"
    return found


def stated(page: str) -> dict[str, list[str]]:
    """id -> the numbers, as they are printed, of every exam answer and every misconception that has some."""
    texts = {row[0]: " ".join(BOLD.findall(row[2])) for row in rows(page, r"M\d\d\.\d")}
    results = {name: re.match(r"\*\*Result:\*\* (.*)", answer) for name, (_, answer) in questions(page).items()}
    texts |= {name: result[1] for name, result in results.items() if result}
    return {name: found for name, text in texts.items() if (found := NUMBER.findall(text))}


def flat(value: Any) -> list[float]:
    return [float(part) for part in np.ravel(np.array(value, dtype=np.float64))]


def differences(name: str, printed: Sequence[str], found: Sequence[float]) -> list[str]:
    if len(printed) != len(found):
        return [f"{name} prints {len(printed)} numbers, {len(found)} are computed: {found}"]
    return [f"{name} prints {text}, computed {value}" for text, value in zip(printed, found, strict=True) if not agrees(text, value)]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_the_page_is_what_is_computed(name: str) -> None:
    assert differences(name, stated(PAGE).get(name, []), flat(NUMBERS[name]())) == []


def test_no_number_of_the_page_goes_unchecked() -> None:
    assert stated(PAGE).keys() == NUMBERS.keys()


def test_a_wrong_number_is_found() -> None:
    assert differences("E", ["0.665", "2,097,664", "−30", "5"], [0.66465, 2097664, -30.0, 5]) == []
    for wrong, value in (("0.664", 0.66465), ("2,097,665", 2097664), ("30", -30.0), ("6", 5.4), ("5", 5.4)):
        assert differences("E", [wrong], [value]) == [f"E prints {wrong}, computed {value}"]
    assert "1 numbers, 2 are computed" in differences("E", ["1"], [1, 2])[0]


def test_numbers_are_read_from_the_page() -> None:
    page = "**E00.1** *(apply)* Why 9?\n\n<details><summary>Answer</summary>\n\n**Result:** 0.5 · 1,234\n\n6 · 7\n\n</details>\n"
    page += "| M00.1 | 9 | not **308** but **212**, 7 | 01 §1 | 00.1 |\n| M00.2 | 9 | none | 01 §1 | – |\n"
    assert stated(page) == {"M00.1": ["308", "212"], "E00.1": ["0.5", "1,234"]}
    assert questions(page)["E00.1"][0] == "apply"


def test_the_exam_has_two_questions_a_notebook_of_every_kind() -> None:
    found = questions(PAGE)
    assert len(found) >= 24
    for number in range(12):
        assert sum(name.startswith(f"E{number:02}.") for name in found) >= 2
        assert sum(row[0].startswith(f"M{number:02}.") for row in rows(PAGE, r"M\d\d\.\d")) >= 2
    assert {kind for kind, _ in found.values()} == {"recall", "apply", "transfer"}
    assert all(len(answer) > 20 for _, answer in found.values())


# --- what the page names --------------------------------------------------------------------------------------------------------

REFERENCE = re.compile(r"\b(\d\d) §(\d+(?:–\d+)?(?:, \d+(?:–\d+)?(?![\d.]| §))*)")
FILES = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
NAMED = dict(re.findall(r"\[(\d\d) · [^\]]*\]\(notebooks/([^)]*)\)", PAGE))
each_notebook = pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=pytest.mark.skipif(n not in FILES, reason=f"notebook {n} is not written yet")) for n in sorted(NAMED)],
)


def numbers_of(text: str) -> list[int]:
    """ "1–3, 5" -> 1, 2, 3, 5"""
    spans = [[int(end) for end in part.split("–")] for part in text.split(", ")]
    return [number for span in spans for number in range(span[0], span[-1] + 1)]


def references(text: str, notebook: str) -> set[int]:
    return {section for number, sections in REFERENCE.findall(text) if number == notebook for section in numbers_of(sections)}


@cache
def text_of(notebook: str) -> tuple[str, ...]:
    return tuple(cell.source for cell in nbformat.read(FILES[notebook], as_version=4).cells if cell.cell_type == "markdown")


def sections_of(notebook: str) -> set[int]:
    return {int(number) for source in text_of(notebook) for number in re.findall(r"^## (\d+) · ", source, re.MULTILINE)}


def sessions() -> list[list[list[str]]]:
    """The rows of the three paths."""
    paths = PAGE.partition("\n## Paths\n")[2].partition("\n## ")[0].split("\n### ")[1:]
    return [rows(path, r"\d+") for path in paths]


def test_references_are_read() -> None:
    text = "00 §2, 6–8, 01 §4, exercises 00.1–00.4, 01.1 and 03 §11; 10 §7 (9)"
    assert (references(text, "00"), references(text, "01")) == ({2, 6, 7, 8}, {4})
    assert (references(text, "03"), references(text, "10")) == ({11}, {7})


@each_notebook
def test_every_section_exists(number: str) -> None:
    found = references(PAGE, number)
    assert found
    assert found <= sections_of(number)
    assert FILES[number].name == NAMED[number]


@each_notebook
def test_every_exercise_exists(number: str) -> None:
    ranges = re.findall(rf"({number}\.\d)–({number}\.\d)", PAGE)
    named = {f"{number}.{n}" for first, last in ranges for n in range(int(first[-1]), int(last[-1]) + 1)}
    named |= {row[4] for row in rows(PAGE, rf"M{number}\.\d")} - {"–"}
    named |= set(re.findall(rf"(?<=[ ,]){number}\.\d(?=[,; |])", "\n".join(row[2] for path in sessions() for row in path)))
    assert named
    assert named <= EXERCISES.keys()
    assert ranges[0] == (f"{number}.1", max(key for key in EXERCISES if key.startswith(number)))  # twelve sessions: all of them


@each_notebook
def test_minutes_are_the_notebooks_own(number: str) -> None:
    (row,) = [row for row in rows(PAGE, r"\[\d\d · .*") if row[0].startswith(f"[{number} ")]
    assert re.findall(r"(\d+) min alone, (\d+) min as a lecture", text_of(number)[0]) == [(row[1], row[2])]


@each_notebook
def test_twelve_sessions_leave_no_section_out(number: str) -> None:
    rows_of_path = sessions()[0]
    assert references("\n".join(" ".join(row[1:3]) for row in rows_of_path), number) == sections_of(number)


def test_each_session_has_fifty_minutes() -> None:
    assert [len(path) for path in sessions()] == [12, 8, 4]
    for path in sessions():
        for row in path:
            items = row[1].split(" · ")
            assert all(re.fullmatch(r"(?:recall|\d\d §\d+(?:–\d+)?) \(\d+\)", item) for item in items), row[1]
            assert sum(int(item.rpartition("(")[2][:-1]) for item in items) == 50, row[0]
