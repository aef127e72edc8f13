"""Saving and loading: to the last bit, to the exact size, and every way in which a file can be wrong."""

import json
import os
import stat
import struct

import pytest
import safetensors.torch
import torch
from torch import nn

from mini_lib import measure, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    LADDER,
    CodebookFormat,
    IntFormat,
    NF4Format,
    PerGroup,
    TernaryFormat,
    pack_for_speed,
    prepare,
    rung,
    storage,
    to_integers,
)
from mini_lib.quantize.bias_correction import correct_bias
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights, quantize_weights_and_activations
from mini_lib.quantize.storage import file_bytes, load_model, save_model, stored_size

FORMATS = [
    *map(rung, LADDER), rung(5), rung(16).__class__(torch.float16), IntFormat(3, symmetric=False),
    IntFormat(4, symmetric=False, signed=False, granularity=PerGroup(9), scale_dtype=torch.float16),
    CodebookFormat(4), NF4Format(64), NF4Format(64, double_quantize=True), TernaryFormat(),
]  # fmt: skip


def images(count: int = 8) -> torch.Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def tiny(seed: int = 0) -> nn.Module:
    """A convolution with batch norm, one without, a linear layer: small, so that every format can be tried."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, stride=5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def folded(build=zoo.small_cnn) -> nn.Module:
    return fold_batch_norm(build().eval())


def is_convolution(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def assert_round_trip(model: nn.Module, path, build) -> nn.Module:
    """Save, load, and compare every bit: of the tensors, of the outputs, of the file's size."""
    size = save_model(model, path)
    assert size.file_bytes == file_bytes(model) == os.stat(path).st_size
    loaded = load_model(path, build)
    saved_state, loaded_state = model.state_dict(), loaded.state_dict()
    assert list(saved_state) == list(loaded_state)
    for name, tensor in saved_state.items():
        assert tensor.dtype == loaded_state[name].dtype and tensor.shape == loaded_state[name].shape, name
        saved, loaded_bytes = (each.contiguous().flatten().view(torch.uint8) for each in (tensor, loaded_state[name]))
        assert torch.equal(saved, loaded_bytes), name
    assert not any(module.training for module in loaded.modules())
    return loaded


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
def test_every_format_comes_back_to_the_last_bit(fmt, tmp_path):
    model = quantize_weights(folded(tiny), fmt, where=is_convolution)
    loaded = assert_round_trip(model, tmp_path / "model.safetensors", tiny)
    x = images()
    assert torch.equal(loaded(x), model(x))
    assert str(loaded) == str(model)


def test_a_float_model_with_and_without_batch_norm(tmp_path):
    for model in (tiny(seed=1).eval(), fold_batch_norm(tiny(seed=1).eval())):
        loaded = assert_round_trip(model, tmp_path / "model.safetensors", tiny)
        assert torch.equal(loaded(images()), model(images()))


def test_activations_and_corrected_biases(tmp_path):
    def build():
        return nn.Sequential(nn.Conv2d(1, 4, 9, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 20 * 20, 2))

    model = build().eval()
    small = quantize_weights_and_activations(model, rung(3), UNSIGNED_8_BITS, images())
    small = correct_bias(model, small, images())
    loaded = assert_round_trip(small, tmp_path / "model.safetensors", build)
    assert torch.equal(loaded(images()), small(images())) and str(loaded) == str(small)
    assert loaded[0].bias is not None


def test_different_formats_in_one_model(tmp_path):
    fmt = {"conv1": rung(8), "conv2": rung(3), "conv3": rung(3), "conv4": NF4Format(64), "linear": rung(16)}
    model = quantize_weights(folded(), lambda name, module: fmt[name])
    assert_round_trip(model, tmp_path / "model.safetensors", zoo.small_cnn)


def test_a_model_that_is_one_layer(tmp_path):
    assert_round_trip(quantize_weights(nn.Linear(8, 3), rung(4)).eval(), tmp_path / "m", lambda: nn.Linear(8, 3))


def test_shared_modules_and_tied_weights_are_stored_once(tmp_path):
    def build():
        shared = nn.Linear(4, 4)
        model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 4))
        model[3].weight = shared.weight
        return model

    model = build().eval()
    size = save_model(model, tmp_path / "float")
    assert size.payload_bytes == measure.stored_bytes(model) == (16 + 4 + 4) * 4
    loaded = load_model(tmp_path / "float", build)
    assert loaded[0] is loaded[2] and loaded[3].weight is loaded[0].weight
    x = torch.randn(2, 4)
    assert torch.equal(loaded(x), model(x))
    small = quantize_weights(model, rung(4))
    # 16 codes of half a byte, 4 scales, 2 biases of 4
    assert save_model(small, tmp_path / "small").payload_bytes == measure.stored_bytes(small) == 8 + (4 + 2 * 4) * 4
    assert measure.parameters(small) == measure.parameters(model) == 24
    loaded = load_model(tmp_path / "small", build)
    assert loaded[0] is loaded[2] and torch.equal(loaded(x), small(x))
    assert loaded[3].weight_codes is loaded[0].weight_codes and loaded[3].tied
    assert measure.parameters(loaded) == 24


@pytest.mark.parametrize("make, says", [
    (lambda: prepare(nn.Linear(2, 2), rung(4)), "the model is of type FakeQuantLinear, .*before prepare"),
    (lambda: pack_for_speed(quantize_weights(nn.Sequential(nn.Linear(2, 2)), rung(4))),
     "layer '0' is of type PackedLinear, .*before pack_for_speed"),
    (lambda: to_integers(quantize_weights_and_activations(
        nn.Sequential(nn.Linear(2, 2)).eval(), rung(8), UNSIGNED_8_BITS, torch.ones(1, 2)), torch.ones(1, 2)),
     "the model is of type IntegerNet, .*before to_integers"),
])  # fmt: skip
def test_what_a_file_would_not_bring_back_is_not_written(make, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        save_model(make(), tmp_path / "m")
    assert not os.listdir(tmp_path)


class WithState(nn.Module):
    """A linear layer times a number that get_extra_state returns, as `kind` makes it."""

    def __init__(self, kind):
        super().__init__()
        self.linear, self.kind, self.factor = nn.Linear(4, 3), kind, 1.0

    def get_extra_state(self):
        return self.kind(self.factor)

    def set_extra_state(self, state):
        self.factor = float(state)

    def forward(self, x):
        return self.factor * self.linear(x)


def test_extra_state_comes_back_if_it_is_a_tensor(tmp_path):
    model, x = WithState(torch.tensor).eval(), torch.randn(2, 4)
    model.factor = 3.0
    save_model(model, tmp_path / "m")
    assert torch.equal(load_model(tmp_path / "m", lambda: WithState(torch.tensor))(x), model(x))
    for kind in (float, lambda factor: {"factor": factor}):
        for what in (stored_size, lambda model: save_model(model, tmp_path / "other")):
            with pytest.raises(
                ValueError, match="'_extra_state' of the model is of type (float|dict), and a file holds"
            ):
                what(WithState(kind))


def state_of_copies(model, state, prefix, metadata):
    return type(state)((name, tensor.clone()) for name, tensor in state.items())


def state_that_is_rounded(model, state, prefix, metadata):
    return type(state)((name, tensor.half().float()) for name, tensor in state.items())


def state_that_lacks_one(model, state, prefix, metadata):
    del state[f"{prefix}bias"]


def test_a_state_dict_of_its_own_comes_back_or_is_refused(tmp_path):
    def build(hook):
        model = nn.Linear(4, 3)
        model._register_state_dict_hook(hook)
        return model

    model = build(state_of_copies).eval()
    save_model(model, tmp_path / "m")
    assert torch.equal(load_model(tmp_path / "m", lambda: build(state_of_copies)).weight, model.weight)
    for hook, name in (state_that_is_rounded, "weight"), (state_that_lacks_one, "bias"):
        with pytest.raises(ValueError, match=f"'{name}' of the model is not what its state_dict.. holds, so no file"):
            save_model(build(hook), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_loading_does_not_bring_back_is_refused(tmp_path):
    class Deaf(nn.Linear):
        def load_state_dict(self, *args, **kwargs):
            return None

    save_model(nn.Linear(4, 3), tmp_path / "m")
    with pytest.raises(ValueError, match="the model holds something else as 'weight' once it is loaded"):
        load_model(tmp_path / "m", lambda: Deaf(4, 3))


def test_a_tensor_without_values_is_not_written(tmp_path):
    for what in (stored_size, file_bytes, lambda model: save_model(model, tmp_path / "m")):
        with pytest.raises(ValueError, match="'weight' is sparse or on the meta device"):
            what(nn.Linear(2, 2, device="meta"))
        with pytest.raises(TypeError, match="model must be an nn.Module, got"):
            what(None)
    for path in (None, 3, b"m"):
        with pytest.raises(TypeError, match="path must be of type str or PathLike, got"):
            save_model(nn.Linear(2, 2), path)
        with pytest.raises(TypeError, match="path must be of type str or PathLike, got"):
            load_model(path, nn.Identity)
    assert not os.listdir(tmp_path)


def test_weights_that_are_views_store_their_own_elements_only(tmp_path):
    model = nn.Linear(4, 2, bias=False).eval()
    model.weight = nn.Parameter(torch.arange(1000.0).reshape(250, 4).T[:, :2].T)  # not contiguous, in a larger memory
    assert save_model(model, tmp_path / "m").payload_bytes == 2 * 4 * 4
    assert torch.equal(load_model(tmp_path / "m", lambda: nn.Linear(4, 2, bias=False)).weight, model.weight)


def test_weights_that_lie_in_one_memory_are_stored_apart(tmp_path):
    memory = torch.arange(16.0)  # as optimizers and distributed training lay weights out
    model = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False))
    model[0].weight, model[1].weight = nn.Parameter(memory[:8].view(2, 4)), nn.Parameter(memory[8:].view(4, 2))
    build = lambda: nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False))  # noqa: E731
    assert_round_trip(model.eval(), tmp_path / "m", build)


@pytest.mark.parametrize("bits", LADDER)
def test_the_size_is_payload_and_header_as_the_file_itself_says(bits, tmp_path):
    model = quantize_weights(folded(), rung(bits))
    path = tmp_path / "model.safetensors"
    size = save_model(model, path)
    content = path.read_bytes()
    # The format: 8 bytes (little-endian) hold the length of the JSON header; the tensors follow it.
    (json_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + json_bytes])
    payload = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    assert size == stored_size(model)
    assert (size.header_bytes, size.payload_bytes) == (8 + json_bytes, payload)
    assert size.payload_bytes == measure.stored_bytes(model)


def test_the_ladder_goes_down():
    model = folded()
    sizes = [file_bytes(quantize_weights(model, rung(bits))) for bits in LADDER]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(LADDER)


def test_the_header_is_small_and_the_same_every_time():
    model = quantize_weights(folded(), rung(4))
    assert storage._file_content(model) == storage._file_content(model)
    # Three tensors a layer, each with a name, a dtype, a shape and two offsets: some 80 bytes; 5 layers; one format.
    assert stored_size(model).header_bytes < 5 * 3 * 80 + 600


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(step, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_model(nn.Linear(2, 2), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        save_model(nn.Linear(2, 2), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.safetensors"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    save_model(nn.Linear(2, 2), tmp_path / "model.safetensors")
    (tmp_path / "other").write_bytes(b"")
    assert os.stat(tmp_path / "model.safetensors").st_mode == os.stat(tmp_path / "other").st_mode


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*nowhere; make it first"):
        save_model(nn.Linear(2, 2), tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(ValueError, match="is a folder; give the name of a file in it"):
        save_model(nn.Linear(2, 2), tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_a_link_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a named pipe; give the name of a file"):
        save_model(nn.Linear(2, 2), tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    (tmp_path / "latest").symlink_to("model.safetensors")
    save_model(nn.Linear(2, 2), tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink() and not (tmp_path / "model.safetensors").is_symlink()
    assert load_model(tmp_path / "model.safetensors", lambda: nn.Linear(2, 2)).weight.shape == (2, 2)


# --- files that are wrong ------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(quantize_weights(folded(), rung(4)), path)
    return path


def rewrite(path, change) -> None:
    """Save the file again with `change(description, tensors)` applied to what the header says and to the tensors.

    Without the seal, as earlier versions wrote it: so it is the other checks that are tried.
    """
    with safetensors.safe_open(path, framework="pt") as opened:
        description = json.loads(opened.metadata()["mini_lib"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    del description["sha256"]
    change(description, tensors)
    safetensors.torch.save_file(tensors, path, {"mini_lib": json.dumps(description)})


def test_a_file_without_a_seal_is_read_as_ever(file):
    sealed = load_model(file, zoo.small_cnn)
    rewrite(file, lambda description, tensors: None)
    for name, tensor in load_model(file, zoo.small_cnn).state_dict().items():
        assert torch.equal(tensor, sealed.state_dict()[name])


def test_any_bit_that_flips_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(quantize_weights(nn.Linear(3, 2), rung(4)), path)
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="is damaged"):
            load_model(path, lambda: nn.Linear(3, 2))


def test_a_seal_that_is_none(file):
    for seal in (None, 7, "0" * 64, "x", ["a"]):
        rewrite(file, lambda description, tensors, seal=seal: description.update(sha256=seal))
        with pytest.raises(ValueError, match="is damaged: it is not, bit by bit, what save_model wrote"):
            load_model(file, zoo.small_cnn)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*model.safetensors; save_model\(model, path\) writes one"):
        load_model(tmp_path / "model.safetensors", zoo.small_cnn)


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -1])
def test_a_truncated_file(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is damaged or not a safetensors file .*save the model again"):
        load_model(file, zoo.small_cnn)


def test_a_file_of_something_else(file):
    file.write_bytes(b"PK" + bytes(1000))
    with pytest.raises(ValueError, match="is damaged or not a safetensors file"):
        load_model(file, zoo.small_cnn)


def test_a_safetensors_file_that_save_model_did_not_write(file):
    for metadata in (None, {"mini_lib": "no JSON"}, {"mini_lib": '{"layers": {}}'}, {"mini_lib": "[]"}):
        safetensors.torch.save_file(zoo.small_cnn().state_dict(), file, metadata)
        with pytest.raises(ValueError, match="was not written by save_model: its header does not describe a model"):
            load_model(file, zoo.small_cnn)


def test_a_format_that_is_not_known(file):
    rewrite(file, lambda description, tensors: description["formats"][0].update(kind="PositFormat"))
    with pytest.raises(ValueError, match=r"model.safetensors: .*PositFormat.* is not a format"):
        load_model(file, zoo.small_cnn)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda d, t: t.pop("conv2.weight_codes"), "layer 'conv2': .*codes"),
        (lambda d, t: t.pop("conv2.bias"), "the file lacks 'conv2.bias', which build"),
        (lambda d, t: t.update(extra=torch.zeros(1)), "the file holds 'extra', which build"),
        (lambda d, t: t.update({"conv2.bias": torch.zeros(7)}), r"'conv2.bias' is torch.float32 \[7\] in the file and"),
        (lambda d, t: t.update({"conv2.weight_codes": torch.zeros(7, dtype=torch.uint8)}),
         r"layer 'conv2': part 'codes' .* got torch.uint8 of shape \(7,\)"),
        (lambda d, t: d["layers"]["conv2"].update(weight=5), "its header does not fit its tensors"),
        (lambda d, t: d["layers"]["conv2"].pop("shape"), "its header does not fit its tensors"),
        (lambda d, t: d["layers"].update(conv2=3), "its header does not fit its tensors"),
    ],
)  # fmt: skip
def test_a_header_and_tensors_that_do_not_fit(file, change, says):
    rewrite(file, change)
    with pytest.raises(ValueError, match=f"model.safetensors: .*({says})"):
        load_model(file, zoo.small_cnn)


def test_another_architecture(file):
    def wider():
        model = zoo.small_cnn()
        model.conv2 = nn.Conv2d(16, 48, 3)
        model.conv2_bn = nn.BatchNorm2d(48)
        return model

    with pytest.raises(ValueError, match="quantized layer 'conv1' and build.. has no such layer; pass the"):
        load_model(file, zoo.lenet_300_100)
    says = r"'conv2' has weights \[32, 16, 3, 3\] in the file and \[48, 16, 3, 3\] from build"
    with pytest.raises(ValueError, match=says):
        load_model(file, wider)
    with pytest.raises(ValueError, match="quantized layer 'conv1' and build.. makes it a ReLU"):
        load_model(file, _relu_named_conv1)
    save_model(zoo.small_cnn().eval(), file)
    with pytest.raises(ValueError, match="the file lacks 'linear1.bias', which build.. makes"):
        load_model(file, zoo.lenet_300_100)


def _relu_named_conv1() -> nn.Module:
    model = nn.Sequential()
    model.add_module("conv1", nn.ReLU())
    return model
