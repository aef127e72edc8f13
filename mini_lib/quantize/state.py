"""The state of a model as a file holds it: which tensors these are, and whether they restore the model."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

import torch
from torch import Tensor, nn


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the state dict by name, contiguous; a tensor that is held under two names appears once.

    Raises:
        ValueError: the state dict holds something other than tensors.

    >>> linear = nn.Linear(2, 2, bias=False)
    >>> list(stored_tensors(nn.Sequential(linear, linear)))
    ['0.weight']
    """
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"'{name}' of the model is of type {type(tensor).__name__}, and a file holds only tensors; let "
                "get_extra_state return a tensor, and set_extra_state take it"
            )
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if place not in seen or tensor.numel() == 0:
            seen.add(place)
            tensors[name] = tensor
    return tensors


def need_own_state(model: nn.Module) -> None:
    """Refuse a model whose state dict leaves out or changes one of its tensors: it would come back different.

    Raises:
        ValueError: the state dict does so.
    """
    state = model.state_dict()
    for prefix, module in model.named_modules():
        kept = {
            name: buffer for name, buffer in module._buffers.items() if name not in module._non_persistent_buffers_set
        }
        for part, tensor in {**module._parameters, **kept}.items():
            name = f"{prefix}.{part}".strip(".")
            if tensor is not None and not (isinstance(state.get(name), Tensor) and _same_bits(state[name], tensor)):
                raise ValueError(
                    f"'{name}' of the model is not what its state_dict() holds, so no file could restore it; remove "
                    "the hook or the state_dict of its own that changes it"
                )


def load_state(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load the tensors of the file into the model after checking that names, shapes and dtypes are equal.

    Raises:
        ValueError: they differ, or the model holds something else afterwards.
    """
    own = stored_tensors(model)
    if missing := sorted(set(own) - set(tensors)):
        raise ValueError(f"the file lacks '{missing[0]}', which build() makes; pass the build of this model")
    if extra := sorted(set(tensors) - set(own)):
        raise ValueError(f"the file holds '{extra[0]}', which build() does not make; pass the build of this model")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise ValueError(
                f"'{name}' is {tensor.dtype} {list(tensor.shape)} in the file and {own[name].dtype} "
                f"{list(own[name].shape)} from build(); pass the build of this model"
            )
    state = OrderedDict(tensors)
    state._metadata = getattr(model.state_dict(), "_metadata", {})  # the versions of the layers, which torch asks for
    model.load_state_dict(state, strict=False)  # of tied tensors, the file holds one
    for name, tensor in stored_tensors(model).items():
        if not _same_bits(tensor, tensors[name]):
            raise ValueError(f"the model holds something else as '{name}' once it is loaded; check its load_state_dict")


def left_out(model: nn.Module) -> dict[str, list]:
    """Return the size in bytes and the sha256 of each buffer that the state dict leaves out, by name.

    >>> model = nn.Linear(2, 2)
    >>> model.register_buffer("table", torch.zeros(3), persistent=False)
    >>> left_out(model)["table"][0]
    12
    """
    found = {}
    for prefix, module in model.named_modules():
        for part in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(part)
            if buffer is not None and not buffer.is_meta and buffer.layout is torch.strided:
                content = _bytes(buffer).numpy().tobytes()
                found[f"{prefix}.{part}".strip(".")] = [len(content), sha256(content).hexdigest()]
    return found


def need_left_out(model: nn.Module, saved: dict[str, list]) -> None:
    """Refuse a model whose buffers outside the state dict differ from those of the saved model, given in `left_out`.

    A buffer of another size is no constant: it may be a cache, which grows while a model runs.

    Raises:
        ValueError: a buffer has the same size and other values.
    """
    for name, (size, digest) in left_out(model).items():
        if name in saved and saved[name][0] == size and saved[name][1] != digest:
            raise ValueError(
                f"buffer '{name}' is not in the file, since it is not persistent, and build() makes it otherwise than "
                "the saved model had it; register it with persistent=True"
            )


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if (one.dtype, one.shape, one.layout, one.is_meta) != (other.dtype, other.shape, other.layout, other.is_meta):
        return False
    if one.is_meta or one.layout is not torch.strided:  # which are refused where the file is written
        return True
    return torch.equal(_bytes(one), _bytes(other))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
