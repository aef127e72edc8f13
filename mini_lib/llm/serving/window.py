"""Sliding windows: which tokens of a sequence stay in the KV cache."""

from dataclasses import dataclass

from mini_lib.llm.cost import Architecture
from mini_lib.llm.cost.architecture import need_architecture
from mini_lib.require import checked, whole


@dataclass(frozen=True)
class Window:
    """`windowed_layers` of a model's `layers` keep only the last `tokens` tokens of a sequence.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is too small, or more layers are windowed than there are.

    Source: Beltagy, Peters, Cohan, "Longformer: The Long-Document Transformer", 2020, section 3.1.
    """

    tokens: int
    layers: int = 1
    windowed_layers: int = 1

    def __post_init__(self) -> None:
        checked(self, "tokens", whole, low=1, fix="use window=None where every layer keeps all tokens")
        checked(self, "layers", whole, low=1, fix="copy it from the model's config.json")
        checked(self, "windowed_layers", whole, low=0, fix="use 0 where every layer keeps all tokens")
        if self.windowed_layers > self.layers:
            raise ValueError(
                f"windowed_layers must be {self.layers} (layers) or fewer, got {self.windowed_layers}; count again"
            )

    @property
    def full_layers(self) -> int:
        """The layers that keep all tokens."""
        return self.layers - self.windowed_layers

    def kept(self, tokens: int) -> int:
        """Return how many tokens of a sequence of this length all layers hold together.

        Raises:
            TypeError, ValueError: `tokens` is not a whole number of 0 or more.

        One layer keeps all 10, the other the last 4:

        >>> Window(tokens=4, layers=2, windowed_layers=1).kept(10)
        14
        """
        tokens = whole("tokens", tokens, low=0, fix="give the length of the sequence")
        return self.layers * tokens - self.windowed_layers * max(0, tokens - self.tokens)


def window_of(architecture: Architecture) -> Window | None:
    """Return the window of a model, or None where every layer keeps all tokens.

    Raises:
        TypeError: not an Architecture.

    >>> from mini_lib.llm.cost import find_model
    >>> window_of(find_model("Gemma-2-9B")), window_of(find_model("Llama-3-8B"))
    (Window(tokens=4096, layers=42, windowed_layers=21), None)
    """
    attention = need_architecture(architecture).attention
    tokens = getattr(attention, "window", None)  # latent attention has no window
    return None if tokens is None else Window(tokens, architecture.layers, attention.windowed_layers)
