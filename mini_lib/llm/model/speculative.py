"""Speculative decoding: guess several tokens cheaply, check them in one pass, keep the right ones.

A decode step reads all weights for one token. A pass over five tokens also reads them once, and costs little more as
long as it waits for memory. So a draft proposes the next few tokens, and the model computes the logits after each of
them at once. The longest run of proposals that the model would have chosen itself is kept, and the model's own choice
is added after it. With greedy choice the text is the same as without a draft, whatever the draft proposes; only the
time depends on it. A packed model gives the same logits to the last bit. A float model sums in another order when it
computes several rows, so its text could differ where two tokens are equally likely up to rounding.

Source: Y. Leviathan et al., "Fast Inference from Transformers via Speculative Decoding", 2023, sections 2 and 3;
A. Saxena, "Prompt Lookup Decoding", 2023, <https://github.com/apoorvumang/prompt-lookup-decoding>.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from mini_lib.llm.model.as_built import need_as_built
from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.generate import GREEDY, prompt_ids
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.layerwise import PLAIN_FIRST
from mini_lib.llm.model.transformer import LanguageModel, need_language_model
from mini_lib.llm.model.windows import token_ids
from mini_lib.require import callable_, whole

_FEW = 4  # up to this many tokens, the steps of a plan are faster than one pass of the modules
Draft = Callable[[Sequence[int], int], Sequence[int]]
"""(all tokens so far, number asked for) -> at most that many tokens that may follow."""


@dataclass(frozen=True)
class Speculated:
    """The generated tokens, how many were proposed and accepted, and how many passes the model made.

    >>> Speculated(tokens=(1, 2, 3, 4), proposed=6, accepted=2, passes=2).acceptance
    0.3333333333333333
    """

    tokens: tuple[int, ...]
    proposed: int
    accepted: int
    passes: int

    @property
    def acceptance(self) -> float:
        """The share of proposals that were right; NaN where there was none."""
        return self.accepted / self.proposed if self.proposed else float("nan")

    @property
    def tokens_per_pass(self) -> float:
        """The mean number of tokens per pass of the model; without a draft it is 1."""
        return len(self.tokens) / self.passes if self.passes else float("nan")


@torch.no_grad()
def generate_speculatively(
    lm: LanguageModel, prompt: str | Sequence[int], new_tokens: int, draft: Draft, *, ahead: int = 4
) -> Speculated:
    """Return the greedy continuation of a prompt, with the help of a draft that proposes up to `ahead` tokens at once.

    Raises:
        TypeError, ValueError: as `generate.stream`; `ahead` is below 1; or the draft proposes a token that is not in
            the vocabulary.
    """
    need_language_model(lm)
    callable_("draft", draft, fix="pass look_up, or drafted_by(...)")
    ids = prompt_ids(lm, prompt)
    new_tokens = whole("new_tokens", new_tokens, low=0, fix="say how many are to be generated")
    ahead = whole("ahead", ahead, low=1, fix="4 is common; without a draft use generate")
    ahead = min(ahead, max(1, new_tokens))
    cache = KVCache(lm.architecture, len(ids) + new_tokens + ahead)
    end = None if lm.tokenizer is None else lm.tokenizer.end
    plans: dict[int, DecodePlan] = {}  # by the number of tokens in a pass
    given, proposed, accepted, passes, no_chance = len(ids), 0, 0, 0, torch.Generator()
    guesses: list[int] = []
    logits = lm(torch.tensor([ids]), cache, last_only=True)[0]  # only the prompt, as without a draft
    while len(ids) - given < new_tokens:
        # the model's own token after the last one, and after each guess; at temperature 0 nothing is random
        choices = [GREEDY.draw(row, no_chance) for row in logits]
        right = next((at for at, guess in enumerate(guesses) if guess != choices[at]), len(guesses))
        proposed, accepted, passes = proposed + len(guesses), accepted + right, passes + 1
        new = choices[: right + 1]
        if end in new:
            ids += new[: new.index(end)]
            break
        ids += new
        if not (left := new_tokens - (len(ids) - given)):
            break
        cache.shorten(len(ids) - 1)  # wrong guesses are forgotten; the last token is still to be read
        most = min(ahead, left - 1)
        guesses = token_ids(draft(tuple(ids), most))[:most] if most else []
        unread = [ids[-1], *guesses]
        if len(unread) not in plans:
            plans[len(unread)] = DecodePlan(lm, cache, tokens=len(unread))
        logits = plans[len(unread)].run(unread)
    return Speculated(tuple(ids[given:]), proposed, accepted, passes)


def look_up(tokens: Sequence[int], count: int, *, longest: int = 3) -> Sequence[int]:
    """Propose the tokens that followed the last time that the text had its latest tokens: a draft that costs nothing.

    The latest `longest` tokens are looked up first, then fewer; of several places the last one is used.

    "2 3" is in the text before, followed by "4 1":

    >>> look_up([2, 3, 4, 1, 2, 3], 2)
    (4, 1)

    Raises:
        TypeError, ValueError: they are not whole numbers, `count` is below 0, or `longest` below 1.
    """
    tokens = tuple(token_ids(tokens))
    count = whole("count", count, low=0, fix="say how many are to be proposed at most")
    longest = whole("longest", longest, low=1, fix="3 tokens are looked for first")
    for size in range(min(longest, len(tokens) - 1), 0, -1):
        latest = tokens[-size:]
        for at in range(len(tokens) - size - 1, -1, -1):
            if tokens[at : at + size] == latest:
                return tokens[at + size : at + size + count]
    return ()


def drafted_by(draft: LanguageModel, room_tokens: int) -> Draft:
    """Return a draft that asks a smaller model of the same vocabulary: one of fewer layers or fewer bits.

    It keeps a cache of its own, from which it removes tokens that were not accepted.

    Raises:
        TypeError, ValueError: as `KVCache` and `DecodePlan`.
    """
    need_language_model(draft)
    cache = KVCache(draft.architecture, room_tokens)
    plan = DecodePlan(draft, cache)
    held: list[int] = []

    @torch.no_grad()
    def propose(tokens: Sequence[int], count: int) -> Sequence[int]:
        nonlocal held
        if not count:
            return ()
        tokens = list(tokens)
        common = next((at for at, (a, b) in enumerate(zip(held, tokens)) if a != b), min(len(held), len(tokens)))
        cache.shorten(min(common, len(tokens) - 1))
        unread = tokens[cache.length :]
        if len(unread) <= _FEW:
            for token in unread:
                logits = plan.step(token)
        else:
            logits = draft(torch.tensor([unread]), cache, last_only=True)[0, -1]
        guesses = [int(logits.argmax())]
        while len(guesses) < count:
            guesses.append(int(plan.step(guesses[-1]).argmax()))
        held = [*tokens, *guesses[:-1]]
        return guesses

    return propose


def first_layers(lm: LanguageModel, layers: int) -> LanguageModel:
    """Return a model of only the first layers, with the same table, norm and head; it shares the weights.

    Raises:
        TypeError: it is not a LanguageModel, or `layers` is not a whole number.
        ValueError: `layers` is not from 1 to the model's number of layers, or the model has hooks, a `forward` of its
            own or modules that it was not built from.
    """
    need_as_built(lm, "first_layers", fix=PLAIN_FIRST)
    layers = whole("layers", layers, low=1, high=lm.architecture.layers, fix="a draft has fewer than the model")
    with torch.device("meta"):
        small = LanguageModel(
            replace(lm.architecture, layers=layers),
            rope_base=lm.rope_base,
            norm_eps=lm.norm_eps,
            tokenizer=lm.tokenizer,
        )
    small.table, small.norm, small.head = lm.table, lm.norm, lm.head
    small.blocks = lm.blocks[:layers]
    small.training = small.blocks.training = lm.training  # only of these two: the others belong to the argument
    return small
