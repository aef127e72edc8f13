"""Text to token ids and back: byte-level byte-pair encoding, as the model's file describes it.

Source: R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016, section 3.2; A. Radford
et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2 (over bytes). The merging is that of
Hugging Face's `tokenizers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from mini_lib.llm.model.gguf_file import DamagedFile
from mini_lib.require import of_type, shown, whole

_CONTROL = 3  # GGUF's number for tokens that represent no text: the start and the end of a message, say


class Tokenizer:
    """Encodes with the vocabulary and the merges of a model; `end` is the id of the token that ends a text.

    Args:
        tokens: the vocabulary in the order of the ids, in the printable alphabet of byte-level encoding.
        merges: pairs "left right", the first to be merged first.
        control: the tokens that represent no text; their names within a text become these tokens only on request.
        end: the id after which generation stops.

    Raises:
        TypeError: something other than texts is among them, or `end` is not a whole number.
        ValueError: a token is there twice, a merge or a control token is not in the vocabulary, or `end` is not an id.

    A vocabulary of three letters and one merge:

    >>> tokenizer = Tokenizer(["<end>", "a", "b", "ab"], ["a b"], control=["<end>"], end=0)
    >>> tokenizer.encode("abba")
    [3, 2, 1]
    >>> tokenizer.decode([3, 2, 1])
    'abba'
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], *, control: Sequence[str], end: int) -> None:
        for name, texts in {"tokens": tokens, "merges": merges, "control": control}.items():
            of_type(name, texts, (list, tuple), fix="give a list of texts")
            if foreign := [one for one in texts if not isinstance(one, str)]:
                raise TypeError(f"{name} must be texts, got {shown(foreign[0])} among them; decode bytes first")
        vocabulary = {token: number for number, token in enumerate(tokens)}
        if len(vocabulary) != len(tokens):
            raise ValueError(f"{len(tokens) - len(vocabulary)} tokens are in the vocabulary twice; each has one id")
        if unknown := [name for name in control if name not in vocabulary]:
            raise ValueError(f"the control token {unknown[0]!r} is not in the vocabulary; add it there")
        self._vocabulary = vocabulary
        self.end = self._known(end)
        if foreign := [pair for pair in merges if pair.count(" ") != 1]:
            raise ValueError(f"the merges do not fit the vocabulary: {foreign[0]!r} is no pair; write it 'left right'")
        try:
            self._codec = _byte_level(vocabulary, [tuple(pair.split(" ", 1)) for pair in merges])
        except Exception as error:  # `tokenizers` has no exception of its own
            raise ValueError(f"the merges do not fit the vocabulary: {error}; give pairs 'left right'") from error
        letters = _letters()
        self._bytes_known = bytes(byte for byte, letter in letters.items() if letter in vocabulary)
        # the longest name first, so that no name is found at the beginning of another
        names = sorted(control, key=len, reverse=True)
        self._names = re.compile(f"({'|'.join(map(re.escape, names))})") if names else None

    @classmethod
    def of_file(cls, values: dict[str, Any]) -> Tokenizer:
        """Return the tokenizer that the header of a GGUF file describes.

        Raises:
            TypeError: `values` is not a dict.
            DamagedFile: its parts are missing, or do not fit together.
            ValueError: it is of another kind than SmolLM's.
        """
        of_type("values", values, dict, fix="GGUFFile(path).values gives them")
        kind = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre")
        if [one if isinstance(one, str) else None for one in kind] != ["gpt2", "smollm"]:
            raise ValueError(f"the file's tokenizer is {shown(kind)}, and this reader builds only ('gpt2', 'smollm')")
        try:
            tokens, sorts = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
            control = [token for token, sort in zip(tokens, sorts, strict=True) if sort == _CONTROL]
            end = values["tokenizer.ggml.eos_token_id"]
            return cls(tokens, values["tokenizer.ggml.merges"], control=control, end=end)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamagedFile(f"the tokenizer in the file's header is damaged: {error!r}; get it again") from error

    def __len__(self) -> int:
        return len(self._vocabulary)

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self  # it never changes, so a copied model shares it

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """Return the ids of a text; with `control`, names such as "<|im_start|>" in it become single tokens.

        Raises:
            TypeError: `text` is not a str.
            ValueError: it holds half of a surrogate pair, or a character for which the vocabulary has no token.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}; decode bytes first")
        if not control or self._names is None:
            return self._text_ids(text)
        parts = self._names.split(text)  # alternately a text and a name
        return [
            one
            for place, part in enumerate(parts)
            for one in ([self._vocabulary[part]] if place % 2 else self._text_ids(part))
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that do not form a whole character become the replacement character.

        Raises:
            TypeError: an id is not a whole number.
            ValueError: an id is not in the vocabulary.
        """
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"ids must be token ids, got {shown(ids)}; encode(text) gives them")
        ids = [self._known(one) for one in ids]
        return self._codec.decode(ids, skip_special_tokens=False)

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of ids as they come, each piece once its characters are whole."""
        held: list[int] = []
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"ids must be token ids, got {shown(ids)}; encode(text) gives them")
        for one in ids:
            held.append(one)
            text = self.decode(held)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # else a character's last bytes are still to come
                yield text
                held = []
        if held:
            yield self.decode(held)

    def question(
        self, text: str, system: str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    ) -> list[int]:
        """Return the ids of a question in the form that the model was trained to answer.

        Names of control tokens in `text` and `system` stay text: a question cannot end itself and speak for the model.

        Raises:
            TypeError, ValueError: as `encode`, or the vocabulary has no tokens for the start and the end of a message.
        """
        start, end = "<|im_start|>", "<|im_end|>"
        if start not in self._vocabulary or end not in self._vocabulary:
            raise ValueError(f"the vocabulary has no {start} and {end}; write the prompt in the model's own form")
        ids = []
        for role, content in (("system", system), ("user", text)):
            message = self.encode(f"{role}\n{content}")
            ids += [self._vocabulary[start], *message, self._vocabulary[end], *self.encode("\n")]
        return [*ids, self._vocabulary[start], *self.encode("assistant\n")]

    def _known(self, one: int) -> int:
        """An id of the vocabulary, as a plain number."""
        one = whole("each token", one, fix="encode(text) gives them")
        if not 0 <= one < len(self):
            raise ValueError(
                f"token {shown(one)} is not in the vocabulary, whose ids are 0 to {len(self) - 1}; encode the text"
            )
        return one

    def _text_ids(self, text: str) -> list[int]:
        try:  # a character without a token is refused here: `tokenizers` would silently leave it out
            lost = text.encode().translate(None, self._bytes_known)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text holds {text[error.start]!r} at place {error.start}, half of a surrogate pair, no character; "
                "read it with the encoding in which it was written"
            ) from error
        if lost:
            found = next(letter for letter in text if lost[0] in letter.encode())
            raise ValueError(
                f"the vocabulary has no token for a byte of {found!r}; take this character out of the text"
            )
        return self._codec.encode(text, add_special_tokens=False).ids


def _byte_level(vocabulary: dict[str, int], merges: list[tuple[str, ...]]) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    return made


def _letters() -> dict[int, str]:
    """The letter for each byte: itself where it is visible, else the next letter from 256 on.

    Source: A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, the code (encoder.py).
    """
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    unseen = (byte for byte in range(256) if byte not in seen)
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + place) for place, byte in enumerate(unseen)}
