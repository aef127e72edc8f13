"""A seventh format, defined here and known to no file of the library, takes a whole model through every step."""

import re
from dataclasses import dataclass, replace
from math import prod

import pytest
import torch
from torch import nn

from mini_lib import measure, require, zoo
from mini_lib.files import UNSEALED, sealed
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    UNSIGNED_8_BITS,
    FloatFormat,
    Format,
    format_from_json,
    format_to_json,
    from_parts,
    load_model,
    quantize,
    quantize_weights,
    quantize_weights_and_activations,
    rung,
    save_model,
    stored_size,
)


@dataclass(frozen=True)
class PowersFormat(Format):
    """4-bit powers of two, and one power of two per block: a sign bit, then the place of the magnitude in a table."""

    block_size: int = 32
    magnitudes: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    exponent_dtype: torch.dtype = torch.int8

    def __post_init__(self):
        require.whole("block_size", self.block_size, low=1, fix="use 32")

    @property
    def bits(self):
        return 4

    @property
    def label(self):
        return f"powers per block of {self.block_size}"

    def encode(self, weight, observer):
        flat = weight.reshape(-1)
        blocks = nn.functional.pad(flat, (0, -flat.numel() % self.block_size)).view(-1, self.block_size)
        # The largest weight of a block, at least 2**e and below 2**(e + 1), comes to lie where the table ends: at 2**4.
        exponents = (torch.frexp(blocks.abs().amax(dim=1)).exponent - 5).clamp(-120, 120)
        scaled = torch.ldexp(blocks, -exponents[:, None]).reshape(-1)[: flat.numel()].view(weight.shape)
        table = torch.tensor(self.magnitudes)
        places = torch.bucketize(scaled.abs(), (table[:-1] + table[1:]) / 2, out_int32=True)
        return {"codes": places + 8 * (scaled < 0), "exponents": exponents.to(self.exponent_dtype)}

    def decode(self, fields, shape):
        codes = fields["codes"].reshape(-1)
        values = torch.tensor(self.magnitudes)[codes % 8] * torch.where(codes < 8, 1.0, -1.0)
        exponents = fields["exponents"].int().repeat_interleave(self.block_size)[: codes.numel()]
        return torch.ldexp(values, exponents).view(shape)

    def layout(self, shape):
        blocks = -(-prod(shape) // self.block_size)
        return {"codes": self.packed_codes(shape), "exponents": (self.exponent_dtype, (blocks,))}


FMT = PowersFormat()


@pytest.fixture
def model() -> nn.Module:
    return fold_batch_norm(zoo.load("small_cnn", seed=0))


def images() -> torch.Tensor:
    return torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    # The largest are 6 and 24, so the powers are 2**-2 and 2**0. In them: 24, -12, 1.6, 20.4; and 24, -8, 9.
    # 24 is beyond 16, the last of the table; -12 is a tie, and goes to the lower magnitude.
    q = quantize(torch.tensor([6.0, -3.0, 0.4, 5.1, 24.0, -8.0, 9.0]), PowersFormat(block_size=4))
    assert q.codes.tolist() == [7, 8 + 6, 4, 7, 7, 8 + 6, 6]
    assert q.fields["exponents"].tolist() == [-2, 0]
    assert q.dequantize().tolist() == [4.0, -2.0, 0.5, 4.0, 16.0, -8.0, 8.0]
    assert q.parts()["codes"].tolist() == [7 + 16 * 14, 4 + 16 * 7, 7 + 16 * 14, 6]
    assert q.stored_bytes == 4 + 2
    assert (q.scale, q.zero_point, q.codebook) == (None, None, None)


def test_one_tensor_is_measured_and_comes_back():
    weight = torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    q = quantize(weight, FMT)
    assert q.bits_per_weight == 4 + 8 / 32
    assert repr(q) == "QTensor(powers per block of 32, shape=(40, 512), bits_per_weight=4.25)"
    assert {name: (part.dtype, tuple(part.shape)) for name, part in q.parts().items()} == FMT.layout(q.shape)
    back = from_parts(q.parts(), FMT, q.shape)
    assert back.fields.keys() == q.fields.keys()
    assert all(torch.equal(back.fields[name], field) for name, field in q.fields.items())
    assert torch.equal(back.dequantize(), q.dequantize())
    with pytest.raises(ValueError, match=r"powers .* needs the parts codes, exponents; got codes"):
        from_parts({"codes": q.parts()["codes"]}, FMT, q.shape)


def test_its_settings_survive_as_text():
    other = replace(FMT, magnitudes=(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0), exponent_dtype=torch.int16)  # E2M1
    text = format_to_json(other)
    assert text == (
        '{"kind": "PowersFormat", "block_size": 32, "magnitudes": [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], '
        '"exponent_dtype": "int16"}'
    )
    assert format_from_json(text) == other
    with pytest.raises(ValueError, match="is not a format written by format_to_json: 'nn' is not a dtype"):
        format_from_json(text.replace("int16", "nn"))


def test_a_whole_model_is_quantized_saved_loaded_and_measured(model, tmp_path):
    small = quantize_weights(model, FMT)
    # Weights: 144, 4608, 18,432 and 36,864 in the convolutions, 640 in the linear layer. Half a byte each, a byte for
    # every 32 of a layer (5 + 144 + 576 + 1152 + 20), and 186 biases of 4 bytes.
    assert measure.stored_bytes(small) == 60_688 // 2 + 1897 + 4 * 186
    size = save_model(small, tmp_path / "model.safetensors")
    assert size == stored_size(small) and size.payload_bytes == measure.stored_bytes(small)
    loaded = load_model(tmp_path / "model.safetensors", zoo.small_cnn)
    assert loaded.conv2.weight_fmt == FMT and str(loaded) == str(small)
    saved, read = small.state_dict(), loaded.state_dict()
    assert list(saved) == list(read) and all(torch.equal(saved[name], read[name]) for name in saved)
    assert torch.equal(loaded(images()), small(images()))
    [row] = measure.report({"powers": loaded}, images(), repeats=1, warmup=0).rows
    assert (row.parameters, row.macs) == (measure.parameters(model), measure.macs(model, images()))
    assert row.stored_bytes == size.payload_bytes


def test_it_stands_beside_other_formats_and_rounded_activations(model, tmp_path):
    choice = lambda name, module: rung(8) if name == "conv1" else FMT  # noqa: E731
    small = quantize_weights_and_activations(model, choice, UNSIGNED_8_BITS, images())
    save_model(small, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors", zoo.small_cnn)
    assert (loaded.conv1.weight_fmt, loaded.conv2.weight_fmt) == (rung(8), FMT)
    assert torch.equal(loaded(images()), small(images()))
    with pytest.raises(ValueError, match="an activation needs an integer grid with one scale per tensor, got powers"):
        quantize_weights_and_activations(model, FMT, FMT, images())


def test_a_file_that_names_a_format_nobody_defined(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(quantize_weights(model, FMT), path)
    content = path.read_bytes().replace(b"PowersFormat", b"OthersFormat")  # as many bytes: the file stays whole
    at = content.index(b"sha256") + len('sha256\\":\\"')
    path.write_bytes(sealed(content[:at] + UNSEALED.encode() + content[at + 64 :]))
    says = "is not a format written by format_to_json: nothing called 'OthersFormat' is defined; import the module that"
    with pytest.raises(ValueError, match=f"model.safetensors: .*{re.escape(says)}"):
        load_model(path, zoo.small_cnn)


def test_a_class_that_is_written_anew_takes_the_place_of_the_old_one():
    def define() -> type[Format]:  # as when the cell of a notebook is run again
        @dataclass(frozen=True)
        class HalfFormat(FloatFormat):
            dtype: torch.dtype = torch.float16

        return HalfFormat

    first, second = define(), define()
    assert type(format_from_json(format_to_json(first()))) is second


def test_what_lacks_a_method_is_no_format():
    class Unfinished(Format):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


def test_two_formats_of_one_name_are_refused_by_name():
    def of_one_module() -> type[Format]:
        @dataclass(frozen=True)
        class TwiceFormat(FloatFormat):
            pass

        return TwiceFormat

    def of_another() -> type[Format]:
        @dataclass(frozen=True)
        class TwiceFormat(PowersFormat):
            pass

        return TwiceFormat

    both = of_one_module()(), of_another()()
    for call in (
        *(lambda one=one: format_to_json(one) for one in both),
        lambda: format_from_json('{"kind": "TwiceFormat"}'),
    ):
        with pytest.raises(ValueError, match=r"of_another.*TwiceFormat and .*of_one_module.*TwiceFormat have one name"):
            call()


@dataclass(frozen=True)
class HoldsFormat(PowersFormat):
    more: object = None


@pytest.mark.parametrize("value", [torch.float16, [1, 2], {1}, zoo.small_cnn])
def test_what_a_file_would_not_give_back_is_not_written(value):
    with pytest.raises(ValueError, match="could not be read back from a file"):
        format_to_json(HoldsFormat(more=value))


@pytest.mark.parametrize("value", [None, True, 2, 0.5, "x", (1, (2, FMT)), rung(4)])
def test_what_a_file_gives_back_is_written(value):
    assert format_from_json(format_to_json(HoldsFormat(more=value))) == HoldsFormat(more=value)


def test_a_field_called_kind_would_hide_the_name_of_the_class():
    @dataclass(frozen=True)
    class Kinded(PowersFormat):
        kind: str = "PowersFormat"

    with pytest.raises(ValueError, match="could not be read back"):
        format_to_json(Kinded())
