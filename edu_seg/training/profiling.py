"""Where the time of a training step goes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

PARTS = ("data", "forward", "backward", "optimiser")


class StepTimes:
    """Seconds spent in each of `PARTS`, added up until `take`; with `enabled` False nothing is measured.

    A GPU works behind Python's back, so there its own clock is read, by events in its queue; nothing waits before `take`. What Python
    waits for the next batch counts as data.
    """

    def __init__(self, device: torch.device, enabled: bool) -> None:
        self.on_gpu, self.enabled = device.type == "cuda", enabled
        self._seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if not self.enabled:
            yield
        elif self.on_gpu and name != "data":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            yield
            last.record()
            self._events.append((name, first, last))
        else:
            start = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """The sums since the last time; empty where nothing is measured."""
        if not self.enabled:
            return {}
        if self._events:
            torch.cuda.synchronize()
        for name, first, last in self._events:
            self._seconds[name] += first.elapsed_time(last) / 1000
        found = {name: round(seconds, 6) for name, seconds in self._seconds.items()}
        self._seconds, self._events = dict.fromkeys(PARTS, 0.0), []
        return found


def shares(seconds: Mapping[str, float]) -> str:
    """One line: data 3 %, forward 32 % …"""
    total = sum(seconds.values()) or 1.0
    return ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in seconds.items())
