"""Bringing images to the device: worker processes that live as long as the run, and errors that name the image."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


@runtime_checkable
class Samples(Protocol):
    """A data set: so many pairs of an image (3, H, W) and labels (H, W). Every set of `edu_seg.datasets` is one, and so is a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, ...]: ...


class LostWorker(RuntimeError):
    """A process that loads images has died."""


class Loader:
    """`loader(batches)`: the images and labels of these lists of indices, on the device. Nothing random happens here.

    Worker processes start with the first call and serve all later ones: what they have imported and cached stays. On a GPU, batches lie
    in pinned memory, so that copying one does not keep the device waiting.

    Raises, of what the data set raises, an OSError or ValueError that names the item, whichever process met it; ValueError where the
    images of a batch differ in size.
    """

    def __init__(self, data: Samples, device: torch.device, num_workers: int = 0) -> None:
        self.device, self._order = device, []
        self._loader = DataLoader(
            _Guarded(data),
            batch_sampler=self._order,
            collate_fn=collate,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            persistent_workers=num_workers > 0,
            prefetch_factor=4 if num_workers else None,
        )

    def __call__(self, batches: Iterable[list[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        self._order[:] = batches
        for batch in self._received():
            if isinstance(batch, Exception):
                raise batch
            images, labels = (part.to(self.device, non_blocking=self.device.type == "cuda") for part in batch)
            yield images, labels

    def _received(self) -> Iterator[Any]:
        """What the DataLoader gives. A worker that dies while it hands a batch over breaks the line before PyTorch sees it dead."""
        batches = iter(self._loader)
        while True:
            try:
                yield next(batches)
            except StopIteration:
                return
            except (EOFError, ConnectionError) as error:
                if self._loader.num_workers == 0 or str(error).startswith("Caught "):  # raised by the data, not by the line
                    raise
                raise LostWorker(_lost_words("it broke off in the middle of a batch")) from error


class _Guarded(Dataset):
    """A data set that hands its errors over as items: out of a worker process an error comes back as a page of traceback."""

    def __init__(self, data: Samples) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, ...] | Exception:
        try:
            return self.data[index]
        except Image.DecompressionBombError as error:  # a plain Exception of Pillow's: a picture of far too many pixels
            return ValueError(f"{error} (Item {index} of the data.)")
        except (OSError, ValueError) as error:
            return type(error)(f"{error} (Item {index} of the data.)") if type(error) in (OSError, ValueError) else error


def collate(samples: Sequence[tuple[Tensor, Tensor] | Exception]) -> tuple[Tensor, Tensor] | Exception:
    """Stack (image, labels) pairs; of errors the first, and an error where sizes differ, naming them."""
    for sample in samples:
        if isinstance(sample, Exception):
            return sample
    images, labels = zip(*samples, strict=True)
    sizes = {tuple(image.shape[-2:]) for image in images}
    if len(sizes) > 1:
        return ValueError(f"One batch holds images of different sizes {sorted(sizes)}: crop or resize them, or use a batch size of 1.")
    return torch.stack(images), torch.stack(labels)


def lost_worker(error: BaseException) -> LostWorker | None:
    """What PyTorch says, in whatever line of the program it noticed, where it means that a worker process has died."""
    if not isinstance(error, RuntimeError) or "DataLoader worker" not in str(error):
        return None
    reason = str(error).splitlines()[0].rstrip(". ")
    return LostWorker(_lost_words(reason))


def _lost_words(reason: str) -> str:
    return (
        f"A process that loads images has died ({reason}). Most often the system ended it for want of memory: take fewer num_workers or "
        "smaller crops."
    )
