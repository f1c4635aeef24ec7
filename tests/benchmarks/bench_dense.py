"""One dense pass against sliding crops, and one à trous pass against f² shifted ones: seconds, paired, beside the predicted multiply-adds.

    python tests/benchmarks/bench_dense.py [turns]

Sliding crops: torchvision's VGG-16 convolutionalised, 512 × 512, so a grid of 10 × 10 places of 224 × 224. Shifted passes: a VGG-shaped
net without padding, width 16, whose last convolution stands for fc6, on 160 × 160.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import vgg16

from edu_seg.surgery import convolutionalise, remove_stride, shift_and_stitch


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def multiply_adds(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def report(name: str, slow: Callable[[], object], fast: Callable[[], object], turns: int) -> None:
    fast()
    ratios = [seconds(slow) / seconds(fast) for _ in range(turns)]
    predicted = multiply_adds(slow) / multiply_adds(fast)
    print(
        f"{name}: {statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f}); multiply-adds {predicted:.1f} : 1"
    )


def crops(image: Tensor, size: int, stride: int) -> list[Tensor]:
    places = range(0, image.shape[2] - size + 1, stride)
    return [image[:, :, top : top + size, left : left + size] for top in places for left in places]


def vgg_shaped(pools: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 3
    for stage in range(pools):
        made = 16 * 2**stage
        layers += [nn.Conv2d(width, made, 3), nn.ReLU(), nn.Conv2d(made, made, 3), nn.ReLU(), nn.MaxPool2d(2)]
        width = made
    return nn.Sequential(*layers, nn.Conv2d(width, 4 * width, 5), nn.ReLU(), nn.Conv2d(4 * width, 5, 1))


@torch.inference_mode()
def main(turns: int) -> None:
    torch.manual_seed(0)
    classifier = vgg16().eval()
    dense = convolutionalise(classifier, (224, 224))
    image = torch.randn(1, 3, 512, 512)
    report("dense pass, VGG-16, 10 × 10", lambda: [classifier(crop) for crop in crops(image, 224, 32)], lambda: dense(image), turns)
    for pools in (2, 3):
        net, factor = vgg_shaped(pools), 2**pools
        fine, image = remove_stride(net, 1), torch.randn(1, 3, 160, 160)
        torch.testing.assert_close(fine(image), shift_and_stitch(net, image, factor), rtol=1e-4, atol=1e-5)
        report(f"à trous pass, f = {factor}", lambda: shift_and_stitch(net, image, factor), lambda: fine(image), turns)  # noqa: B023


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
