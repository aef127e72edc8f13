"""A language model as it was built, that is, one that computes nothing but what its classes and weights say.

Code that takes a model apart (a plan of a decode step, a pass block by block, factors moved from weight to weight)
computes with its weights and does not call it as a whole. It would silently leave out a hook, a `forward` of its own or
another class. So such code checks the model here first, and refuses a module by name. A linear layer may be of any
class: a layer that is changed must be plain, and the others are called as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from mini_lib.llm.model.attention import SelfAttention
from mini_lib.llm.model.transformer import DecoderBlock, GatedFeedForward, LanguageModel, need_language_model
from mini_lib.plain import why_not_plain
from mini_lib.surgery import hook_of

MATRICES = ("query", "key", "value", "out", "gate", "up", "down")
_PARTS = {
    "table": nn.Embedding,
    "blocks": nn.ModuleList,
    "attention": SelfAttention,
    "feed_forward": GatedFeedForward,
    "attention_norm": nn.RMSNorm,
    "feed_forward_norm": nn.RMSNorm,
    "norm": nn.RMSNorm,
}


def need_as_built(lm: object, what: str, *, fix: str) -> None:
    """Refuse a model that computes anything other than its weights say.

    what: the code that would leave it out, as named in the message: "a plan", "smooth_lm". fix: what to do instead.

    Raises:
        TypeError: it is not a LanguageModel.
        ValueError: it has modules that it was not built from, a module with hooks or a `forward` of its own, or one
            module in two places.
    """
    need_language_model(lm)
    seen: dict[nn.Module, str] = {}
    for name, module, kind in _parts(lm):
        called = f"'{name}'" if name else "the model"
        if kind is not None and type(module) is not kind:
            raise ValueError(f"{called} is a {type(module).__name__}, which {what} does not know; {fix}")
        if module in seen:
            raise ValueError(f"{called} is '{seen[module]}' once more, which {what} does not know; {fix}")
        seen[module] = name
        if own := hook_of(module) or _own_method(module):
            raise ValueError(f"{called} has a {own}, which {what} would leave out; {fix}")
        if kind is nn.RMSNorm and (reason := why_not_plain(module, (nn.RMSNorm,))):
            raise ValueError(f"{called}: {reason}; {fix}")
        if kind is SelfAttention and module.shape != lm.architecture.attention:
            raise ValueError(f"{called} has another shape than the architecture says, {module.shape}; {fix}")
    if len(lm.blocks) != lm.architecture.layers:
        raise ValueError(
            f"the model has {len(lm.blocks)} blocks, and its architecture {lm.architecture.layers} layers; {fix}"
        )


def need_evaluated(lm: nn.Module) -> None:
    """Refuse a model that has a module in training mode.

    Raises:
        ValueError: it has one.
    """
    for name, module in lm.named_modules():
        if module.training:
            where = f"'{name}' of the model" if name else "the model"
            raise ValueError(f"{where} is in training mode; call lm.eval() first")


def _parts(lm: LanguageModel) -> Iterator[tuple[str, nn.Module, type[nn.Module] | None]]:
    """Each module by its name, with the class that it was built as; None for a linear layer, which may have any
    class."""
    within = ""  # a linear layer: its parts are not looked at
    for name, module in lm.named_modules(remove_duplicate=False):
        last = name.rsplit(".", 1)[-1]
        if within and name.startswith(f"{within}."):
            continue
        within = name if last in MATRICES or name == "head" else ""
        kind = LanguageModel if not name else DecoderBlock if last.isdecimal() else _PARTS.get(last, nn.Identity)
        yield name, module, None if within else kind


def _own_method(module: nn.Module) -> str | None:
    """Return what a module has in place of a method of its class, such as a patched forward."""
    for name, value in vars(module).items():
        if callable(value) and callable(getattr(type(module), name, None)):
            return f"{name} of its own"
    return None
