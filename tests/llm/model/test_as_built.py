"""Odd language models: what takes one apart keeps what it computes, or refuses by name."""

import pytest
import torch
from tiny_language_models import tiny_architecture, tiny_model
from torch import nn
from torch.nn.utils import parametrize, prune

from mini_lib.llm.model import (
    KVCache,
    change_layers,
    first_layers,
    generate_speculatively,
    perplexity,
    scale_salient_lm,
    smooth_lm,
    stream,
)
from mini_lib.llm.model.attention import SelfAttention
from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.transformer import DecoderBlock, GatedFeedForward, LanguageModel
from mini_lib.quantize import IntFormat, PerGroup

TOKENS = torch.randint(32, (64,), generator=torch.Generator().manual_seed(1))
PROMPT = [5, 9, 3]
FMT = IntFormat(4, granularity=PerGroup(16))


def double(module, inputs, output):
    return 2 * output


def shift(module, inputs):
    return (inputs[0] + 1, *inputs[1:])


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Squared(GatedFeedForward):
    def forward(self, x):
        return self.down(self.gate(x).square() * self.up(x).tanh())


class Sequence(LanguageModel):
    def forward(self, tokens, cache=None, *, last_only=False):
        return -super().forward(tokens, cache, last_only=last_only)


class Twice(nn.Module):
    def forward(self, weight):
        return 2 * weight


def of_class(module, cls):
    module.__class__ = cls


def patch(module, name="forward"):
    old = getattr(module, name)
    setattr(module, name, lambda *given, **named: old(*given, **named))


def parametrized(lm):
    parametrize.register_parametrization(lm.blocks[0].attention.query, "weight", Twice())
    lm.eval()


def share_a_weight(lm):
    lm.blocks[1].attention.query.weight = lm.blocks[0].attention.query.weight


ODD = {
    "a hook of a layer": lambda lm: lm.blocks[1].feed_forward.down.register_forward_hook(double),
    "a pre-hook of a layer": lambda lm: lm.blocks[0].attention.key.register_forward_pre_hook(shift),
    "a hook of a block": lambda lm: lm.blocks[0].register_forward_hook(double),
    "a pre-hook of attention": lambda lm: lm.blocks[0].attention.register_forward_pre_hook(shift),
    "a hook of a norm": lambda lm: lm.blocks[0].feed_forward_norm.register_forward_hook(double),
    "a hook of the last norm": lambda lm: lm.norm.register_forward_hook(double),
    "a hook of the model": lambda lm: lm.register_forward_hook(double),
    "a patched forward": lambda lm: patch(lm.blocks[0].attention.out),
    "a patched model": patch,
    "a patched look-up": lambda lm: patch(lm, "embed"),
    "patched angles": lambda lm: patch(lm, "rotary"),
    "a layer of another class": lambda lm: of_class(lm.blocks[0].attention.value, Doubled),
    "another feed-forward": lambda lm: of_class(lm.blocks[1].feed_forward, Squared),
    "another model": lambda lm: of_class(lm, Sequence),
    "another norm": lambda lm: setattr(lm.blocks[0], "attention_norm", nn.LayerNorm(32).eval()),
    "a masked layer": lambda lm: prune.l1_unstructured(lm.blocks[0].attention.query, "weight", 0.5),
    "a parametrized layer": parametrized,
    "a block twice": lambda lm: lm.blocks.__setitem__(1, lm.blocks[0]),
    "a layer twice": lambda lm: setattr(lm.blocks[0].attention, "key", lm.blocks[0].attention.value),
    "a shared weight": share_a_weight,
    "a block less": lambda lm: lm.blocks.pop(1),
    "half precision": lambda lm: lm.bfloat16(),
    "float64": lambda lm: lm.double(),
    "training mode": lambda lm: lm.train(),
    "a part in training mode": lambda lm: lm.blocks[0].feed_forward.train(),
    "an untied head": lambda lm: None,
    "a bias": lambda lm: lm.blocks[0].attention.out.register_parameter("bias", nn.Parameter(torch.ones(32))),
    "on the meta device": lambda lm: lm.to("meta"),
}


def odd(kind: str) -> LanguageModel:
    lm = tiny_model(tiny_architecture(width=64, tied=kind != "an untied head"), seed=3)
    ODD[kind](lm)
    return lm


def same(lm, text=TOKENS[:12]):
    return lm(text[None]).double()


def decoded(lm, step):
    """The logits after the prompt and each of two tokens."""
    cache = KVCache(lm.architecture, 16)
    lm(torch.tensor([PROMPT]), cache)
    return step(lm, cache)


def changed_to_itself(lm):
    return change_layers(lm, TOKENS, lambda name, weight, moments: weight.clone(), window=16)


TRANSFORMATIONS = {
    "change_layers": changed_to_itself,
    "smooth_lm": lambda lm: smooth_lm(lm, TOKENS, window=16),
    "scale_salient_lm": lambda lm: scale_salient_lm(lm, FMT, TOKENS, 3, window=16),
    "first_layers": lambda lm: first_layers(lm, lm.architecture.layers),
}
REFUSED = (ValueError, TypeError)


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_transformation_keeps_what_an_odd_model_computes_or_refuses_by_name(kind, name):
    lm = odd(kind)
    before = {key: value.clone() for key, value in lm.state_dict().items()}
    modes = [module.training for module in lm.modules()]
    try:
        changed = TRANSFORMATIONS[name](lm)
    except REFUSED as error:
        assert "; " in str(error)  # it says what to do
        assert type(error).__module__ == "builtins"
    else:
        # Factors are rounded once each: errors of 2^-24 (2^-8 in half precision) in each of a hundred products.
        tolerance = 0.1 if kind == "half precision" else 2e-4
        torch.testing.assert_close(same(changed), same(lm), atol=tolerance, rtol=tolerance)
    assert modes == [module.training for module in lm.modules()]
    if kind != "on the meta device":
        assert all(torch.equal(value, before[key]) for key, value in lm.state_dict().items())


@pytest.mark.parametrize("kind", ODD)
def test_a_plan_computes_what_an_odd_model_computes_or_refuses_by_name(kind):
    lm = odd(kind)

    def by_plan(lm, cache):
        plan = DecodePlan(lm, cache)
        return torch.stack([plan.step(token).clone() for token in (7, 1)])

    def by_itself(lm, cache):
        return torch.cat([lm(torch.tensor([[token]]), cache)[0] for token in (7, 1)])

    try:
        got = decoded(lm, by_plan)
    except (*REFUSED, RuntimeError, NotImplementedError) as error:  # a model on the meta device does not run at all
        assert isinstance(error, REFUSED) or kind == "on the meta device"
    else:
        torch.testing.assert_close(got, decoded(lm, by_itself), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("kind", sorted(set(ODD) - {"on the meta device", "half precision", "float64"}))
def test_generated_text_is_that_of_the_odd_model_itself(kind):
    """Float64 and half precision have no cache; the message says so."""
    lm = odd(kind)
    by_hand = []
    for _ in range(5):
        by_hand.append(int(lm(torch.tensor([[*PROMPT, *by_hand]]))[0, -1].argmax()))
    try:
        assert list(stream(lm, PROMPT, 5)) == by_hand
    except ValueError as error:
        assert kind == "a block less" and "; " in str(error)
    try:
        found = generate_speculatively(lm, PROMPT, 5, lambda tokens, count: [1] * count, ahead=2)
    except REFUSED as error:
        assert "use lm(tokens, cache)" in str(error) or "training mode" in str(error)
    else:
        assert list(found.tokens) == by_hand


@pytest.mark.parametrize("kind", sorted(set(ODD) - {"on the meta device"}))
def test_perplexity_is_that_of_the_odd_model_itself(kind):
    lm = odd(kind)
    if "training mode" in kind:
        with pytest.raises(ValueError, match="training mode"):
            perplexity(lm, TOKENS, 16)
        return
    expected = []
    for part in TOKENS.split(16):
        p = same(lm, part)[0, :-1].softmax(-1)
        expected.append(-p[range(15), part[1:]].log().mean().item())
    assert perplexity(lm, TOKENS, 16).losses == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["a hook of the model", "a patched model", "another model", "a block less"])
def test_what_the_first_layers_would_lose_is_named(kind):
    with pytest.raises(
        ValueError, match="first_layers would leave out|first_layers does not know|and its architecture"
    ):
        first_layers(odd(kind), 1)


def test_hooks_within_the_first_layers_are_refused_too_and_an_odd_class_is_named():
    with pytest.raises(ValueError, match="'blocks.1.feed_forward' is a Squared, which a pass block by block does not"):
        changed_to_itself(odd("another feed-forward"))
    with pytest.raises(ValueError, match="'blocks.1' is 'blocks.0' once more"):
        smooth_lm(odd("a block twice"), TOKENS, window=16)
    with pytest.raises(ValueError, match="layer 'blocks.0.attention.query' shares its weight with 'blocks.1.attention"):
        changed_to_itself(odd("a shared weight"))
    with pytest.raises(ValueError, match="'blocks.0.attention.query': its weight is masked"):
        changed_to_itself(odd("a parametrized layer"))


def test_the_first_layers_leave_the_modes_of_the_model_alone():
    lm = tiny_model()
    lm.train()
    lm.blocks[0].eval()
    small = first_layers(lm, 1)
    assert small.training and not small.blocks[0].training and not lm.blocks[0].training and lm.blocks[1].training


def test_what_a_model_is_built_of_is_all_there_is():
    """A new kind of module in a language model must be given its place among the parts."""
    kinds = {type(module) for module in tiny_model(tiny_architecture(tied=False)).modules()}
    linear = {nn.Linear}
    ours = {LanguageModel, DecoderBlock, SelfAttention, GatedFeedForward}
    assert kinds - linear == ours | {nn.ModuleList, nn.RMSNorm, nn.Embedding}
    DecodePlan(lm := tiny_model(tiny_architecture(tied=False)), KVCache(lm.architecture, 4))
