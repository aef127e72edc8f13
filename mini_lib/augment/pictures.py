"""The arguments of every augmentation, checked in one place: a batch or a bare tensor of pictures, and a generator."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mini_lib.batch import Batch
from mini_lib.fit import predict
from mini_lib.tensor_checks import need_tensor


def on_images(
    batch: Batch | Tensor,
    generator: torch.Generator,
    change: Callable[[Tensor, Tensor | None], Tensor],
    *,
    any_unit: bool = False,
) -> Batch | Tensor:
    """Return `batch` with its pictures changed by `change(images, labels)`, a batch or a tensor as it was given.

    `change` gets the labels of the batch, or None where only pictures were given. It must not write to the pictures
    that it gets; labels are copied. `any_unit` allows floating-point pictures of any unit, for changes that are the
    same in every unit.

    Raises:
        TypeError: `batch` is neither, the pictures have another dtype, or `generator` is not a `torch.Generator`.
        ValueError: the shape of the pictures is not [N, 1 or 3, height, width], or they are not on the CPU.
    """
    need_generator(generator)
    if isinstance(batch, Batch):
        need_pictures(batch.images, any_unit=any_unit)
        return Batch(change(batch.images, batch.labels), batch.labels.clone())
    need_pictures(batch, any_unit=any_unit)
    return change(batch, None)


def need_pictures(images: object, *, any_unit: bool = False) -> None:
    """Refuse anything but uint8 [N, 1 or 3, height, width]; `any_unit` allows floating point too.

    Raises:
        TypeError: it is not a tensor, or has another dtype.
        ValueError: it has another shape, or is not on the CPU.

    >>> need_pictures(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    """
    if not isinstance(images, Tensor):
        got = type(images).__name__
        raise TypeError(
            f"augmentation takes a Batch or a tensor of pictures, got {got}; use torch.from_numpy(...), say"
        )
    if images.dtype != torch.uint8 and not (any_unit and images.is_floating_point()):
        raise TypeError(
            f"pictures must be uint8, 0 for black to 255 for white, got {images.dtype}; for standardised pictures, as "
            "those of fashion(), use Standardised(augment)"
        )
    if images.device.type != "cpu":
        raise ValueError(f"pictures are augmented on the CPU, got them on {images.device}; use images.cpu()")
    if images.layout != torch.strided:
        raise TypeError(f"pictures must be a dense tensor, got {images.layout}; use images.to_dense()")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise ValueError(
            f"pictures must have shape [N, 1 or 3 channels, height, width], got {list(images.shape)}; "
            "one picture alone is image.unsqueeze(0), and grey pictures need images.unsqueeze(1)"
        )


def one_or_each(name: str, value: object, check: Callable[..., float]) -> float | tuple[float, ...]:
    """Return one number for all channels, or a tuple of one per channel, after `check` has passed each.

    Raises:
        TypeError, ValueError: as the check.
    """
    fix = "give that of the training pixels, one number or one per channel"
    if isinstance(value, Tensor):
        value = need_tensor(name, value, dims=(0, 1), fix=fix).tolist()
    if isinstance(value, Iterable):
        return tuple(check(name, one, fix=fix) for one in value)
    return check(name, value, fix=fix)


def per_channel(mean: object, std: object, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and std as tensors [1 or channels, 1, 1] of the dtype of the images.

    Raises:
        ValueError: they are neither one number nor one for each channel.
    """
    each = [torch.as_tensor(value, dtype=images.dtype).reshape(-1, 1, 1) for value in (mean, std)]
    if not all(len(value) in (1, images.shape[1]) for value in each):
        raise ValueError(
            f"mean and std must be one number, or one for each of {images.shape[1]} channels, got {mean} and "
            f"{std}; give those of this data"
        )
    return tuple(each)


def logits_of(net: nn.Module, images: Tensor) -> Tensor:
    """Return a net's logits for pictures, [N, classes], in evaluation mode.

    Raises:
        ValueError: it cannot take them, or returns something else.
    """
    try:
        logits = predict(net, images)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"the model cannot judge pictures {list(images.shape)} of {images.dtype}: {error}; give it pictures of its "
            "own shape and dtype"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model must give logits [N, classes], got {got}; flatten its output")
    return logits


def need_generator(generator: object) -> None:
    """Refuse anything but a generator: with None, torch would draw from its global random state.

    Raises:
        TypeError: it is not a `torch.Generator`.
    """
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {type(generator).__name__}; use torch.Generator().manual_seed(0)"
        )
