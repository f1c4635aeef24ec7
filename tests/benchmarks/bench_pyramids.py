"""Training throughput, forward and backward, of DeepLab v3 and PSPNet against the same networks of other libraries, in turn in one process.

Run: python tests/benchmarks/bench_pyramids.py [--pairs 7] [--size 256] [--batch 4] [--threads 2] [--device cpu] [--bf16] [--peers FOLDER]

DeepLab v3: torchvision's deeplabv3_resnet50 (output stride 8, auxiliary head), ours with the same options and weights, so the losses are
compared first. PSPNet: torchvision has none; pytorchcv (`pip install --no-deps --target FOLDER pytorchcv`, then --peers FOLDER) has one
with the deep stem, a dilated ResNet-50 and the auxiliary head, in which the stride sits in the 3 × 3, so ours is built so too. Both sides
take images in the same memory format, each in the one that is faster for it.
"""

import argparse
import sys
import time
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_resnet50

from edu_seg import models
from edu_seg.losses import AuxiliaryLoss, CrossEntropy

CLASSES = 21


def ours(name: str, **options: Any) -> nn.Module:
    return models.build(name, CLASSES, auxiliary=True, dropout=0.0, **options)


def two_heads(outputs: object) -> tuple[Tensor, Tensor]:
    """(logits, auxiliary logits) from what another library's net returns."""
    if isinstance(outputs, dict):
        return outputs["out"], outputs["aux"]
    assert isinstance(outputs, tuple)
    return outputs[0], outputs[1]


def pairs(size: int) -> dict[str, tuple[nn.Module, nn.Module]]:
    """name -> (ours, another library's)."""
    theirs = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
    own = ours("deeplab_v3_resnet50", output_stride=8, convention="exact", stride_in="3x3", multi_grid=(1, 1, 1))
    own.load_state_dict(theirs.state_dict())
    found: dict[str, tuple[nn.Module, nn.Module]] = {"DeepLab v3, torchvision": (own, theirs)}
    try:
        from pytorchcv.models.pspnet import pspnet_resnetd50b_voc  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("no pytorchcv: PSPNet has no peer here")
    else:
        peer = pspnet_resnetd50b_voc(pretrained_backbone=False, num_classes=CLASSES, aux=True, in_size=(size, size))
        found["PSPNet, pytorchcv"] = (ours("pspnet_resnet50", stride_in="3x3"), peer)
    for module in (module for _, other in found.values() for module in other.modules() if isinstance(module, nn.Dropout)):
        module.p = 0.0  # as in ours, so that the losses can be compared
    return found


class Side:
    """One net with its images in one memory format."""

    def __init__(self, net: nn.Module, images: Tensor, labels: Tensor, memory_format: torch.memory_format, bf16: bool) -> None:
        self.net = net.to(memory_format=memory_format).train()  # pyright: ignore[reportCallIssue]
        self.images, self.labels, self.bf16 = images.contiguous(memory_format=memory_format), labels, bf16
        self.loss = AuxiliaryLoss(CrossEntropy(), 0.4)

    def step(self) -> float:
        """Seconds of one forward and backward pass."""
        self.net.zero_grad()
        self._wait()
        start = time.perf_counter()
        with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.bf16):
            call = getattr(self.net, "forward_with_auxiliary", self.net)
            self.value = self.loss(two_heads(call(self.images)), self.labels)
        self.value.backward()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.images.device.type == "cuda":
            torch.cuda.synchronize()


def quicker_format(net: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> torch.memory_format:
    formats = (torch.contiguous_format, torch.channels_last)
    times = {}
    for memory_format in formats:
        side = Side(net, images, labels, memory_format, bf16)
        side.step()
        times[memory_format] = min(side.step() for _ in range(2))
    return min(formats, key=times.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--pairs", 7), ("--size", 256), ("--batch", 4), ("--threads", 2)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--peers")
    options = parser.parse_args()
    if options.peers:
        sys.path.append(options.peers)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    labels = torch.randint(0, CLASSES, (options.batch, options.size, options.size), device=options.device)
    print(f"torch {torch.__version__}, {options}")
    for name, nets in pairs(options.size).items():
        formats = [quicker_format(net.to(options.device), images, labels, options.bf16) for net in nets]
        own, other = (Side(net, images, labels, one, options.bf16) for net, one in zip(nets, formats, strict=True))
        turns = [(own.step(), other.step()) for _ in range(options.pairs)]
        ratios = [theirs / mine for mine, theirs in turns]
        mine, theirs = (options.batch / median(column) for column in zip(*turns, strict=True))
        print(f"{name}: ours {mine:.2f} images/s ({formats[0]}), theirs {theirs:.2f} ({formats[1]}), ratio {median(ratios):.3f} ", end="")
        sizes = [sum(p.numel() for p in net.parameters()) for net in nets]
        print(f"[{min(ratios):.3f} .. {max(ratios):.3f}]; losses {own.value:.4f}, {other.value:.4f}; {sizes}")


if __name__ == "__main__":
    main()
