"""On what a run computes: the device, and the versions that a figure depends on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("edu_seg", "torch", "torchvision", "accelerate", "numpy")


def machine(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """The device, how many processes and threads compute, and versions; of packages that are not installed, none. JSON values."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    facts: dict[str, Any] = {"device": name} | ({"processes": processes} if processes > 1 else {})
    return facts | {"threads": torch.get_num_threads(), "python": platform.python_version()} | _versions()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from its folder, or without the extra that brings it
            continue
    return found


def _processor() -> str:
    """The processor's name and how many of its cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
