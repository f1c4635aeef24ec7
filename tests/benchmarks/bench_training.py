"""Images a second of training, forward, backward and optimiser; made for a GPU, and it runs on a CPU.

Run: python tests/benchmarks/bench_training.py [--device cuda] [--size 513] [--batch 16] [--steps 20] [--compile] [--peak 989] [--models …]

Without --models the nets of `NAMES`, one of each kind; `--models all`: every model of the course (one that cannot take the size says so).

The batch lies on the device already; weights are float32, computation bfloat16 by autocast, maps channels-last, the optimiser fused. The
last columns: TFLOP/s, three times the forward pass's multiply-adds, each two operations, and its share of --peak, the device's own figure
in TFLOP/s for dense bfloat16 (H100 and H200: 989). Of the two models that torchvision has, the ratio of the times of alternating steps.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50, fcn_resnet50

from edu_seg import models
from edu_seg.costs import network_cost
from edu_seg.losses import CrossEntropy
from edu_seg.training import FitConfig, make_optimiser

CLASSES = 21
NAMES = (
    "fcn8s",
    "deconvnet",
    "segnet",
    "unet",
    "dilation8",
    "drn_c_26",
    "deeplab_v2_vgg16",
    "deeplab_v3_resnet50",
    "pspnet_resnet50",
    "fcn_resnet50",
)
OPTIONS = {"unet": {"padding": "same", "in_channels": 3}, "deeplab_v3_resnet50": {"output_stride": 8}}
SIZES = {"deconvnet": 224}
PEERS: dict[str, Callable[..., nn.Module]] = {"deeplab_v3_resnet50": deeplabv3_resnet50, "fcn_resnet50": fcn_resnet50}


class Trainer:
    """One net, and its next step on one batch."""

    def __init__(self, net: nn.Module, size: int, options: argparse.Namespace) -> None:
        self.device, self.bf16 = torch.device(options.device), not options.float32
        self.net = net.to(self.device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
        self.call = torch.compile(self.net) if options.compile else self.net
        self.optimiser = make_optimiser(net, FitConfig(lr=1e-4))
        shape = (options.batch, 3, size, size)
        self.images = torch.randn(shape, device=self.device).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, CLASSES, (options.batch, size, size), device=self.device)

    def step(self) -> float:
        """Its seconds."""
        self._wait()
        start = time.perf_counter()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.call(self.images)
            logits = logits["out"] if isinstance(logits, dict) else logits
            loss = CrossEntropy()(logits, self.labels)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(name: str, options: argparse.Namespace) -> str:
    torch.manual_seed(0)
    size: int = SIZES.get(name) or options.size
    with torch.device("meta"):
        work = 6 * network_cost(models.build(name, CLASSES, **OPTIONS.get(name, {})), (size, size), batch=2).multiply_adds / 2
    own = Trainer(models.build(name, CLASSES, **OPTIONS.get(name, {})), size, options)
    sides = [own]
    if name in PEERS:
        sides.append(Trainer(PEERS[name](weights=None, weights_backbone=None, num_classes=CLASSES), size, options))
    for side in sides:
        for _ in range(3):
            side.step()
    turns = [[side.step() for side in sides] for _ in range(options.steps)]
    speed = options.batch / median(turn[0] for turn in turns)
    flops = speed * work / 1e12
    share = f"{100 * flops / options.peak:>7.1f} %" if options.peak else ""
    ratio = f"   ratio to torchvision {median(turn[1] / turn[0] for turn in turns):.2f}" if len(sides) > 1 else ""
    return f"{name:<22}{size:>5}{speed:>12.1f} images/s{flops:>9.2f} TFLOP/s{share}{ratio}"


def measured(name: str, options: argparse.Namespace) -> str:
    """The line of a net, or why there is none: one that fails does not end the table."""
    try:
        return measure(name, options)
    except (ValueError, RuntimeError) as error:
        return f"{name:<22}not measured: {str(error).splitlines()[0]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--size", 513), ("--batch", 16), ("--steps", 20)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--peak", type=float)
    parser.add_argument("--models", nargs="*", default=NAMES)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {where}, {vars(options)}")
    for name in models.MODELS if list(options.models) == ["all"] else options.models:
        print(measured(name, options), flush=True)


if __name__ == "__main__":
    main()
