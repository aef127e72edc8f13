"""Text to token ids and back: byte-level byte-pair encoding, as the model's file describes it.

Source: R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016, section 3.2; A. Radford
et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2 (over bytes). The merging is that of
Hugging Face's `tokenizers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

_CONTROL = 3  # GGUF's number for tokens that stand for no text: the start and the end of a message, say


class Tokenizer:
    """Encodes with the vocabulary and the merges of a model; `end` is the id of the token that ends a text.

    Args:
        tokens: the vocabulary in the order of the ids, in the printable alphabet of byte-level encoding.
        merges: pairs "left right", the first to be merged first.
        control: the tokens that stand for no text; a text that contains their names is cut there only on request.
        end: the id after which generation stops.

    A vocabulary of three letters and one merge:

    >>> tokenizer = Tokenizer(["<end>", "a", "b", "ab"], ["a b"], control=["<end>"], end=0)
    >>> tokenizer.encode("abba")
    [3, 2, 1]
    >>> tokenizer.decode([3, 2, 1])
    'abba'
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], *, control: Sequence[str], end: int) -> None:
        self.end, self._size = end, len(tokens)
        vocabulary = {token: number for number, token in enumerate(tokens)}
        pairs = [tuple(pair.split(" ", 1)) for pair in merges]
        self._plain = _built(vocabulary, pairs, ())
        self._with_control = _built(vocabulary, pairs, control)

    @classmethod
    def of_file(cls, values: dict[str, Any]) -> Tokenizer:
        """Return the tokenizer that the header of a GGUF file describes.

        Raises:
            ValueError: it is of another kind than SmolLM's.
        """
        kind = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre")
        if kind != ("gpt2", "smollm"):
            raise ValueError(f"the file's tokenizer is {kind}, and this reader builds ('gpt2', 'smollm') alone")
        tokens = values["tokenizer.ggml.tokens"]
        control = [token for token, sort in zip(tokens, values["tokenizer.ggml.token_type"]) if sort == _CONTROL]
        return cls(
            tokens, values["tokenizer.ggml.merges"], control=control, end=values["tokenizer.ggml.eos_token_id"]
        )

    def __len__(self) -> int:
        return self._size

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self  # it never changes, and a copied model keeps it

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """Return the ids of a text; with `control`, names such as "<|im_start|>" in it become their one token.

        Raises:
            TypeError: `text` is not a str.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        return (self._with_control if control else self._plain).encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are no whole character become the replacement character.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        ids = [int(one) for one in ids]
        if unknown := [one for one in ids if not 0 <= one < self._size]:
            raise ValueError(f"token {unknown[0]} is not in the vocabulary, whose ids are 0 to {self._size - 1}")
        return self._plain.decode(ids, skip_special_tokens=False)

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of ids as they come, each piece once its characters are whole."""
        held: list[int] = []
        for one in ids:
            held.append(int(one))
            text = self.decode(held)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # else a character's last bytes are still to come
                yield text
                held = []
        if held:
            yield self.decode(held)

    def question(self, text: str, system: str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"):
        """Return the ids of a question in the form in which the model was taught to answer."""
        form = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
        before, middle, after = form.split("{}")
        parts = ((before, True), (system, False), (middle, True), (text, False), (after, True))
        return [one for part, control in parts for one in self.encode(part, control=control)]


def _built(vocabulary: dict[str, int], merges: list[tuple[str, ...]], control: Sequence[str]) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    if control:
        made.add_special_tokens(list(control))
    return made
