"""Files read as the writers of the format read them, bit for bit; damaged ones told from whole ones."""

import struct
import tracemalloc
from functools import cache

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import HEADER, KINDS, MERGES, TOKENS, file_tensors, tiny_model, write_gguf

from mini_lib.llm.model.gguf_file import DamagedFile, GGUFFile
from mini_lib.llm.model.load import architecture_of, load_language_model


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", file_tensors(tiny_model()))


def numbers(path):
    """What the header is worth: the place of its first tensor's bytes."""
    return gguf.GGUFReader(path).data_offset


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_encoding_is_unpacked_as_by_the_writers_of_the_format(kind, tmp_path):
    """The scales are drawn over many sizes, and some blocks are all zeros or all the same."""
    chance = np.random.default_rng(0)
    values = chance.standard_normal((6, 96)).astype(np.float32) * 10.0 ** chance.integers(-4, 4, (6, 1))
    values = values.astype(np.float32)
    values[4], values[5] = 0, -1.5
    path = write_gguf(tmp_path / "one.gguf", {"matrix": values, "row": values[0, :5].copy()}, {}, kind=kind)
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}["matrix"]
    file = GGUFFile(path)
    assert (file.names, file.encoding("matrix"), file.shape("matrix")) == (("matrix", "row"), kind.name, (6, 96))
    assert file.stored_bytes("matrix") == theirs.n_bytes
    expected = gguf.dequantize(theirs.data, kind).astype(np.float32)
    assert np.array_equal(file.tensor("matrix").numpy(), expected)
    assert np.array_equal(file.tensor("row").numpy(), values[0, :5])


def test_blocks_by_hand(tmp_path):
    """A step of 2 and a lowest value of -3: byte i has code i in its low half and code i + 16 in its high half."""
    codes = np.arange(16, dtype=np.uint8) | 5 << 4
    raw = np.concatenate([np.array([2, -3], np.float16).view(np.uint8), codes])
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("w", raw[None], raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = [2.0 * code - 3 for code in range(16)] + [2.0 * 5 - 3] * 16
    assert GGUFFile(tmp_path / "one.gguf").tensor("w").tolist() == [expected]


def test_values_of_all_kinds(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "values.gguf", "llama")
    kinds = {"uint8": 255, "int8": -128, "uint16": 65535, "int16": -2, "uint32": 2**32 - 1, "int32": -3}
    kinds |= {"uint64": 2**64 - 1, "int64": -(2**63), "float32": 0.5, "float64": 0.1, "bool": True, "string": "é€🙂"}
    for kind, value in kinds.items():
        getattr(writer, f"add_{kind}")(kind, value)
    writer.add_array("whole", [1, 2, 3])
    writer.add_array("texts", ["", "a", "日本"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    read = GGUFFile(tmp_path / "values.gguf").values
    assert read == {"general.architecture": "llama", **kinds, "whole": (1, 2, 3), "texts": ("", "a", "日本")}


def test_a_tensor_is_a_copy_that_can_be_written_to(tiny_file):
    file = GGUFFile(tiny_file)
    before = file.tensor("output_norm.weight")
    file.tensor("output_norm.weight").zero_()
    assert torch.equal(file.tensor("output_norm.weight"), before) and before.any()


def test_the_model_bit_for_bit(model_file):
    """The tensors of two layers and those outside of layers, unpacked by the writers of the format.

    Their reader of headers takes half a minute for the vocabulary, so it is asked about tiny files only. That the
    places of the tensors are right here too, the size of the file says, and the loss of the model on real text.
    """
    file, content = GGUFFile(model_file), np.memmap(model_file, np.uint8, "r")
    at = len(content) - sum(-(-file.stored_bytes(name) // 32) * 32 for name in file.names)
    for name in file.names:
        kind = gguf.GGMLQuantizationType[file.encoding(name)]
        if name.startswith(("token", "output", "blk.0.", "blk.29.")):
            raw = content[at : at + file.stored_bytes(name)]
            expected = gguf.dequantize(raw.reshape(file.shape(name)[0], -1), kind).reshape(file.shape(name))
            assert np.array_equal(file.tensor(name).numpy(), expected), name
        at += -(-file.stored_bytes(name) // 32) * 32


# --- what is refused -------------------------------------------------------------------------------------------------


def refused(path, message, error=DamagedFile, read=load_language_model):
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) or error is ValueError


def test_files_that_are_no_gguf_files(tmp_path):
    path = tmp_path / "file.gguf"
    with pytest.raises(FileNotFoundError, match="file.gguf"):
        load_language_model(path)
    for content, message in (
        (b"", "no GGUF header; it is empty or was cut short: get it again"),
        (b"GGUF\3\0\0\0", "no GGUF header"),
        (b"PK\3\4" + bytes(60), r"is no GGUF file: it starts with b'PK\\x03\\x04', expected b'GGUF'"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), r"is GGUF version 1, and this reader knows \(2, 3\); convert it"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is GGUF version 50331648"),  # the other order of bytes
    ):
        path.write_bytes(content)
        refused(path, message, read=GGUFFile)


def test_a_file_that_was_cut_short_says_how_many_bytes_are_missing(tiny_file, tmp_path):
    whole, cut = tiny_file.read_bytes(), tmp_path / "cut.gguf"
    last = max(tensor.data_offset + tensor.n_bytes for tensor in gguf.GGUFReader(tiny_file).tensors)
    cut.write_bytes(whole[: last - 1234])
    refused(cut, f"is cut short: 1,234 of {last:,} bytes are missing; get it again")
    cut.write_bytes(whole[:700])
    refused(cut, "its header goes on where the file ends, at byte 700: it was cut short or altered; get it again")


def header(*values, tensors=(), count=None):
    """A file by hand: values are (name, kind, bytes), tensors (name, sides, kind, offset)."""
    text = lambda one: struct.pack("<Q", len(one)) + one  # noqa: E731
    raw = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values) if count is None else count)
    for name, kind, content in values:
        raw += text(name) + struct.pack("<I", kind) + content
    for name, sides, kind, offset in tensors:
        raw += text(name) + struct.pack(f"<I{len(sides)}Q", len(sides), *sides) + struct.pack("<IQ", kind, offset)
    return raw + bytes(200)


HUGE, ARRAY, TEXT = 2**60, 9, 8
ALTERED = {
    "values": (header(count=HUGE), "two values ''|header goes on"),
    "text": (header((b"a", TEXT, struct.pack("<Q", HUGE))), "header goes on where the file ends"),
    "longest text": (header((b"a", TEXT, struct.pack("<Q", 2**64 - 1))), "header goes on where the file ends"),
    "numbers": (header((b"a", ARRAY, struct.pack("<IQ", 10, HUGE))), "header goes on where the file ends"),
    "bytes": (header((b"a", ARRAY, struct.pack("<IQ", 0, 2**63))), "header goes on where the file ends"),
    "texts": (header((b"a", ARRAY, struct.pack("<IQ", TEXT, HUGE)), count=1), "header goes on where the file ends"),
    "nested": (header((b"a", ARRAY, struct.pack("<IQ", ARRAY, 1) * 10_000)), "no array of kind 9, or of arrays"),
    "kind of array": (header((b"a", ARRAY, struct.pack("<IQ", 77, 1))), "there is no array of kind 77"),
    "kind": (header((b"a", 13, b"")), "there is no kind of value 13"),
    "not UTF-8": (header((b"\xff", 0, b"\1")), "a text in its header is not UTF-8"),
    "twice": (header((b"a", 0, b"\1"), (b"a", 0, b"\1")), "it has two values 'a'"),
    "alignment of 0": (header((b"general.alignment", 4, bytes(4))), "its tensors are 0 bytes apart"),
    "alignment": (header((b"general.alignment", TEXT, struct.pack("<Q", 1) + b"x")), "its tensors are 'x' bytes apart"),
    "two tensors": (header(tensors=[(b"t", (1,), 0, 0), (b"t", (1,), 0, 32)]), "it has two tensors 't'"),
    "no dimension": (header(tensors=[(b"t", (), 0, 0)]), "tensor t has 0 dimensions"),
    "a side of 0": (header(tensors=[(b"t", (32, 0), 2, 0)]), r"tensor t has shape \[0, 32\]"),
    "half a block": (header(tensors=[(b"t", (33, 2), 2, 0)]), "the 33 columns of t are no whole blocks of 32"),
    "type": (header(tensors=[(b"t", (256,), 12, 0)]), "t is of GGUF type 12, and this reader knows F32, F16, Q4_0"),
    "place": (header(tensors=[(b"t", (1,), 0, 64)]), "tensor t lies at 64, and by those before it at 0"),
    "sides": (header(tensors=[(b"t", (HUGE, HUGE), 0, 0)]), "is cut short"),
}  # fmt: skip


@pytest.mark.parametrize("case", ALTERED)
def test_an_altered_header_is_refused_before_room_is_made_for_it(case, tmp_path):
    """The file has a few hundred bytes, the nested one 120 kB: so a reader has no reason to take two megabytes."""
    content, message = ALTERED[case]
    path = tmp_path / "altered.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refused(path, message, read=GGUFFile)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_table_of_too_many_dimensions_is_refused_before_room_is_made(tmp_path):
    path = tmp_path / "altered.gguf"
    path.write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"t" + struct.pack("<I", 2**32 - 1)
    )
    refused(path, "tensor t has 4294967295 dimensions", read=GGUFFile)


@cache
def whole_file(path):
    return path.read_bytes(), numbers(path)


@given(st.data())
@settings(max_examples=250)
def test_a_flipped_byte_or_a_cut_in_the_header_never_ends_in_a_bare_traceback(tiny_file, tmp_path_factory, data):
    """What is left may be a whole file of another model; else it is refused with a sentence."""
    content, end = whole_file(tiny_file)
    at = data.draw(st.integers(0, end - 1))
    changed = content[:at]
    if flip := data.draw(st.integers(0, 255)):  # 0 cuts
        changed += bytes([content[at] ^ flip]) + content[at + 1 :]
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(changed)
    try:
        load_language_model(path)
    except ValueError as error:  # a DamagedFile is one
        assert len(str(error)) > 30
    except RecursionError as error:
        raise AssertionError("a header is no deep tree") from error


# --- what the header must say ----------------------------------------------------------------------------------------

WRONG = {
    "no layers": ({"llama.block_count": None}, DamagedFile, "KeyError.*llama.block_count"),
    "other layers": ({"llama.block_count": 1}, ValueError, "has tensors that are not built here: blk.1.attn_k.weight"),
    "more layers": ({"llama.block_count": 3}, DamagedFile, "has no tensor 'blk.2.attn_norm.weight'"),
    "far too many": ({"llama.block_count": 2**31}, DamagedFile, "2,147,483,648 layers have only 20 tensors"),
    "a text": ({"llama.embedding_length": "wide"}, DamagedFile, "TypeError"),
    "a width": ({"llama.feed_forward_length": 2**31}, DamagedFile, r"ffn_gate.weight is \[32, 32\], and by its header"),
    "heads": ({"llama.attention.head_count": 0}, DamagedFile, "ZeroDivisionError"),
    "KV heads": ({"llama.attention.head_count_kv": 3}, ValueError, "kv_heads must divide heads"),
    "scaling": ({"llama.rope.scaling.type": "yarn"}, ValueError, "with scaling 'yarn'"),
    "part of a head": ({"llama.rope.dimension_count": 4}, ValueError, "turns 4 of 8 numbers of a head"),
    "no eps": ({"llama.attention.layer_norm_rms_epsilon": None}, DamagedFile, "KeyError.*layer_norm_rms_epsilon"),
    "base": ({"llama.rope.freq_base": 0.0}, ValueError, "rope_base must be a finite number above 0, got 0.0"),
    "base as text": ({"llama.rope.freq_base": "ten"}, DamagedFile, "rope_base must be a finite number"),
    "lost base": ({"llama.rope.freq_base": None, "llama.rope.freq_basd": 1e5}, ValueError, "freq_basd"),
    "experts": ({"llama.expert_count": 8}, ValueError, "keys that are not known here: 'llama.expert_count'; the model"),
    "tokenizer": ({"tokenizer.ggml.pre": "llama-bpe"}, ValueError, r"tokenizer is \('gpt2', 'llama-bpe'\)"),
    "no merges": ({"tokenizer.ggml.merges": None}, DamagedFile, "tokenizer.*merges"),
    "merges": ({"tokenizer.ggml.merges": [*MERGES, "é x"]}, DamagedFile, "the merges do not fit the vocabulary"),
    "half a merge": ({"tokenizer.ggml.merges": ["th"]}, DamagedFile, "the merges do not fit the vocabulary"),
    "kinds of tokens": ({"tokenizer.ggml.token_type": [1, 1]}, DamagedFile, "tokenizer .* is damaged"),
    "a token twice": ({"tokenizer.ggml.tokens": [*TOKENS[:-1], "a"]}, DamagedFile, "are in the vocabulary twice"),
    "end": ({"tokenizer.ggml.eos_token_id": 32}, DamagedFile, "token 32 is not in the vocabulary"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_header_that_does_not_fit_its_tensors_is_refused(case, tmp_path):
    change, error, message = WRONG[case]
    values = {name: value for name, value in {**HEADER, **change}.items() if value is not None}
    path = write_gguf(tmp_path / "wrong.gguf", file_tensors(tiny_model()), values)
    with pytest.raises(error, match=message):
        load_language_model(path)


def test_a_model_of_another_family_is_refused(tmp_path):
    path = write_gguf(tmp_path / "other.gguf", file_tensors(tiny_model()), family="qwen2")
    with pytest.raises(ValueError, match="model of the family 'qwen2', and this reader knows only 'llama'"):
        load_language_model(path)


def test_tensors_that_would_be_left_out_are_refused(tmp_path):
    """A bias, or the factors of long contexts: a model without them would run, and answer wrongly."""
    tensors = file_tensors(tiny_model()) | {"rope_freqs.weight": np.ones(4, np.float32)}
    path = write_gguf(tmp_path / "more.gguf", tensors)
    with pytest.raises(ValueError, match="has tensors that are not built here: rope_freqs.weight"):
        load_language_model(path)


def test_a_missing_tensor_is_named(tmp_path):
    tensors = file_tensors(tiny_model())
    del tensors["blk.1.ffn_up.weight"]
    with pytest.raises(DamagedFile, match="has no tensor 'blk.1.ffn_up.weight'"):
        load_language_model(write_gguf(tmp_path / "less.gguf", tensors))


def test_the_shape_of_a_header():
    shape = architecture_of({**HEADER, "general.architecture": "llama"}, tied=True)
    assert shape == architecture_of({**HEADER, "general.architecture": "llama", "llama.attention.key_length": 8}, True)
    assert (shape.layers, shape.hidden, shape.vocabulary, shape.tied) == (2, 32, 32, True)
    assert (shape.attention.heads, shape.attention.kv_heads, shape.attention.head_dim) == (4, 2, 8)
