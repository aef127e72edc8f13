"""Models in files: what a file stores, how large it is, and how to read it back.

One file is one safetensors archive (8 bytes of length, a JSON header, then the bytes of all tensors) and holds the
model's state dict, with nothing added and nothing left out. The header's metadata says in which format each quantized
layer is written, and holds a seal, the sha256 of the whole file, which detects a single changed bit. The file contains
no pickle: reading it never runs code from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mini_lib.copying import need_module
from mini_lib.files import UNSEALED, seal_holds, sealed, write_file
from mini_lib.fold import FoldedBatchNorm, fold_batch_norm
from mini_lib.quantize.formats import Format, format_from_json, format_to_json
from mini_lib.quantize.integer import IntegerNet
from mini_lib.quantize.layers import QuantizedLayer, is_weight_layer, quantized_layer
from mini_lib.quantize.packed import PackedLayer
from mini_lib.quantize.qtensor import from_parts
from mini_lib.quantize.state import left_out, load_state, need_left_out, need_own_state, stored_tensors
from mini_lib.quantize.train.layers import FakeQuantLayer
from mini_lib.require import callable_, of_type
from mini_lib.surgery import swap

METADATA = "mini_lib"  # our only key in the header; its value is JSON, with these keys:
DESCRIPTION = {"folded": bool, "formats": list, "layers": dict}
SEAL = "sha256"  # two more keys, which older files may not have
LEFT_OUT = "left_out"
# Modules that hold more than their state dict says, such as zero points and formats: a file would not restore them.
BEFORE = {
    IntegerNet: "to_integers(model, example)",
    PackedLayer: "pack_for_speed(model)",
    FakeQuantLayer: "prepare(model, fmt), or export it",
}


@dataclass(frozen=True)
class StoredSize:
    """What a saved model occupies: the tensors, and the header that names them.

    >>> StoredSize(payload_bytes=1000, header_bytes=200).file_bytes
    1200
    """

    payload_bytes: int
    header_bytes: int

    @property
    def file_bytes(self) -> int:
        return self.payload_bytes + self.header_bytes


def stored_size(model: nn.Module) -> StoredSize:
    """Return the exact size of the file that `save_model(model, path)` would write, without writing it.

    The payload is `measure.stored_bytes(model)`. The header does not shrink with the bits: it takes some 100 bytes per
    tensor, which is nothing next to a large model but a fifth of a tiny one at 1 bit.

    Raises:
        TypeError: `model` is not a module.
        ValueError: a tensor has no values (it is on the meta device), is sparse, or is of a dtype that a file cannot
            hold; or the state dict holds something other than tensors.

    >>> stored_size(nn.Linear(4, 3)).payload_bytes                      # (12 + 3) * 4
    60

    Source: the safetensors format, https://github.com/huggingface/safetensors, section "Format".
    """
    return _size(model, _file_content(model))


def file_bytes(model: nn.Module) -> int:
    """Return the exact size in bytes of the file that `save_model(model, path)` would write, header included.

    Raises:
        TypeError, ValueError: as `stored_size`.
    """
    return stored_size(model).file_bytes


def save_model(model: nn.Module, path: str | Path) -> StoredSize:
    """Write `model`, float or quantized, to one safetensors file, and return its size.

    The file appears whole or not at all.

    Raises:
        TypeError: `model` is not a module, or `path` not a path.
        ValueError: the folder of `path` does not exist, or `path` is something other than a file; the model is an
            integer, packed or fake-quant model, or its `state_dict()` holds something other than its tensors (because
            of a hook, for example), which `load_model` could not restore; or as `stored_size`.
        OSError: the disk is full, or the folder is read-only; the file is as it was.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     size = save_model(nn.Linear(4, 3), Path(folder) / "line.safetensors")
    ...     size.file_bytes == os.stat(Path(folder) / "line.safetensors").st_size
    True
    """
    _need_path(path)
    need_module(model)
    for name, module in model.named_modules():
        for kind, how in BEFORE.items():
            if isinstance(module, kind):
                what = f"layer '{name}'" if name else "the model"
                raise ValueError(
                    f"{what} is of type {type(module).__name__}, which no file can restore; save it before {how}"
                )
    need_own_state(model)
    content = _file_content(model)
    write_file(path, content)
    return _size(model, content)


def load_model(path: str | Path, build: Callable[[], nn.Module]) -> nn.Module:
    """Return the saved model in eval mode, equal to the last bit.

    A buffer with `persistent=False` is not in the file. It is as `build` makes it, which has to match the saved model.
    A file in which a bit has changed is refused. Files of earlier versions, which have no seal, are read unchecked.

    Args:
        path: a file that `save_model` wrote.
        build: makes the float model that was quantized, as it was before batch norm was folded; its weights do not
            matter. An example is `zoo.small_cnn`.

    Raises:
        TypeError: `path` is not a path, or `build` cannot be called or gives no module.
        ValueError: there is no such file, it is damaged, it was not written by `save_model`, it is written in an
            unknown format, or it holds another model than `build` makes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_model(nn.Linear(4, 3), Path(folder) / "line.safetensors")
    ...     load_model(Path(folder) / "line.safetensors", lambda: nn.Linear(4, 3))
    Linear(in_features=4, out_features=3, bias=True)
    """
    tensors, description, gone = _read(Path(_need_path(path)))
    model = callable_("build", build, fix="pass a function that makes the float model")()
    need_module(model)
    model.eval()
    if description["folded"]:
        model = fold_batch_norm(model)
    try:
        formats = [format_from_json(json.dumps(fmt)) for fmt in description["formats"]]
        layers = {name: _layer(model, name, entry, formats, tensors) for name, entry in description["layers"].items()}
        for name, entry in description["layers"].items():
            if "tied" in entry:
                layers[name].tie_to(layers[entry["tied"]])
        model = swap(model, layers)
        load_state(model, tensors)
        need_left_out(model, gone)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path}: its header does not fit its tensors ({error!r}); save the model again") from error
    return model


# --- what is written -----------------------------------------------------------------------------------------------


def _file_content(model: nn.Module) -> bytes:
    need_module(model)
    stored = stored_tensors(model)
    if unfit := [name for name, tensor in stored.items() if tensor.is_meta or tensor.layout != torch.strided]:
        raise ValueError(f"'{unfit[0]}' is sparse or on the meta device; make it a dense tensor with values")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in stored.items()}
    try:
        content = safetensors.torch.save(tensors, {METADATA: json.dumps(_describe(model), separators=(",", ":"))})
    except KeyError as error:
        raise ValueError(f"a tensor is {error.args[0]}, which a safetensors file cannot hold; cast it first") from error
    return sealed(content)


def _size(model: nn.Module, content: bytes) -> StoredSize:
    payload_bytes = sum(tensor.nbytes for tensor in stored_tensors(model).values())
    return StoredSize(payload_bytes, header_bytes=len(content) - payload_bytes)


def _describe(model: nn.Module) -> dict:
    """Return what a reader must know besides the tensors: whether batch norm was folded, and the formats of each layer.

    Layers mostly share a format, so each format is written once and the layers refer to it.
    """
    formats: list[str] = []
    layers = {}

    def number(fmt: Format) -> int:
        text = format_to_json(fmt)
        if text not in formats:
            formats.append(text)
        return formats.index(text)

    owners: dict[Tensor, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLayer):
            layers[name] = {"shape": list(module.weight_shape), "weight": number(module.weight_fmt)}
            codes = next(part for part in module._buffers if part.startswith("weight_"))
            if (owner := owners.setdefault(module._buffers[codes], name)) != name:
                layers[name]["tied"] = owner
            if module.input_fmt is not None:
                layers[name]["input"] = number(module.input_fmt)
    folded = any(isinstance(module, FoldedBatchNorm) for module in model.modules())
    read = {SEAL: UNSEALED, "folded": folded, "formats": [json.loads(text) for text in formats], "layers": layers}
    return read | ({LEFT_OUT: gone} if (gone := left_out(model)) else {})


# --- the way back --------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[dict[str, Tensor], dict, dict]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}; save_model(model, path) writes one")
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error}); save the model again") from error
    try:
        description = json.loads(header["__metadata__"][METADATA])
        described = {key: kind(description[key]) for key, kind in DESCRIPTION.items()}
        gone = dict(description.get(LEFT_OUT, {}))
        unknown = set(description) - {*DESCRIPTION, SEAL, LEFT_OUT}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged, or was not written by save_model: its header does not describe a model"
        ) from error
    if unknown or (SEAL in description and not seal_holds(content, description[SEAL])):
        raise ValueError(f"{path} is damaged: it is not, bit by bit, what save_model wrote; save the model again")
    return tensors, described, gone


def _layer(
    model: nn.Module, name: str, entry: dict, formats: list[Format], tensors: dict[str, Tensor]
) -> QuantizedLayer:
    """Build the quantized layer that the header describes, to replace the layer that `build` made."""
    try:
        old = model.get_submodule(name)
    except AttributeError:
        old = None
    if old is None or not is_weight_layer(name, old):
        found = "has no such layer" if old is None else f"makes it a {type(old).__name__}"
        raise ValueError(f"the file holds a quantized layer '{name}' and build() {found}; pass the build of this model")
    if list(old.weight.shape) != entry["shape"]:
        raise ValueError(
            f"layer '{name}' has weights {entry['shape']} in the file and {list(old.weight.shape)} from build(); pass "
            "the build of this model"
        )
    stem = f"{name}." if name else ""
    prefix = f"{entry.get('tied', name)}.weight_".removeprefix(".")
    parts = {key.removeprefix(prefix): part for key, part in tensors.items() if key.startswith(prefix)}
    try:
        weight = from_parts(parts, formats[entry["weight"]], tuple(entry["shape"]))
        layer = quantized_layer(old, weight)
        if layer.bias is None and f"{stem}bias" in tensors:  # bias correction gives a bias to layers without one
            layer.bias = nn.Parameter(tensors[f"{stem}bias"])
        if "input" in entry:
            scale, zero_point = tensors[f"{stem}input_scale"], tensors[f"{stem}input_zero_point"]
            layer.set_input_grid(formats[entry["input"]], scale, zero_point)
    except ValueError as error:
        raise ValueError(f"layer '{name}': {error}") from error
    return layer


def _need_path(path: object) -> str | os.PathLike:
    return of_type("path", path, (str, os.PathLike), fix="give the name of a file")
