"""Layers changed block after block: the moments are those of whole-model passes, and nothing else moves."""

import pytest
import torch
from tiny_lm import some_tokens, tiny_lm

from mini_lib.llm.model.layerwise import SHARED_INPUTS, change_layers, in_blocks
from mini_lib.llm.model.transformer import DecoderBlock
from mini_lib.llm.model.windows import windows_of
from mini_lib.quantize import IntFormat, PerGroup, quantize, quantize_weights
from mini_lib.quantize.layers import QuantizedLinear
from mini_lib.quantize.rounding import gptq
from mini_lib.quantize.rounding.gptq import gptq_weight
from mini_lib.second_moments import second_moments_of
from mini_lib.surgery import find

FMT = IntFormat(3, granularity=PerGroup(8))
WINDOW = 16
NAMES = [f"blocks.{block}.{part}" for block in (0, 1) for group in SHARED_INPUTS for part in group]


def whole_model_moments(lm, names):
    """From passes of the whole model, as the core takes them."""
    return second_moments_of(lm, windows_of(some_tokens(), WINDOW), {name: lm.get_submodule(name) for name in names})


def seen_by(lm, change=lambda name, weight, moments: weight, **options):
    """Change a model, and return the moments that `change` was given by name, and the new model."""
    seen = {}

    def look(name, weight, moments):
        seen[name] = moments
        return change(name, weight, moments)

    return seen, change_layers(lm, some_tokens(), look, window=WINDOW, **options)


def test_moments_are_those_of_the_whole_model_where_nothing_changes():
    lm = tiny_lm()
    seen, _ = seen_by(lm)
    assert list(seen) == NAMES
    for name, expected in whole_model_moments(lm, NAMES).items():
        # the same float32 products in the same order
        torch.testing.assert_close(seen[name], expected, rtol=1e-6, atol=1e-7)


def test_a_block_reads_what_the_changed_blocks_before_it_give():
    lm = tiny_lm()
    seen, changed = seen_by(lm, lambda name, weight, moments: weight * 1.5 if "blocks.0" in name else weight)
    of_the_old, of_the_new = whole_model_moments(lm, NAMES), whole_model_moments(changed, NAMES)
    for name in NAMES:
        expected = (of_the_old if "blocks.0" in name else of_the_new)[name]
        torch.testing.assert_close(seen[name], expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(of_the_old[NAMES[-1]], of_the_new[NAMES[-1]])


def test_each_block_runs_twice_per_window(monkeypatch):
    runs, forward = [], DecoderBlock.forward
    monkeypatch.setattr(DecoderBlock, "forward", lambda self, *given: runs.append(self) or forward(self, *given))
    change_layers(tiny_lm(), some_tokens(), lambda name, weight, moments: weight, window=WINDOW)
    assert len(runs) == 2 * 2 * (128 // WINDOW)


def test_the_first_layers_get_what_gptq_of_the_whole_model_gives_them():
    lm = tiny_lm()
    first = NAMES[:3]  # query, key and value read the same embeddings, whatever becomes of each other
    mine = change_layers(lm, some_tokens(), lambda n, w, h: gptq_weight(w, h, FMT), lambda n, m: n in first, window=16)
    whole = gptq(lm, FMT, windows_of(some_tokens(), WINDOW), where=lambda name, module: name in first)
    for name in first:
        assert torch.equal(mine.get_submodule(name).qweight.codes, whole.get_submodule(name).qweight.codes)


def test_quantized_weights_become_quantized_layers_as_quantize_weights_makes_them():
    lm = tiny_lm()
    changed = change_layers(lm, some_tokens(), lambda name, weight, moments: quantize(weight, FMT), window=WINDOW)
    assert [name for name, _ in find(changed, lambda name, module: isinstance(module, QuantizedLinear))] == sorted(
        NAMES, key=[name for name, _ in lm.named_modules()].index
    )
    expected = quantize_weights(lm, FMT, in_blocks)
    assert torch.equal(changed(some_tokens()[None]), expected(some_tokens()[None]))
    assert not any(module.training for module in changed.modules())


def test_the_argument_and_what_is_not_chosen_stay_as_they_are():
    lm, key = tiny_lm(), "blocks.0.attention.key"
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    changed = change_layers(lm, some_tokens(), lambda n, w, h: w * 0, lambda name, module: name == key, window=WINDOW)
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())
    moved = [name for name, value in changed.state_dict().items() if not torch.equal(value, before[name])]
    assert moved == [f"{key}.weight"]


def test_only_layers_of_blocks_are_asked_about():
    asked = []
    change_layers(tiny_lm(), some_tokens(), lambda n, w, h: w, lambda n, m: asked.append(n) or True, window=WINDOW)
    assert asked == NAMES


def test_progress_is_told_layer_by_layer():
    told = []
    change_layers(tiny_lm(), some_tokens(), lambda name, w, h: w, window=WINDOW, progress=told.append)
    assert told == NAMES


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda name, w, h: w[:1], ValueError, "attention.query': change returned a weight of shape"),
        (lambda name, w, h: w * float("nan"), ValueError, "attention.query': change returned NaN"),
        (lambda name, w, h: None, TypeError, "must return a Tensor or a QTensor, got NoneType"),
        (lambda name, w, h: quantize(w, IntFormat(3, granularity=PerGroup(7))), ValueError, "query': group_size 7"),
    ],
)
def test_a_bad_change_is_refused_by_the_layer_s_name(change, kind, message):
    with pytest.raises(kind, match=message):
        change_layers(tiny_lm(), some_tokens(), change, window=WINDOW)


def test_bad_models_and_choices_are_refused():
    with pytest.raises(ValueError, match="chooses no linear layer"):
        change_layers(tiny_lm(), some_tokens(), lambda n, w, h: w, lambda name, module: False, window=WINDOW)
    with pytest.raises(ValueError, match="training mode"):
        change_layers(tiny_lm().train(), some_tokens(), lambda n, w, h: w, window=WINDOW)
    with pytest.raises(TypeError, match="need a LanguageModel, got Linear"):
        change_layers(torch.nn.Linear(2, 2), some_tokens(), lambda n, w, h: w, window=WINDOW)
    with pytest.raises(ValueError, match="do not fill a window of 256"):
        change_layers(tiny_lm(), some_tokens(), lambda n, w, h: w)
